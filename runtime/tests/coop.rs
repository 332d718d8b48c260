//! The cooperative budget, by behaviour.

mod coop_support;
mod net_support;
mod support;

use coop_support::{
    BUDGET, HOUR, TIMES, assert_yields, leave_one, on_runtime, take_all, take_rest, units_of,
};
use evenkeel::net::UdpSocket;
use evenkeel::runtime::Runtime;
use evenkeel::task::coop::{cooperative, has_budget_remaining, poll_proceed};
use evenkeel::task::{AbortHandle, JoinHandle, JoinSet, consume_budget, unconstrained, yield_now};
use evenkeel::time::{Duration, Instant, interval_at, sleep, sleep_until, timeout};
use net_support::{listener, tcp_pair};
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use support::{Gate, count_polls, foreign_block_on, in_block_on, until};

#[test]
fn each_poll_has_a_budget_of_its_own() {
    /// What the first three polls have.
    async fn three_polls() -> Vec<usize> {
        let mut seen = Vec::new();
        for _ in 0..3 {
            assert!(has_budget_remaining());
            seen.push(take_rest().await);
            assert!(!has_budget_remaining());
            yield_now().await;
        }
        seen
    }
    on_runtime(1, |runtime| {
        let full = vec![BUDGET; 3];
        assert_eq!(runtime.block_on(three_polls()), full);
        let task = runtime.spawn(three_polls());
        assert_eq!(runtime.block_on(task).unwrap(), full);
        let compute = async { evenkeel::compute::spawn(three_polls()).await };
        assert_eq!(runtime.block_on(compute).unwrap(), full);
    });
}

#[test]
fn code_that_is_no_task_has_no_limit() {
    /// Another executor, which knows of no budget: each join has to succeed in the poll that has
    /// it.
    fn joins(tasks: Vec<JoinHandle<()>>) {
        foreign_block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
            assert!(take_rest().await > BUDGET);
        });
    }
    fn many(runtime: &Runtime) -> Vec<JoinHandle<()>> {
        (0..TIMES).map(|_| runtime.spawn(ready(()))).collect()
    }
    on_runtime(1, |runtime| {
        joins(many(runtime));
        let tasks = many(runtime);
        let blocking = runtime.spawn_blocking(|| joins(tasks));
        foreign_block_on(blocking).unwrap();
        let tasks = many(runtime);
        let compute = runtime.spawn_compute(|| joins(tasks));
        foreign_block_on(compute).unwrap();
    });
}

#[test]
fn without_units_the_task_is_woken_and_the_operation_left_alone() {
    in_block_on(1, || async {
        take_rest().await;
        let task = evenkeel::spawn(ready(7));
        until(|| task.is_finished());
        assert!(!has_budget_remaining());
        // The first poll is without units, and nobody but the budget wakes the task for the second.
        let (output, polls) = count_polls(task).await;
        assert_eq!((output.unwrap(), polls), (7, 2));
    });
}

#[test]
fn an_operation_that_waits_gives_its_unit_back() {
    /// Polls once, with one unit left; it waits, and the unit is there afterwards.
    async fn assert_gives_back<T>(name: &str, operation: impl Future<Output = T>) {
        yield_now().await;
        leave_one().await;
        let mut operation = pin!(operation);
        let waits = poll_fn(|cx| Poll::Ready(operation.as_mut().poll(cx).is_pending())).await;
        assert!(waits, "{name} did not wait");
        assert!(has_budget_remaining(), "{name} took a unit");
        assert_eq!(take_rest().await, 1, "after {name}");
    }
    in_block_on(1, || async {
        let never = || evenkeel::spawn(pending::<()>());
        let mut task = never();
        assert_gives_back("a join", &mut task).await;
        let mut set = JoinSet::new();
        set.spawn(pending::<()>());
        assert_gives_back("a join of a set", set.join_next()).await;
        assert_gives_back("a sleep", sleep(HOUR)).await;
        assert_gives_back("a timeout", timeout(HOUR, pending::<()>())).await;
        assert_gives_back("a future of others", cooperative(pending::<()>())).await;
        let listener = listener().await;
        assert_gives_back("an accept", listener.accept()).await;
        let accept = poll_fn(|cx| listener.poll_accept(cx));
        assert_gives_back("a polled accept", accept).await;
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        assert_gives_back("a recv", socket.recv(&mut [0])).await;
        assert_gives_back("readable", socket.readable()).await;
        let readable = poll_fn(|cx| socket.poll_recv_ready(cx));
        assert_gives_back("polled readable", readable).await;
        let (stream, _peer) = tcp_pair().await;
        assert_gives_back("a peek", stream.peek(&mut [0])).await;
        #[cfg(feature = "tokio-io")]
        {
            use tokio::io::AsyncReadExt;
            let mut stream = stream;
            assert_gives_back("a read", stream.read(&mut [0])).await;
        }
    });
}

