//! Channels, locks and other ways for tasks to wait for each other: tokio's own, by name.
//!
//! They need no runtime of tokio's. With the feature `tokio-rt` (default) a task that always finds
//! something in them lets others run, their `blocking_` methods panic where they would block a
//! worker, and `send_timeout` works; see [`coop`](crate::task::coop#tokios-channels).

pub use tokio::sync::{
    AcquireError, Barrier, BarrierWaitResult, MappedMutexGuard, Mutex, MutexGuard, Notify,
    OnceCell, OwnedMappedMutexGuard, OwnedMutexGuard, OwnedRwLockMappedWriteGuard,
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, RwLock,
    RwLockMappedWriteGuard, RwLockReadGuard, RwLockWriteGuard, Semaphore, SemaphorePermit,
    SetError, SetOnce, SetOnceError, TryAcquireError, TryLockError,
};
pub use tokio::sync::{broadcast, futures, mpsc, oneshot, watch};
