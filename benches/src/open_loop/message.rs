//! The 64 bytes of a request, and of its answer: its number, the CPU work that it asks for, and a
//! pattern that a wrong answer would break.

/// Size of a request, and of its answer.
pub(crate) const MESSAGE_BYTES: usize = 64;
/// Where the work is, after the number.
const WORK: std::ops::Range<usize> = 8..12;

pub(super) type Message = [u8; MESSAGE_BYTES];

/// The request with this number, and its answer.
pub(super) fn message(seq: u64, work_us: u32) -> Message {
    let mut message = [seq as u8; MESSAGE_BYTES];
    message[..WORK.start].copy_from_slice(&seq.to_le_bytes());
    message[WORK].copy_from_slice(&work_us.to_le_bytes());
    message
}

/// The work that a request asks for, in microseconds.
pub(super) fn work_us(message: &Message) -> u64 {
    let bytes = message[WORK].try_into().expect("four bytes");
    u64::from(u32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_carries_its_work() {
        for us in [0, 100, 50_000, u32::MAX] {
            assert_eq!(work_us(&message(0x0102_0304_0506_0708, us)), u64::from(us));
        }
    }

    #[test]
    fn an_empty_message_asks_for_nothing() {
        assert_eq!(work_us(&[0; MESSAGE_BYTES]), 0);
    }

    #[test]
    fn messages_differ_in_number_and_work() {
        assert_ne!(message(1, 7), message(257, 7));
        assert_ne!(message(1, 7), message(1, 8));
        assert_eq!(message(9, 7)[20..], [9; 44]);
    }
}
