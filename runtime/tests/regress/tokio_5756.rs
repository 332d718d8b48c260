//! tokio#5756: each guard put back what it had found, so that guards that were dropped in another
//! order left a runtime current that nobody was in any more; on a worker for all tasks after that.

use crate::support::{on_runtime, runtime_with, watchdog};
use evenkeel::net::TcpListener;
use evenkeel::runtime::{EnterGuard, Handle, Runtime};

fn current() -> Option<usize> {
    Handle::try_current()
        .ok()
        .map(|handle| handle.worker_threads())
}

/// Enters runtimes of 1, 2, 3 and 4 workers, and leaves them in this order.
fn enter_and_leave(runtimes: &[Runtime; 4], order: [usize; 4]) {
    let before = current();
    let mut guards: Vec<Option<EnterGuard<'_>>> =
        runtimes.iter().map(|r| Some(r.enter())).collect();
    for leaves in order {
        guards[leaves] = None;
        let last = guards.iter().rposition(Option::is_some);
        assert_eq!(current(), last.map(|last| last + 1).or(before), "{order:?}");
    }
}

fn orders() -> impl Iterator<Item = [usize; 4]> {
    let all = (0..256).map(|n| [n % 4, n / 4 % 4, n / 16 % 4, n / 64]);
    all.filter(|order| (0..4).all(|index| order.contains(&index)))
}

#[test]
fn the_current_runtime_is_the_last_one_entered_of_those_not_left() {
    watchdog(|| {
        let runtimes = [1, 2, 3, 4].map(runtime_with);
        assert_eq!(orders().count(), 24);
        orders().for_each(|order| enter_and_leave(&runtimes, order));
        assert_eq!(current(), None);
        let outer = runtime_with(5);
        let _entered = outer.enter();
        orders().for_each(|order| enter_and_leave(&runtimes, order));
    });
}

#[test]
fn a_worker_is_as_it_was_after_guards_dropped_in_whatever_order() {
    on_runtime(1, |runtime| {
        let others = [1, 2, 3, 4].map(runtime_with);
        runtime.block_on(async {
            let entered = evenkeel::spawn(async move {
                orders().for_each(|order| enter_and_leave(&others, order));
                others.into_iter().for_each(Runtime::shutdown_background);
            });
            entered.await.unwrap();
            let bound = evenkeel::spawn(async { TcpListener::bind("127.0.0.1:0").await.map(drop) });
            bound.await.unwrap().unwrap();
        });
    });
}

#[test]
fn a_guard_dropped_inside_a_later_block_on_leaves_that_one_alone() {
    watchdog(|| {
        let (one, two) = (runtime_with(1), runtime_with(2));
        let guard = one.enter();
        two.block_on(async {
            drop(guard);
            assert_eq!(current(), Some(2));
        });
        assert_eq!(current(), None);
    });
}
