//! `block_on` of the current-thread flavour: `runtime::current_thread`,
//! `scheduler::current_thread`.
//!
//! Caught: `RootWaker::wake`, or `set_drives`, without its fence.

use super::lane::{Event, driven_lane, explore, spawn};
use crate::scheduler::current_thread::{Root, drive};
use crate::scheduler::root_waker::RootWaker;
use loom::thread;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

struct ModelRoot {
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<RootWaker>,
    waker: Waker,
}

impl ModelRoot {
    fn new(woken: RootWaker, future: impl Future<Output = ()> + 'static) -> ModelRoot {
        let woken = Arc::new(woken);
        ModelRoot {
            future: Box::pin(future),
            waker: woken.clone().into(),
            woken,
        }
    }
}

impl Root for ModelRoot {
    fn take_woken(&self) -> bool {
        self.woken.take_woken()
    }

    fn is_woken(&self) -> bool {
        self.woken.is_woken()
    }

    fn poll(&mut self) -> bool {
        let mut cx = Context::from_waker(&self.waker);
        matches!(self.future.as_mut().poll(&mut cx), Poll::Ready(()))
    }
}

/// The future was polled while another thread had the seat, and is woken as its own thread gets
/// it, or sleeps in it.
#[test]
fn a_wake_up_while_the_thread_begins_to_drive() {
    explore(3, || {
        let (lane, seat) = driven_lane();
        let event = Arc::new(Event::default());
        let waits = event.clone();
        let mut root = ModelRoot::new(RootWaker::new(lane.clone()), async move {
            waits.wait().await;
        });
        assert!(root.take_woken() && !root.poll());
        let waker = thread::spawn(move || event.happen());
        root.woken.set_drives();
        drop(drive(&lane, seat, &mut root));
        waker.join().unwrap();
        lane.begin_shutdown();
        lane.finish_shutdown();
    });
}

/// A task comes from another thread, and wakes the future.
#[test]
fn a_task_from_outside_wakes_the_future() {
    explore(2, || {
        let (lane, seat) = driven_lane();
        let event = Arc::new(Event::default());
        let waits = event.clone();
        let mut root = ModelRoot::new(RootWaker::new(lane.clone()), async move {
            waits.wait().await;
        });
        root.woken.set_drives();
        let spawner = thread::spawn({
            let lane = lane.clone();
            move || drop(spawn(&lane, async move { event.happen() }))
        });
        drop(drive(&lane, seat, &mut root));
        spawner.join().unwrap();
        lane.begin_shutdown();
        lane.finish_shutdown();
    });
}
