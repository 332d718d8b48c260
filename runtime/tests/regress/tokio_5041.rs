//! tokio#5041: a queue's indices came round again, and what was read under the old ones passed for
//! new; tokio#2387: a slot was filled again while its task was being stolen, and one of the two was
//! lost. Here: a few tasks at a time, so that cells, slots and places in the queues are used again
//! all the time.

use crate::support::{foreign_block_on, on_runtime};
use evenkeel::task::{Id, JoinHandle};
use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::thread;

const CHAINS: usize = 4;

/// To be woken after the flag is set.
type Call = (Waker, Arc<AtomicBool>);

/// Ends in its second poll, which must not come before its own call.
async fn called(calls: mpsc::Sender<Call>, runs: Arc<Vec<AtomicU32>>, number: usize) {
    let flag = Arc::new(AtomicBool::new(false));
    let mut polled = false;
    poll_fn(|cx| {
        if !polled {
            polled = true;
            calls.send((cx.waker().clone(), flag.clone())).unwrap();
            return Poll::Pending;
        }
        assert!(flag.load(Ordering::SeqCst), "it ran in another's place");
        Poll::Ready(())
    })
    .await;
    runs[number].fetch_add(1, Ordering::SeqCst);
}

/// Wakes those who ask for it, and again when they are long gone and their place is another's.
fn caller(calls: mpsc::Receiver<Call>) {
    let mut late = Vec::new();
    for (waker, flag) in calls {
        flag.store(true, Ordering::SeqCst);
        waker.wake_by_ref();
        late.push(waker);
        if late.len() == 2 * CHAINS {
            late.drain(..CHAINS).for_each(Waker::wake);
        }
    }
}

fn each_once(links: usize, spawn_link: fn(JoinLink) -> JoinHandle<()>) {
    on_runtime(3, move |runtime| {
        let runs: Arc<Vec<_>> = Arc::new((0..CHAINS * links).map(|_| AtomicU32::new(0)).collect());
        let (calls, called_for) = mpsc::channel();
        let caller = thread::spawn(move || caller(called_for));
        let chains: Vec<_> = (0..CHAINS)
            .map(|chain| {
                let (calls, runs) = (calls.clone(), runs.clone());
                runtime.spawn(async move {
                    let mut ids = Vec::new();
                    for link in 0..links {
                        let (calls, runs) = (calls.clone(), runs.clone());
                        let number = chain * links + link;
                        let task = spawn_link(JoinLink(calls, runs, number));
                        ids.push(task.id());
                        task.await.unwrap();
                    }
                    ids
                })
            })
            .collect();
        let ids: Vec<Id> = chains
            .into_iter()
            .flat_map(|chain| foreign_block_on(chain).unwrap())
            .collect();
        drop(calls);
        caller.join().unwrap();
        assert!(runs.iter().all(|runs| runs.load(Ordering::SeqCst) == 1));
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), CHAINS * links);
    });
}

/// What a link of a chain is made of.
struct JoinLink(mpsc::Sender<Call>, Arc<Vec<AtomicU32>>, usize);

#[test]
fn each_task_of_the_io_lane_runs_exactly_once_in_a_place_that_others_had() {
    each_once(3_000, |JoinLink(calls, runs, number)| {
        evenkeel::spawn(called(calls, runs, number))
    });
}

#[test]
fn each_task_of_the_compute_lane_runs_exactly_once_in_a_place_that_others_had() {
    // Fewer: the lane has only what others leave it.
    each_once(200, |JoinLink(calls, runs, number)| {
        evenkeel::compute::spawn(called(calls, runs, number))
    });
}
