//! The wheel at every boundary, and beside a sorted map.

use super::*;

const DAY: u64 = 86_400_000_000_000;

/// The boundaries at which wheels and timeouts of 32 bits have wrapped: tokio#8334 (12 days),
/// mio#1948 (24.8 days), 49 days; those of the levels; and the ends of the range.
fn boundaries() -> Vec<u64> {
    let days = [0, 1, 12, 13, 24, 25, 49, 50, 365, 200 * 365].map(|days| days * DAY);
    let tokio = [1 << 30, 1 << 36, 1 << 42].map(|ms: u64| ms * 1_000_000);
    let mio = [i32::MAX as u64, u32::MAX as u64].map(|ms| ms * 1_000_000);
    let powers = (0..64).map(|bit| 1 << bit);
    let levels = (0..LEVELS).map(|level| (SLOTS as u64 - 1) << shift_of(level));
    let mut all: Vec<_> = (days.into_iter().chain(tokio).chain(mio))
        .chain(powers)
        .chain(levels)
        .flat_map(|at| [at.saturating_sub(1), at, at + 1])
        .chain([NEVER - 2, NEVER - 1])
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn deadlines_at_every_boundary_fire_to_the_nanosecond() {
    for deadline_ns in boundaries() {
        let mut wheel = Wheel::new();
        wheel.insert(deadline_ns, ());
        assert_eq!(wheel.earliest_ns(), deadline_ns);
        if let Some(before_ns) = deadline_ns.checked_sub(1) {
            assert!(wheel.advance(before_ns).is_empty(), "{deadline_ns} early");
        }
        assert_eq!(wheel.earliest_ns(), deadline_ns);
        assert_eq!(wheel.advance(deadline_ns).len(), 1, "{deadline_ns} late");
        assert_eq!((wheel.earliest_ns(), wheel.len()), (NEVER, 0));
    }
}

/// Every pair, so that each boundary is also crossed with timers before and behind it.
#[test]
fn from_every_boundary_to_every_other() {
    let all = boundaries();
    for &start_ns in &all {
        let mut wheel = Wheel::new();
        // Something that is due, so that the wheel's time is `start_ns`.
        wheel.insert(start_ns, start_ns);
        assert_eq!(wheel.advance(start_ns), [start_ns]);
        for &deadline_ns in all.iter().rev() {
            wheel.insert(deadline_ns, deadline_ns);
        }
        let (past, ahead): (Vec<_>, Vec<_>) = all.iter().partition(|at| **at <= start_ns);
        assert_eq!(wheel.advance(start_ns), past);
        for deadline_ns in ahead {
            assert_eq!(wheel.earliest_ns(), deadline_ns);
            assert_eq!(wheel.advance(deadline_ns - 1), []);
            assert_eq!(wheel.advance(deadline_ns), [deadline_ns]);
        }
        assert_eq!(wheel.len(), 0);
    }
}

#[test]
fn a_clock_that_jumps_stands_still_or_is_read_late() {
    let mut wheel = Wheel::new();
    let deadlines = [3 * DAY, 70_000, 30, 10, 20, 200 * 365 * DAY, 40, 20];
    for deadline_ns in deadlines {
        wheel.insert(deadline_ns, deadline_ns);
    }
    assert_eq!(wheel.advance(5), []);
    assert_eq!(wheel.advance(5), []);
    assert_eq!(wheel.advance(35), [10, 20, 20, 30]);
    assert_eq!(wheel.advance(35), []);
    // Another thread was faster between its look at the clock and the lock.
    wheel.insert(33, 33);
    wheel.insert(34, 34);
    assert_eq!(wheel.advance(33), [33]);
    assert_eq!(wheel.earliest_ns(), 34);
    assert_eq!(wheel.advance(100 * 365 * DAY), [34, 40, 70_000, 3 * DAY]);
    wheel.insert(50, 50);
    assert_eq!(wheel.earliest_ns(), 50);
    assert_eq!(wheel.advance(49), []);
    assert_eq!(wheel.advance(50), [50]);
    assert_eq!(wheel.earliest_ns(), 200 * 365 * DAY);
    assert_eq!(wheel.advance(NEVER), [200 * 365 * DAY]);
}

#[test]
fn equal_deadlines_fire_in_the_order_in_which_they_were_set() {
    let mut wheel = Wheel::new();
    for deadline_ns in [DAY, 2 * DAY] {
        (0..100).for_each(|number| {
            wheel.insert(deadline_ns, number);
        });
        // It moves the rest down by some levels, and half of the next day's come after that.
        let fired = wheel.advance(deadline_ns);
        assert!(fired.into_iter().eq(0..100));
    }
    for at_ns in [
        3 * DAY - 1_000_000_000,
        3 * DAY - 1_000_000,
        3 * DAY - 1000,
        3 * DAY - 1,
    ] {
        wheel.insert(3 * DAY, at_ns);
        wheel.insert(at_ns, 0);
        assert_eq!(wheel.advance(at_ns), [0]);
    }
    assert!(wheel.advance(3 * DAY).is_sorted());
}

#[test]
fn keys_of_timers_that_are_gone_mean_nothing() {
    let mut wheel = Wheel::new();
    let fired = wheel.insert(10, 'a');
    assert_eq!(wheel.advance(10), ['a']);
    let removed = wheel.insert(20, 'b');
    assert_eq!(wheel.remove(removed), Some('b'));
    let drained = wheel.insert(20, 'c');
    assert_eq!(wheel.drain(), ['c']);
    // It has the place of all of them.
    let there = wheel.insert(30, 'd');
    for gone in [fired, removed, drained] {
        assert_eq!(gone.index, there.index);
        assert_eq!(wheel.get_mut(gone), None);
        assert_eq!(wheel.remove(gone), None);
        assert!(!wheel.reset(gone, 1));
    }
    assert_eq!(wheel.get_mut(there), Some(&mut 'd'));
    assert!(wheel.reset(there, 40));
    assert_eq!(wheel.advance(39), []);
    assert_eq!(wheel.advance(40), ['d']);
}

/// An idle process has no wake-up before the one timer it has left.
#[test]
fn what_was_cancelled_does_not_hold_down_the_earliest() {
    let mut wheel = Wheel::new();
    wheel.insert(DAY, 0);
    let soon: Vec<_> = (0..1000)
        .map(|i| wheel.insert(1_000_000 + i * 1000, 1))
        .collect();
    assert_eq!(wheel.earliest_ns(), 1_000_000);
    for key in soon {
        wheel.remove(key);
    }
    assert_eq!(wheel.earliest_ns(), DAY);
}

/// Where many timers are close together far ahead, the wake-ups that are for none of them are few.
#[test]
fn the_way_to_a_crowd_is_short() {
    let mut wheel = Wheel::new();
    let crowd = 10 * SCAN_MAX as u64;
    (0..crowd).for_each(|i| {
        wheel.insert(365 * DAY + i, ());
    });
    let mut turns = 0;
    while wheel.len() == crowd as usize {
        let now_ns = wheel.earliest_ns();
        wheel.advance(now_ns);
        assert!(wheel.earliest_ns() > now_ns);
        turns += 1;
    }
    assert!(turns <= LEVELS + 1, "{turns} wake-ups");
}

#[test]
fn the_memory_of_a_burst_is_given_back() {
    const BURST: usize = 100_000;
    let mut wheel = Wheel::new();
    let stays = wheel.insert(DAY, 0);
    let mut burst: Vec<_> = (0..BURST as u64).map(|at| wheel.insert(at, 0)).collect();
    let last = burst.pop().unwrap();
    let early = burst.remove(BURST / 10);
    for key in burst {
        wheel.remove(key);
    }
    assert!(wheel.nodes.capacity() >= BURST, "the last one holds it up");
    // Timers that come meanwhile move to the front.
    let new: Vec<_> = (0..100).map(|at| wheel.insert(at, 0)).collect();
    for key in new {
        assert!((key.index as usize) < BURST / 2);
        wheel.remove(key);
    }
    wheel.remove(last);
    assert!(wheel.nodes.capacity() < BURST / 4);
    wheel.remove(early);
    assert!(wheel.get_mut(stays).is_some() && wheel.nodes.capacity() <= KEEP);
}

/// A linear congruential generator: its upper bits are good enough for this.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = (self.0)
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) % end
    }

    /// Each order of magnitude as likely as the others.
    fn nanoseconds(&mut self) -> u64 {
        let power = 1 << self.below(54);
        power / 2 + ((u128::from(power) * u128::from(self.below(1 << 31))) >> 32) as u64
    }
}

