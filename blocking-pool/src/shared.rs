//! What submitters, pool threads and makers of threads share.
//!
//! # Actors
//!
//! - A *submitter* is any thread, perhaps one of very low priority that is preempted for long. It
//!   never takes a lock (with a [thread maker](crate::Builder::thread_maker) set), and nobody ever
//!   trusts it to take its next step: what it has begun for its own job is of no importance to the
//!   jobs of others.
//! - A *pool thread* runs jobs. A *maker* calls [`Shared::make_threads`]. Both have normal
//!   priority, and share the [`Core`] under a mutex. No foreign code runs under it: no job, hook,
//!   destructor or waker.
//!
//! # Protocol
//!
//! Submitter:
//! 1. pushes the job to `inbox`;
//! 2. fence;
//! 3. reads `sentry`; if there is one, signals it (this takes nothing from anyone: others may
//!    signal it too) and is done;
//! 4. reads `state`: `GROWABLE`: asks for a thread; `FULL`: done; `CLOSED`: empties `inbox` and
//!    drops what was in it.
//!
//! Whoever changes the core does, before it unlocks ([`Shared::settle`]):
//! 1. moves `inbox` to the queue, and appoints an idle thread, the one that became idle last, to
//!    each job that has no thread on its way to it ([`Core::uncovered`]); closed, it takes `inbox`
//!    away instead, and appoints all that are idle;
//! 2. publishes `sentry`, the idle thread on top, and `state`;
//! 3. fence;
//! 4. starts again unless `inbox` is empty.
//!
//! After the unlock it signals whom it appointed, asks for a thread if jobs are still uncovered
//! below the cap, and drops what was taken away.
//!
//! Closing ([`end`](crate::end)) moves `inbox` to the queue a last time. What is in the queue then
//! still runs, by the same rules as before; what comes into the `inbox` later never gets there.
//!
//! An idle thread is parked and listed in `Core::idle`. Signalled or timed out it locks: no longer
//! listed, it was appointed; else it unlists itself. Then it takes a job, or lists itself again, or
//! (timed out) leaves. The re-check of its park is step 4 of the settling that published it, and
//! the `signal` flag, which it reads before every sleep.
//!
//! # Why no job is forgotten
//!
//! *Invariant at every unlock*: each job in the queue has a thread on its way to it (appointed, or
//! starting), or no thread is idle and either the cap is reached or the unlocker goes on to ask for
//! a thread. Settling establishes it; a thread that arrives takes one job, so that it stays; a
//! thread that has run a job looks into the queue before it does anything else, so at the cap
//! somebody comes for every queued job.
//!
//! *The inbox*: by the fences, either step 4 of a settling sees the push, and the invariant speaks
//! for the job; or steps 3 and 4 of the submitter see what that settling published. Take the last
//! settling that does not see the push. With a sentry published, it is signalled, locks and takes
//! in the inbox. Without one and `FULL`, all threads are at work and each of them looks into the
//! inbox when it ends its job. `GROWABLE`, a thread is asked for, and the maker takes in the inbox.
//! `CLOSED`, the submitter drops the job itself, and nothing that was there before the closing:
//! `CLOSED` is published with release after the last move of `inbox` to the queue, and read with
//! acquire.
//!
//! *The request*: `request` is twice a count of ended calls to `make_threads`, plus one when the
//! hook was called since the last of them. Asking: read it; odd: done; even: call the hook, then
//! try to set the bit. The bit is set after the hook returned and only if no maker came since, so
//! who sees it odd relies on a hook call that is complete and on a maker that has not ended, never
//! on a submitter between two steps. A maker increments it before its last settling, which so sees
//! what was pushed before the odd value was read. Hence the liveness rule: *while a job is
//! uncovered and threads are below the cap, either an asker is about to call the hook or a call of
//! it is unanswered*. `make_threads` ends only when no job is uncovered or the cap is reached, or
//! with a pause or an error, which oblige its caller to come back: one who pauses sets the bit
//! itself, so that nobody cuts the pause short, and counts as a call that is unanswered.
//!
//! So 600 jobs that each block are all begun, up to the cap: none covers another, since a thread on
//! its way counts for one job and stops counting when it takes one. And a burst of short jobs makes
//! few threads: see [`Growth`].
//!
//! One corner is outside this crate's reach: std's `unpark` marks the thread in one step and wakes
//! it in the next, and a submitter that is preempted exactly between them delays that thread, hence
//! the jobs it is sentry for.
//!
//! Models: `tests/loom.rs`. Where the ideas come from: jobs published before idleness is read,
//! against idleness published before jobs are read, is the pattern of Go's scheduler and of rayon's
//! sleep module; waking the latest sleeper first is what makes a pool shrink that is larger than
//! its load.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
use evenkeel_sync::{AtomicArc, Condvar, Mutex, Stack, join_all};

