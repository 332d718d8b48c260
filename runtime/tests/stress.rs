//! Everything at once, at random, until time is up: each future is dropped exactly once, each
//! handle resolves, and there is always progress.
//!
//! `EVENKEEL_STRESS_SEED` repeats a run as far as threads can be repeated; `EVENKEEL_STRESS_SECS`
//! makes it longer.

mod random_support;
mod support;

use evenkeel::net::{TcpListener, TcpStream, UnixStream};
use evenkeel::runtime::{Handle, Runtime};
use evenkeel::task::{JoinHandle, JoinSet, yield_now};
use evenkeel::time::{Duration, interval, sleep, timeout};
use random_support::{
    Current, OnPurpose, Random, Tally, Token, check, panic_on_purpose, run_rounds,
};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use support::{Gate, builder, foreign_block_on, poll_once};

/// What all tasks of a round share.
struct World {
    tally: Arc<Tally>,
    /// Wakers of tasks that wait for a plain thread to wake them.
    asleep: mpsc::Sender<Waker>,
}

type Boxed = Pin<Box<dyn Future<Output = u64> + Send>>;

/// A task that does some things at random, its children included.
fn task(world: Arc<World>, mut random: Random, depth: u32) -> Boxed {
    let token = Token::new(&world.tally);
    Box::pin(async move {
        let (_token, world) = (token, &world);
        let mut sum = 0;
        for _ in 0..1 + random.below(4) {
            sum += act(world, &mut random, depth).await;
            world.tally.advance();
        }
        sum
    })
}

fn child(world: &Arc<World>, random: &mut Random, depth: u32) -> Boxed {
    task(world.clone(), random.fork(), depth.saturating_sub(1))
}

async fn joined(handle: JoinHandle<u64>) -> u64 {
    handle.await.unwrap_or_else(|error| {
        check(error);
        0
    })
}

async fn act(world: &Arc<World>, random: &mut Random, depth: u32) -> u64 {
    let choices = if depth == 0 { 7 } else { 19 };
    match random.below(choices) {
        0 => yield_now().await,
        1 => sleep(random.micros()).await,
        2 => woken_by_a_thread(world).await,
        3 => {
            let never = timeout(random.micros(), pending::<()>());
            assert!(never.await.is_err());
        }
        4 if random.one_in(4) => panic_on_purpose(),
        4 => drop(timeout(Duration::from_secs(60), yield_now()).await),
        5 => compute(random.below(3_000)),
        6 => {
            let mut ticks = interval(Duration::from_micros(1 + random.below(300)));
            for _ in 0..3 {
                ticks.tick().await;
            }
        }
        7 | 8 => return joined(evenkeel::spawn(child(world, random, depth))).await,
        9 => return joined(evenkeel::compute::spawn(child(world, random, depth))).await,
        10 => drop(evenkeel::spawn(child(world, random, depth))),
        11 => return aborted(world, random, depth).await,
        12 => return closure(world, random).await,
        13 => return blocking(world, random, depth).await,
        14 => return set(world, random, depth).await,
        15 => moved(random).await,
        16 => exchange_tcp(world, random).await,
        17 => exchange_unix(world, random).await,
        _ => {
            let limit = random.micros();
            let _ = timeout(limit, child(world, random, depth)).await;
        }
    }
    1
}

fn compute(rounds: u64) {
    std::hint::black_box((0..rounds).fold(1_u64, |sum, i| sum.wrapping_mul(31) ^ i));
}

/// A timer that is set here, and awaited on another thread.
async fn moved(random: &mut Random) {
    let mut sleep = sleep(random.micros());
    let _ = poll_once(&mut sleep).await;
    let task = match random.one_in(2) {
        true => evenkeel::compute::spawn(sleep),
        false => evenkeel::spawn(sleep),
    };
    task.await.unwrap_or_else(check);
}

async fn woken_by_a_thread(world: &Arc<World>) {
    let mut asked = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        match world.asleep.send(cx.waker().clone()) {
            Ok(()) => Poll::Pending,
            // The thread has ended with its round.
            Err(_) => Poll::Ready(()),
        }
    })
    .await;
}

async fn aborted(world: &Arc<World>, random: &mut Random, depth: u32) -> u64 {
    let handle = evenkeel::spawn(child(world, random, depth));
    if random.one_in(2) {
        sleep(random.micros()).await;
    }
    let abort = handle.abort_handle();
    match random.below(3) {
        0 => abort.abort(),
        1 => {
            evenkeel::spawn_compute(move || abort.abort())
                .await
                .unwrap_or_else(check);
        }
        _ => {
            handle.abort();
            drop(handle);
            return 0;
        }
    }
    joined(handle).await
}