/// A wheel beside a sorted map of the same timers, which is obviously right.
#[derive(Default)]
struct Model {
    sorted: std::collections::BTreeMap<(u64, u64), Key>,
    gone: Vec<Key>,
    now_ns: u64,
    count: u64,
}

impl Model {
    fn insert(&mut self, wheel: &mut Wheel<u64>, deadline_ns: u64) {
        self.count += 1;
        let key = wheel.insert(deadline_ns, self.count);
        self.sorted.insert((deadline_ns, self.count), key);
    }

    fn pick(&self, random: &mut Random) -> Option<((u64, u64), Key)> {
        let from = self.sorted.range((self.now_ns + random.nanoseconds(), 0)..);
        let found = from.chain(self.sorted.iter()).next();
        found.map(|(at, key)| (*at, *key))
    }

    fn remove(&mut self, wheel: &mut Wheel<u64>, at: (u64, u64), key: Key) {
        assert_eq!(wheel.remove(key), Some(at.1));
        self.sorted.remove(&at);
        self.gone.push(key);
    }

    /// Equal deadlines keep the order in which the deadlines were given.
    fn reset(&mut self, wheel: &mut Wheel<u64>, at: (u64, u64), key: Key, deadline_ns: u64) {
        self.remove(wheel, at, key);
        self.insert(wheel, deadline_ns + 1);
        let last = (deadline_ns + 1, self.count);
        assert!(wheel.reset(self.sorted[&last], deadline_ns));
        let key = self.sorted.remove(&last).unwrap();
        self.sorted.insert((deadline_ns, self.count), key);
    }

