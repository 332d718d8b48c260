//! Accepting connections, as many at a time as there are places.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use evenkeel::net::{TcpListener, TcpStream};
use evenkeel::sync::{OwnedSemaphorePermit, Semaphore};
use evenkeel::time::sleep;

/// How long to wait after a connection could not be accepted, usually because all descriptors are
/// in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Waits for a place, and then for a connection.
///
/// # Cancel safety
///
/// No connection is lost.
pub(crate) async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let place = places
        .clone()
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            // The client was gone before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // Most of all EMFILE: the connection stays in the queue, so trying again at once would
            // spin.
            Err(error) => {
                eprintln!("cannot accept a connection: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
