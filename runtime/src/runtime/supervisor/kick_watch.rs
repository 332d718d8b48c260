//! Whether workers that are woken beside compute need a kick on this kernel.
//!
//! What tells is how soon they run, those included that are woken for that, fifty times: where
//! workers wait for sockets, nobody else may. If that takes long where a compute thread had the
//! CPU, and not where none had, fifty of them are kicked, and that is kept if it helps. (Whether a
//! kernel preempts lazily can be chosen when it boots, and in a file that only root may read.)

use super::look::{Look, SELDOM, log_elsewhere};
use crate::scheduler::kick::Kick;
use crate::scheduler::wake_ups::WakeToRun;
use evenkeel_topology::may_preempt_lazily;
use std::time::{Duration, Instant};

/// So many wake-ups tell.
const ENOUGH: u64 = 50;

/// Between two wake-ups that are made to find out.
const PROBE_INTERVAL: Duration = Duration::from_millis(10);

/// This one in ten wake-ups must take for a kick to be tried, and half of it every other one: on a
/// kernel that preempts at once most take some ten microseconds, whatever else the machine does.
const SLOW: Duration = Duration::from_micros(200);

/// What did not help is tried again after this, and each time after twice as long.
const RETRY: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = Duration::from_secs(3_600);

/// What is counted as long in either state, since a median says little of waiting for a tick.
const PART: f64 = 0.9;

pub(super) struct KickWatch {
    phase: Phase,
    /// What had been counted when the phase began.
    before: WakeToRun,
    next: Instant,
    retry: Duration,
    /// How many wake-ups are still to be made to find out. Each moves events to another worker, so
    /// no more of them than are needed.
    probes_left: u64,
    next_probe: Instant,
}

enum Phase {
    Watching,
    /// The system is asked. These are the wake-ups before.
    Asking(WakeToRun),
    Trying(WakeToRun),
    /// It helps, or there is none, or none is needed.
    Over,
}

impl KickWatch {
    pub(super) fn new() -> Self {
        let phase = match may_preempt_lazily() {
            true => Phase::Watching,
            false => Phase::Over,
        };
        KickWatch {
            phase,
            before: WakeToRun::new(),
            next: Instant::now() + SELDOM,
            retry: RETRY,
            probes_left: ENOUGH,
            next_probe: Instant::now() + SELDOM,
        }
    }

    /// Looks, if it is time to.
    pub(super) fn look(&mut self, look: Look<'_>) {
        let Look { shared, now, .. } = look;
        if matches!(self.phase, Phase::Over) || !shared.tuning.kick {
            return;
        }
        self.probe(look);
        if now < self.next {
            return;
        }
        self.next = now + SELDOM;
        let counted = shared.io.wake_to_run();
        let since = counted.since(&self.before);
        let is_enough = since.beside_compute.count() >= ENOUGH;
        let kick = &shared.io.kick;
        match &self.phase {
            Phase::Watching if is_enough && is_slow(&since) => {
                let io = shared.io.clone();
                // Refused only when the runtime shuts down.
                let _ = shared.blocking.execute(move || io.kick.turn_on());
                self.phase = Phase::Asking(since);
            }
            Phase::Watching if is_enough => {
                self.probes_left = 0;
                self.before = counted;
            }
            Phase::Asking(_) if kick.is_refused() => self.phase = Phase::Over,
            Phase::Asking(without) if kick.is_on() => {
                self.phase = Phase::Trying(without.clone());
                self.probes_left = ENOUGH;
                self.before = counted;
            }
            Phase::Trying(without) if is_enough => {
                let (without, with) = (without.clone(), since);
                self.decide(look, kick, &without, &with);
                self.before = counted;
            }
            Phase::Watching | Phase::Asking(_) | Phase::Trying(_) | Phase::Over => {}
        }
    }

    /// Wakes a worker beside compute, if it is time to.
    fn probe(&mut self, look: Look<'_>) {
        if self.probes_left > 0 && look.now >= self.next_probe {
            self.next_probe = look.now + PROBE_INTERVAL;
            self.probes_left -= u64::from(look.shared.io.wake_beside_compute());
        }
    }

    fn decide(&mut self, look: Look<'_>, kick: &Kick, without: &WakeToRun, with: &WakeToRun) {
        let helps = helps(without, with);
        let times = [without, with].map(|counted| counted.beside_compute.quantile(PART));
        log_elsewhere(look.shared, move || {
            tracing::debug!(
                helps,
                without = ?times[0],
                with = ?times[1],
                "workers ran late beside compute, so their CPUs were kicked"
            );
        });
        if helps {
            self.phase = Phase::Over;
        } else {
            kick.turn_off();
            self.phase = Phase::Watching;
            self.next = look.now + self.retry;
            self.retry = (self.retry * 2).min(RETRY_MAX);
        }
    }
}

