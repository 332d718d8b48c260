//! Polls that get stuck at random, in several runtimes at a time, beside everything else that tasks
//! do: each future is dropped exactly once, each handle resolves, and there is always progress.
//!
//! `EVENKEEL_SOAK_SEED` repeats a run as far as threads can be repeated; `EVENKEEL_SOAK_SECS` makes
//! it longer.

#![cfg(unix)]

mod random_support;
mod support;

use evenkeel::net::UnixStream;
use evenkeel::runtime::{ComputePriority, Handle, Runtime, TakeoverPolicy};
use evenkeel::task::{JoinHandle, JoinSet, block_in_place, yield_now};
use evenkeel::time::{Duration, Instant, sleep, timeout};
use random_support::{
    Current, OnPurpose, Random, Tally, Token, check, panic_on_purpose, run_rounds,
};
use std::future::{Future, pending};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use support::{builder, foreign_block_on, until};

/// What all tasks of a round share.
struct World {
    tally: Arc<Tally>,
    runtimes: Vec<Home>,
    async_lock: tokio::sync::Mutex<u64>,
    lock: Mutex<u64>,
}

/// A runtime, and what its policy allows.
#[derive(Clone)]
struct Home {
    handle: Handle,
    /// A task may keep its thread until another one has run: whoever is stuck is replaced.
    replaces: bool,
    /// A closure may keep its thread until a task has run: that is polled by IO workers only.
    stays_on_io: bool,
}

type Boxed = Pin<Box<dyn Future<Output = u64> + Send>>;

/// A task that does some things at random, its children included. It is to be spawned on the
/// runtime of this number.
fn task(world: &Arc<World>, home: usize, mut random: Random, depth: u32) -> Boxed {
    let (token, world) = (Token::new(&world.tally), world.clone());
    Box::pin(async move {
        let _token = token;
        let mut actor = Actor { world, home, depth };
        let mut sum = 0;
        for _ in 0..1 + random.below(4) {
            sum += actor.act(&mut random).await;
            actor.world.tally.advance();
        }
        sum
    })
}

async fn joined(handle: JoinHandle<u64>) -> u64 {
    handle.await.unwrap_or_else(|error| {
        check(error);
        0
    })
}

/// Uses the CPU for so long, or what it gets of it.
fn compute(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        std::hint::black_box((0..500_u64).fold(1_u64, |sum, i| sum.wrapping_mul(31) ^ i));
    }
}

/// Mostly short, sometimes very long.
fn stuck_for(random: &mut Random) -> Duration {
    match random.below(8) {
        0 => Duration::from_micros(random.below(30_000)),
        1..4 => Duration::from_micros(random.below(3_000)),
        _ => Duration::from_micros(random.below(300)),
    }
}

fn keep_the_thread(random: &mut Random) {
    let time = stuck_for(random);
    match random.one_in(2) {
        true => compute(time),
        false => thread::sleep(time),
    }
}

/// In `block_on`: a shutdown does not cancel the future, so its timers may find no runtime.
fn in_block_on(handle: &Handle, task: Boxed) -> u64 {
    catch_unwind(AssertUnwindSafe(|| handle.block_on(task))).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<&str>().copied();
        assert!(panic.is::<OnPurpose>() || message.is_some_and(|text| text.contains("shut down")));
        0
    })
}

struct Actor {
    world: Arc<World>,
    home: usize,
    depth: u32,
}

impl Actor {
    fn home(&self) -> &Home {
        &self.world.runtimes[self.home]
    }

    fn child(&self, random: &mut Random) -> Boxed {
        let depth = self.depth.saturating_sub(1);
        task(&self.world, self.home, random.fork(), depth)
    }

    /// Uses neither threads nor children.
    fn leaf(&self, random: &mut Random) -> Boxed {
        let (token, yields, pause) = (
            Token::new(&self.world.tally),
            random.below(4),
            random.one_in(4).then(|| random.micros()),
        );
        Box::pin(async move {
            let _token = token;
            for _ in 0..yields {
                yield_now().await;
            }
            if let Some(pause) = pause {
                sleep(pause).await;
            }
            1
        })
    }

    async fn act(&mut self, random: &mut Random) -> u64 {
        let choices = if self.depth == 0 { 11 } else { 20 };
        match random.below(choices) {
            0 => yield_now().await,
            1 => sleep(random.micros()).await,
            2 => {
                let never = timeout(random.micros(), pending::<()>());
                assert!(never.await.is_err());
            }
            3 | 4 => keep_the_thread(random),
            5 => self.stuck_often(random).await,
            6 => *self.world.lock.lock().unwrap() += self.with_a_lock_held(random),
            7 if random.one_in(4) => panic_on_purpose(),
            7 => {
                let mut guard = self.world.async_lock.lock().await;
                *guard += 1;
                keep_the_thread(random);
                yield_now().await;
            }
            8 => block_in_place(|| keep_the_thread(random)),
            9 => self.woken_in_the_poll(random).await,
            10 => return self.waits_in_the_poll(random),
            11 | 12 => return joined(evenkeel::spawn(self.child(random))).await,
            13 => drop(evenkeel::spawn(self.child(random))),
            14 => return self.aborts(random).await,
            15 => return self.closure(random).await,
            16 => return self.set(random).await,
            17 => self.exchanges(random).await,
            18 => return self.calls_another_runtime(random).await,
            _ => {
                let child = self.child(random);
                let _ = timeout(random.micros(), child).await;
            }
        }
        1
    }