use crate::config::Config;
use crate::error::ExecuteError;
use crate::growth::Growth;
use crate::panics::{contained, drop_contained, log};
use crate::parker::Parker;
use crate::thread;
use crate::unjoined::Unjoined;

/// A thread may be made.
const GROWABLE: u8 = 0;
/// There are as many threads as the cap allows.
const FULL: u8 = 1;
/// Shut down.
const CLOSED: u8 = 2;

pub(crate) type JobFn = Box<dyn FnOnce() + Send>;

pub(crate) struct Job {
    /// Tells the jobs of one pool apart, for [`Shared::withdraw`].
    id: u64,
    run: JobFn,
}

/// What a thread of the pool runs, given its number.
pub(crate) type ThreadBody = fn(&Arc<Shared>, u64);

pub(crate) struct Shared {
    pub(crate) config: Config,
    body: ThreadBody,
    /// Jobs that no pool thread has seen yet.
    inbox: Stack<Job>,
    sentry: AtomicArc<Parker>,
    state: AtomicU8,
    request: AtomicU64,
    pub(crate) core: Mutex<Core>,
    /// Notified when a closed pool is over, and when its threads have been joined.
    pub(crate) ended: Condvar,
    /// The last attempt to start a thread failed and was logged.
    start_failed: AtomicBool,
    // For reports only:
    submitted: AtomicU64,
    taken: AtomicU64,
    threads_seen: AtomicUsize,
    idle_seen: AtomicUsize,
}

/// What pool threads and makers change under the mutex.
pub(crate) struct Core {
    pub(crate) jobs: VecDeque<Job>,
    /// The parked threads that nobody appointed to a job; the one that became idle last is on top.
    pub(crate) idle: Vec<Arc<Parker>>,
    /// All threads, from the decision to make one until after its stop hook.
    pub(crate) threads: usize,
    pub(crate) unjoined: Unjoined,
    /// Threads that were made and have not locked yet for the first time.
    pub(crate) starting: usize,
    /// Threads that were taken from `idle` and have not locked since.
    pub(crate) appointed: usize,
    pub(crate) closed: bool,
    /// Jobs that have ended so far.
    pub(crate) ended: u64,
    growth: Growth,
}

impl Core {
    /// How many queued jobs have no thread on its way to them.
    fn uncovered(&self) -> usize {
        self.jobs
            .len()
            .saturating_sub(self.appointed + self.starting)
    }

    fn wants_thread(&self, cap: usize) -> bool {
        self.uncovered() > 0 && self.idle.is_empty() && self.threads < cap
    }

    /// Nothing of a closed pool is left but threads that end.
    pub(crate) fn is_over(&self) -> bool {
        self.closed && self.threads == 0 && self.jobs.is_empty() && self.unjoined.all_listed()
    }
}

/// What is left to do after the unlock.
#[must_use]
#[derive(Default)]
pub(crate) struct Todo {
    wake: Vec<Arc<Parker>>,
    ask_for_thread: bool,
    drop: VecDeque<Job>,
}

impl Shared {
    pub(crate) fn new(config: Config, body: ThreadBody) -> Self {
        let core = Core {
            jobs: VecDeque::new(),
            idle: Vec::new(),
            threads: 0,
            unjoined: Unjoined::default(),
            starting: 0,
            appointed: 0,
            closed: false,
            ended: 0,
            growth: Growth::default(),
        };
        Self {
            config,
            body,
            inbox: Stack::new(),
            sentry: AtomicArc::default(),
            state: AtomicU8::new(GROWABLE),
            request: AtomicU64::new(0),
            core: Mutex::new(core),
            ended: Condvar::new(),
            start_failed: AtomicBool::new(false),
            submitted: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            threads_seen: AtomicUsize::new(0),
            idle_seen: AtomicUsize::new(0),
        }
    }

    fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    /// Whether the calling thread belongs to this pool.
    pub(crate) fn is_current(self: &Arc<Self>) -> bool {
        thread::is_of(self.address())
    }

    /// The submitter's side of the protocol.
    pub(crate) fn submit(self: &Arc<Self>, run: JobFn) -> Result<(), ExecuteError> {
        if self.state.load(Ordering::Relaxed) == CLOSED {
            drop_contained(run);
            return Err(ExecuteError::ShutDown);
        }
        let id = self.submitted.fetch_add(1, Ordering::Relaxed);
        self.inbox.push(Job { id, run });
        // Pairs with the fence in `settle`.
        fence(Ordering::SeqCst);
        if self.sentry.with(|sentry| sentry.signal()).is_some() {
            return Ok(());
        }
        // Acquire, for `CLOSED`: what is in the inbox now has come after the closing.
        match self.state.load(Ordering::Acquire) {
            GROWABLE if self.config.thread_maker.is_some() => self.ask_for_thread(),
            GROWABLE => {
                if let Err(error) = self.make_threads()
                    && let Some(job) = self.withdraw(id)
                {
                    drop_contained(job);
                    return Err(ExecuteError::NoThread(error));
                }
            }
            CLOSED => self.drop_inbox(),
            _ => {}
        }
        Ok(())
    }

