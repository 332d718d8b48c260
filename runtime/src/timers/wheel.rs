//! Timers in the order of their deadlines: a hierarchical timing wheel (Varghese and Lauck, 1987).
//!
//! It has neither clock nor lock, and is told what time it is. The upper 48 bits of a deadline are
//! read as eight digits of 6 bits each; the lowest 16 bits are below the resolution of the slots. A
//! timer is in the level of the highest digit in which its deadline differs from the wheel's time,
//! and there in the slot of that digit. So each slot of a level is a span of time, a whole level
//! comes before the whole next one, the slots are passed in one direction only, and 64 bits of
//! nanoseconds fit without wrapping. When the time enters a slot, its timers move down to lower
//! levels. In the lowest level, where a span is 65 us, deadlines are compared to the nanosecond.
//!
//! Setting and removing a timer takes constant time.
//!
//! # Memory
//!
//! The timers are in one vector, and the slots are lists of indexes into it. Vacant places at its
//! end are cut off, and when less than a quarter of the capacity is in use, the capacity shrinks to
//! twice what is. Vacant places of the lower half are reused before those of the upper half, so
//! that the end does become vacant after a burst: only the timers of the burst itself keep its
//! memory.

use std::mem;

/// No deadline at all.
pub(crate) const NEVER: u64 = u64::MAX;

/// A span of the lowest level is 2^16 ns.
const SPAN_BITS: u32 = 16;
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = 8;

/// At most this many timers of the first slot are searched for the earliest. If there are more, the
/// beginning of the slot is taken instead: a wake-up for it costs little beside what those timers
/// do.
const SCAN_MAX: usize = 64;

/// The capacity for this many timers is always kept.
const KEEP: usize = 256;

/// The end of a list, or an empty list.
const NONE: u32 = u32::MAX;

/// Names a timer in a wheel. Once the timer is gone, its key names nothing, and never another
/// timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    number: u64,
}

/// A place for a timer, which is in the list of a slot, or vacant.
struct Node<T> {
    deadline_ns: u64,
    /// Unique among all timers that the wheel ever has; zero if the place is vacant.
    number: u64,
    value: Option<T>,
    prev: u32,
    next: u32,
}

pub(super) struct Wheel<T> {
    /// The time that the levels refer to. It never goes back.
    now_ns: u64,
    nodes: Vec<Node<T>>,
    /// The places that were in the lower half when they became vacant, and those that were in the
    /// upper half. Some may have been cut off since; they are removed from here before a new place
    /// is made at the end.
    vacant: [Vec<u32>; 2],
    len: usize,
    /// The first timer of each slot. A level is made when it is needed, so that a wheel without
    /// timers is small.
    levels: Vec<[u32; SLOTS]>,
    /// A bit for each slot that is not empty.
    occupied: [u64; LEVELS],
    /// No timer is due before this.
    earliest_ns: u64,
    /// A timer has gone since `earliest_ns` was found, and a search may find a later deadline.
    is_stale: bool,
    numbers: u64,
}

impl<T> Wheel<T> {
    pub(super) fn new() -> Self {
        Wheel {
            now_ns: 0,
            nodes: Vec::new(),
            vacant: [Vec::new(), Vec::new()],
            len: 0,
            levels: Vec::new(),
            occupied: [0; LEVELS],
            earliest_ns: NEVER,
            is_stale: false,
            numbers: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, deadline_ns: u64, value: T) -> Key {
        self.numbers += 1;
        let number = self.numbers;
        let node = Node {
            deadline_ns,
            number,
            value: Some(value),
            prev: NONE,
            next: NONE,
        };
        let index = self.seat(node);
        self.place(index);
        self.expect(deadline_ns);
        Key { index, number }
    }

    /// Puts a timer into a vacant place, or a new one.
    fn seat(&mut self, node: Node<T>) -> u32 {
        self.len += 1;
        while let [low, high] = &mut self.vacant
            && let Some(index) = low.pop().or_else(|| high.pop())
        {
            if let Some(place) = self.nodes.get_mut(index as usize) {
                *place = node;
                return index;
            }
        }
        let index = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        assert_ne!(index, NONE, "four thousand million timers on one thread");
        self.nodes.push(node);
        index
    }

    /// The value of a timer, if it is there.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let node = self.nodes.get_mut(key.index as usize)?;
        if node.number == key.number {
            node.value.as_mut()
        } else {
            None
        }
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        self.get_mut(key)?;
        self.displace(key.index);
        let value = self.vacate(key.index);
        self.give_back();
        if self.len == 0 {
            self.earliest_ns = NEVER;
            self.is_stale = false;
        }
        value
    }

