//! A closed loop of calls that are futures: for protocols that a client writes by a library. The
//! client has one thread and tokio's runtime, whoever the server is.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::runtime::{self, Runtime};
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use crate::closed_loop::{Found, GRACE, Target, WARM_UP};
use crate::harness::Setup;
use crate::histogram::Times;

/// Something that asks, and waits for the answer.
pub(super) trait Caller: 'static {
    /// Fails if the answer is not the right one.
    async fn call(&mut self) -> io::Result<()>;
}

/// What the callers have in common.
struct Tally {
    answers: u64,
    latencies: Times,
    /// When each caller has asked, if it waits.
    asked: Vec<Option<Instant>>,
    ends: bool,
    failure: Option<io::Error>,
}

/// The load's side: these callers, each of which asks again as soon as it has its answer.
pub(super) fn load<C: Caller>(
    setup: &Setup,
    connect: impl AsyncFnOnce(u16) -> io::Result<Vec<C>>,
) -> Result<Vec<f64>, String> {
    let found = run(setup.window, connect).map_err(|error| error.to_string())?;
    Ok(found.by_request())
}

fn run<C: Caller>(
    window: Duration,
    connect: impl AsyncFnOnce(u16) -> io::Result<Vec<C>>,
) -> io::Result<Found> {
    let target = Target::next()?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let callers = runtime.block_on(connect(target.port))?;
    let tally = Rc::new(RefCell::new(Tally {
        answers: 0,
        latencies: Times::new(),
        asked: vec![None; callers.len()],
        ends: false,
        failure: None,
    }));
    let all = LocalSet::new();
    for (index, caller) in callers.into_iter().enumerate() {
        all.spawn_local(ask(caller, index, tally.clone()));
    }
    run_for(WARM_UP, &runtime, &all);
    {
        let mut tally = tally.borrow_mut();
        tally.answers = 0;
        tally.latencies.clear();
    }
    let (answers, used) = target.watched(|| {
        run_for(window, &runtime, &all);
        Ok(tally.borrow().answers)
    })?;
    let latencies = finish(&runtime, all, &tally)?;
    if answers == 0 {
        return Err(io::Error::other("no answer came in the whole window"));
    }
    Ok(Found {
        answers,
        answer_bytes: 0,
        latencies,
        used,
    })
}

fn run_for(time: Duration, runtime: &Runtime, all: &LocalSet) {
    // Made inside the runtime, whose timer it is.
    all.block_on(runtime, async { sleep(time).await });
}

/// Asks again and again.
async fn ask(mut caller: impl Caller, index: usize, tally: Rc<RefCell<Tally>>) {
    while !tally.borrow().ends {
        let asked = Instant::now();
        tally.borrow_mut().asked[index] = Some(asked);
        let answer = caller.call().await;
        let mut tally = tally.borrow_mut();
        tally.asked[index] = None;
        if let Err(error) = answer {
            tally.failure.get_or_insert(error);
            return;
        }
        tally.answers += 1;
        tally.latencies.record(asked.elapsed());
    }
}

/// Waits for the answers that are still missing, and returns all latencies. What has no answer then
/// counts with its age.
fn finish(runtime: &Runtime, all: LocalSet, tally: &RefCell<Tally>) -> io::Result<Times> {
    tally.borrow_mut().ends = true;
    let waited = runtime.block_on(async { timeout(GRACE, all).await });
    let mut tally = tally.borrow_mut();
    if let Some(failure) = tally.failure.take() {
        return Err(failure);
    }
    let mut latencies = tally.latencies.clone();
    if waited.is_err() {
        for asked in tally.asked.iter().flatten() {
            latencies.record(asked.elapsed());
        }
    }
    Ok(latencies)
}
