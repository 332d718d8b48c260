//! Futures over tokio's channels and locks.

#![allow(dead_code, reason = "each test binary uses its own part")]

use evenkeel::time::{Duration, timeout};
use std::future::Future;
use std::pin::Pin;
use tokio::sync::{Mutex, Semaphore, broadcast, mpsc, watch};

/// Sends itself a message for each that it receives, so that there always is one.
pub(crate) async fn always_receives() {
    let (send, mut receive) = mpsc::unbounded_channel();
    send.send(0_u64).unwrap();
    while let Some(number) = receive.recv().await {
        send.send(number + 1).unwrap();
    }
}

pub(crate) async fn always_locks() {
    let lock = Mutex::new(());
    loop {
        drop(lock.lock().await);
    }
}

pub(crate) async fn always_acquires() {
    let semaphore = Semaphore::new(1);
    loop {
        drop(semaphore.acquire().await);
    }
}

pub(crate) async fn always_sees_a_change() {
    let (change, mut seen) = watch::channel(0);
    loop {
        change.send_modify(|number| *number += 1);
        seen.changed().await.unwrap();
    }
}

pub(crate) async fn always_hears() {
    let (send, mut receive) = broadcast::channel(4);
    loop {
        send.send(()).unwrap();
        receive.recv().await.unwrap();
    }
}

pub(crate) async fn always_copies() {
    let _ = tokio::io::copy(&mut tokio::io::repeat(0), &mut tokio::io::sink()).await;
}

pub(crate) type Endless = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(crate) fn endless() -> Vec<Endless> {
    vec![
        Box::pin(always_receives()),
        Box::pin(always_locks()),
        Box::pin(always_acquires()),
        Box::pin(always_sees_a_change()),
        Box::pin(always_hears()),
        Box::pin(always_copies()),
    ]
}

pub(crate) async fn all_time_out() {
    for future in endless() {
        assert!(timeout(Duration::from_millis(5), future).await.is_err());
    }
}

pub(crate) fn receive_blocking() -> Option<u32> {
    let (send, mut receive) = mpsc::channel(1);
    send.try_send(7).unwrap();
    receive.blocking_recv()
}