#[test]
fn each_timer_and_join_takes_a_unit() {
    in_block_on(1, || async {
        let past = Instant::now();
        assert_eq!(units_of(sleep(Duration::ZERO)).await, 1);
        assert_eq!(units_of(sleep_until(past)).await, 1);
        let mut interval = interval_at(past, Duration::from_nanos(1));
        assert_eq!(units_of(interval.tick()).await, 1);
        assert_eq!(units_of(timeout(HOUR, ready(()))).await, 0);
        assert_eq!(units_of(timeout(Duration::ZERO, pending::<()>())).await, 1);

        let task = evenkeel::spawn(ready(()));
        until(|| task.is_finished());
        assert_eq!(units_of(task).await, 1);
        let mut set = JoinSet::new();
        let members: Vec<_> = (0..3).map(|_| set.spawn(ready(()))).collect();
        until(|| members.iter().all(AbortHandle::is_finished));
        assert_eq!(units_of(set.join_next()).await, 1);
        assert_eq!(units_of(set.join_next_with_id()).await, 1);
        assert_eq!(units_of(async { set.try_join_next().unwrap() }).await, 0);
        assert_eq!(units_of(set.join_next()).await, 0, "an empty set");

        assert_eq!(units_of(consume_budget()).await, 1);
        assert_eq!(units_of(cooperative(ready(()))).await, 1);
        assert_eq!(units_of(unconstrained(consume_budget())).await, 0);
    });
}

#[test]
fn a_worker_with_a_busy_task_runs_the_others_and_their_timers_and_sees_events() {
    on_runtime(1, |runtime| {
        let (started, others_ran) = (Gate::new(), Gate::new());
        let (start, stop) = (started.clone(), others_ran.clone());
        let busy = runtime.spawn(async move {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.connect(socket.local_addr().unwrap()).await.unwrap();
            start.open();
            // What it receives is there as soon as it is sent, so it never has to wait.
            while !stop.is_open() {
                socket.send(b"x").await.unwrap();
                socket.recv(&mut [0]).await.unwrap();
            }
        });
        started.block();
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let others = runtime.spawn(async move {
            evenkeel::spawn(async {}).await.unwrap();
            sleep(Duration::from_millis(5)).await;
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let waits = evenkeel::spawn_blocking({
                let address = socket.local_addr().unwrap();
                move || peer.send_to(b"x", address).unwrap()
            });
            socket.recv(&mut [0]).await.unwrap();
            waits.await.unwrap();
            others_ran.open();
        });
        foreign_block_on(others).unwrap();
        foreign_block_on(busy).unwrap();
    });
}

#[test]
fn sockets_that_are_always_ready_yield() {
    in_block_on(1, || async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        // The sends are no part of it.
        let send = || unconstrained(socket.send_to(b"x", address));
        assert_yields(async || {
            send().await.unwrap();
            socket.recv(&mut [0]).await.unwrap();
        })
        .await;
        assert_yields(async || {
            socket.send_to(b"x", address).await.unwrap();
        })
        .await;
        assert_yields(async || socket.writable().await.unwrap()).await;

        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        assert_yields(async || {
            let _client = std::net::TcpStream::connect(address).unwrap();
            listener.accept().await.unwrap();
        })
        .await;
    });
}

#[test]
#[cfg(feature = "tokio-io")]
fn a_stream_at_its_end_yields() {
    use tokio::io::AsyncReadExt;
    in_block_on(1, || async {
        let (mut stream, peer) = tcp_pair().await;
        drop(peer);
        // The usual mistake: it reads nothing for ever.
        assert_yields(async || assert_eq!(stream.read(&mut [0]).await.unwrap(), 0)).await;
    });
}

#[test]
fn timers_that_are_always_due_yield() {
    in_block_on(1, || async {
        assert_yields(async || sleep(Duration::ZERO).await).await;
        let mut interval = interval_at(Instant::now(), Duration::from_nanos(1));
        assert_yields(async || {
            interval.tick().await;
        })
        .await;
    });
}

#[test]
fn joins_of_finished_tasks_yield() {
    in_block_on(1, || async {
        let tasks: Vec<_> = (0..TIMES).map(|_| evenkeel::spawn(ready(()))).collect();
        until(|| tasks.iter().all(JoinHandle::is_finished));
        let mut tasks = tasks.into_iter();
        assert_yields(async || tasks.next().unwrap().await.unwrap()).await;

        let mut set: JoinSet<()> = (0..TIMES).map(|_| ready(())).collect();
        assert_yields(async || set.join_next().await.unwrap().unwrap()).await;
    });
}

