//! What hyper-util's pooled client needs of a runtime beside the executor and the timer.

use std::future::Future;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::http::uri::{Authority, Scheme};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower_service::Service;

use crate::net::TcpStream;

/// Makes connections for the pooled client of [hyper-util](https://docs.rs/hyper-util), on this
/// runtime's sockets: `Client::builder(Executor::new()).build(Connector::new())`.
///
/// With [`Executor`](super::Executor) the tasks of the connections run on the IO lane, beside those
/// that wait for their answers. hyper-util's own `HttpConnector` and `TokioExecutor` work as well
/// (feature `tokio-rt`), but leave both to the one thread of tokio's context, so that each answer
/// crosses threads twice.
///
/// A connection sends without delay (`TCP_NODELAY`). If a name has several addresses, they are
/// tried one after the other. There is no time limit: put one around the request
/// ([`time::timeout`](crate::time::timeout)).
///
/// # Examples
///
/// ```no_run
/// use evenkeel::hyper::{Connector, Executor, Timer};
/// use http_body_util::Empty;
/// use hyper::body::Bytes;
/// use hyper_util::client::legacy::Client;
///
/// # evenkeel::runtime::Runtime::new()?.block_on(async {
/// let client: Client<_, Empty<Bytes>> = Client::builder(Executor::new())
///     .pool_timer(Timer::new())
///     .build(Connector::new());
/// let answer = client.get("http://localhost:3000/".parse()?).await?;
/// println!("{}", answer.status());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct Connector {
    enforces_http: bool,
}

impl Connector {
    /// A connector for URLs of the scheme `http`.
    pub fn new() -> Self {
        Self {
            enforces_http: true,
        }
    }

    /// Whether other schemes than `http` are an error, which is the default.
    ///
    /// For what puts TLS on top, such as hyper-rustls's `HttpsConnector`, they must not be. Without
    /// that, what is sent to a URL of `https` would be sent in the clear.
    pub fn enforce_http(&mut self, is_enforced: bool) {
        self.enforces_http = is_enforced;
    }

    /// The host, without the brackets of an address of IPv6, and the port.
    fn place<'a>(&self, uri: &'a Uri) -> Result<(&'a str, u16)> {
        let wrong = |what| Error::new(ErrorKind::InvalidInput, what);
        let scheme = uri
            .scheme()
            .ok_or_else(|| wrong("a URL without a scheme"))?;
        if self.enforces_http && *scheme != Scheme::HTTP {
            return Err(wrong("the scheme of the URL is not http"));
        }
        let host = uri.host().ok_or_else(|| wrong("a URL without a host"))?;
        // A colon and nothing behind it is no port.
        let has_port = |authority: &Authority| {
            let authority = authority.as_str();
            !authority
                .strip_suffix(':')
                .unwrap_or(authority)
                .ends_with(host)
        };
        if uri.port_u16().is_none() && uri.authority().is_some_and(has_port) {
            return Err(wrong("the port of the URL"));
        }
        let default_port = if *scheme == Scheme::HTTPS { 443 } else { 80 };
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        Ok((bare.unwrap_or(host), uri.port_u16().unwrap_or(default_port)))
    }
}

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}

/// # Errors
///
/// Those of [`TcpStream::connect`], and [`ErrorKind::InvalidInput`] if the URL has no host, a port
/// that is none, no scheme or [the wrong one](Connector::enforce_http).
///
/// # Panics
///
/// The future panics if it is polled outside a runtime.
impl Service<Uri> for Connector {
    type Response = TcpStream;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<TcpStream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let stream = TcpStream::connect(connector.place(&uri)?).await?;
            // It is slower without. If the peer is gone already, the first write says so.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        })
    }
}

/// So that hyper-util's pooled client takes the streams of any connector, with TLS on top or not.
impl Connection for TcpStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(unix)]
impl Connection for crate::net::UnixStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_that_of_the_url() {
        let mut connector = Connector::new();
        connector.enforce_http(false);
        let table = [
            ("http://localhost/", ("localhost", 80)),
            ("http://localhost:3000/path", ("localhost", 3000)),
            ("https://example.org/", ("example.org", 443)),
            ("http://user@127.0.0.1:81", ("127.0.0.1", 81)),
            ("http://[::1]:82/", ("::1", 82)),
            ("http://[::1]/", ("::1", 80)),
            ("http://localhost:/", ("localhost", 80)),
        ];
        for (uri, place) in table {
            assert_eq!(connector.place(&uri.parse().unwrap()).unwrap(), place);
        }
    }

    #[test]
    fn only_http_is_sent_in_the_clear_unless_another_is_asked_for() {
        for uri in ["https://localhost/", "ftp://localhost/", "/path"] {
            assert_is_invalid(uri);
        }
    }

    #[test]
    fn a_port_that_is_none_is_not_the_default() {
        assert_is_invalid("http://localhost:99999/");
        assert_is_invalid("http://[::1]:99999/");
    }

    fn assert_is_invalid(uri: &str) {
        let error = Connector::new().place(&uri.parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{uri}");
    }
}