    /// Twice, and it is polled elsewhere; and comes back after many short polls.
    async fn stuck_often(&self, random: &mut Random) {
        let computes = random.one_in(2);
        for _ in 0..random.below(4) {
            match computes {
                true => compute(stuck_for(random)),
                false => thread::sleep(stuck_for(random)),
            }
            yield_now().await;
        }
        for _ in 0..random.below(12) {
            yield_now().await;
        }
    }

    /// Those who wait for the lock are stuck as well.
    fn with_a_lock_held(&self, random: &mut Random) -> u64 {
        match random.below(3) {
            0 => block_in_place(|| keep_the_thread(random)),
            1 => keep_the_thread(random),
            _ => {}
        }
        1
    }

    /// By a thread, while it is stuck, or later.
    async fn woken_in_the_poll(&self, random: &mut Random) {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (before, time) = (stuck_for(random), stuck_for(random));
        let wake = move || {
            thread::sleep(before / 4);
            let _ = sender.send(());
        };
        match random.below(3) {
            0 => drop(thread::spawn(wake)),
            1 => drop(evenkeel::spawn_blocking(wake)),
            _ => drop(evenkeel::spawn_compute(wake)),
        }
        let mut receiver = std::pin::pin!(receiver);
        std::future::poll_fn(|cx| {
            let polled = receiver.as_mut().poll(cx);
            thread::sleep(time / 4);
            polled.map(drop)
        })
        .await;
    }

    /// Keeps the thread until another task has run, or was cancelled.
    fn waits_in_the_poll(&self, random: &mut Random) -> u64 {
        let home = self.home();
        let leaf = self.leaf(random);
        if !home.replaces {
            drop(leaf);
            return 0;
        }
        match random.below(4) {
            0 => foreign_block_on(joined(evenkeel::spawn(leaf))),
            1 => block_in_place(|| foreign_block_on(joined(evenkeel::spawn(leaf)))),
            2 => block_in_place(|| in_block_on(&home.handle, leaf)),
            _ => {
                let (sender, receiver) = mpsc::channel();
                drop(evenkeel::spawn(async move {
                    let _ = sender.send(leaf.await);
                }));
                receiver.recv().unwrap_or(0)
            }
        }
    }

    async fn aborts(&self, random: &mut Random) -> u64 {
        let handle = evenkeel::spawn(self.child(random));
        match random.below(3) {
            0 => yield_now().await,
            1 => sleep(random.micros()).await,
            _ => {}
        }
        handle.abort();
        if random.one_in(3) {
            return 0;
        }
        joined(handle).await
    }

    async fn closure(&self, random: &mut Random) -> u64 {
        let (token, mut inside) = (Token::new(&self.world.tally), random.fork());
        let (leaf, home) = (self.leaf(random), self.home().clone());
        let closure = move || {
            let _token = token;
            match inside.below(5) {
                0 => panic_on_purpose(),
                1 if home.stays_on_io => foreign_block_on(joined(evenkeel::spawn(leaf))),
                2 => block_in_place(|| in_block_on(&home.handle, leaf)),
                _ => {
                    keep_the_thread(&mut inside);
                    1
                }
            }
        };
        let handle = match random.one_in(2) {
            true => evenkeel::spawn_blocking(closure),
            false => evenkeel::spawn_compute(closure),
        };
        if random.one_in(5) {
            handle.abort();
        }
        joined(handle).await
    }

    async fn set(&self, random: &mut Random) -> u64 {
        let mut set = JoinSet::new();
        for _ in 0..1 + random.below(5) {
            set.spawn(self.child(random));
        }
        match random.below(4) {
            0 => set.shutdown().await,
            1 => set.abort_all(),
            2 => return 0,
            _ => {}
        }
        let mut sum = 0;
        while let Some(result) = set.join_next().await {
            sum += result.unwrap_or_else(|error| {
                check(error);
                0
            });
        }
        sum
    }

    /// Through a pair of sockets and a channel, with polls that take long in between.
    async fn exchanges(&self, random: &mut Random) {
        let Ok((ours, theirs)) = UnixStream::pair() else {
            return;
        };
        let (sender, mut receiver) = tokio::sync::mpsc::channel(2);
        let (token, mut inside) = (Token::new(&self.world.tally), random.fork());
        let there = evenkeel::spawn(async move {
            let _token = token;
            while let Some(byte) = read(&theirs).await {
                if inside.one_in(8) {
                    keep_the_thread(&mut inside);
                }
                if sender.send(byte).await.is_err() {
                    return 0;
                }
            }
            1
        });
        for byte in 0..random.below(20) as u8 {
            // The other end may have been cancelled.
            if ours.writable().await.is_err() || ours.try_write(&[byte]).is_err() {
                break;
            }
            match receiver.recv().await {
                Some(received) => assert_eq!(received, byte),
                None => break,
            }
        }
        drop((ours, receiver));
        joined(there).await;
    }