/// Workers run late beside compute, and not elsewhere as far as is known.
fn is_slow(without: &WakeToRun) -> bool {
    let beside = without.beside_compute.quantile(PART);
    let is_like_alone = without.alone.count() >= ENOUGH
        && beside < without.alone.quantile(PART).map(|alone| alone * 2);
    let median = without.beside_compute.quantile(0.5);
    beside >= Some(SLOW) && median >= Some(SLOW / 2) && !is_like_alone
}

/// They run in half of the time with kicks.
fn helps(without: &WakeToRun, with: &WakeToRun) -> bool {
    let [without, with] = [without, with].map(|counted| counted.beside_compute.quantile(PART));
    with.map(|with| with * 2) <= without
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;
    use crate::net::UnixStream;
    use crate::runtime::{Builder, Pinning, Runtime};
    use crate::scheduler::latency::LatencyHistogram;
    use crate::time::sleep;
    use evenkeel_topology::{allowed_cpus, pin_current_thread};
    use std::hint;
    use std::io::Write;
    use std::os::unix::net::UnixStream as StdUnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    /// Times that lie evenly between zero and so many microseconds.
    fn up_to(us: u64) -> LatencyHistogram {
        let times = (1..=ENOUGH).map(|part| Duration::from_nanos(1_000 * us * part / ENOUGH));
        times.collect()
    }

    fn counted(alone_us: u64, beside_us: u64) -> WakeToRun {
        WakeToRun {
            alone: if alone_us == 0 {
                LatencyHistogram::new()
            } else {
                up_to(alone_us)
            },
            beside_compute: up_to(beside_us),
        }
    }

    #[test]
    fn what_is_late_beside_compute_alone_is_worth_a_try() {
        let table = [
            // 250 ticks a second, 1,000 of them.
            ((20, 4_000), true),
            ((20, 1_000), true),
            ((20, 60), false),
            // The machine is slow for everybody.
            ((2_000, 2_500), false),
            ((2_000, 8_000), true),
            // Nobody sleeps without compute beside it.
            ((0, 4_000), true),
            ((0, 60), false),
        ];
        for ((alone, beside), expected) in table {
            assert_eq!(
                is_slow(&counted(alone, beside)),
                expected,
                "{alone} {beside}"
            );
        }
    }

    #[test]
    fn a_few_that_wait_for_something_else_are_not() {
        let times = (1..=ENOUGH).map(|number| match number % 5 {
            0 => Duration::from_millis(1),
            _ => Duration::from_micros(20),
        });
        let beside_compute = times.collect();
        assert!(!is_slow(&WakeToRun {
            alone: LatencyHistogram::new(),
            beside_compute,
        }));
    }

    #[test]
    fn a_kick_is_kept_that_halves_the_time() {
        for (without, with, expected) in
            [(4_000, 30, true), (4_000, 3_000, false), (900, 400, true)]
        {
            let helps = helps(&counted(20, without), &counted(20, with));
            assert_eq!(helps, expected, "{without} {with}");
        }
    }

    #[test]
    fn beside_compute_a_worker_is_kicked_from_another_cpu_and_sees_to_events_between_naps() {
        let mut builder = Builder::new();
        builder.worker_threads(1).compute_threads(1);
        let runtime = builder.pinning(Pinning::PerCore).build().unwrap();
        let Some(cpu) = runtime.handle().pinned_cpus()[0] else {
            return println!("skipped: no CPU of its own");
        };
        let Some(other) = allowed_cpus().iter().find(|&other| other != cpu) else {
            return println!("skipped: one CPU");
        };
        let kick = &runtime.handle().shared.io.kick;
        kick.turn_on();
        if kick.is_refused() {
            return println!("skipped: the system refuses it");
        }
        let (start, limit) = (Instant::now(), Duration::from_secs(60));
        let end = Arc::new(AtomicBool::new(false));
        let until = end.clone();
        let job = runtime.spawn_compute(move || {
            while !until.load(Ordering::Relaxed) && start.elapsed() < limit {
                hint::spin_loop();
            }
        });
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(pin_current_thread(other));
                while kick.count() == 0 {
                    assert!(start.elapsed() < limit, "nobody kicks");
                    runtime.block_on(runtime.spawn(async {})).unwrap();
                }
                for _ in 0..20 {
                    one_event_and_one_timer(&runtime);
                }
                end.store(true, Ordering::Relaxed);
            });
        });
        runtime.block_on(job).unwrap();
    }

    fn one_event_and_one_timer(runtime: &Runtime) {
        let (mut writer, reader) = StdUnixStream::pair().unwrap();
        reader.set_nonblocking(true).unwrap();
        let task = runtime.spawn(async move {
            let reader = UnixStream::from_std(reader).unwrap();
            sleep(Duration::from_millis(1)).await;
            reader.readable().await.unwrap();
        });
        writer.write_all(&[1]).unwrap();
        runtime.block_on(task).unwrap();
    }
}