    /// Takes back a job for which no thread could be made, unless there are threads that will come
    /// to it.
    fn withdraw(&self, id: u64) -> Option<Job> {
        let mut core = self.core.lock();
        if core.threads > 0 {
            return None;
        }
        let index = core.jobs.iter().position(|job| job.id == id)?;
        self.count_taken(1);
        core.jobs.remove(index)
    }

    fn drop_inbox(&self) {
        self.drop_jobs(self.inbox.take_all());
    }

    fn drop_jobs(&self, jobs: impl ExactSizeIterator<Item = Job>) {
        self.count_taken(jobs.len());
        for job in jobs {
            drop_contained(job);
        }
    }

    /// Moves what has come in to the queue, until the pool is closed.
    pub(crate) fn take_inbox(&self, core: &mut Core) {
        if !core.closed {
            core.jobs.extend(self.inbox.take_all());
        }
    }

    /// Takes the oldest job.
    pub(crate) fn next_job(&self, core: &mut Core) -> Option<Job> {
        self.take_inbox(core);
        let job = core.jobs.pop_front()?;
        self.count_taken(1);
        Some(job)
    }

    /// The other side of the protocol: to be called before the unlock after every change.
    pub(crate) fn settle(&self, core: &mut Core) -> Todo {
        let mut todo = Todo::default();
        loop {
            self.take_inbox(core);
            if core.closed {
                todo.drop.extend(self.inbox.take_all());
            }
            let wanted = if core.closed {
                core.idle.len()
            } else {
                core.uncovered()
            };
            for _ in 0..wanted.min(core.idle.len()) {
                core.appointed += 1;
                todo.wake.extend(core.idle.pop());
            }
            self.publish(core);
            // Pairs with the fence in `submit`.
            fence(Ordering::SeqCst);
            if self.inbox.is_empty() {
                break;
            }
        }
        todo.ask_for_thread = core.wants_thread(self.config.max_threads);
        todo
    }

    fn publish(&self, core: &Core) {
        let state = if core.closed {
            CLOSED
        } else if core.threads < self.config.max_threads {
            GROWABLE
        } else {
            FULL
        };
        self.sentry.store(core.idle.last());
        // Release, for `CLOSED`: see `submit`.
        self.state.store(state, Ordering::Release);
        self.threads_seen.store(core.threads, Ordering::Relaxed);
        self.idle_seen.store(core.idle.len(), Ordering::Relaxed);
    }

    /// Does what `settle` left to do. Not under the lock.
    pub(crate) fn carry_out(self: &Arc<Self>, todo: Todo) {
        todo.wake.iter().for_each(|parker| parker.signal());
        if todo.ask_for_thread {
            self.ask_for_thread();
        }
        self.drop_jobs(todo.drop.into_iter());
    }

