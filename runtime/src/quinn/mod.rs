//! QUIC by [quinn](https://docs.rs/quinn) on the sockets and timers of this runtime: [`Runtime`].
//!
//! quinn gets all that the system has for it: several datagrams a call (GSO, GRO), and the bits of
//! ECN.
//!
//! # Examples
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! async fn serve(
//!     config: quinn::EndpointConfig,
//!     server: quinn::ServerConfig,
//! ) -> std::io::Result<()> {
//!     let endpoint = quinn::Endpoint::new(
//!         config,
//!         Some(server),
//!         std::net::UdpSocket::bind("0.0.0.0:4433")?,
//!         Arc::new(evenkeel::quinn::Runtime::new()),
//!     )?;
//!     while let Some(incoming) = endpoint.accept().await {
//!         evenkeel::spawn(async move {
//!             let connection = incoming.await?;
//!             let (mut send, mut receive) = connection.accept_bi().await?;
//!             // ...
//!             # let _ = (&mut send, &mut receive);
//!             Ok::<_, quinn::ConnectionError>(())
//!         });
//!     }
//!     Ok(())
//! }
//! ```

mod socket;

use std::future::Future;
use std::io;
use std::net::UdpSocket;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use quinn::{AsyncTimer, AsyncUdpSocket};

use crate::time::{self, Sleep};
use socket::Socket;

/// This runtime for quinn, in place of quinn's `TokioRuntime`.
///
/// An endpoint, and each of its connections, is driven by a task of its own on the IO lane.
///
/// # Panics
///
/// It is to be used inside an Evenkeel runtime: making an endpoint, and connecting or accepting
/// with it, panics elsewhere. A runtime that is
/// dropped takes its endpoints with it; their peers find out by their idle timeout. To tell them,
/// close the endpoint before and await `wait_idle`.
#[derive(Clone, Debug, Default)]
pub struct Runtime(());

impl Runtime {
    /// Stands for the runtime in which quinn is called each time.
    pub fn new() -> Self {
        Self::default()
    }
}

impl quinn::Runtime for Runtime {
    fn new_timer(&self, deadline: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(time::sleep_until(time::Instant::from_std(deadline)))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        // Dropping the handle detaches the task.
        drop(crate::spawn(future));
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(Socket::new(socket)?))
    }

    fn now(&self) -> Instant {
        time::Instant::now().into_std()
    }
}

impl AsyncTimer for Sleep {
    fn reset(self: Pin<&mut Self>, deadline: Instant) {
        Sleep::reset(self, time::Instant::from_std(deadline));
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Future::poll(self, cx)
    }
}
