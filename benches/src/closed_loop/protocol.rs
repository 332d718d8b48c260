//! What is asked over and over, and what comes back.

/// One kind of request, and its answer.
pub(crate) trait Protocol {
    fn request(&self) -> &[u8];

    /// The length of the answer that begins so, as soon as that can be told. Asked on the first
    /// answer; all others have to be as long.
    fn answer_bytes(&self, start: &[u8]) -> Option<usize>;

    /// Whether this is an answer.
    fn is_right(&self, answer: &[u8]) -> bool;
}

/// The same bytes there and back.
pub(crate) struct Echo(Vec<u8>);

impl Echo {
    /// Of messages of this size.
    pub(crate) fn of(message_bytes: usize) -> Self {
        Self(pattern(message_bytes))
    }
}

/// Bytes in which a part that is missing, or comes twice, shows: their period is a prime, and no
/// buffer's size is a multiple of that.
pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| (index % 251) as u8).collect()
}

impl Protocol for Echo {
    fn request(&self) -> &[u8] {
        &self.0
    }

    fn answer_bytes(&self, _: &[u8]) -> Option<usize> {
        Some(self.0.len())
    }

    fn is_right(&self, answer: &[u8]) -> bool {
        answer == self.0
    }
}