#[test]
fn busy_tasks_of_a_worker_take_turns() {
    on_runtime(1, |runtime| {
        let turns = Arc::new(Mutex::new(Vec::new()));
        let log = turns.clone();
        let both = runtime.spawn(async move {
            // Both are queued before either runs.
            let tasks = ["a", "b"].map(|name| {
                let log = log.clone();
                evenkeel::spawn(async move {
                    let mut busy = pin!(async {
                        for _ in 0..10 * BUDGET - 1 {
                            consume_budget().await;
                        }
                    });
                    poll_fn(|cx| {
                        log.lock().unwrap().push(name);
                        busy.as_mut().poll(cx)
                    })
                    .await;
                })
            });
            for task in tasks {
                task.await.unwrap();
            }
        });
        foreign_block_on(both).unwrap();
        let turns = turns.lock().unwrap();
        assert_eq!(turns.len(), 20);
        assert!(turns.windows(2).all(|pair| pair[0] != pair[1]), "{turns:?}");
    });
}

#[test]
fn an_unconstrained_future_runs_in_one_poll_and_leaves_the_budget_alone() {
    in_block_on(1, || async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        socket.writable().await.unwrap();
        yield_now().await;
        consume_budget().await;
        let many = unconstrained(async {
            for _ in 0..10 * BUDGET {
                assert!(has_budget_remaining());
                socket.send_to(b"x", address).await.unwrap();
            }
        });
        let ((), polls) = count_polls(many).await;
        assert_eq!(polls, 1);
        assert_eq!(take_rest().await, BUDGET - 1);
        // Nor does an empty budget stop it.
        assert_eq!(count_polls(unconstrained(consume_budget())).await.1, 1);
        assert!(!has_budget_remaining());
    });
}

#[test]
fn futures_polled_inside_a_task_share_its_budget() {
    in_block_on(1, || async {
        yield_now().await;
        let mut futures: Vec<Pin<Box<dyn Future<Output = ()> + Send>>> = Vec::new();
        for i in 0..BUDGET {
            futures.push(match i % 2 {
                0 => Box::pin(consume_budget()),
                _ => Box::pin(pending()),
            });
        }
        let mut cx = Context::from_waker(Waker::noop());
        let done = futures
            .iter_mut()
            .filter_map(|future| future.as_mut().poll(&mut cx).is_ready().then_some(()))
            .count();
        assert_eq!(done, BUDGET / 2);
        assert_eq!(take_rest().await, BUDGET / 2);
    });
}

/// tokio would poll for ever here, and block its worker.
#[test]
fn another_executor_inside_a_task_gets_on() {
    in_block_on(1, || async {
        evenkeel::spawn(async {
            foreign_block_on(async {
                for _ in 0..TIMES {
                    consume_budget().await;
                }
            });
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_unit_that_is_dropped_is_given_back() {
    in_block_on(1, || async {
        yield_now().await;
        poll_fn(|cx| {
            for _ in 0..10 * BUDGET {
                assert!(poll_proceed(cx).is_ready());
            }
            Poll::Ready(())
        })
        .await;
        assert_eq!(take_rest().await, BUDGET);
    });
}

#[test]
fn a_panic_leaves_the_budget_around_it_as_it_was() {
    on_runtime(1, |runtime| {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async {
                take_rest().await;
                panic!("on purpose");
            });
        }));
        assert!(polled.is_err());
        // This thread has no limit again.
        assert!(has_budget_remaining());
        assert!(take_all(&mut Context::from_waker(Waker::noop())) > BUDGET);

        let task = runtime.spawn(async {
            consume_budget().await;
            let mut panics = pin!(unconstrained(async { panic!("on purpose") }));
            let polled = poll_fn(|cx| {
                let poll = AssertUnwindSafe(|| panics.as_mut().poll(cx));
                Poll::Ready(catch_unwind(poll).is_err())
            });
            assert!(polled.await);
            take_rest().await
        });
        assert_eq!(foreign_block_on(task).unwrap(), BUDGET - 1);

        let panics = runtime.spawn(async {
            take_rest().await;
            panic!("on purpose");
        });
        assert!(foreign_block_on(panics).unwrap_err().is_panic());
        assert_eq!(
            foreign_block_on(runtime.spawn(take_rest())).unwrap(),
            BUDGET
        );
    });
}

#[test]
fn a_timeout_ends_a_future_that_always_uses_up_the_budget() {
    in_block_on(1, || async {
        let busy = async {
            loop {
                consume_budget().await;
            }
        };
        assert!(timeout(Duration::from_millis(5), busy).await.is_err());
    });
}