    /// Gives a timer another deadline. False if it is not there.
    pub(super) fn reset(&mut self, key: Key, deadline_ns: u64) -> bool {
        if self.get_mut(key).is_none() {
            return false;
        }
        self.displace(key.index);
        self.nodes[key.index as usize].deadline_ns = deadline_ns;
        self.place(key.index);
        self.expect(deadline_ns);
        true
    }

    /// A moment before which no timer is due: the earliest deadline, except where many timers are
    /// close together far ahead. It is after the time of the last [`advance`](Wheel::advance).
    pub(super) fn earliest_ns(&mut self) -> u64 {
        if mem::take(&mut self.is_stale) {
            self.earliest_ns = self.find_earliest();
        }
        self.earliest_ns
    }

    /// As [`earliest_ns`](Wheel::earliest_ns), as far as it is known without a search.
    pub(super) fn earliest_known_ns(&self) -> u64 {
        self.earliest_ns
    }

    /// Takes out the timers that are due at `now_ns`, in the order of their deadlines, and for
    /// equal deadlines in the order in which they were set.
    pub(super) fn advance(&mut self, now_ns: u64) -> Vec<T> {
        if self.earliest_ns() > now_ns {
            return Vec::new();
        }
        self.is_stale = true;
        let before_ns = self.now_ns;
        // The thread that read the clock first may get here last.
        self.now_ns = before_ns.max(now_ns);
        let mut due = Vec::new();
        for level in 0..self.levels.len() {
            let digits = (before_ns ^ self.now_ns) >> shift_of(level);
            // A higher digit has changed: the whole level is over.
            let is_over = digits >> DIGIT_BITS != 0;
            let reached = if is_over {
                u64::MAX
            } else {
                u64::MAX >> (SLOTS - 1 - digit_of(self.now_ns, level))
            };
            for slot in bits(self.occupied[level] & reached) {
                self.empty(level, slot, now_ns, &mut due);
            }
            if !is_over {
                break;
            }
        }
        self.give_back();
        due.sort_unstable_by_key(|(deadline_and_number, _)| *deadline_and_number);
        due.into_iter().map(|(_, value)| value).collect()
    }

    /// Takes all timers out.
    pub(super) fn drain(&mut self) -> Vec<T> {
        let nodes = mem::take(&mut self.nodes);
        *self = Wheel {
            now_ns: self.now_ns,
            numbers: self.numbers,
            ..Wheel::new()
        };
        nodes.into_iter().filter_map(|node| node.value).collect()
    }

    /// Takes the timers that are due out of a slot, and places the others anew by the present time.
    fn empty(&mut self, level: usize, slot: usize, now_ns: u64, due: &mut Vec<((u64, u64), T)>) {
        let mut index = mem::replace(&mut self.levels[level][slot], NONE);
        self.occupied[level] &= !(1 << slot);
        while index != NONE {
            let Node {
                deadline_ns,
                number,
                next,
                ..
            } = self.nodes[index as usize];
            if deadline_ns <= now_ns {
                let value = self.vacate(index);
                due.extend(value.map(|value| ((deadline_ns, number), value)));
            } else {
                self.place(index);
            }
            index = next;
        }
    }

