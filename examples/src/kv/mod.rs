//! A small key-value store that redis's clients can use, with expiry and channels.
//!
//! It shows a protocol written by hand on [`TcpStream`](evenkeel::net::TcpStream): a task for each
//! connection that reads, answers and listens at once; one task with a timer that removes what has
//! expired; bounds on everything that a client can make large. What takes long is not done where
//! it would hold up the others: `KEYS`, for which redis is feared, matches on the compute lane, and
//! `FLUSHALL` leaves the freeing to the blocking pool.
//!
//! The limits, and what happens at them:
//!
//! - connections: further ones wait in the kernel's queue;
//! - a request (its bytes, an argument, how many of these, a line): an error of the protocol, and
//!   the end of the connection;
//! - a request that does not become complete, or a reply that is not read: the end;
//! - memory, of the entries and of large requests as they come in: an error with the code `OOM`.
//!   Replies on their way hold their values in addition, even if these are removed meanwhile;
//! - a subscriber that does not keep up: it is disconnected, as redis does it.

mod accept;
mod commands;
mod connection;
mod glob;
mod memory;
mod pubsub;
mod resp;
mod store;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use evenkeel::net::TcpListener;
use evenkeel::sync::{Semaphore, watch};
use evenkeel::time::{Instant, timeout};

use accept::accept;
use memory::Memory;
use pubsub::Channels;
use resp::RequestLimits;
use store::Store;

/// What a client can take of a [`serve`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Connections at the same time.
    pub connections_max: u32,
    /// Bytes of all entries and of large requests together.
    pub memory_bytes_max: usize,
    /// Arguments of a request.
    pub arguments_max: usize,
    /// Bytes of one argument.
    pub argument_bytes_max: usize,
    /// Bytes of a request.
    pub request_bytes_max: usize,
    /// How long a request may take from its first to its last byte.
    pub request_time_max: Duration,
    /// How long a client may leave replies unread.
    pub reply_time_max: Duration,
    /// Channels that one connection may listen to.
    pub subscriptions_max: usize,
    /// Bytes of the messages that wait for one subscriber.
    pub messages_bytes_max: usize,
    /// How long the requests in flight may take at the end.
    pub shutdown_time_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections_max: 1000,
            memory_bytes_max: 1 << 30,
            arguments_max: 16 * 1024,
            argument_bytes_max: 16 << 20,
            request_bytes_max: 32 << 20,
            request_time_max: Duration::from_secs(30),
            reply_time_max: Duration::from_secs(10),
            subscriptions_max: 1000,
            messages_bytes_max: 1 << 20,
            shutdown_time_max: Duration::from_secs(10),
        }
    }
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    channels: Arc<Channels>,
    memory: Arc<Memory>,
    places: Arc<Semaphore>,
    connected: AtomicUsize,
    /// For `KEYS`: as many at the same time as there are threads to compute.
    scans: Semaphore,
    started: Instant,
    config: Config,
}

impl Shared {
    fn new(config: Config) -> Arc<Self> {
        let memory = Arc::new(Memory::new(config.memory_bytes_max));
        Arc::new(Self {
            store: Arc::new(Store::new(memory.clone())),
            channels: Arc::default(),
            memory,
            places: Arc::new(Semaphore::new(config.connections_max as usize)),
            connected: AtomicUsize::new(0),
            scans: Semaphore::new(evenkeel::runtime::Handle::current().compute_threads()),
            started: Instant::now(),
            config,
        })
    }

    fn request_limits(&self) -> RequestLimits {
        RequestLimits {
            arguments_max: self.config.arguments_max,
            argument_bytes_max: self.config.argument_bytes_max,
            request_bytes_max: self.config.request_bytes_max,
        }
    }
}

/// Serves on `listener` until `stop` completes. What has been read by then is answered, within
/// [`Config::shutdown_time_max`].
pub async fn serve(listener: TcpListener, config: Config, stop: impl Future<Output = ()>) {
    let shared = Shared::new(config);
    let expiry = evenkeel::spawn(store::remove_expired(shared.store.clone()));
    let (stopping, stopped) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let (stream, place) = evenkeel::select! {
            accepted = accept(&listener, &shared.places) => accepted,
            () = &mut stop => break,
        };
        let (shared, stopped) = (shared.clone(), stopped.clone());
        evenkeel::spawn(async move {
            shared.connected.fetch_add(1, Ordering::Relaxed);
            // Its errors are the client's: it has left, or takes too long.
            let _ = connection::serve(stream, shared.clone(), stopped).await;
            shared.connected.fetch_sub(1, Ordering::Relaxed);
            drop(place);
        });
    }
    drop(listener);
    stopping.send_replace(());
    let all = shared.places.acquire_many(shared.config.connections_max);
    // Those that are left then end with the runtime.
    let _ = timeout(shared.config.shutdown_time_max, all).await;
    expiry.abort();
}