    fn advance(&mut self, wheel: &mut Wheel<u64>, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
        let mut due = Vec::new();
        while let Some(first) = self.sorted.first_entry()
            && first.key().0 <= now_ns
        {
            due.push(first.key().1);
            self.gone.push(first.remove());
        }
        assert_eq!(wheel.advance(now_ns), due);
    }

    fn check(&self, wheel: &mut Wheel<u64>) {
        assert_eq!(wheel.len(), self.sorted.len());
        let first = self.sorted.keys().next().map_or(NEVER, |first| first.0);
        let known = wheel.earliest_ns();
        assert!(known <= first, "{known} is too late for {first}");
        if self.sorted.len() <= SCAN_MAX {
            assert_eq!(known, first);
        }
    }
}

#[test]
fn does_what_a_sorted_map_does() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let mut wheel = Wheel::new();
        let mut model = Model::default();
        // Few timers on the whole, or many.
        let bias = 2 + seed % 4;
        for _ in 0..4000 {
            let deadline_ns = match random.below(8) {
                0 => model.now_ns.saturating_sub(random.nanoseconds()),
                1 => model.now_ns & !0xffff,
                _ => model.now_ns + random.nanoseconds(),
            };
            let picked = model.pick(&mut random);
            match (random.below(8), picked) {
                (0, Some((at, key))) => model.reset(&mut wheel, at, key, deadline_ns),
                (1, Some((at, key))) => model.remove(&mut wheel, at, key),
                (2, _) => {
                    let by_ns = random.nanoseconds();
                    let now_ns = model.now_ns + by_ns;
                    model.advance(&mut wheel, now_ns);
                }
                (3, _) => {
                    // To what is next, or just before it.
                    let next_ns = wheel.earliest_ns().min(model.now_ns + DAY);
                    model.advance(&mut wheel, next_ns - random.below(2).min(next_ns));
                }
                (4, _) => {
                    let late_ns = model.now_ns.saturating_sub(random.nanoseconds());
                    model.advance(&mut wheel, late_ns);
                }
                _ if random.below(bias) > 0 => model.insert(&mut wheel, deadline_ns),
                _ => {}
            }
            if let Some(gone) = model.gone.last() {
                assert_eq!(wheel.get_mut(*gone), None);
            }
            model.check(&mut wheel);
        }
        assert!(model.count > 500);
        let mut left = wheel.drain();
        left.sort_unstable();
        let mut expected: Vec<_> = model.sorted.keys().map(|at| at.1).collect();
        expected.sort_unstable();
        assert_eq!(left, expected);
    }
}
