//! Sets of tasks, by behaviour.

mod support;

use evenkeel::task::{AbortHandle, JoinSet};
use std::future::pending;
use std::thread;
use support::{Gate, Live, in_block_on, on_runtime};

#[test]
fn a_set_gives_results_in_the_order_of_completion() {
    in_block_on(2, || async {
        let gates: Vec<Gate> = (0..5).map(|_| Gate::new()).collect();
        let mut set = JoinSet::new();
        for (i, gate) in gates.iter().enumerate() {
            let gate = gate.clone();
            set.spawn(async move {
                gate.wait().await;
                i
            });
        }
        assert_eq!(set.len(), 5);
        assert!(set.try_join_next().is_none());
        for i in [3, 0, 4, 1, 2] {
            gates[i].open();
            assert_eq!(set.join_next().await.unwrap().unwrap(), i);
        }
        assert!(set.join_next().await.is_none());
        assert!(set.is_empty() && set.try_join_next().is_none());
    });
}

#[test]
fn a_set_tells_which_task_it_was() {
    in_block_on(2, || async {
        let mut set = JoinSet::new();
        let id = set.spawn(async { 1 }).id();
        let (joined, value) = set.join_next_with_id().await.unwrap().unwrap();
        assert_eq!((joined, value), (id, 1));
        let abort = set.spawn(pending());
        abort.abort();
        assert_eq!(
            set.join_next_with_id().await.unwrap().unwrap_err().id(),
            abort.id()
        );
    });
}

#[test]
fn a_set_aborts_all() {
    in_block_on(2, || async {
        let live = Live::new();
        let mut set: JoinSet<()> = JoinSet::new();
        for _ in 0..50 {
            let held = live.clone();
            set.spawn(async move {
                let _held = held;
                pending().await
            });
        }
        set.abort_all();
        assert_eq!(set.len(), 50, "they are still to be joined");
        let mut cancelled = 0;
        while let Some(result) = set.join_next().await {
            assert!(result.unwrap_err().is_cancelled());
            cancelled += 1;
        }
        assert_eq!((cancelled, live.others()), (50, 0));
    });
}

#[test]
fn a_set_shuts_down() {
    in_block_on(2, || async {
        let live = Live::new();
        let mut set: JoinSet<Live> = JoinSet::new();
        for i in 0..50 {
            let held = live.clone();
            set.spawn(async move {
                if i % 3 == 0 {
                    panic!("one of the tasks");
                }
                if i % 3 == 1 { held } else { pending().await }
            });
        }
        set.shutdown().await;
        assert!(set.is_empty());
        assert_eq!(live.others(), 0);
        set.spawn(async { Live::new() });
        assert!(set.join_next().await.unwrap().is_ok());
    });
}

#[test]
fn dropping_a_set_aborts_its_tasks() {
    on_runtime(2, |runtime| {
        let live = Live::new();
        let mut set: JoinSet<()> = JoinSet::new();
        for _ in 0..50 {
            let held = live.clone();
            let future = async move {
                let _held = held;
                pending().await
            };
            set.spawn_on(future, runtime.handle());
        }
        drop(set);
        support::until(|| live.others() == 0);
    });
}

#[test]
fn a_detached_set_lets_its_tasks_go_on() {
    on_runtime(2, |runtime| {
        let (release, end) = (Gate::new(), Gate::new());
        let inside = (release.clone(), end.clone());
        let mut set = JoinSet::new();
        set.spawn_on(
            async move {
                inside.0.wait().await;
                inside.1.open();
            },
            runtime.handle(),
        );
        set.detach_all();
        assert!(set.is_empty());
        drop(set);
        release.open();
        end.block();
    });
}

#[test]
fn join_all_gives_all_results() {
    in_block_on(2, || async {
        let set: JoinSet<usize> = (0..100).map(|i| async move { i }).collect();
        let mut results = set.join_all().await;
        results.sort_unstable();
        assert_eq!(results, (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn join_all_passes_a_panic_on() {
    on_runtime(2, |runtime| {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async {
                let mut set = JoinSet::new();
                set.spawn(async { 1 });
                set.spawn(async { panic!("in the set") });
                set.join_all().await
            })
        }));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"in the set"));
    });
}

#[test]
fn a_set_of_every_kind_of_work() {
    in_block_on(2, || async {
        let mut set = JoinSet::new();
        set.spawn(async { 1 });
        set.spawn_blocking(|| 2);
        set.spawn_compute(|| 3);
        assert_eq!(set.join_all().await.iter().sum::<i32>(), 6);
    });
}

#[test]
fn try_join_next_finds_what_has_completed() {
    on_runtime(2, |runtime| {
        let mut set = JoinSet::new();
        let handles: Vec<_> = (0..200)
            .map(|i| set.spawn_on(async move { i }, runtime.handle()))
            .collect();
        set.spawn_on(pending(), runtime.handle());
        support::until(|| handles.iter().all(AbortHandle::is_finished));
        let mut sum = 0;
        for _ in 0..200 {
            sum += set
                .try_join_next()
                .expect("all but one have completed")
                .unwrap();
        }
        assert!(set.try_join_next().is_none());
        assert_eq!((sum, set.len()), (199 * 200 / 2, 1));
    });
}

#[test]
fn a_set_takes_blocking_work_of_a_runtime_and_tells_which_it_was() {
    on_runtime(1, |runtime| {
        // Outside of any runtime.
        let mut set = JoinSet::new();
        let task = set.spawn_blocking_on(|| 1, runtime.handle());
        let found = loop {
            match set.try_join_next_with_id() {
                Some(found) => break found.unwrap(),
                None => thread::yield_now(),
            }
        };
        assert_eq!(found, (task.id(), 1));
        assert!(set.try_join_next_with_id().is_none());
        runtime.block_on(async {
            set.extend([1, 2, 3].map(|number| async move { number }));
            assert_eq!(set.len(), 3);
            let mut all = set.join_all().await;
            all.sort_unstable();
            assert_eq!(all, [1, 2, 3]);
        });
    });
}
