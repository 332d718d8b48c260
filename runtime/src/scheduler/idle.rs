//! Which workers of a lane sleep, which look for work, and whom to wake for a new piece of work.
//!
//! # The protocol
//!
//! ```text
//! submitter                                 worker that found nothing
//! 1. push the task where others see it      1. set its bit in `sleeping`
//! 2. fence (SeqCst)                         2. if it was searching: searching -= 1
//! 3. searching > 0: done                    3. fence (SeqCst)
//! 4. clear a bit of `sleeping`, which       4. look at every source of work once more;
//!    claims that worker; none: done            nothing there: park
//! 5. searching += 1 on its behalf, unpark   5. clear the bit; it was still set: searching += 1;
//!                                              look again, as a searcher
//! submitter that may be preempted
//! 1. to 3. the same                         searching worker that found a task
//! 4. choose a bit of `sleeping`; none: done 1. searching -= 1; it was not the last: run the task
//! 5. unpark that worker                     2. fence (SeqCst)
//!                                           3. work is left: steps 3 to 5 of a submitter; run it
//! ```
//!
//! Why no task is left beside a sleeping worker. The fences put the submitter's push before its
//! read of `searching` and `sleeping`, and the sleeper's bit before its last look.
//! - The submitter sees no bit set: whoever sets one later looks after the push, and finds the
//!   task.
//! - It sees `searching > 0`: that worker leaves the searching state later. If by sleeping, its
//!   last look comes after the push. If by finding another task, it was the last one, and its step
//!   3 comes after the push; or another searcher is left, of whom the same holds.
//! - It wakes a worker: that one is a searcher from then on, and the same holds of it.
//!
//! The compute lane adds wake-ups to that: a worker whose core's IO worker sleeps as well is woken
//! even beside a searcher, who may be off its CPU for long.
//!
//! A searcher that the submitter saw is always a worker that will look at everything once more:
//! nobody counts as searching while only thinking of waking somebody up. (With such a phantom, two
//! submitters and a worker that falls asleep in between lose a task.) The count may be too *low*
//! for a moment, and so is signed: a claimed worker that wakes by its timeout may search, and stop,
//! before the claimer's step 5. Too low costs a wake-up that was not needed, no more.
//!
//! Why there are two kinds of submitters. A claim that is not followed by the unpark takes a worker
//! out of everybody's sight. An IO worker or the supervisor does the two within a microsecond; a
//! thread of low priority may be preempted in between for as long as the core is busy. So it claims
//! nothing, and leaves everything as it was until its one system call has woken the worker up.
//!
//! A worker whose thread has not been made yet (those of the compute lane are made on first use)
//! has its bit clear and is no searcher: nobody claims it, and nobody relies on it. It is like a
//! worker that is awake and has not looked yet: once its thread is there it takes the right-hand
//! side from the start, so what was pushed meanwhile is found. But its core is free, and who asks
//! for that asks [`is_resting`](Idle::is_resting).
//!
//! # Who is not woken
//!
//! A worker that sleeps beside others who are awake may be on *standby*: its bit is set, and it
//! looks every millisecond whether the others get on. While one is, the
//! [policy](super::wake_policy) leaves little work to those who are awake; and it wakes those in
//! *reserve*, whose cores other programs use, last.
//!
//! Both only if the submitter sees any worker awake after its fence: that one looks at everything
//! once more before it sleeps, so nothing is left. Parallelism is lost, for a millisecond at most.
//!
//! A worker in reserve does not take the driver, or events would wake it first of all: it wakes one
//! that is not, which finds nothing and goes there, and sleeps elsewhere itself. It goes there if
//! all others are in reserve or awake.
//!
//! The worker at the driver is the last one to fall asleep: one that sees another awake, after its
//! bit is set and after the fence, may sleep elsewhere. Of two that fall asleep at once, one sees
//! the other's bit.
//!
//! Every source of work is in the lane's `has_work`, which is the last look (rayon#992 forgot one).
//! Loom models: `models::sleepers`. Sources: Go's scheduler (the two mirrored patterns),
//! rayon-core's sleep module (seastar#1488 is the fence that was missing elsewhere).

