//! What a task has been like so far, and so where it is polled.
//!
//! A poll that gets stuck on the IO lane is taken over, and that is a strike against its task. After the second the task is
//! polled elsewhere: on the compute lane if its thread was using the CPU, on a thread of the blocking pool if it was
//! asleep. It comes back after a row of short polls, with one strike left, so that the next one counts at once.
//!
//! Four bits of the task's label, written by whoever polls it.

/// So many short polls in a row bring a task back to the IO lane.
pub(crate) const SHORT_ROW: u8 = 7;

/// Where a task is to be polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Io,
    Compute,
    Blocking,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Habit(u8);

const ONE_STRIKE: u8 = 1;
const COMPUTE: u8 = 2;
const BLOCKING: u8 = COMPUTE + SHORT_ROW;

impl Habit {
    pub(crate) const BITS: u32 = 4;

    pub(super) fn from_bits(bits: u8) -> Habit {
        Habit(bits)
    }

    pub(super) fn bits(self) -> u8 {
        self.0
    }

    #[inline]
    pub(crate) fn place(self) -> Place {
        match self.0 {
            ..COMPUTE => Place::Io,
            COMPUTE..BLOCKING => Place::Compute,
            BLOCKING.. => Place::Blocking,
        }
    }

    /// A poll on the IO lane was taken over; `elsewhere` is where it should have been.
    pub(crate) fn struck(self, elsewhere: Place) -> Habit {
        match (self.0, elsewhere) {
            (0, _) => Habit(ONE_STRIKE),
            (ONE_STRIKE, Place::Compute) => Habit(COMPUTE),
            (ONE_STRIKE, Place::Blocking) => Habit(BLOCKING),
            _ => self,
        }
    }

    /// A poll that was not on the IO lane has ended.
    pub(crate) fn polled_elsewhere(self, short: bool) -> Habit {
        let start = match self.place() {
            Place::Io => return self,
            Place::Compute => COMPUTE,
            Place::Blocking => BLOCKING,
        };
        match self.0 - start + 1 {
            _ if !short => Habit(start),
            SHORT_ROW => Habit(ONE_STRIKE),
            row => Habit(start + row),
        }
    }
}

const _: () = assert!(BLOCKING + SHORT_ROW <= 1 << Habit::BITS);

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_long_poll_changes_nothing_two_do() {
        for elsewhere in [Place::Compute, Place::Blocking] {
            let once = Habit::default().struck(elsewhere);
            assert_eq!(once.place(), Place::Io);
            assert_eq!(once.struck(elsewhere).place(), elsewhere);
        }
    }

    #[test]
    fn a_row_of_short_polls_brings_it_back_with_one_strike_left() {
        for elsewhere in [Place::Compute, Place::Blocking] {
            let away = Habit::default().struck(elsewhere).struck(elsewhere);
            let mut habit = away;
            for _ in 1..SHORT_ROW {
                habit = habit.polled_elsewhere(true);
                assert_eq!(habit.place(), elsewhere);
            }
            assert_eq!(habit.polled_elsewhere(false), away, "a long one in between");
            let back = habit.polled_elsewhere(true);
            assert_eq!(back, Habit::default().struck(elsewhere));
            assert_eq!(back.struck(elsewhere).place(), elsewhere);
        }
    }

    #[test]
    fn every_habit_fits() {
        let mut habit = Habit::default()
            .struck(Place::Blocking)
            .struck(Place::Blocking);
        for _ in 0..100 {
            assert!(habit.bits() < 1 << Habit::BITS);
            habit = habit.polled_elsewhere(true);
        }
    }
}