async fn closure(world: &Arc<World>, random: &mut Random) -> u64 {
    let token = Token::new(&world.tally);
    let (rounds, panics) = (random.below(20_000), random.one_in(8));
    // A task that needs no compute worker.
    let inner = random.one_in(6).then(|| child(world, random, 0));
    let handle = evenkeel::spawn_compute(move || {
        let _token = token;
        compute(rounds);
        if let Some(inner) = inner {
            return foreign_block_on(joined(evenkeel::spawn(inner)));
        }
        if panics {
            panic_on_purpose();
        }
        1
    });
    if random.one_in(4) {
        handle.abort();
    }
    joined(handle).await
}

async fn blocking(world: &Arc<World>, random: &mut Random, depth: u32) -> u64 {
    let token = Token::new(&world.tally);
    let (kind, pause) = (random.below(5), random.micros());
    let inner = child(world, random, depth.min(1));
    let handle = evenkeel::spawn_blocking(move || {
        let _token = token;
        match kind {
            0 => thread::sleep(pause),
            1 => panic_on_purpose(),
            2 => return foreign_block_on(joined(evenkeel::spawn(inner))),
            3 => return in_block_on(inner),
            _ => {}
        }
        1
    });
    if random.one_in(6) {
        handle.abort();
    }
    joined(handle).await
}

/// A task in `block_on`: a shutdown does not cancel it, so its timers may find no runtime.
fn in_block_on(task: Boxed) -> u64 {
    catch_unwind(AssertUnwindSafe(|| Handle::current().block_on(task))).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<&str>().copied();
        assert!(panic.is::<OnPurpose>() || message.is_some_and(|text| text.contains("shut down")));
        0
    })
}

async fn set(world: &Arc<World>, random: &mut Random, depth: u32) -> u64 {
    let mut set = JoinSet::new();
    for _ in 0..1 + random.below(5) {
        set.spawn(child(world, random, depth));
    }
    let end = random.below(4);
    if end == 0 {
        set.shutdown().await;
    }
    if end == 1 {
        set.abort_all();
    }
    let mut sum = 0;
    while let Some(result) = set.join_next().await {
        match result {
            Ok(value) => sum += value,
            Err(error) => check(error),
        }
        if end == 2 {
            break;
        }
    }
    sum
}

/// What the streams have in common.
trait Stream: Send + Sync + 'static {
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;
    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send;
    fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize>;
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

impl Stream for TcpStream {
    async fn readable(&self) -> io::Result<()> {
        self.readable().await
    }
    async fn writable(&self) -> io::Result<()> {
        self.writable().await
    }
    fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.try_read(bytes)
    }
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes)
    }
}

impl Stream for UnixStream {
    async fn readable(&self) -> io::Result<()> {
        self.readable().await
    }
    async fn writable(&self) -> io::Result<()> {
        self.writable().await
    }
    fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.try_read(bytes)
    }
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes)
    }
}

fn would_block(result: &io::Result<usize>) -> bool {
    result
        .as_ref()
        .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

async fn write(stream: &impl Stream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        stream.writable().await?;
        let result = stream.try_write(bytes);
        if !would_block(&result) {
            return result;
        }
    }
}

async fn read(stream: &impl Stream, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        let result = stream.try_read(bytes);
        if !would_block(&result) {
            return result;
        }
    }
}