use super::bits::{self, Bits};
use super::wake_policy::{Seen, Whom, whom};
use crate::latency_critical::LatencyCritical;
use crossbeam_utils::CachePadded;
use evenkeel_sync::atomic::{AtomicIsize, AtomicU64, AtomicUsize, Ordering, fence};

const BITS: usize = bits::PER_WORD;

/// Who sleeps, and who searches.
pub(crate) struct Idle {
    searching: CachePadded<AtomicIsize>,
    /// One bit a worker: it sleeps, or is about to.
    sleeping: Box<[CachePadded<AtomicU64>]>,
    /// Those of the sleeping who are on standby.
    standby: Bits,
    /// Those of them who are woken last.
    reserve: Bits,
    workers: usize,
    /// So many workers, from the first, have a thread.
    started: AtomicUsize,
}

/// For whom to look.
#[derive(Clone, Copy, Default)]
pub(crate) struct Search<'a> {
    /// Workers near this one are preferred.
    pub(crate) first: usize,
    /// Before all others come those that sleep here too, on the same core: they are woken even
    /// beside a searcher, who may be off its CPU for long.
    pub(crate) also: Option<&'a Idle>,
    /// Those who are awake will get to the work sooner than somebody who has to be woken.
    pub(crate) is_little: bool,
}

