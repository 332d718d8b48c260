//! What the cases need of a runtime beside what [`Runtime`] has, as a program on it would write it.

use crate::runtimes::{Evenkeel, Runtime, Smol, Tokio};

pub(crate) trait Scheduler: Runtime {
    /// Spawns from a task.
    fn spawn_in_task<F>(&self, future: F) -> Self::Handle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Starts a blocking call from a task.
    fn spawn_blocking<T, C>(call: C) -> Self::Handle<T>
    where
        T: Send + 'static,
        C: FnOnce() -> T + Send + 'static;

    /// The task's result.
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> impl Future<Output = T> + Send;

    fn yield_now() -> impl Future<Output = ()> + Send;
}

impl Scheduler for Evenkeel {
    fn spawn_in_task<F>(&self, future: F) -> Self::Handle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        evenkeel::spawn(future)
    }

    fn spawn_blocking<T, C>(call: C) -> Self::Handle<T>
    where
        T: Send + 'static,
        C: FnOnce() -> T + Send + 'static,
    {
        evenkeel::spawn_blocking(call)
    }

    async fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T {
        handle.await.expect("a task")
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        evenkeel::task::yield_now()
    }
}

impl Scheduler for Tokio {
    fn spawn_in_task<F>(&self, future: F) -> Self::Handle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(future)
    }

    fn spawn_blocking<T, C>(call: C) -> Self::Handle<T>
    where
        T: Send + 'static,
        C: FnOnce() -> T + Send + 'static,
    {
        tokio::task::spawn_blocking(call)
    }

    async fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T {
        handle.await.expect("a task")
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }
}

impl Scheduler for Smol {
    fn spawn_in_task<F>(&self, future: F) -> Self::Handle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn(future)
    }

    fn spawn_blocking<T, C>(call: C) -> Self::Handle<T>
    where
        T: Send + 'static,
        C: FnOnce() -> T + Send + 'static,
    {
        smol::unblock(call)
    }

    async fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T {
        handle.await
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        smol::future::yield_now()
    }
}
