//! Functions under the attributes do what they would do without, on a runtime as the arguments say.

use std::collections::HashSet;
use std::error::Error;
use std::fmt::{Debug, Display};
use std::panic::catch_unwind;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use evenkeel_topology::allowed_cpus;

/// Spawns `n` tasks that block their threads until all of them are running; whether they all were.
async fn run_at_once(n: usize) -> bool {
    let meeting = Arc::new((Mutex::new(0), Condvar::new()));
    let task = |meeting: Arc<(Mutex<usize>, Condvar)>| async move {
        let (here, changed) = &*meeting;
        let mut here = here.lock().unwrap();
        *here += 1;
        changed.notify_all();
        let limit = Duration::from_secs(20);
        !changed
            .wait_timeout_while(here, limit, |here| *here < n)
            .unwrap()
            .1
            .timed_out()
    };
    let handles: Vec<_> = (0..n)
        .map(|_| evenkeel::spawn(task(meeting.clone())))
        .collect();
    let mut met = true;
    for handle in handles {
        met &= handle.await.unwrap();
    }
    met
}

/// The threads that some spawned tasks ran on, with the number of CPUs that each is allowed.
async fn threads_of_tasks() -> HashSet<(ThreadId, usize)> {
    let here = || async { (thread::current().id(), allowed_cpus().len()) };
    let handles: Vec<_> = (0..16).map(|_| evenkeel::spawn(here())).collect();
    let mut threads = HashSet::new();
    for handle in handles {
        threads.insert(handle.await.unwrap());
    }
    threads
}

#[evenkeel::test]
async fn the_tasks_of_a_test_run_on_its_thread() {
    let here = (thread::current().id(), allowed_cpus().len());
    assert_eq!(threads_of_tasks().await, HashSet::from([here]));
}

#[evenkeel::test(flavor = "multi_thread")]
async fn a_test_with_workers_has_two() {
    assert!(run_at_once(2).await);
    assert!(threads_of_tasks().await.len() <= 2);
}

#[evenkeel::test(flavor = "multi_thread", worker_threads = 3)]
async fn worker_threads_can_be_more() {
    assert!(run_at_once(3).await);
}

#[evenkeel::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_threads_can_be_said() {
    assert!(run_at_once(2).await);
}

#[evenkeel::test(flavor = "current_thread")]
async fn the_default_flavor_can_be_said() {
    let threads = threads_of_tasks().await;
    let here = (thread::current().id(), allowed_cpus().len());
    assert_eq!(threads, HashSet::from([here]));
}

#[evenkeel::test(flavor = "local", name = "tests")]
async fn a_local_runtime_has_tasks_that_are_not_send() {
    let shared = std::rc::Rc::new(7);
    let task = evenkeel::task::spawn_local({
        let shared = shared.clone();
        async move { (*shared, thread::current().id()) }
    });
    assert_eq!(task.await.unwrap(), (7, thread::current().id()));
    let handle = evenkeel::runtime::Handle::current();
    assert_eq!(handle.name(), Some("tests"));
}

#[evenkeel::main(flavor = "current_thread")]
async fn on_the_current_thread() -> HashSet<(ThreadId, usize)> {
    threads_of_tasks().await
}

#[test]
fn the_thread_of_main_runs_the_tasks() {
    let here = (thread::current().id(), allowed_cpus().len());
    assert_eq!(on_the_current_thread(), HashSet::from([here]));
}

#[evenkeel::test(flavor = "multi_thread", worker_threads = 1)]
async fn worker_threads_can_be_one() {
    assert_eq!(threads_of_tasks().await.len(), 1);
}

#[evenkeel::test(flavor = "multi_thread")]
async fn the_workers_of_a_test_are_not_pinned() {
    let allowed = allowed_cpus().len();
    assert!(
        threads_of_tasks()
            .await
            .iter()
            .all(|(_, cpus)| *cpus == allowed)
    );
}

#[cfg(target_os = "linux")]
#[evenkeel::test(flavor = "multi_thread", worker_threads = 2, pinning = "per_core")]
async fn the_workers_of_a_test_can_be_pinned() {
    assert!(threads_of_tasks().await.iter().all(|(_, cpus)| *cpus == 1));
}

