//! `LocalSet`: tasks that stay on their thread.

mod support;

use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::runtime::{Builder, Runtime};
use evenkeel::task::{JoinSet, LocalSet, spawn_local, yield_now};
use evenkeel::time::{Duration, sleep, timeout};
use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use support::{Gate, builder, on_built, wake_self_once};

/// On a runtime of each flavour.
fn on_each(body: impl Fn(&Runtime) + Send + Copy + 'static) {
    for builder in [Builder::new_current_thread(), builder(1), builder(2)] {
        on_built(builder, body);
    }
}

/// Says on which thread it was dropped.
struct DropsOn(mpsc::Sender<ThreadId>, PhantomData<Rc<()>>);

impl DropsOn {
    fn new() -> (DropsOn, mpsc::Receiver<ThreadId>) {
        let (dropped, drops) = mpsc::channel();
        (DropsOn(dropped, PhantomData), drops)
    }
}

impl Drop for DropsOn {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().id());
    }
}

#[test]
fn futures_that_are_not_send_run_on_this_thread() {
    on_each(|runtime| {
        let set = LocalSet::new();
        let here = thread::current().id();
        let value = Rc::new(Cell::new(0));
        let output = set.block_on(runtime, async {
            let tasks: Vec<_> = (1..=10)
                .map(|number| {
                    let value = value.clone();
                    spawn_local(async move {
                        yield_now().await;
                        sleep(Duration::from_micros(10)).await;
                        value.set(value.get() + number);
                        (value, thread::current().id())
                    })
                })
                .collect();
            for task in tasks {
                let (_value, thread) = task.await.unwrap();
                assert_eq!(thread, here);
            }
            value.get()
        });
        assert_eq!(output, 55);
    });
}

#[test]
fn the_set_is_a_future_that_ends_with_its_last_task() {
    on_each(|runtime| {
        let set = LocalSet::new();
        let done = Rc::new(Cell::new(0));
        for _ in 0..200 {
            let done = done.clone();
            set.spawn_local(async move {
                let inner = done.clone();
                spawn_local(async move {
                    yield_now().await;
                    inner.set(inner.get() + 1);
                });
                done.set(done.get() + 1);
            });
        }
        runtime.block_on(set);
        assert_eq!(done.get(), 400);
        runtime.block_on(LocalSet::new());
    });
}

#[test]
fn tasks_are_polled_in_the_order_in_which_they_were_spawned_and_woken() {
    on_each(|runtime| {
        let set = LocalSet::new();
        let log = Rc::new(RefCell::new(Vec::new()));
        for number in 0..5 {
            let log = log.clone();
            set.spawn_local(async move {
                log.borrow_mut().push(number);
                wake_self_once().await;
                log.borrow_mut().push(number + 10);
            });
        }
        assert!(
            log.borrow().is_empty(),
            "nothing runs before the set is polled"
        );
        runtime.block_on(set);
        assert_eq!(*log.borrow(), [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]);
    });
}

#[test]
fn run_until_leaves_the_other_tasks_for_later() {
    on_each(|runtime| {
        let set = LocalSet::new();
        let steps = Rc::new(Cell::new(0));
        let count = steps.clone();
        let task = set.spawn_local(async move {
            loop {
                count.set(count.get() + 1);
                wake_self_once().await;
                if count.get() == 1000 {
                    return count;
                }
            }
        });
        let before = runtime.block_on(set.run_until(async {
            yield_now().await;
            steps.get()
        }));
        assert!(before < 1000, "a poll of the set is limited: {before}");
        assert_eq!(runtime.block_on(set.run_until(task)).unwrap().get(), 1000);
    });
}

#[test]
fn a_poll_of_the_set_lets_its_neighbours_run() {
    on_each(|runtime| {
        let set = LocalSet::new();
        set.spawn_local(async {
            loop {
                wake_self_once().await;
            }
        });
        let output = runtime.block_on(set.run_until(async {
            sleep(Duration::from_millis(2)).await;
            evenkeel::spawn(async { 4 }).await.unwrap()
        }));
        assert_eq!(output, 4);
    });
}

#[test]
fn sockets_timers_and_other_lanes_wake_its_tasks() {
    on_each(|runtime| {
        LocalSet::new().block_on(runtime, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = spawn_local(async move {
                let (stream, _) = listener.accept().await.unwrap();
                stream.writable().await.unwrap();
                Rc::new(stream.try_write(b"abc").unwrap())
            });
            let stream = TcpStream::connect(address).await.unwrap();
            stream.readable().await.unwrap();
            assert_eq!(*server.await.unwrap(), 3);
            for _ in 0..100 {
                let compute = spawn_local(async { evenkeel::spawn_compute(|| 1).await.unwrap() });
                let blocking = spawn_local(async { evenkeel::spawn_blocking(|| 2).await.unwrap() });
                let io = spawn_local(async { evenkeel::spawn(async { 3 }).await.unwrap() });
                let sum = compute.await.unwrap() + blocking.await.unwrap() + io.await.unwrap();
                assert_eq!(sum, 6);
            }
        });
    });
}