    /// Calls the hook unless a call of it is unanswered; without a hook, makes the threads here.
    fn ask_for_thread(self: &Arc<Self>) {
        let Some(hook) = &self.config.thread_maker else {
            // The failure has been logged; the jobs stay queued for the threads there are.
            let _ = self.make_threads();
            return;
        };
        let request = self.request.load(Ordering::Relaxed);
        if request.is_multiple_of(2) {
            contained("the thread maker hook", &**hook);
            let asked = request + 1;
            let _ =
                self.request
                    .compare_exchange(request, asked, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Makes threads. With a thread maker only as many as [`Growth`] allows; if that leaves jobs
    /// without one, the result is the time after which the caller has to come back.
    pub(crate) fn make_threads(self: &Arc<Self>) -> io::Result<Option<Duration>> {
        if self.config.thread_maker.is_none() {
            while let Some(number) = self.reserve_thread() {
                self.start_thread(number)?;
            }
            return Ok(None);
        }
        for _ in 0..self.growth_step() {
            let Some(number) = self.reserve_thread() else {
                break;
            };
            self.start_thread(number)?;
        }
        Ok(self.pause())
    }

    fn growth_step(self: &Arc<Self>) -> usize {
        let mut core = self.core.lock();
        let mut todo = self.settle(&mut core);
        let mut step = 0;
        if std::mem::take(&mut todo.ask_for_thread) {
            let (uncovered, ended) = (core.uncovered(), core.ended);
            step = core.growth.step(uncovered, ended);
        }
        drop(core);
        self.carry_out(todo);
        step
    }

    /// The end of a call by a paced maker: some time if it has to come back.
    fn pause(self: &Arc<Self>) -> Option<Duration> {
        // To the next even number: the calls of the hook so far are answered here.
        let next = |request| Some((request | 1) + 1);
        let _ = self
            .request
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let mut core = self.core.lock();
        let mut todo = self.settle(&mut core);
        let wanted = std::mem::take(&mut todo.ask_for_thread);
        if wanted {
            self.request.fetch_or(1, Ordering::Relaxed);
        } else {
            core.growth.end();
        }
        let pause = core.growth.pause();
        drop(core);
        self.carry_out(todo);
        wanted.then_some(pause)
    }

    /// Counts a thread if one is wanted. The result is its number.
    fn reserve_thread(self: &Arc<Self>) -> Option<u64> {
        let mut core = self.core.lock();
        let mut todo = self.settle(&mut core);
        let wanted = std::mem::take(&mut todo.ask_for_thread);
        let number = wanted.then(|| {
            core.threads += 1;
            core.starting += 1;
            self.publish(&core);
            core.unjoined.announce()
        });
        drop(core);
        self.carry_out(todo);
        number
    }

    fn start_thread(self: &Arc<Self>, number: u64) -> io::Result<()> {
        let (shared, body) = (self.clone(), self.body);
        // The pool itself may go with this thread.
        let body = move || body(&shared, number);
        match thread::start(&self.config, self.address(), body) {
            Ok(handle) => {
                self.start_failed.store(false, Ordering::Relaxed);
                let mut core = self.core.lock();
                core.unjoined.list(number, handle);
                self.notify_if_over(&core);
                Ok(())
            }
            Err(error) => {
                self.thread_was_refused(number, &error);
                Err(error)
            }
        }
    }

    fn thread_was_refused(self: &Arc<Self>, number: u64, error: &io::Error) {
        let mut core = self.core.lock();
        core.starting -= 1;
        core.threads -= 1;
        core.unjoined.forget(number);
        let mut todo = self.settle(&mut core);
        // The caller learns of the failure and comes back.
        todo.ask_for_thread = false;
        let (threads, queued) = (core.threads, core.jobs.len());
        if core.closed && threads == 0 {
            // Whoever waits for the end would wait for a thread that may never come.
            todo.drop.append(&mut core.jobs);
        }
        self.notify_if_over(&core);
        drop(core);
        self.carry_out(todo);
        if !self.start_failed.swap(true, Ordering::Relaxed) {
            log(|| {
                tracing::warn!(
                    %error, threads, queued,
                    "blocking pool: cannot start another thread; jobs wait in the queue"
                );
            });
        }
    }

    /// Uncounts the calling pool thread, whose stop hook has run, and joins those that have left
    /// before it. False if it must stay because jobs came meanwhile that would need a new thread;
    /// it then counts as one that starts.
    pub(crate) fn leave(self: &Arc<Self>, number: u64) -> bool {
        let mut core = self.core.lock();
        core.threads -= 1;
        let mut todo = self.settle(&mut core);
        let stay = todo.ask_for_thread;
        let mut left_before = Vec::new();
        if stay {
            core.threads += 1;
            core.starting += 1;
            todo.ask_for_thread = core.wants_thread(self.config.max_threads);
            self.publish(&core);
        } else if !core.closed {
            left_before = core.unjoined.leave(number);
        }
        self.notify_if_over(&core);
        drop(core);
        self.carry_out(todo);
        join_all(left_before);
        !stay
    }

    pub(crate) fn notify_if_over(&self, core: &Core) {
        if core.is_over() {
            self.ended.notify_all();
        }
    }

    fn count_taken(&self, jobs: usize) {
        self.taken.fetch_add(jobs as u64, Ordering::Relaxed);
    }

    pub(crate) fn queued(&self) -> usize {
        let taken = self.taken.load(Ordering::Relaxed);
        let submitted = self.submitted.load(Ordering::Relaxed);
        usize::try_from(submitted.saturating_sub(taken)).unwrap_or(usize::MAX)
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads_seen.load(Ordering::Relaxed)
    }

    pub(crate) fn idle_threads(&self) -> usize {
        self.idle_seen.load(Ordering::Relaxed)
    }
}

impl Drop for Shared {
    /// What is still there, no thread was ever made for.
    fn drop(&mut self) {
        self.drop_inbox();
        let jobs = std::mem::take(&mut self.core.lock().jobs);
        self.drop_jobs(jobs.into_iter());
    }
}

impl Job {
    pub(crate) fn run(self) {
        contained("a job", self.run);
    }
}
