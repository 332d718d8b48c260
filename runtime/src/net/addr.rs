//! Socket addresses and names that resolve to them.

use std::future::Future;
use std::io;
use std::net::ToSocketAddrs as StdToSocketAddrs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::runtime::Handle;
use sealed::Resolution;

/// What can be turned into socket addresses, possibly by asking the name service.
///
/// Implemented for [`SocketAddr`] and its variants, for `(IpAddr, u16)` and its variants, for
/// `&[SocketAddr]`, for text of the form `host:port`, for `(host, port)` with a textual host, and
/// for references to any of these. Text that is an address already costs no look-up; a name is
/// looked up on a thread for that, and not on the blocking pool, whose closures may wait for
/// look-ups.
///
/// The trait is sealed: its method may change. Use [`lookup_host`] to resolve something.
pub trait ToSocketAddrs: sealed::Resolve {}

/// Resolves `host` to the addresses it stands for, in the order in which they should be tried.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] if the text has no port or no valid one; otherwise what the name
/// service of the operating system reports.
///
/// # Panics
///
/// Panics outside a runtime when a name has to be looked up.
///
/// # Cancel safety
///
/// Dropping the future discards the answer; a look-up that has started runs to its end on its
/// thread.
///
/// # Examples
///
/// ```
/// # evenkeel::runtime::Runtime::new().unwrap().block_on(async {
/// let mut found = evenkeel::net::lookup_host("localhost:80").await?;
/// assert!(found.all(|address| address.ip().is_loopback()));
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub async fn lookup_host<T: ToSocketAddrs>(
    host: T,
) -> io::Result<impl Iterator<Item = SocketAddr>> {
    Ok(resolve(&host).await?.into_iter())
}

/// Resolves without holding on to `host` while the look-up runs.
pub(crate) fn resolve<T: ToSocketAddrs + ?Sized>(
    host: &T,
) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + use<T> {
    let resolution = host.resolve();
    async move {
        match resolution {
            Resolution::Known(addresses) => addresses,
            Resolution::Pending(lookup) => lookup.await.map_err(io::Error::other)?,
        }
    }
}

/// Tries `attempt` on every address that `host` stands for and returns the first success.
///
/// # Errors
///
/// The error of the last attempt, or [`io::ErrorKind::InvalidInput`] if there was no address to
/// try.
pub(crate) async fn try_each<T, A, Fut>(
    host: T,
    mut attempt: impl FnMut(SocketAddr) -> Fut,
) -> io::Result<A>
where
    T: ToSocketAddrs,
    Fut: Future<Output = io::Result<A>>,
{
    let mut last_error = None;
    for address in resolve(&host).await? {
        match attempt(address).await {
            Ok(done) => return Ok(done),
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error.unwrap_or_else(no_address))
}

pub(crate) fn no_address() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "the name resolved to no address at all",
    )
}

mod sealed {
    use super::{SocketAddr, io};
    use crate::runtime::look_ups::LookUp;

    pub trait Resolve {
        fn resolve(&self) -> Resolution;
    }

    pub enum Resolution {
        Known(io::Result<Vec<SocketAddr>>),
        Pending(LookUp<io::Result<Vec<SocketAddr>>>),
    }

    impl Resolution {
        pub(super) fn one(address: SocketAddr) -> Self {
            Self::Known(Ok(vec![address]))
        }
    }
}

/// Asks the name service on a thread for that: `getaddrinfo` has no non-blocking form.
fn look_up<T>(host: T) -> Resolution
where
    T: StdToSocketAddrs<Iter = std::vec::IntoIter<SocketAddr>> + Send + 'static,
{
    let look_up = move || Ok(host.to_socket_addrs()?.collect());
    Resolution::Pending(Handle::current().look_up(look_up))
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {}
impl<T: ToSocketAddrs + ?Sized> sealed::Resolve for &T {
    fn resolve(&self) -> Resolution {
        (**self).resolve()
    }
}

impl ToSocketAddrs for SocketAddr {}
impl sealed::Resolve for SocketAddr {
    fn resolve(&self) -> Resolution {
        Resolution::one(*self)
    }
}

impl ToSocketAddrs for SocketAddrV4 {}
impl sealed::Resolve for SocketAddrV4 {
    fn resolve(&self) -> Resolution {
        Resolution::one((*self).into())
    }
}

impl ToSocketAddrs for SocketAddrV6 {}
impl sealed::Resolve for SocketAddrV6 {
    fn resolve(&self) -> Resolution {
        Resolution::one((*self).into())
    }
}

impl ToSocketAddrs for (IpAddr, u16) {}
impl sealed::Resolve for (IpAddr, u16) {
    fn resolve(&self) -> Resolution {
        Resolution::one((*self).into())
    }
}

impl ToSocketAddrs for (Ipv4Addr, u16) {}
impl sealed::Resolve for (Ipv4Addr, u16) {
    fn resolve(&self) -> Resolution {
        Resolution::one((*self).into())
    }
}

impl ToSocketAddrs for (Ipv6Addr, u16) {}
impl sealed::Resolve for (Ipv6Addr, u16) {
    fn resolve(&self) -> Resolution {
        Resolution::one((*self).into())
    }
}

impl ToSocketAddrs for [SocketAddr] {}
impl sealed::Resolve for [SocketAddr] {
    fn resolve(&self) -> Resolution {
        Resolution::Known(Ok(self.to_vec()))
    }
}

impl ToSocketAddrs for str {}
impl sealed::Resolve for str {
    fn resolve(&self) -> Resolution {
        match self.parse() {
            Ok(address) => Resolution::one(address),
            Err(_) => look_up(self.to_owned()),
        }
    }
}

impl ToSocketAddrs for String {}
impl sealed::Resolve for String {
    fn resolve(&self) -> Resolution {
        self.as_str().resolve()
    }
}

impl ToSocketAddrs for (&str, u16) {}
impl sealed::Resolve for (&str, u16) {
    fn resolve(&self) -> Resolution {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Resolution::one((ip, port).into()),
            Err(_) => look_up((host.to_owned(), port)),
        }
    }
}

impl ToSocketAddrs for (String, u16) {}
impl sealed::Resolve for (String, u16) {
    fn resolve(&self) -> Resolution {
        (self.0.as_str(), self.1).resolve()
    }
}
