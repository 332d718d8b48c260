//! What the tests share that do things at random until time is up.
#![allow(dead_code, reason = "each test binary uses its own part")]

use evenkeel::runtime::Handle;
use evenkeel::task::JoinError;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Without progress for so long, something is stuck.
const STUCK: Duration = Duration::from_secs(20);

/// xorshift64*; each task has its own, seeded by whoever spawned it.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn fork(&mut self) -> Random {
        Random::new(self.next())
    }

    pub(crate) fn micros(&mut self) -> Duration {
        Duration::from_micros(self.below(1_500))
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// Counts futures and closures, and how far things have got.
pub(crate) struct Tally {
    live: AtomicI64,
    progress: Arc<AtomicU64>,
}

impl Tally {
    pub(crate) fn new(progress: Arc<AtomicU64>) -> Arc<Tally> {
        let live = AtomicI64::new(0);
        Arc::new(Tally { live, progress })
    }

    /// Futures and closures that have been made and not dropped.
    pub(crate) fn live(&self) -> i64 {
        self.live.load(Ordering::SeqCst)
    }

    pub(crate) fn advance(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }
}

/// Owned by each future and closure: drops are counted, and a second drop of one is seen.
pub(crate) struct Token {
    tally: Arc<Tally>,
    alive: bool,
}

impl Token {
    pub(crate) fn new(tally: &Arc<Tally>) -> Token {
        tally.live.fetch_add(1, Ordering::SeqCst);
        Token {
            tally: tally.clone(),
            alive: true,
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        assert!(std::mem::replace(&mut self.alive, false), "dropped twice");
        self.tally.live.fetch_sub(1, Ordering::SeqCst);
        self.tally.advance();
    }
}

/// What tasks panic with on purpose. Raised so that no hook prints it.
pub(crate) struct OnPurpose;

pub(crate) fn panic_on_purpose() -> ! {
    resume_unwind(Box::new(OnPurpose))
}

/// An error that the test itself has caused.
pub(crate) fn check(error: JoinError) {
    if !error.is_cancelled() {
        let panic = error.into_panic();
        if !panic.is::<OnPurpose>() {
            resume_unwind(panic);
        }
    }
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().expect("a number"))
}

/// The runtimes of the round that goes on, for a dump of them.
pub(crate) type Current = Mutex<Vec<Handle>>;

/// Calls `round` until time is up, which is said by `EVENKEEL_<name>_SECS`; `EVENKEEL_<name>_SEED`
/// repeats a run as far as threads can be repeated. Fails, with a dump, when there is no progress
/// any more.
pub(crate) fn run_rounds(
    name: &str,
    default_secs: u64,
    round: impl Fn(Random, Arc<AtomicU64>, &Current) + Send + 'static,
) {
    let seed_name = format!("EVENKEEL_{name}_SEED");
    let seed = env(&seed_name).unwrap_or_else(|| {
        let time = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        time.as_nanos() as u64
    });
    let length = env(&format!("EVENKEEL_{name}_SECS")).unwrap_or(default_secs);
    let length = Duration::from_secs(length);
    println!("{seed_name}={seed}");
    let progress = Arc::new(AtomicU64::new(0));
    let current = Arc::new(Current::default());
    let (counted, runtimes) = (progress.clone(), current.clone());
    let work = thread::spawn(move || {
        let mut random = Random::new(seed);
        let begin = Instant::now();
        let mut rounds = 0;
        while begin.elapsed() < length {
            round(random.fork(), counted.clone(), &runtimes);
            rounds += 1;
        }
        rounds
    });
    let mut seen = (progress.load(Ordering::Relaxed), Instant::now());
    while !work.is_finished() {
        thread::sleep(Duration::from_millis(20));
        let now = progress.load(Ordering::Relaxed);
        if now != seen.0 {
            seen = (now, Instant::now());
        } else if seen.1.elapsed() > STUCK {
            let dumps: Vec<_> = current
                .lock()
                .unwrap()
                .iter()
                .map(|handle| format!("{}\n{:?}", handle.dump(), handle.metrics()))
                .collect();
            panic!(
                "no progress for {STUCK:?}; {seed_name}={seed}\n{}",
                dumps.join("\n\n")
            );
        }
    }
    match work.join() {
        Ok(rounds) => println!(
            "{rounds} rounds, {} steps",
            progress.load(Ordering::Relaxed)
        ),
        Err(panic) => {
            eprintln!("{seed_name}={seed}");
            resume_unwind(panic);
        }
    }
}
