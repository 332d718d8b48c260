//! When a long task goes before short ones that wait as well.
//!
//! Short ones go first: that costs the long ones little where short ones are few. But where many
//! tasks are expected to be short whose polls are not much shorter than long ones, there is always
//! one of them, and those that were taken for long would wait for ever. So the two take turns:
//! while a long one waits, short ones have as much time as the last long one took.

use std::cell::Cell;

/// The turns of one worker.
pub(super) struct Turns {
    /// Since when short ones have had their turn while a long one waited.
    short_since_ns: Cell<Option<u64>>,
    /// When the long one has begun that this worker is in, or was in until now.
    long_since_ns: Cell<Option<u64>>,
    /// How much time the last long one took.
    long_ns: Cell<u64>,
}

impl Turns {
    /// Of a worker of which nothing is known. A long one takes `long_ns` at least.
    pub(super) fn new(long_ns: u64) -> Self {
        Turns {
            short_since_ns: Cell::new(None),
            long_since_ns: Cell::new(None),
            long_ns: Cell::new(long_ns),
        }
    }

    pub(super) fn begin_long(&self, now_ns: u64) {
        self.short_since_ns.set(None);
        self.long_since_ns.set(Some(now_ns));
    }

    /// The worker looks for its next task. `now_ns` is called if it was in a long one.
    #[inline]
    pub(super) fn next(&self, now_ns: impl FnOnce() -> u64) {
        if let Some(since_ns) = self.long_since_ns.take() {
            self.long_ns.set(now_ns().saturating_sub(since_ns));
        }
    }

    /// Whether a long one that waits goes before short ones.
    pub(super) fn is_of_long(&self, now_ns: u64) -> bool {
        let since_ns = self.short_since_ns.get().unwrap_or(now_ns);
        self.short_since_ns.set(Some(since_ns));
        now_ns.saturating_sub(since_ns) >= self.long_ns.get()
    }

    /// No long one waits, so that the turn of short ones counts for nothing.
    #[inline]
    pub(super) fn nobody_waits(&self) {
        self.short_since_ns.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns() -> Turns {
        Turns::new(10)
    }

    #[test]
    fn short_ones_have_as_much_time_as_the_last_long_one_took() {
        let turns = turns();
        assert!(!turns.is_of_long(100), "their turn begins");
        assert!(!turns.is_of_long(109));
        assert!(turns.is_of_long(110));
        turns.begin_long(110);
        turns.next(|| 140);
        for (now_ns, is_of_long) in [(140, false), (169, false), (170, true)] {
            assert_eq!(turns.is_of_long(now_ns), is_of_long, "{now_ns}");
        }
    }

    #[test]
    fn a_turn_counts_only_while_a_long_one_waits() {
        let turns = turns();
        assert!(!turns.is_of_long(100));
        turns.nobody_waits();
        assert!(!turns.is_of_long(200));
        assert!(turns.is_of_long(210));
    }

    #[test]
    fn a_long_one_that_began_for_want_of_others_counts() {
        let turns = turns();
        turns.begin_long(100);
        turns.next(|| 105);
        turns.next(|| unreachable!("it was not in a long one"));
        assert!(!turns.is_of_long(105));
        assert!(turns.is_of_long(110));
    }
}
