//! Classifies tasks by their recent polls, to choose where the next poll is made and what it waits
//! behind.
//!
//! On the IO lane a task is expected to go on as it did: one whose last polls were long is taken
//! for *long*, and waits in a queue of its own, so that short tasks need not wait behind it
//! (`scheduler::long_queue`). Three polls in a row settle what is expected, and one that differs
//! opens the question again. For a task that is not settled, the lane goes by what other such tasks
//! did.
//!
//! Two kinds of tasks are polled elsewhere:
//! - A task that *hogs* computes for long in poll after poll without waiting for anything in
//!   between, and has a large share of a core. After two such polls of 10 ms or more it is polled
//!   on the compute lane.
//! - A task that *blocks* has slept in a poll, and its worker was replaced. After the second time
//!   it is polled on a thread of the blocking pool. The first time is forgotten after some hundred
//!   polls.
//!
//! Such a task comes back after a run of calm polls: seven on the compute lane, some hundred on the
//! blocking pool. A task that blocks now and then does no harm there, but on the IO lane others
//! wait behind it each time.
//!
//! A class is seven bits of the task's meta word, written by whoever polls the task.

/// The number of like polls in a row that settle what a task is expected to do.
const SETTLED: u8 = 3;

/// The number of polls in which a task hogs, without waiting in between, that send it to the
/// compute lane.
const BUSY_MAX: u8 = 2;

/// The number of calm polls in a row that bring a task back to the IO lane, or clear one that has
/// blocked once. (Of blocking ones only the counted polls.)
pub(crate) const CALM_ROW: u8 = 7;

/// Every 61st poll of a task that has blocked counts towards forgetting that.
const FORGET_COUNTED_IN: u32 = 61;

/// Where a task is to be polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Io,
    Compute,
    Blocking,
}

/// How long a poll took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Short,
    /// Too near to the border to say anything. Otherwise a task whose polls all take about that
    /// long would be short one time and long the next.
    Between,
    Long,
}

/// What is known of a poll on the IO lane that returned `Pending`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Polled {
    pub(crate) length: Length,
    /// The worker slept in the poll, and was replaced.
    pub(crate) blocked: bool,
    /// The poll was long, and the task goes on without waiting for anything.
    pub(crate) busy: bool,
    /// The task is busy, and has computed for some time by now, with a large share of a core.
    pub(crate) hogs: bool,
    /// The poll counts towards forgetting that the task has blocked.
    pub(crate) counts: bool,
}

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TaskClass(u8);

/// A [`TaskClass`], decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Io {
        run: Run,
        strike: Strike,
    },
    /// The number of calm polls in a row.
    Compute(u8),
    Blocking(u8),
}

