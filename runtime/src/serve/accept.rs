//! The loop that accepts connections, and its end.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use evenkeel_sync::panics::log;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Serve;
use super::connection::Connection;
use super::first::{First, first};
use super::listener::Listener;
use super::service::{HttpService, Hyper};
use crate::runtime::Handle;
use crate::time::{Duration, sleep};

/// The first pause after a connection could not be accepted, and what it grows to.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Serves until the signal comes, and then until all connections have ended.
pub(super) async fn run<L, S>(server: Serve<L, S>)
where
    L: Listener,
    S: HttpService<Hyper> + Send + 'static,
{
    let Serve {
        mut listener,
        service,
        config,
        connections_max,
        connect_info,
        mut signal,
    } = server;
    // Outside of a runtime it panics now, not with the first connection.
    let runtime = Handle::current();
    let config = Arc::new(config);
    let service = service.into_service();
    let places = connections_max.map(|max| Arc::new(Semaphore::new(max)));
    // A connection has a receiver for as long as it lives. Once the sender is dropped, with this
    // future at the latest, the connections end.
    let (stop, _) = watch::channel(());
    loop {
        let next = pin!(next(&mut listener, places.as_ref()));
        let (handshake, addr, place) = match first(signal.as_mut(), next).await {
            First::Left(()) => break,
            First::Right(accepted) => accepted,
        };
        let connection = Connection {
            service: service.clone(),
            config: config.clone(),
            extend: connect_info.as_ref().map(|make| make(addr)),
            stopped: stop.subscribe(),
            _place: place,
        };
        // Dropping the handle detaches the task.
        drop(runtime.spawn(connection.serve(handshake)));
    }
    drop(listener);
    stop.send_replace(());
    stop.closed().await;
}

type Accepted<L> = (
    <L as Listener>::Handshake,
    <L as Listener>::Addr,
    Option<OwnedSemaphorePermit>,
);

/// The next connection, once there is a place for it.
async fn next<L: Listener>(listener: &mut L, places: Option<&Arc<Semaphore>>) -> Accepted<L> {
    let place = match places {
        Some(places) => places.clone().acquire_owned().await.ok(),
        None => None,
    };
    let mut failures = 0;
    loop {
        match listener.accept().await {
            Ok((handshake, addr)) => return (handshake, addr, place),
            Err(error) if is_of_the_peer(&error) => {}
            // Most of all EMFILE: the connection stays in the kernel's queue, and trying again at
            // once would spin.
            Err(error) => {
                let pause = pause_after(failures);
                log(|| tracing::warn!(%error, ?pause, "a connection could not be accepted"));
                failures += 1;
                sleep(pause).await;
            }
        }
    }
}

/// Whether the connection was gone before it was accepted: others may wait behind it.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

fn pause_after(failures: u32) -> Duration {
    PAUSE_MIN
        .saturating_mul(1 << failures.min(16))
        .min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second() {
        for (failures, ms) in [(0, 5), (1, 10), (7, 640), (8, 1000), (40, 1000)] {
            assert_eq!(pause_after(failures), Duration::from_millis(ms));
        }
    }
}