#[test]
fn an_abort_from_another_thread_drops_the_future_on_its_own() {
    on_each(|runtime| {
        let set = LocalSet::new();
        let here = thread::current().id();
        let (guard, drops) = DropsOn::new();
        let (unpolled, unpolled_drops) = DropsOn::new();
        let waits = set.spawn_local(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        runtime.block_on(set.run_until(yield_now()));
        let never = set.spawn_local(async move {
            let _guard = unpolled;
        });
        thread::scope(|scope| {
            scope.spawn(|| {
                waits.abort();
                never.abort_handle().abort();
            });
        });
        assert!(drops.try_recv().is_err() && unpolled_drops.try_recv().is_err());
        runtime.block_on(set.run_until(async {
            assert!(waits.await.unwrap_err().is_cancelled());
            assert!(never.await.unwrap_err().is_cancelled());
        }));
        assert_eq!(drops.recv().unwrap(), here);
        assert_eq!(unpolled_drops.recv().unwrap(), here);
    });
}

#[test]
fn a_handle_may_be_awaited_on_another_thread() {
    on_each(|runtime| {
        let set = LocalSet::new();
        let task = set.spawn_local(async {
            let value = Rc::new(5);
            sleep(Duration::from_millis(1)).await;
            *value
        });
        let outside = thread::spawn(|| support::foreign_block_on(task).unwrap());
        runtime.block_on(set);
        assert_eq!(outside.join().unwrap(), 5);
    });
}

#[test]
fn no_wake_up_of_another_thread_is_lost() {
    on_each(|runtime| {
        const ROUNDS: usize = 1000;
        let (ask, asked) = mpsc::channel::<Gate>();
        let opener = thread::spawn(move || asked.into_iter().for_each(|gate| gate.open()));
        let set = LocalSet::new();
        for _ in 0..2 {
            let ask = ask.clone();
            set.spawn_local(async move {
                let not_send = Rc::new(());
                for _ in 0..ROUNDS {
                    let gate = Gate::new();
                    ask.send(gate.clone()).unwrap();
                    gate.wait().await;
                }
                drop(not_send);
            });
        }
        drop(ask);
        runtime.block_on(set);
        opener.join().unwrap();
    });
}

#[test]
fn dropping_the_set_drops_its_tasks_here_and_cancels_their_handles() {
    on_each(|runtime| {
        let set = LocalSet::new();
        let here = thread::current().id();
        let (guards, drops): (Vec<_>, Vec<_>) = (0..3).map(|_| DropsOn::new()).unzip();
        let mut guards = guards.into_iter();
        let hold = |guard: DropsOn| async move {
            let _guard = guard;
            pending::<()>().await;
        };
        let polled = set.spawn_local(hold(guards.next().unwrap()));
        let sleeps = {
            let guard = guards.next().unwrap();
            set.spawn_local(async move {
                sleep(Duration::from_secs(1000)).await;
                drop(guard);
            })
        };
        runtime.block_on(set.run_until(yield_now()));
        let unpolled = set.spawn_local(hold(guards.next().unwrap()));
        drop(set);
        for dropped in drops {
            assert_eq!(dropped.try_recv(), Ok(here));
        }
        for task in [polled, sleeps, unpolled] {
            assert!(support::foreign_block_on(task).unwrap_err().is_cancelled());
        }
    });
}

/// Spawns another task as it is dropped.
struct SpawnsInDrop(Rc<Cell<usize>>);

impl Drop for SpawnsInDrop {
    fn drop(&mut self) {
        let drops = self.0.clone();
        let left = drops.get();
        if left > 0 {
            drops.set(left - 1);
            let again = SpawnsInDrop(drops);
            let task = spawn_local(async move {
                let _again = again;
                pending::<()>().await;
            });
            assert!(task.is_finished(), "the set takes no more tasks");
        }
    }
}

#[test]
fn what_tasks_spawn_as_the_set_is_dropped_is_cancelled() {
    let set = LocalSet::new();
    let drops = Rc::new(Cell::new(3));
    let first = SpawnsInDrop(drops.clone());
    set.spawn_local(async move {
        let _first = first;
        pending::<()>().await;
    });
    drop(set);
    assert_eq!(drops.get(), 0);
}

#[test]
fn a_waker_that_outlives_the_set_does_nothing() {
    on_each(|runtime| {
        let set = LocalSet::new();
        let (out, wakers) = mpsc::channel::<Waker>();
        set.spawn_local(async move {
            let not_send = Rc::new(());
            poll_fn::<(), _>(|cx| {
                let _ = out.send(cx.waker().clone());
                Poll::Pending
            })
            .await;
            drop(not_send);
        });
        runtime.block_on(set.run_until(yield_now()));
        let waker = wakers.recv().unwrap();
        let other = waker.clone();
        drop(set);
        waker.wake_by_ref();
        drop(waker);
        thread::spawn(move || other.wake()).join().unwrap();
    });
}

#[test]
fn a_panic_goes_to_the_handle() {
    on_each(|runtime| {
        let set = LocalSet::new();
        let (guard, drops) = DropsOn::new();
        let task = set.spawn_local(async move {
            let _guard = guard;
            yield_now().await;
            panic!("of a local task");
        });
        let error = runtime.block_on(set.run_until(task)).unwrap_err();
        assert!(error.is_panic());
        assert_eq!(drops.recv().unwrap(), thread::current().id());
        runtime.block_on(set);
    });
}

#[test]
fn a_join_set_takes_local_tasks() {
    on_each(|runtime| {
        let set = LocalSet::new();
        let mut joins = JoinSet::new();
        joins.spawn_local_on(async { Rc::new(1) }, &set);
        set.block_on(runtime, async {
            for number in 2..=4 {
                joins.spawn_local(async move {
                    yield_now().await;
                    Rc::new(number)
                });
            }
            let mut sum = 0;
            while let Some(number) = joins.join_next().await {
                sum += *number.unwrap();
            }
            assert_eq!(sum, 10);
            joins.spawn_local(async {
                pending::<()>().await;
                Rc::new(0)
            });
            joins.shutdown().await;
        });
    });
}

#[test]
fn a_set_runs_inside_another() {
    on_each(|runtime| {
        let outer = LocalSet::new();
        let output = outer.block_on(runtime, async {
            let of_outer = spawn_local(async { Rc::new(1) });
            let inner = LocalSet::new();
            let of_inner = inner.run_until(async {
                let task = spawn_local(async {
                    sleep(Duration::from_millis(1)).await;
                    Rc::new(2)
                });
                *task.await.unwrap()
            });
            let of_inner = of_inner.await;
            // The inner one is current no longer.
            drop(inner);
            let last = spawn_local(async { Rc::new(4) });
            *of_outer.await.unwrap() + of_inner + *last.await.unwrap()
        });
        assert_eq!(output, 7);
    });
}

#[test]
fn spawn_local_needs_a_set() {
    let panics = || catch_unwind(AssertUnwindSafe(|| drop(spawn_local(async {})))).is_err();
    assert!(panics());
    let set = LocalSet::new();
    let guard = set.enter();
    let task = spawn_local(async { 1 });
    drop(guard);
    assert!(panics());
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        assert!(panics(), "in `block_on` alone there is none");
    });
    assert_eq!(runtime.block_on(set.run_until(task)).unwrap(), 1);
    // A task of the runtime is in no set, wherever it was spawned.
    let in_task = set.block_on(&runtime, async {
        evenkeel::spawn(async { catch_unwind(|| drop(spawn_local(async {}))).is_err() }).await
    });
    assert!(in_task.unwrap());
}

