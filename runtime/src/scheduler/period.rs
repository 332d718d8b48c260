//! When the periods of a CPU quota begin.
//!
//! The kernel hands a quota out anew each period, by the clock, and counts the periods in which it
//! had to. So there is a beginning between two looks at the count if it has grown by one between
//! them, and all others are whole periods away from it. What several such pairs of looks have in
//! common is soon known to a millisecond or two.

use std::time::Duration;

/// No look at the count follows another sooner, since each opens a file; nor at the clocks of the
/// CPU.
pub(super) const LOOK_INTERVAL_NS: u64 = 1_000_000;

/// The looks are close enough together; then one in each period will do.
const CLOSE_NS: u64 = 2 * LOOK_INTERVAL_NS;

/// Nor one that has found no count.
const RETRY_NS: u64 = 1_000_000_000;

/// When the count was read: not before the first of these moments, and not after the second. (A
/// compute worker may be stopped for long in between.)
pub(super) type ReadNs = (u64, u64);

/// What is known of the beginnings.
pub(super) struct Periods {
    length_ns: u64,
    /// The last look: when, and what the count was.
    last: Option<(ReadNs, u64)>,
    /// No look before this.
    not_before_ns: u64,
    /// There was a beginning after the first of these moments, and not after the second.
    began: Option<(u64, u64)>,
}

impl Periods {
    pub(super) fn new(length: Duration) -> Periods {
        Periods {
            length_ns: length.as_nanos() as u64,
            last: None,
            not_before_ns: 0,
            began: None,
        }
    }

    /// Whether a look at the count is worth what it costs.
    pub(super) fn is_look_due(&self, now_ns: u64) -> bool {
        if now_ns < self.not_before_ns {
            return false;
        }
        let (Some((from, to)), Some(((_, last_ns), _))) = (self.began, self.last) else {
            return true;
        };
        to - from > CLOSE_NS
            || self
                .next_ns(last_ns)
                .is_none_or(|next_ns| next_ns <= now_ns)
    }

    /// Somebody has looked at the count, which may not be there.
    pub(super) fn look(&mut self, read: ReadNs, count: Option<u64>) {
        let Some(count) = count else {
            self.not_before_ns = read.1 + RETRY_NS;
            return;
        };
        self.not_before_ns = read.1 + LOOK_INTERVAL_NS;
        let Some((last, before)) = self.last.replace((read, count)) else {
            return;
        };
        let (from, to) = (last.0, read.1);
        if to.saturating_sub(from) >= self.length_ns {
            return;
        }
        if count == before + 1 {
            self.began = Some(self.began_within(from, to));
        } else if count == before && self.next_ns(last.1).is_some_and(|next| next < read.0) {
            // One should have begun in between.
            self.began = None;
        }
    }

    /// What is known if one began within these moments.
    fn began_within(&self, from: u64, to: u64) -> (u64, u64) {
        let Some((known_from, known_to)) = self.began else {
            return (from, to);
        };
        // In the same period.
        let apart = (from + to).saturating_sub(known_from + known_to) / 2;
        let shift = (apart + self.length_ns / 2) / self.length_ns * self.length_ns;
        let both = (from.max(known_from + shift), to.min(known_to + shift));
        // It cannot be: the quota was set anew meanwhile.
        if both.0 < both.1 { both } else { (from, to) }
    }

    /// When the first period after `now_ns` begins, or a little later. `None` if that is not known.
    pub(super) fn next_ns(&self, now_ns: u64) -> Option<u64> {
        let (from, to) = self.began?;
        if to - from > self.length_ns / 4 {
            return None;
        }
        let since = now_ns.saturating_sub(to);
        Some(to + (since / self.length_ns + 1) * self.length_ns)
    }

    /// When the period of `now_ns` began.
    pub(super) fn this_ns(&self, now_ns: u64) -> Option<u64> {
        Some(self.next_ns(now_ns)?.saturating_sub(self.length_ns))
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Looks from time to time, at periods of 100 ms that begin at 37 ms.
    fn looked(every: impl Fn(u64) -> u64, until: u64) -> Periods {
        let mut periods = Periods::new(Duration::from_millis(100));
        let mut now = 0;
        while now < until * MS {
            periods.look((now, now), Some((now + 63 * MS) / (100 * MS)));
            now += every(now / MS) * MS;
        }
        periods
    }

    #[test]
    fn nothing_is_known_at_first() {
        let periods = looked(|_| 5, 30);
        assert_eq!(periods.next_ns(30 * MS), None);
        assert!(periods.is_look_due(30 * MS));
    }

    #[test]
    fn a_beginning_lies_between_two_looks() {
        let periods = looked(|_| 5, 50);
        assert_eq!(periods.next_ns(45 * MS), Some(140 * MS));
        assert_eq!(periods.this_ns(45 * MS), Some(40 * MS));
        assert_eq!(periods.next_ns(1039 * MS), Some(1040 * MS));
        assert_eq!(periods.next_ns(1040 * MS), Some(1140 * MS));
    }

    #[test]
    fn what_looks_have_in_common_is_close() {
        let periods = looked(|now| 7 + now % 5, 3000);
        let next = periods.next_ns(5000 * MS).unwrap();
        assert!((5037 * MS..=5039 * MS).contains(&next), "{next}");
    }

    #[test]
    fn looks_that_are_far_apart_say_nothing() {
        assert_eq!(looked(|_| 250, 5000).next_ns(0), None);
        assert_eq!(looked(|_| 60, 150).next_ns(150 * MS), None);
    }

    #[test]
    fn once_it_is_known_one_look_a_period_will_do() {
        let mut periods = looked(|_| 1, 45);
        assert!(!periods.is_look_due(100 * MS));
        assert!(periods.is_look_due(139 * MS));
        periods.look((139 * MS, 139 * MS), Some(2));
        assert!(!periods.is_look_due(200 * MS));
    }

    #[test]
    fn other_periods_are_found_out_anew() {
        let mut periods = looked(|_| 1, 45);
        for now in [170, 171] {
            periods.look((now * MS, now * MS), Some(now));
        }
        assert_eq!(periods.next_ns(180 * MS), Some(271 * MS));
    }

    #[test]
    fn a_look_that_took_long_says_little() {
        let mut periods = Periods::new(Duration::from_millis(100));
        periods.look((30 * MS, 30 * MS), Some(0));
        // Read after 37 ms, by a thread that was stopped before.
        periods.look((31 * MS, 90 * MS), Some(1));
        assert_eq!(periods.next_ns(90 * MS), None, "any time from 30 to 90");
        periods.look((130 * MS, 130 * MS), Some(1));
        periods.look((138 * MS, 138 * MS), Some(2));
        assert_eq!(periods.next_ns(140 * MS), Some(238 * MS));
    }

    #[test]
    fn a_count_that_did_not_grow_where_it_should_is_believed() {
        let mut periods = looked(|_| 1, 45);
        assert!(periods.next_ns(45 * MS).is_some());
        periods.look((130 * MS, 130 * MS), Some(1));
        periods.look((139 * MS, 139 * MS), Some(1));
        assert_eq!(periods.next_ns(139 * MS), None);
    }

    #[test]
    fn a_count_that_is_not_there_is_not_looked_for_all_the_time() {
        let mut periods = Periods::new(Duration::from_millis(100));
        periods.look((MS, MS), None);
        assert!(!periods.is_look_due(900 * MS));
        assert!(periods.is_look_due(1001 * MS));
        periods.look((1001 * MS, 1001 * MS), Some(3));
        assert!(!periods.is_look_due(1001 * MS + 1));
    }
}
