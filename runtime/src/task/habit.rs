//! What a task has been like so far, and so where it is polled.
//!
//! A poll that gets stuck on the IO lane is taken over, and that is a strike against its task. After the second the task is
//! polled elsewhere: on the compute lane if its thread was using the CPU, on a thread of the blocking pool if it was
//! asleep. A first strike is forgotten after some hundred polls. The task comes back after a row of short polls, with one strike left, so that the next one counts at once. Each time
//! it comes back it has been at a higher *level*, on which fewer of its short polls count: one that is long now and then
//! stays where it does no harm.
//!
//! Seven bits of the task's label, written by whoever polls it.

/// So many short polls in a row, of those that count, bring a task back to the IO lane.
pub(crate) const SHORT_ROW: u8 = 7;

/// Of the polls of a task with a strike one in so many counts, and [`SHORT_ROW`] of these take the strike away.
const FORGET_COUNTED_IN: u32 = 61;

/// Of the short polls of a task elsewhere one in so many counts, on each of its levels. (Odd numbers, so that two tasks that
/// take turns on a thread both get their share.)
const COUNTED_IN: [u32; LEVELS as usize] = [1, 5, 17, 65];
const LEVELS: u8 = 4;

/// Where a task is to be polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Io,
    Compute,
    Blocking,
}

/// From the lowest bit on: three for the row (on the IO lane: what is left of a strike), two for the level, two for the
/// place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Habit(u8);

const ROW_BITS: u8 = 3;
const LEVEL_BITS: u8 = 2;
const PLACE_START: u8 = ROW_BITS + LEVEL_BITS;

const _: () = assert!(SHORT_ROW < 1 << ROW_BITS && LEVELS == 1 << LEVEL_BITS);

impl Habit {
    pub(crate) const BITS: u32 = 7;

    fn new(place: Place, level: u8, row: u8) -> Habit {
        Habit(((place as u8) << PLACE_START) | (level << ROW_BITS) | row)
    }

    pub(super) fn from_bits(bits: u8) -> Habit {
        Habit(bits)
    }

    pub(super) fn bits(self) -> u8 {
        self.0
    }

    #[inline]
    pub(crate) fn place(self) -> Place {
        const COMPUTE: u8 = Place::Compute as u8;
        match self.0 >> PLACE_START {
            0 => Place::Io,
            COMPUTE => Place::Compute,
            _ => Place::Blocking,
        }
    }

    fn level(self) -> u8 {
        (self.0 >> ROW_BITS) & (LEVELS - 1)
    }

    fn row(self) -> u8 {
        self.0 & ((1 << ROW_BITS) - 1)
    }

    /// A poll on the IO lane was taken over; `elsewhere` is where it should have been.
    pub(crate) fn struck(self, elsewhere: Place) -> Habit {
        match (self.place(), self.row()) {
            (Place::Io, 0) => Habit::new(Place::Io, self.level(), SHORT_ROW),
            (Place::Io, _) => Habit::new(elsewhere, self.level(), 0),
            _ => self,
        }
    }

    /// Nothing has happened that is not forgotten.
    #[inline]
    pub(crate) fn is_default(self) -> bool {
        self.0 == 0
    }

    /// A poll on the IO lane was not taken over.
    pub(crate) fn polled_well(self, counts: bool) -> Habit {
        match (self.place(), self.row()) {
            (Place::Io, 1) if counts => Habit::default(),
            (Place::Io, 2..) if counts => Habit(self.0 - 1),
            _ => self,
        }
    }

    /// It is not polled elsewhere any more, whatever it was like.
    pub(crate) fn back(self) -> Habit {
        Habit::new(Place::Io, self.level(), SHORT_ROW)
    }

    /// Of the polls that may change something, one in so many counts.
    pub(crate) fn counted_in(self) -> u32 {
        match self.place() {
            Place::Io => FORGET_COUNTED_IN,
            _ => COUNTED_IN[usize::from(self.level())],
        }
    }

    /// A poll that was not on the IO lane has ended. If it was short, `counts` says whether it counts.
    pub(crate) fn polled_elsewhere(self, short: bool, counts: bool) -> Habit {
        let (place, level, row) = (self.place(), self.level(), self.row());
        match place {
            Place::Io => self,
            _ if !short => Habit::new(place, level, 0),
            _ if !counts => self,
            _ if row + 1 == SHORT_ROW => {
                Habit::new(Place::Io, (level + 1).min(LEVELS - 1), SHORT_ROW)
            }
            _ => Habit::new(place, level, row + 1),
        }
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    fn away(habit: Habit, elsewhere: Place) -> Habit {
        habit.struck(elsewhere).struck(elsewhere)
    }

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
            let first = away(Habit::default(), elsewhere);
            let mut habit = first;
            for _ in 1..SHORT_ROW {
                habit = habit.polled_elsewhere(true, true);
                assert_eq!(habit.place(), elsewhere);
                assert_eq!(habit.polled_elsewhere(true, false), habit);
                assert_eq!(habit.polled_elsewhere(false, true), first);
            }
            let back = habit.polled_elsewhere(true, true);
            assert_eq!(back.place(), Place::Io);
            assert_eq!(back.struck(elsewhere).place(), elsewhere);
        }
    }

    #[test]
    fn a_strike_is_forgotten() {
        let mut habit = Habit::default().struck(Place::Compute);
        assert_eq!(habit.counted_in(), FORGET_COUNTED_IN);
        for _ in 0..SHORT_ROW {
            assert!(!habit.is_default());
            assert_eq!(habit.polled_well(false), habit);
            assert_eq!(habit.struck(Place::Compute).place(), Place::Compute);
            habit = habit.polled_well(true);
        }
        assert!(habit.is_default());
    }

    #[test]
    fn coming_back_takes_longer_each_time_up_to_a_limit() {
        let mut habit = Habit::default().struck(Place::Blocking);
        let mut counted_in = Vec::new();
        for _ in 0..6 {
            habit = habit.struck(Place::Blocking);
            counted_in.push(habit.counted_in());
            while habit.place() != Place::Io {
                habit = habit.polled_elsewhere(true, true);
                assert!(habit.bits() < 1 << Habit::BITS);
            }
        }
        assert_eq!(counted_in, [1, 5, 17, 65, 65, 65]);
    }
}