    /// The level and slot of a timer with this deadline. The time changes only along with the
    /// places that depend on it.
    fn slot_of(&self, deadline_ns: u64) -> (usize, usize) {
        // A timer that is due already is in the slot of the present.
        let at_ns = deadline_ns.max(self.now_ns);
        let digits = (at_ns ^ self.now_ns) >> SPAN_BITS;
        let level = ((digits | 1).ilog2() / DIGIT_BITS) as usize;
        (level, digit_of(at_ns, level))
    }

    fn place(&mut self, index: u32) {
        let (level, slot) = self.slot_of(self.nodes[index as usize].deadline_ns);
        if self.levels.len() <= level {
            self.levels.resize(level + 1, [NONE; SLOTS]);
        }
        let first = mem::replace(&mut self.levels[level][slot], index);
        if first != NONE {
            self.nodes[first as usize].prev = index;
        }
        self.nodes[index as usize].prev = NONE;
        self.nodes[index as usize].next = first;
        self.occupied[level] |= 1 << slot;
    }

    fn displace(&mut self, index: u32) {
        let deadline_ns = self.nodes[index as usize].deadline_ns;
        let (level, slot) = self.slot_of(deadline_ns);
        let Node { prev, next, .. } = self.nodes[index as usize];
        if next != NONE {
            self.nodes[next as usize].prev = prev;
        }
        if prev != NONE {
            self.nodes[prev as usize].next = next;
        } else {
            self.levels[level][slot] = next;
            if next == NONE {
                self.occupied[level] &= !(1 << slot);
                self.is_stale = true;
            }
        }
        self.is_stale |= deadline_ns == self.earliest_ns;
    }

    /// Takes note of a new deadline.
    fn expect(&mut self, deadline_ns: u64) {
        self.earliest_ns = self.earliest_ns.min(deadline_ns);
    }

    fn find_earliest(&self) -> u64 {
        let Some(level) = self.occupied.iter().position(|slots| *slots != 0) else {
            return NEVER;
        };
        let slot = self.occupied[level].trailing_zeros();
        let shift = shift_of(level);
        let higher = self.now_ns >> shift & !(SLOTS as u64 - 1);
        let start_ns = (higher | u64::from(slot)) << shift;
        // The slot of the present has to be searched in any case.
        let scan_max = if start_ns > self.now_ns {
            SCAN_MAX
        } else {
            usize::MAX
        };
        let mut index = self.levels[level][slot as usize];
        let mut earliest_ns = NEVER;
        for _ in 0..scan_max {
            let node = &self.nodes[index as usize];
            earliest_ns = earliest_ns.min(node.deadline_ns);
            index = node.next;
            if index == NONE {
                return earliest_ns;
            }
        }
        start_ns
    }

    /// Makes the place of a timer vacant, which is in no slot any more.
    fn vacate(&mut self, index: u32) -> Option<T> {
        let node = &mut self.nodes[index as usize];
        node.number = 0;
        let value = node.value.take();
        let in_upper_half = index as usize >= self.nodes.len() / 2;
        self.vacant[usize::from(in_upper_half)].push(index);
        self.len -= 1;
        value
    }

    fn give_back(&mut self) {
        while self.nodes.pop_if(|last| last.value.is_none()).is_some() {}
        let places = self.nodes.len();
        let capacity = self.nodes.capacity();
        if capacity > KEEP && places < capacity / 4 {
            let capacity = KEEP.max(2 * places);
            self.nodes.shrink_to(capacity);
            for vacant in &mut self.vacant {
                vacant.retain(|index| (*index as usize) < places);
                vacant.shrink_to(capacity);
            }
        }
    }
}

fn shift_of(level: usize) -> u32 {
    SPAN_BITS + DIGIT_BITS * level as u32
}

fn digit_of(at_ns: u64, level: usize) -> usize {
    (at_ns >> shift_of(level)) as usize % SLOTS
}

/// The positions of the bits that are set.
fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = set.trailing_zeros() as usize;
        set &= set.checked_sub(1)?;
        Some(bit)
    })
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests;
