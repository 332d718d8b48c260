//! tokio#3869: shutting down dropped the futures under a lock of the scheduler; the drop of one of
//! them used the runtime again, or waited for a lock that another held, and never came back.

use crate::support::{Gate, foreign_block_on, runtime, watchdog};
use evenkeel::runtime::Handle;
use evenkeel::task::JoinHandle;
use evenkeel::time::{Duration, sleep};
use std::future::pending;
use std::sync::{Arc, Mutex};

/// Uses all of the runtime while it is dropped.
struct UseAll {
    runtime: Handle,
    others: Arc<Mutex<Vec<JoinHandle<()>>>>,
    wakes: Gate,
}

impl Drop for UseAll {
    fn drop(&mut self) {
        let mut others = self.others.lock().unwrap();
        others.iter().for_each(JoinHandle::abort);
        others.push(self.runtime.spawn(pending()));
        others.push(self.runtime.spawn_compute(|| ()));
        others.push(self.runtime.spawn_blocking(|| ()));
        drop(others);
        self.wakes.open();
        assert!(!self.runtime.dump().to_string().is_empty());
        let _entered = self.runtime.enter();
        drop(evenkeel::spawn(async {}));
        drop(sleep(Duration::from_secs(1)));
        assert!(Handle::try_current().is_ok());
    }
}

#[test]
fn futures_that_use_the_runtime_when_it_drops_them() {
    watchdog(|| {
        for round in 0..100 {
            let runtime = runtime();
            let others = Arc::new(Mutex::new(Vec::new()));
            for i in 0..12 {
                let (begun, wakes) = (Gate::new(), Gate::new());
                let guard = UseAll {
                    runtime: runtime.handle().clone(),
                    others: others.clone(),
                    wakes: wakes.clone(),
                };
                let gate = begun.clone();
                let future = async move {
                    let _guard = guard;
                    gate.open();
                    pending::<()>().await;
                };
                let _entered = runtime.enter();
                let task = if i % 2 == 0 {
                    evenkeel::spawn(future)
                } else {
                    evenkeel::compute::spawn(future)
                };
                if round % 2 == 0 {
                    begun.block();
                }
                others.lock().unwrap().push(task);
                // Woken by the drop of the other.
                others
                    .lock()
                    .unwrap()
                    .push(runtime.spawn(async move { wakes.wait().await }));
            }
            drop(runtime);
            let others = std::mem::take(&mut *others.lock().unwrap());
            for task in others {
                if let Err(error) = foreign_block_on(task) {
                    assert!(error.is_cancelled(), "{error}");
                }
            }
        }
    });
}

/// Closures in the queues, dropped unrun, use the runtime as well.
#[test]
fn closures_that_use_the_runtime_when_it_drops_them() {
    watchdog(|| {
        let mut builder = crate::support::builder(1);
        let runtime = builder
            .compute_threads(1)
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let (begun, release) = ([Gate::new(), Gate::new()], Gate::new());
        let busy = [0, 1].map(|i| {
            let (begun, release) = (begun[i].clone(), release.clone());
            move || {
                begun.open();
                release.block();
            }
        });
        let [a, b] = busy;
        runtime.spawn_compute(a);
        runtime.spawn_blocking(b);
        begun.iter().for_each(Gate::block);
        let others = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..5 {
            let guard = || UseAll {
                runtime: runtime.handle().clone(),
                others: others.clone(),
                wakes: Gate::new(),
            };
            let (a, b) = (guard(), guard());
            drop(runtime.spawn_compute(move || drop(a)));
            drop(runtime.spawn_blocking(move || drop(b)));
        }
        let opener = std::thread::spawn(move || release.open());
        drop(runtime);
        opener.join().unwrap();
        let others = std::mem::take(&mut *others.lock().unwrap());
        others
            .into_iter()
            .for_each(|task| drop(foreign_block_on(task)));
    });
}