#[evenkeel::test(flavor = "multi_thread", pinning = "auto")]
async fn pinning_can_be_auto() {
    assert!(run_at_once(2).await);
}

#[evenkeel::test(flavor = "multi_thread", pinning = "fence_node")]
async fn pinning_can_be_a_fence() {
    let dump = evenkeel::runtime::Handle::current().dump().to_string();
    assert!(dump.starts_with("pinning: fence_node\n"), "{dump}");
}

#[evenkeel::test(flavor = "multi_thread", pinning = "compute_only")]
async fn pinning_can_be_of_the_compute_lane_alone() {
    let dump = evenkeel::runtime::Handle::current().dump().to_string();
    assert!(dump.starts_with("pinning: compute_only\n"), "{dump}");
}

#[evenkeel::test]
#[should_panic = "the test's own"]
async fn other_attributes_are_kept() {
    panic!("the test's own");
}

#[evenkeel::test]
async fn a_test_can_fail_by_its_result() -> Result<(), Box<dyn Error>> {
    let one: i32 = "1".parse()?;
    assert_eq!(one, 1);
    Ok(())
}

#[evenkeel::main(pinning = [8191])]
async fn pinned_to_a_cpu_that_is_not_there() {}

#[test]
fn a_runtime_that_cannot_be_built_is_a_panic_with_the_reason() {
    let panic = catch_unwind(pinned_to_a_cpu_that_is_not_there).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(
        message.starts_with("failed to build the runtime: "),
        "{message}"
    );
    assert!(message.contains("CPU 8191"), "{message}");
}

#[evenkeel::main(worker_threads = 1, pinning = "none")]
async fn with_parameters(mut sum: u32, more: &[u32]) -> u32 {
    for n in more.iter().copied() {
        sum += evenkeel::spawn(async move { n }).await.unwrap();
    }
    sum
}

#[test]
fn a_function_can_have_parameters() {
    assert_eq!(with_parameters(1, &[2, 3]), 6);
}

struct Counter(u32);

impl Counter {
    #[evenkeel::main]
    async fn new() -> Self {
        Self(1)
    }

    #[evenkeel::main]
    async fn next(&mut self) -> &u32 {
        self.0 += 1;
        &self.0
    }
}

#[test]
fn a_method_can_be_run() {
    assert_eq!(Counter::new().next(), &2);
}

#[evenkeel::main]
async fn boxed(early: bool) -> Result<Box<dyn Debug>, String> {
    if early {
        return Ok(Box::new("early"));
    }
    Ok(Box::new(7))
}

#[evenkeel::main]
async fn opaque() -> impl Display {
    7
}

#[evenkeel::main]
async fn never() -> ! {
    panic!("never returns");
}

#[test]
fn outputs_are_as_without_the_attribute() {
    assert_eq!(format!("{:?}", boxed(true).unwrap()), "\"early\"");
    assert_eq!(format!("{:?}", boxed(false).unwrap()), "7");
    assert_eq!(opaque().to_string(), "7");
    assert!(catch_unwind(|| never()).is_err());
}

mod elsewhere {
    pub(crate) use evenkeel as renamed;
}

#[evenkeel::main(crate = elsewhere::renamed)]
async fn crate_by_path() -> u32 {
    1
}

#[evenkeel::main(crate = "crate::elsewhere::renamed")]
async fn crate_by_text() -> u32 {
    2
}

#[test]
fn the_crate_can_have_another_name() {
    assert_eq!((crate_by_path(), crate_by_text()), (1, 2));
}

macro_rules! with_item {
    ($item:item) => {
        #[evenkeel::main]
        $item
    };
}

macro_rules! with_parts {
    ($visibility:vis $name:ident $threads:literal $output:ty $body:block) => {
        #[evenkeel::main(worker_threads = $threads)]
        $visibility async fn $name() -> $output $body
    };
}

with_item!(
    async fn from_item() -> u32 {
        1
    }
);
with_parts!(pub(crate) from_parts 1 u32 { 2 });

#[test]
fn the_function_can_come_from_a_macro() {
    assert_eq!((from_item(), from_parts()), (1, 2));
}