/// Ends with an error when the other end gave up, or the runtime is gone.
async fn ping_pong(stream: impl Stream, rounds: u64) -> io::Result<()> {
    for round in 0..rounds {
        let sent = [round as u8; 16];
        assert_eq!(write(&stream, &sent).await?, 16);
        let mut received = [0; 16];
        let mut filled = 0;
        while filled < 16 {
            match read(&stream, &mut received[filled..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => filled += bytes,
            }
        }
        assert_eq!(sent, received);
    }
    Ok(())
}

async fn exchange_tcp(world: &Arc<World>, random: &mut Random) {
    let rounds = 1 + random.below(20);
    let token = Token::new(&world.tally);
    let Ok(listener) = TcpListener::bind("127.0.0.1:0").await else {
        return;
    };
    let address = listener.local_addr().unwrap();
    let echo = evenkeel::spawn(async move {
        let _token = token;
        let (stream, _) = listener.accept().await?;
        let mut buffer = [0; 64];
        loop {
            match read(&stream, &mut buffer).await? {
                0 => return io::Result::Ok(()),
                bytes => assert_eq!(write(&stream, &buffer[..bytes]).await?, bytes),
            }
        }
    });
    let client = async { ping_pong(TcpStream::connect(address).await?, rounds).await };
    let done = client.await;
    if random.one_in(4) || done.is_err() {
        echo.abort();
    }
    match echo.await {
        Ok(result) => drop(result),
        Err(error) => check(error),
    }
}

async fn exchange_unix(world: &Arc<World>, random: &mut Random) {
    let rounds = 1 + random.below(20);
    let token = Token::new(&world.tally);
    let Ok((ours, theirs)) = UnixStream::pair() else {
        return;
    };
    let there = evenkeel::compute::spawn(async move {
        let _token = token;
        ping_pong(theirs, rounds).await
    });
    drop(ping_pong(ours, rounds).await);
    match there.await {
        Ok(result) => drop(result),
        Err(error) => check(error),
    }
}

/// A runtime, work from several sides, and its end, with or without work in flight.
fn round(mut random: Random, progress: Arc<AtomicU64>, current: &Current) {
    let workers = 1 + random.below(3) as usize;
    let runtime = builder(workers)
        .compute_threads(1 + random.below(3) as usize)
        .max_blocking_threads(1 + 4 * random.below(8) as usize + 8)
        .thread_keep_alive(Duration::from_millis(random.below(5)))
        .build()
        .unwrap();
    *current.lock().unwrap() = vec![runtime.handle().clone()];
    let (asleep, wakers) = mpsc::channel::<Waker>();
    let world = Arc::new(World {
        tally: Tally::new(progress),
        asleep,
    });
    let ends = Gate::new();
    let alarm = alarm(wakers, random.fork());
    let cut_short = random.one_in(2);
    let spawners: Vec<_> = (0..2)
        .map(|_| {
            spawner(
                world.clone(),
                random.fork(),
                runtime.handle().clone(),
                ends.clone(),
            )
        })
        .collect();
    if cut_short {
        thread::sleep(random.micros() * 4);
    } else {
        ends.open();
    }
    if cut_short {
        shut_down(runtime, &mut random);
        ends.open();
        spawners.into_iter().for_each(wait_for);
    } else {
        spawners.into_iter().for_each(wait_for);
        drop(runtime);
    }
    // A shutdown that did not wait leaves threads that are still in a poll or a closure.
    support::until(|| world.tally.live() == 0);
    world.tally.advance();
    drop(world);
    alarm.join().unwrap();
}

fn wait_for(spawner: thread::JoinHandle<()>) {
    spawner
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn shut_down(runtime: Runtime, random: &mut Random) {
    let handle = runtime.handle().clone();
    match random.below(6) {
        0 | 1 => drop(runtime),
        2 => runtime.shutdown_timeout(random.micros()),
        // On a thread of its own, where it cannot wait.
        3 => drop(handle.spawn(async move { drop(runtime) })),
        4 => drop(handle.spawn_blocking(move || drop(runtime))),
        _ => runtime.shutdown_background(),
    }
}

/// A plain thread that wakes the tasks that ask for it, some of them twice or late.
fn alarm(wakers: mpsc::Receiver<Waker>, mut random: Random) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut late = Vec::new();
        while let Ok(waker) = wakers.recv() {
            waker.wake_by_ref();
            match random.below(3) {
                0 => waker.wake(),
                1 => late.push(waker),
                _ => drop(waker),
            }
            if late.len() > 20 {
                late.drain(..).for_each(Waker::wake);
            }
        }
        // After the runtime is gone.
        late.into_iter().for_each(Waker::wake);
    })
}

/// Spawns from a plain thread, and sees that all of it resolves.
fn spawner(
    world: Arc<World>,
    mut random: Random,
    handle: Handle,
    ends: Gate,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut tasks = Vec::new();
        for _ in 0..10 + random.below(60) {
            let task = task(world.clone(), random.fork(), 3);
            let _entered = handle.enter();
            tasks.push(match random.below(4) {
                0 => evenkeel::compute::spawn(task),
                _ => handle.spawn(task),
            });
            if random.one_in(16) {
                assert!(!handle.dump().to_string().is_empty());
            }
            if random.one_in(8) {
                let which = random.below(tasks.len() as u64) as usize;
                tasks[which].abort();
            }
        }
        ends.block();
        for task in tasks {
            foreign_block_on(joined(task));
            world.tally.advance();
        }
    })
}

#[test]
fn everything_at_once() {
    run_rounds("STRESS", 5, round);
}