#[test]
fn a_task_that_always_finds_something_has_a_budget() {
    on_each(|runtime| {
        let set = LocalSet::new();
        set.spawn_local(async {
            let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
            for _ in 0..100_000 {
                send.send(Rc::new(())).unwrap();
            }
            loop {
                let message = receive.recv().await.unwrap();
                send.send(message).unwrap();
            }
        });
        let ended = runtime.block_on(async {
            timeout(Duration::from_millis(5), set.run_until(pending::<()>())).await
        });
        assert!(ended.is_err());
    });
}

#[test]
fn it_is_dropped_with_the_thread_that_keeps_it() {
    thread_local! {
        static SET: RefCell<Option<LocalSet>> = const { RefCell::new(None) };
    }
    let (guard, drops) = DropsOn::new();
    let dropped = guard.0.clone();
    drop(guard);
    assert!(drops.recv().is_ok());
    let thread = thread::spawn(move || {
        let guard = DropsOn(dropped, PhantomData);
        let set = LocalSet::new();
        let mut task = set.spawn_local(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        let mut cx = Context::from_waker(Waker::noop());
        assert!(std::pin::Pin::new(&mut task).poll(&mut cx).is_pending());
        SET.set(Some(set));
        thread::current().id()
    });
    let id = thread.join().unwrap();
    assert_eq!(drops.recv().unwrap(), id);
}

/// Of two futures inside the same set, the one that ends first has woken a task of the other's.
#[test]
fn what_one_future_of_a_set_leaves_to_run_is_run_by_the_others() {
    on_each(|runtime| {
        let set = LocalSet::new();
        let (send, receive) = tokio::sync::oneshot::channel();
        runtime.block_on(async {
            let waits = set.run_until(async { receive.await.unwrap() });
            let starts = set.run_until(async {
                spawn_local(async move { send.send(7).unwrap() });
            });
            let (seven, ()) = tokio::join!(waits, starts);
            assert_eq!(seven, 7);
        });
    });
}

/// A task of a set that waits inside of its own set is woken from wherever.
#[test]
fn a_task_may_wait_inside_of_its_own_set() {
    on_each(|runtime| {
        let set = Rc::new(LocalSet::new());
        let (send, receive) = tokio::sync::oneshot::channel();
        let inner = set.clone();
        let task = set.spawn_local(async move {
            let other = spawn_local(async { receive.await.unwrap() });
            inner.run_until(async { other.await.unwrap() }).await
        });
        let sender = thread::spawn(move || {
            thread::yield_now();
            send.send(7).unwrap();
        });
        runtime.block_on(set.run_until(async {
            assert_eq!(task.await.unwrap(), 7);
        }));
        sender.join().unwrap();
    });
}
