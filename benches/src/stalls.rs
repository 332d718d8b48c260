//! Whether the machine itself stands still meanwhile, so that a tail of the server's can be told
//! from one of the machine's: a thread on each CPU, above all that is measured, sleeps again and
//! again and looks how late it wakes up. Only the host or the kernel can keep it.
//!
//! It sees a stall into which the end of one of its sleeps falls: every long one, and of shorter
//! ones a part.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use evenkeel_topology::{allowed_cpus, pin_current_thread};
use serde::Serialize;

use crate::sys::{self, Priority};

/// How long it sleeps. With 1 ms the threads used 1.5% of each of two virtual CPUs, and beside
/// `busy` a fifth less CPU jobs got done, on two runtimes. With this it is 0.2%, and no difference
/// that can be told from the noise.
const SLEEP: Duration = Duration::from_millis(10);
/// The shortest lateness that counts.
const STALL: Duration = Duration::from_millis(1);

/// How often a CPU was seen to stand still.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Stalls {
    pub(crate) count: u64,
    pub(crate) longest_ms: f64,
    /// Whether the threads that watched had real-time priority. Without, they may have had to wait
    /// for what is measured.
    pub(crate) real_time: bool,
}

/// The threads that watch.
pub(crate) struct StallWatch {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Stalls>>,
}

impl StallWatch {
    /// On each CPU that this process may use.
    pub(crate) fn start() -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let cpus = allowed_cpus();
        let threads = cpus.iter().map(|cpu| {
            let end = Arc::clone(&end);
            thread::spawn(move || watch(cpu, &end))
        });
        Self {
            threads: threads.collect(),
            end,
        }
    }

    /// What there was since the start.
    pub(crate) fn finish(mut self) -> Stalls {
        self.end.store(true, Ordering::Relaxed);
        let threads = self.threads.drain(..);
        let stalls = threads.map(|thread| thread.join().expect("a watch does not panic"));
        stalls.fold(Stalls::none(true), Stalls::and)
    }
}

impl Drop for StallWatch {
    /// Where the measurement failed.
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
    }
}

impl Stalls {
    fn none(real_time: bool) -> Self {
        Self {
            count: 0,
            longest_ms: 0.0,
            real_time,
        }
    }

    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            longest_ms: self.longest_ms.max(other.longest_ms),
            real_time: self.real_time && other.real_time,
        }
    }

    fn note(&mut self, late: Duration) {
        if late >= STALL {
            self.count += 1;
            self.longest_ms = self.longest_ms.max(1e3 * late.as_secs_f64());
        }
    }
}

fn watch(cpu: usize, end: &AtomicBool) -> Stalls {
    // A CPU that was taken away meanwhile is watched by whoever has it.
    let _ = pin_current_thread(cpu);
    let mut stalls = Stalls::none(sys::raise_above_client() == Priority::RealTime);
    let mut due = sys::monotonic_time() + SLEEP;
    while !end.load(Ordering::Relaxed) {
        sys::sleep_until(due);
        let now = sys::monotonic_time();
        stalls.note(now.saturating_sub(due));
        due = now + SLEEP;
    }
    stalls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_latenesses_are_stalls() {
        let mut stalls = Stalls::none(true);
        for us in [0, 999, 1_000, 7_500, 200] {
            stalls.note(Duration::from_micros(us));
        }
        assert_eq!((stalls.count, stalls.longest_ms), (2, 7.5));
    }

    #[test]
    fn cpus_add_up() {
        let of = |count, longest_ms, real_time| Stalls {
            count,
            longest_ms,
            real_time,
        };
        let both = of(2, 7.5, true).and(of(1, 9.0, true));
        assert_eq!(both, of(3, 9.0, true));
        assert!(!both.and(of(0, 0.0, false)).real_time);
    }

    #[test]
    fn a_watch_ends_when_it_is_told() {
        let watch = StallWatch::start();
        assert_eq!(watch.threads.len(), allowed_cpus().len());
        let stalls = watch.finish();
        assert_eq!(stalls.count > 0, stalls.longest_ms >= 1.0, "{stalls:?}");
    }
}