/// The number of like polls in a row, at most [`SETTLED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    None,
    Short(u8),
    Long(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strike {
    None,
    /// The last poll was long, and the task went on without waiting. The number of polls in which
    /// it has hogged since it last waited.
    Busy(u8),
    /// The task has blocked once. The number of counted polls until that is forgotten.
    Blocked(u8),
}

const RUNS: u8 = 2 * SETTLED + 1;
const STRIKES: u8 = 1 + BUSY_MAX + CALM_ROW;
const COMPUTE_START: u8 = RUNS * STRIKES;
const BLOCKING_START: u8 = COMPUTE_START + CALM_ROW;
const END: u8 = BLOCKING_START + CALM_ROW;

const _: () = assert!(END <= 1 << TaskClass::BITS);

impl TaskClass {
    pub(crate) const BITS: u32 = 7;

    pub(super) fn from_bits(bits: u8) -> TaskClass {
        TaskClass(bits)
    }

    pub(super) fn bits(self) -> u8 {
        self.0
    }

    /// Nothing is known of the task, except perhaps that its polls are short.
    #[inline]
    pub(crate) fn is_calm(self) -> bool {
        self.0 == 0 || self.0 == SETTLED
    }

    #[inline]
    pub(crate) fn place(self) -> Place {
        match self.0 {
            COMPUTE_START..BLOCKING_START => Place::Compute,
            BLOCKING_START.. => Place::Blocking,
            _ => Place::Io,
        }
    }

    /// What its next poll on the IO lane is expected to be. `None` if that is not settled.
    pub(crate) fn expected(self) -> Option<Length> {
        match self.decode() {
            // It goes on where the long poll ended.
            Class::Io {
                strike: Strike::Busy(_),
                ..
            } => Some(Length::Long),
            Class::Io { run, .. } => match run {
                Run::Short(SETTLED) => Some(Length::Short),
                Run::Long(SETTLED) => Some(Length::Long),
                _ => None,
            },
            // The IO lane only sends it on.
            Class::Compute(_) | Class::Blocking(_) => Some(Length::Short),
        }
    }

    /// The class after a poll on the IO lane.
    pub(crate) fn polled(self, polled: Polled) -> TaskClass {
        let Class::Io { run, strike } = self.decode() else {
            return self;
        };
        let run = match strike {
            // The rest of what the long poll before it had to do.
            Strike::Busy(_) if polled.length == Length::Short => run,
            _ => run.polled(polled.length),
        };
        let class = match strike {
            Strike::Blocked(_) if polled.blocked => Class::Blocking(0),
            _ if polled.blocked => Class::Io {
                run,
                strike: Strike::Blocked(CALM_ROW),
            },
            Strike::Busy(times) if polled.hogs && times + 1 == BUSY_MAX => Class::Compute(0),
            _ => Class::Io {
                run,
                strike: strike.polled(polled),
            },
        };
        class.encode()
    }

    /// The class of a task that is polled on the IO lane again, whatever it was like.
    pub(crate) fn back(self) -> TaskClass {
        let (run, strike) = match self.decode() {
            Class::Io { run, strike } => (run, strike),
            // One more poll like those before sends it away again.
            Class::Compute(_) => (Run::None, Strike::Busy(BUSY_MAX - 1)),
            Class::Blocking(_) => (Run::None, Strike::Blocked(CALM_ROW)),
        };
        Class::Io { run, strike }.encode()
    }

    /// The class after a poll that was not on the IO lane. The poll was `calm` if it was short, or,
    /// on the compute lane, if the task now waits for something.
    pub(crate) fn polled_elsewhere(self, calm: bool, counts: bool) -> TaskClass {
        match self.decode() {
            Class::Io { .. } => self,
            Class::Blocking(_) if calm && !counts => self,
            Class::Compute(_) if !calm => Class::Compute(0).encode(),
            Class::Blocking(_) if !calm => Class::Blocking(0).encode(),
            Class::Compute(row) | Class::Blocking(row) if row + 1 == CALM_ROW => self.back(),
            Class::Compute(row) => Class::Compute(row + 1).encode(),
            Class::Blocking(row) => Class::Blocking(row + 1).encode(),
        }
    }

    /// One in this many polls counts towards forgetting that a task has blocked.
    pub(crate) const fn counted_in() -> u32 {
        FORGET_COUNTED_IN
    }

    fn decode(self) -> Class {
        match self.0 {
            bits @ COMPUTE_START..BLOCKING_START => Class::Compute(bits - COMPUTE_START),
            bits @ BLOCKING_START.. => Class::Blocking(bits - BLOCKING_START),
            bits => Class::Io {
                run: match bits % RUNS {
                    0 => Run::None,
                    short @ 1..=SETTLED => Run::Short(short),
                    long => Run::Long(long - SETTLED),
                },
                strike: match bits / RUNS {
                    0 => Strike::None,
                    times @ 1..=BUSY_MAX => Strike::Busy(times - 1),
                    left => Strike::Blocked(left - BUSY_MAX),
                },
            },
        }
    }
}

impl Class {
    fn encode(self) -> TaskClass {
        TaskClass(match self {
            Class::Compute(row) => COMPUTE_START + row,
            Class::Blocking(row) => BLOCKING_START + row,
            Class::Io { run, strike } => {
                let run = match run {
                    Run::None => 0,
                    Run::Short(polls) => polls,
                    Run::Long(polls) => SETTLED + polls,
                };
                let strike = match strike {
                    Strike::None => 0,
                    Strike::Busy(times) => 1 + times,
                    Strike::Blocked(left) => BUSY_MAX + left,
                };
                strike * RUNS + run
            }
        })
    }
}

impl Run {
    /// A poll of the other kind ends the run, and starts another.
    fn polled(self, length: Length) -> Run {
        match (self, length) {
            (_, Length::Between) => self,
            (Run::Short(polls), Length::Short) => Run::Short(SETTLED.min(polls + 1)),
            (Run::Long(polls), Length::Long) => Run::Long(SETTLED.min(polls + 1)),
            (_, Length::Short) => Run::Short(1),
            (_, Length::Long) => Run::Long(1),
        }
    }
}

impl Strike {
    /// What is left of the strike after a poll that did not block.
    fn polled(self, polled: Polled) -> Strike {
        match self {
            Strike::Blocked(1) if polled.counts => Strike::None,
            Strike::Blocked(left) if polled.counts => Strike::Blocked(left - 1),
            // Whatever else the poll did.
            Strike::Blocked(left) => Strike::Blocked(left),
            Strike::Busy(times) if polled.busy => Strike::Busy(times + u8::from(polled.hogs)),
            Strike::None if polled.busy => Strike::Busy(polled.hogs.into()),
            Strike::Busy(_) | Strike::None => Strike::None,
        }
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    const SHORT: Polled = Polled {
        length: Length::Short,
        blocked: false,
        busy: false,
        hogs: false,
        counts: false,
    };
    const LONG: Polled = Polled {
        length: Length::Long,
        ..SHORT
    };
    const BETWEEN: Polled = Polled {
        length: Length::Between,
        ..SHORT
    };
    const BUSY: Polled = Polled { busy: true, ..LONG };
    const HOGS: Polled = Polled { hogs: true, ..BUSY };
    const BLOCKED: Polled = Polled {
        blocked: true,
        ..LONG
    };

    fn after(polls: &[Polled]) -> TaskClass {
        let polls = polls.iter();
        polls.fold(TaskClass::default(), |class, polled| class.polled(*polled))
    }

    #[test]
    fn every_class_has_bits_of_its_own() {
        for bits in 0..END {
            assert_eq!(TaskClass(bits).decode().encode(), TaskClass(bits));
        }
        assert_eq!(
            TaskClass::default().decode(),
            Class::Io {
                run: Run::None,
                strike: Strike::None
            }
        );
    }

    #[test]
    fn a_task_of_short_polls_is_calm_until_one_is_long() {
        let polls: [&[Polled]; 3] = [&[], &[SHORT; 3], &[LONG, SHORT, SHORT, SHORT]];
        assert!(polls.iter().all(|polls| after(polls).is_calm()));
        let polls: [&[Polled]; 4] = [
            &[SHORT],
            &[SHORT, SHORT, SHORT, LONG],
            &[LONG; 3],
            &[BLOCKED],
        ];
        assert!(!polls.iter().any(|polls| after(polls).is_calm()));
    }

    #[test]
    fn three_polls_in_a_row_settle_what_is_expected() {
        let table: &[(&[Polled], Option<Length>)] = &[
            (&[], None),
            (&[LONG], None),
            (&[LONG, LONG], None),
            (&[LONG, LONG, LONG], Some(Length::Long)),
            (&[SHORT, SHORT, SHORT], Some(Length::Short)),
            (&[LONG, SHORT, LONG, SHORT, LONG], None),
            (&[LONG, LONG, SHORT, LONG], None),
            // A poll between short and long says nothing.
            (&[LONG, LONG, BETWEEN, LONG], Some(Length::Long)),
            (&[SHORT, SHORT, BETWEEN, SHORT], Some(Length::Short)),
            // Nor does a short poll that ends what a long one began.
            (&[LONG, LONG, HOGS, SHORT, LONG], Some(Length::Long)),
            (&[LONG, LONG, LONG, SHORT, SHORT], None),
            // One poll that differs opens the question again.
            (&[LONG, LONG, LONG, SHORT], None),
            (
                &[LONG, LONG, LONG, SHORT, SHORT, SHORT],
                Some(Length::Short),
            ),
        ];
        for (polls, expected) in table {
            assert_eq!(after(polls).expected(), *expected, "{polls:?}");
        }
    }

    #[test]
    fn polls_that_hog_move_a_task_and_a_long_one_that_waits_does_not() {
        let table: &[(&[Polled], Place)] = &[
            (&[BUSY, HOGS], Place::Io),
            (&[BUSY, HOGS, HOGS], Place::Compute),
            (&[BUSY, HOGS, LONG, HOGS], Place::Io),
            (&[BUSY, HOGS, SHORT, HOGS], Place::Io),
            (&[BUSY; 100], Place::Io),
            (&[HOGS, BUSY, BUSY, HOGS], Place::Compute),
            (&[LONG; 100], Place::Io),
        ];
        for (polls, place) in table {
            assert_eq!(after(polls).place(), *place, "{polls:?}");
        }
    }

    #[test]
    fn a_task_that_blocks_twice_is_moved_even_with_others_in_between() {
        assert_eq!(after(&[BLOCKED]).place(), Place::Io);
        assert_eq!(after(&[BLOCKED, BLOCKED]).place(), Place::Blocking);
        for between in [SHORT, LONG, BUSY, HOGS] {
            let polls = [BLOCKED, between, between, BLOCKED];
            assert_eq!(after(&polls).place(), Place::Blocking, "{between:?}");
        }
    }

    #[test]
    fn that_it_blocked_once_is_forgotten() {
        let mut class = after(&[BLOCKED]);
        let counted = Polled {
            counts: true,
            ..SHORT
        };
        for _ in 0..CALM_ROW {
            assert_eq!(class.polled(BLOCKED).place(), Place::Blocking);
            class = class.polled(counted);
        }
        assert_eq!(class.polled(BLOCKED).place(), Place::Io);
    }

    #[test]
    fn a_row_of_calm_polls_brings_it_back_and_the_next_strike_counts_at_once() {
        for (strikes, polled, place) in [
            (&[HOGS; 3][..], HOGS, Place::Compute),
            (&[BLOCKED; 2], BLOCKED, Place::Blocking),
        ] {
            let first = after(strikes);
            let mut class = first;
            for _ in 1..CALM_ROW {
                class = class.polled_elsewhere(true, true);
                assert_eq!(class.place(), place);
                let uncounted = class.polled_elsewhere(true, false);
                assert_eq!(uncounted == class, place == Place::Blocking);
                assert_eq!(class.polled_elsewhere(false, true), first);
            }
            let back = class.polled_elsewhere(true, true);
            assert_eq!(back.place(), Place::Io);
            assert_eq!(back.polled(polled).place(), place);
            assert_eq!(back.polled(SHORT).polled(LONG).place(), Place::Io);
        }
    }
}