impl Idle {
    pub(crate) fn new(workers: usize) -> Self {
        Idle {
            searching: CachePadded::new(AtomicIsize::new(0)),
            sleeping: (0..workers.div_ceil(BITS))
                .map(|_| CachePadded::new(AtomicU64::new(0)))
                .collect(),
            standby: Bits::new(workers),
            reserve: Bits::new(workers),
            workers,
            started: AtomicUsize::new(0),
        }
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// To be called after a push: the worker to unpark, if one is needed.
    ///
    /// A latency-critical thread, which unparks the worker at once, claims it: it counts as
    /// searching from now on. Any other may be preempted before that, and claims nothing.
    pub(crate) fn notify(
        &self,
        search: Search<'_>,
        critical: Option<LatencyCritical<'_>>,
    ) -> Option<usize> {
        fence(Ordering::SeqCst);
        let worker = self.choose(search, |word, bit| self.take(word, bit, critical))?;
        self.count_claimed(critical);
        Some(worker)
    }

    /// As [`notify`](Idle::notify), for work that only some workers can do: those whose bits of a
    /// word are set in what `eligible` says of it. A worker that searches may be none of them, so
    /// somebody is woken all the same.
    pub(crate) fn notify_among(
        &self,
        first: usize,
        eligible: impl Fn(usize) -> u64,
        critical: Option<LatencyCritical<'_>>,
    ) -> Option<usize> {
        fence(Ordering::SeqCst);
        let take = |word, bit| self.take(word, bit, critical);
        let worker = self.scan(first, eligible, take)?;
        self.count_claimed(critical);
        Some(worker)
    }

    /// As [`notify_among`](Idle::notify_among), for a worker that is to take the caller's place:
    /// one that is not in reserve, whatever else is so.
    pub(crate) fn notify_another(
        &self,
        first: usize,
        critical: Option<LatencyCritical<'_>>,
    ) -> Option<usize> {
        self.notify_among(first, |word| !self.reserve.word(word), critical)
    }

    /// Claims a worker, or just chooses it. False if somebody else has claimed it, or it is awake.
    fn take(&self, word: usize, bit: u64, critical: Option<LatencyCritical<'_>>) -> bool {
        let claims = critical.is_some();
        !claims || self.sleeping[word].fetch_and(!bit, Ordering::SeqCst) & bit != 0
    }

    fn count_claimed(&self, critical: Option<LatencyCritical<'_>>) {
        if critical.is_some() {
            self.searching.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn choose(&self, search: Search<'_>, take: impl Fn(usize, u64) -> bool) -> Option<usize> {
        let Search {
            first,
            also,
            is_little,
        } = search;
        // As on a busy machine: there is nobody to look for.
        if self.all_awake() {
            return None;
        }
        let is_searched = self.searching.load(Ordering::SeqCst) > 0;
        if let Some(also) = also {
            let on_free_core = self.scan(first, |word| also.word(word), &take);
            if on_free_core.is_some() {
                return on_free_core;
            }
        }
        // Nothing more is looked at: those places are others' to write.
        if is_searched {
            return None;
        }
        let seen = Seen {
            anybody_awake: self.anybody_awake(),
            on_standby: self.anybody_on_standby(),
            is_little,
        };
        let not_in_reserve = |word| !self.reserve.word(word);
        match whom(seen) {
            Whom::Nobody => None,
            Whom::NotInReserve => self.scan(first, not_in_reserve, &take),
            Whom::Anybody => self
                .scan(first, not_in_reserve, &take)
                .or_else(|| self.scan(first, |word| self.reserve.word(word), &take)),
        }
    }

    /// For callers that have pushed, and made a fence after that.
    fn all_awake(&self) -> bool {
        self.sleeping
            .iter()
            .all(|word| word.load(Ordering::Relaxed) == 0)
    }

    /// For callers that have pushed, or set their own bit, and made a fence after that.
    pub(crate) fn anybody_awake(&self) -> bool {
        let asleep = |word: &CachePadded<AtomicU64>| word.load(Ordering::Relaxed).count_ones();
        self.sleeping.iter().map(asleep).sum::<u32>() < self.workers as u32
    }

    /// How many are on standby.
    pub(crate) fn standby_count(&self) -> u32 {
        self.standby.count()
    }

    pub(crate) fn anybody_on_standby(&self) -> bool {
        self.standby_count() > 0
    }

    /// The first sleeping worker of the `mask`, from `first` on and round, that `take` accepts.
    fn scan(
        &self,
        first: usize,
        mask: impl Fn(usize) -> u64,
        take: impl Fn(usize, u64) -> bool,
    ) -> Option<usize> {
        let words = self.sleeping.len();
        let (first_word, first_bit) = ((first / BITS) % words, first % BITS);
        for offset in 0..words {
            let word = (first_word + offset) % words;
            let start = if offset == 0 { first_bit } else { 0 };
            let mut seen = self.sleeping[word].load(Ordering::SeqCst) & mask(word);
            while seen != 0 {
                // The first bit set at or after `start`, going round.
                let turned = seen.rotate_right(start as u32).trailing_zeros() as usize;
                let bit = 1 << ((turned + start) % BITS);
                if take(word, bit) {
                    return Some(word * BITS + bit.trailing_zeros() as usize);
                }
                seen &= !bit;
            }
        }
        None
    }

    fn word(&self, index: usize) -> u64 {
        self.sleeping
            .get(index)
            .map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Makes the caller a searcher, unless half of the workers are searching already.
    pub(crate) fn try_search(&self) -> bool {
        // A load before the add: two workers may both pass at the limit, which costs a little and
        // breaks nothing.
        let few = 2 * self.searching.load(Ordering::Relaxed) < self.workers as isize;
        if few {
            self.searching.fetch_add(1, Ordering::SeqCst);
        }
        few
    }

    /// The caller has found a task and searches no more. True if it was the last searcher: it then
    /// has to look whether there is more work, and call [`notify`](Idle::notify) if so.
    pub(crate) fn stop_searching(&self) -> bool {
        let last = self.searching.fetch_sub(1, Ordering::SeqCst) <= 1;
        if last {
            fence(Ordering::SeqCst);
        }
        last
    }

    /// The caller is about to sleep. It has to look at every source of work after this, and then
    /// call [`wake_up`](Idle::wake_up) at once, or park and then call it.
    pub(crate) fn fall_asleep(&self, worker: usize, searching: bool) {
        self.sleeping[worker / BITS].fetch_or(1 << (worker % BITS), Ordering::SeqCst);
        if searching {
            self.searching.fetch_sub(1, Ordering::SeqCst);
        }
        fence(Ordering::SeqCst);
    }

    /// The caller, who has called [`fall_asleep`](Idle::fall_asleep), looks by itself from now on
    /// whether the others get on.
    pub(crate) fn begin_standby(&self, worker: usize, in_reserve: bool) {
        if in_reserve {
            self.reserve.set(worker);
        }
        self.standby.set(worker);
    }

    /// The caller, who has called [`fall_asleep`](Idle::fall_asleep), is woken last from now on.
    pub(crate) fn begin_reserve(&self, worker: usize) {
        self.reserve.set(worker);
    }

    /// The caller is not on standby any more, nor in reserve.
    pub(crate) fn end_standby(&self, worker: usize) {
        self.standby.clear(worker);
        self.reserve.clear(worker);
    }

    /// The caller sleeps no more, and is a searcher from now on: a submitter that claimed it has
    /// counted it as one; otherwise it does so itself, whatever the limit, because a submitter that
    /// claims nothing may rely on it.
    pub(crate) fn wake_up(&self, worker: usize) {
        let bit = 1 << (worker % BITS);
        let claimed = self.sleeping[worker / BITS].fetch_and(!bit, Ordering::SeqCst) & bit == 0;
        if !claimed {
            self.searching.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(crate) fn is_asleep(&self, worker: usize) -> bool {
        self.sleeping[worker / BITS].load(Ordering::SeqCst) & (1 << (worker % BITS)) != 0
    }

    /// The worker has nothing to do: it sleeps, or has no thread yet.
    pub(crate) fn is_resting(&self, worker: usize) -> bool {
        worker >= self.started() || self.is_asleep(worker)
    }

    /// How many workers, from the first, have a thread.
    pub(crate) fn started(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }

    /// To be called before a thread is made for the last of them. By one thread at a time.
    pub(crate) fn set_started(&self, workers: usize) {
        self.started.store(workers, Ordering::Relaxed);
    }

    /// The number of workers that do not sleep.
    pub(crate) fn awake_count(&self) -> usize {
        let asleep: u32 = self
            .sleeping
            .iter()
            .map(|word| word.load(Ordering::SeqCst).count_ones())
            .sum();
        self.workers - asleep as usize
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    fn asleep(workers: usize, sleepers: &[usize]) -> Idle {
        let sleep = Idle::new(workers);
        sleepers
            .iter()
            .for_each(|&worker| sleep.fall_asleep(worker, false));
        sleep
    }

    fn claim(idle: &Idle, first: usize, also: Option<&Idle>, is_little: bool) -> Option<usize> {
        let search = Search {
            first,
            also,
            is_little,
        };
        idle.notify(search, Some(LatencyCritical::assume()))
    }

    fn choose(idle: &Idle, first: usize, also: Option<&Idle>, is_little: bool) -> Option<usize> {
        let search = Search {
            first,
            also,
            is_little,
        };
        idle.notify(search, None)
    }

    #[test]
    fn one_worker_is_woken_for_a_burst() {
        let sleep = asleep(4, &[0, 1, 2, 3]);
        assert_eq!(claim(&sleep, 0, None, false), Some(0));
        assert_eq!(claim(&sleep, 0, None, false), None, "one searches already");
        assert!(sleep.stop_searching());
        assert_eq!(claim(&sleep, 0, None, false), Some(1));
    }

    #[test]
    fn the_nearest_sleeper_is_chosen_going_round() {
        for workers in [3, 64, 65, 200] {
            for first in 0..workers {
                for sleeper in [0, 1, workers / 2, workers - 1] {
                    let sleep = asleep(workers, &[sleeper]);
                    assert_eq!(
                        claim(&sleep, first, None, false),
                        Some(sleeper),
                        "{workers} {first}"
                    );
                    assert_eq!(sleep.awake_count(), workers);
                }
            }
        }
        assert_eq!(claim(&asleep(64, &[3, 40]), 39, None, false), Some(40));
        assert_eq!(claim(&asleep(64, &[3, 40]), 41, None, false), Some(3));
    }

    #[test]
    fn sleepers_whose_partner_sleeps_come_first() {
        let io = asleep(4, &[2]);
        assert_eq!(
            claim(&asleep(4, &[0, 1, 2, 3]), 0, Some(&io), false),
            Some(2)
        );
        assert_eq!(
            claim(&asleep(4, &[0, 1]), 1, Some(&io), false),
            Some(1),
            "better that than none"
        );
    }

    #[test]
    fn a_worker_without_a_thread_rests_and_is_never_chosen() {
        let sleep = Idle::new(2);
        sleep.set_started(1);
        assert!(!sleep.is_resting(0) && sleep.is_resting(1));
        assert_eq!(claim(&sleep, 1, None, false), None);
        assert_eq!(choose(&sleep, 1, None, false), None);
        sleep.fall_asleep(0, false);
        assert!(sleep.is_resting(0));
        assert_eq!(claim(&sleep, 1, None, false), Some(0));
    }

    #[test]
    fn without_a_claim_everything_stays_as_it_was() {
        let sleep = asleep(2, &[0, 1]);
        assert_eq!(choose(&sleep, 0, None, false), Some(0));
        assert_eq!(choose(&sleep, 0, None, false), Some(0));
        assert!(sleep.is_asleep(0));
        sleep.wake_up(0);
        assert_eq!(choose(&sleep, 0, None, false), None, "it searches");
    }

    #[test]
    fn those_in_reserve_come_last() {
        let sleep = asleep(3, &[0, 2]);
        sleep.begin_standby(0, true);
        assert_eq!(claim(&sleep, 0, None, false), Some(2));
        let sleep = asleep(3, &[0]);
        sleep.begin_standby(0, true);
        assert_eq!(claim(&sleep, 0, None, false), None, "others are awake");
        assert_eq!(choose(&sleep, 0, None, false), None);
        sleep.fall_asleep(1, false);
        sleep.fall_asleep(2, false);
        sleep.begin_standby(1, true);
        sleep.begin_standby(2, true);
        assert_eq!(claim(&sleep, 1, None, false), Some(1), "nobody is awake");
    }

    #[test]
    fn another_is_one_that_is_not_in_reserve() {
        let another = |sleep: &Idle| sleep.notify_another(0, Some(LatencyCritical::assume()));
        let sleep = asleep(3, &[0, 1, 2]);
        sleep.begin_reserve(0);
        sleep.begin_reserve(1);
        assert_eq!(another(&sleep), Some(2));
        assert_eq!(another(&sleep), None, "it is claimed");
        assert!(!sleep.is_asleep(2) && sleep.is_asleep(1));
    }

    #[test]
    fn little_work_is_left_to_those_who_are_awake() {
        let sleep = asleep(3, &[0, 1]);
        assert_eq!(choose(&sleep, 0, None, true), Some(0));
        sleep.begin_standby(1, false);
        assert_eq!(claim(&sleep, 0, None, true), None);
        assert_eq!(choose(&sleep, 1, None, false), Some(1));
        sleep.end_standby(1);
        assert_eq!(choose(&sleep, 0, None, true), Some(0));
        sleep.begin_standby(1, false);
        sleep.fall_asleep(2, false);
        assert_eq!(claim(&sleep, 0, None, true), Some(0), "nobody is awake");
    }

    #[test]
    fn half_of_the_workers_search() {
        let sleep = Idle::new(4);
        assert!(sleep.try_search());
        assert!(sleep.try_search());
        assert!(!sleep.try_search());
        assert!(!sleep.stop_searching());
        assert!(sleep.stop_searching());
    }

    /// The claimed worker wakes by its timeout, works, and stops, before its claimer counts it.
    #[test]
    fn the_count_may_be_too_low_for_a_moment() {
        let sleep = asleep(2, &[0, 1]);
        sleep.sleeping[0].fetch_and(!1, Ordering::SeqCst);
        sleep.wake_up(0);
        assert!(sleep.stop_searching(), "it must look for more work");
        assert_eq!(claim(&sleep, 1, None, false), Some(1), "nobody searches");
        sleep.searching.fetch_add(1, Ordering::SeqCst);
        assert!(sleep.stop_searching());
    }
}