    /// It may have been shut down: then the task is cancelled at once.
    async fn calls_another_runtime(&self, random: &mut Random) -> u64 {
        let there = random.below(self.world.runtimes.len() as u64) as usize;
        let task = task(&self.world, there, random.fork(), self.depth - 1);
        joined(self.world.runtimes[there].handle.spawn(task)).await
    }
}

async fn read(stream: &UnixStream) -> Option<u8> {
    loop {
        let mut byte = [0];
        stream.readable().await.ok()?;
        match stream.try_read(&mut byte) {
            Ok(bytes) => return (bytes == 1).then_some(byte[0]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

fn random_runtime(random: &mut Random) -> (Runtime, Home) {
    let max_threads = random.pick(&[1, 2, 8, 512, 512, 512]);
    let after = random.pick(&[
        Duration::from_micros(100),
        Duration::from_micros(300),
        Duration::from_millis(1),
        Duration::from_millis(5),
        Duration::MAX,
    ]);
    let own_lane = random.one_in(2);
    let policy = TakeoverPolicy {
        after,
        max_threads,
        own_lane,
    };
    let priority = random.pick(&[ComputePriority::default(), ComputePriority::Normal]);
    let runtime = builder(1 + random.below(3) as usize)
        .compute_threads(1 + random.below(2) as usize)
        .max_blocking_threads(random.pick(&[1, 2, 16, 512]))
        .thread_keep_alive(Duration::from_millis(random.below(5)))
        .compute_priority(priority)
        .takeover(policy)
        .build()
        .unwrap();
    let home = Home {
        handle: runtime.handle().clone(),
        replaces: max_threads == 512 && after < Duration::MAX,
        stays_on_io: !own_lane,
    };
    (runtime, home)
}

/// Some runtimes, work for all of them, and their ends at different times.
fn round(mut random: Random, progress: Arc<AtomicU64>, current: &Current) {
    let runtimes: Vec<_> = (0..1 + random.below(3))
        .map(|_| random_runtime(&mut random))
        .collect();
    let (runtimes, homes): (Vec<_>, Vec<_>) = runtimes.into_iter().unzip();
    *current.lock().unwrap() = homes.iter().map(|home| home.handle.clone()).collect();
    let world = Arc::new(World {
        tally: Tally::new(progress),
        runtimes: homes,
        async_lock: tokio::sync::Mutex::new(0),
        lock: Mutex::new(0),
    });
    let tasks: Vec<_> = (0..runtimes.len())
        .flat_map(|home| {
            let handle = &world.runtimes[home].handle;
            let count = 5 + random.below(25);
            let tasks: Vec<_> = (0..count)
                .map(|_| handle.spawn(task(&world, home, random.fork(), 3)))
                .collect();
            tasks
        })
        .collect();
    for task in &tasks {
        if random.one_in(10) {
            task.abort();
        }
    }
    let cut_short = random.one_in(2);
    let ends: Vec<_> = runtimes
        .into_iter()
        .map(|runtime| {
            let mut random = random.fork();
            let wait = cut_short.then(|| random.micros() * 20);
            (runtime, random, wait)
        })
        .collect();
    let mut left = Vec::new();
    thread::scope(|scope| {
        for (runtime, mut random, wait) in ends {
            match wait {
                Some(wait) => drop(scope.spawn(move || {
                    thread::sleep(wait);
                    shut_down(runtime, &mut random);
                })),
                None => left.push(runtime),
            }
        }
    });
    for task in tasks {
        foreign_block_on(joined(task));
    }
    for runtime in left {
        // Children that nobody has waited for may still run.
        shut_down(runtime, &mut random);
    }
    // A shutdown that did not wait leaves threads that are still in a poll or a closure.
    until(|| world.tally.live() == 0);
    for home in &world.runtimes {
        until(|| home.handle.metrics().num_displaced_threads() == 0);
    }
}

fn shut_down(runtime: Runtime, random: &mut Random) {
    let handle = runtime.handle().clone();
    match random.below(6) {
        0 | 1 => drop(runtime),
        2 => runtime.shutdown_timeout(random.micros()),
        // On a thread of its own, where it cannot wait; in a poll that may be taken over.
        3 => {
            let time = stuck_for(random);
            drop(handle.spawn(async move {
                thread::sleep(time);
                drop(runtime);
            }));
        }
        4 => drop(handle.spawn_blocking(move || drop(runtime))),
        _ => runtime.shutdown_background(),
    }
}

#[test]
fn stuck_polls_at_random() {
    run_rounds("SOAK", 3, round);
}
