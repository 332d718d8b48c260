//! works: hickory-resolver (its `RuntimeProvider` on our sockets)
//! by: native
//! tested: UDP, TCP for what is too large for UDP, names that are not there, the cache, 64 look-ups
//! at once, a server that says nothing, the end of the runtime with a look-up in progress
//! threads: look-ups where they are awaited, the background tasks of connections on the workers of
//! the IO lane
//!
//! The implementation below is all that it takes. It is no feature of the runtime since hickory's
//! traits change with each of its versions.

mod support;

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use evenkeel::net::{TcpSocket, TcpStream, UdpSocket};
use futures_util::{AsyncRead, AsyncWrite};
use hickory_resolver::Resolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::{DnsTcpStream, DnsUdpSocket, RuntimeProvider, Spawn, Time};
use hickory_resolver::proto::rr::rdata::{SOA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record};
use hickory_server::Server;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use support::process::Peer;
use support::{run, runtime, watchdog};

/// How long a connection may take if nobody says.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Provider;

#[derive(Clone)]
struct Spawner;

struct Timers;
struct Udp(UdpSocket);
struct Tcp(TcpStream);

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl RuntimeProvider for Provider {
    type Handle = Spawner;
    type Timer = Timers;
    type Udp = Udp;
    type Tcp = Tcp;

    fn create_handle(&self) -> Spawner {
        Spawner
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        local: Option<SocketAddr>,
        wait: Option<Duration>,
    ) -> BoxFuture<io::Result<Tcp>> {
        Box::pin(async move {
            let socket = match server {
                SocketAddr::V4(_) => TcpSocket::new_v4(),
                SocketAddr::V6(_) => TcpSocket::new_v6(),
            }?;
            if let Some(local) = local {
                socket.bind(local)?;
            }
            socket.set_nodelay(true)?;
            let wait = wait.unwrap_or(CONNECT_TIMEOUT);
            let connected = evenkeel::time::timeout(wait, socket.connect(server)).await;
            connected.map_err(io::Error::from)?.map(Tcp)
        })
    }

    fn bind_udp(&self, local: SocketAddr, _: SocketAddr) -> BoxFuture<io::Result<Udp>> {
        Box::pin(async move { UdpSocket::bind(local).await.map(Udp) })
    }
}

impl Spawn for Spawner {
    fn spawn_bg(&mut self, future: impl Future<Output = ()> + Send + 'static) {
        drop(evenkeel::spawn(future));
    }
}

#[async_trait]
impl Time for Timers {
    async fn delay_for(duration: Duration) {
        evenkeel::time::sleep(duration).await;
    }

    async fn timeout<F: 'static + Future + Send>(
        duration: Duration,
        future: F,
    ) -> Result<F::Output, io::Error> {
        evenkeel::time::timeout(duration, future)
            .await
            .map_err(io::Error::from)
    }
}

#[async_trait]
impl DnsUdpSocket for Udp {
    type Time = Timers;

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buf = tokio::io::ReadBuf::new(buf);
        let from = ready!(self.0.poll_recv_from(cx, &mut buf))?;
        Poll::Ready(Ok((buf.filled().len(), from)))
    }

    fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.0.poll_send_to(cx, buf, target)
    }
}

impl DnsTcpStream for Tcp {
    type Time = Timers;
}

impl AsyncRead for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        AsyncRead::poll_read(Pin::new(&mut self.0), cx, buf)
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.0), cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.0), cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_close(Pin::new(&mut self.0), cx)
    }
}

const LARGE: usize = 100;

fn name(name: &str) -> Name {
    Name::from_ascii(name).unwrap()
}

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 1, number)
}

fn zone() -> Catalog {
    let origin = name("test.");
    let mut zone: InMemoryZoneHandler =
        InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
    let soa = SOA::new(name("ns.test."), name("root.test."), 1, 60, 60, 600, 60);
    zone.upsert_mut(Record::from_rdata(origin.clone(), 60, RData::SOA(soa)), 1);
    for number in 0..64 {
        let record = RData::A(address(number).into());
        let name = name(&format!("n{number}.test."));
        zone.upsert_mut(Record::from_rdata(name, 60, record), 1);
    }
    for number in 0..LARGE {
        let text = TXT::new(vec![format!("{number} {}", "x".repeat(100))]);
        let record = Record::from_rdata(name("large.test."), 60, RData::TXT(text));
        zone.upsert_mut(record, 1);
    }
    let mut catalog = Catalog::new();
    catalog.upsert(origin.into(), vec![Arc::new(zone)]);
    catalog
}

/// A server on a thread of its own, with a runtime of tokio's.
fn serve() -> (Peer, SocketAddr) {
    Peer::start(async |told| {
        let (socket, listener) = loop {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            if let Ok(socket) = tokio::net::UdpSocket::bind(address).await {
                break (socket, listener);
            }
        };
        told.send(socket.local_addr().unwrap()).unwrap();
        let mut server = Server::new(zone());
        server.register_socket(socket);
        server.register_listener(listener, Duration::from_secs(10), 1 << 16);
        server.block_until_done().await.unwrap();
    })
}

fn resolver(server: SocketAddr, timeout: Duration) -> Resolver<Provider> {
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    for connection in &mut config.connections {
        connection.port = server.port();
    }
    let config = ResolverConfig::from_name_servers(vec![config]);
    let mut builder = Resolver::builder_with_config(config, Provider);
    builder.options_mut().timeout = timeout;
    builder.options_mut().attempts = 1;
    builder.build().unwrap()
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn names_are_looked_up_also_many_at_once() {
    run(|| async {
        let (_peer, server) = serve();
        let resolver = Arc::new(resolver(server, LONG));
        let look_ups: Vec<_> = (0..64)
            .map(|number| {
                let resolver = resolver.clone();
                evenkeel::spawn(async move {
                    let name = format!("n{number}.test.");
                    let found = resolver.lookup_ip(name).await.unwrap();
                    assert!(found.iter().eq([IpAddr::from(address(number))]));
                })
            })
            .collect();
        for look_up in look_ups {
            look_up.await.unwrap();
        }
    });
}

#[test]
fn what_is_too_large_for_udp_comes_by_tcp() {
    run(|| async {
        let (_peer, server) = serve();
        let found = resolver(server, LONG)
            .txt_lookup("large.test.")
            .await
            .unwrap();
        assert_eq!(found.answers().len(), LARGE);
    });
}

#[test]
fn a_name_that_is_not_there_is_an_error_and_one_that_was_is_in_the_cache() {
    run(|| async {
        let (peer, server) = serve();
        let resolver = resolver(server, LONG);
        let error = resolver.lookup_ip("nobody.test.").await.unwrap_err();
        assert!(error.is_nx_domain(), "{error}");
        resolver.lookup_ip("n1.test.").await.unwrap();
        drop(peer);
        let found = resolver.lookup_ip("n1.test.").await.unwrap();
        assert!(found.iter().eq([IpAddr::from(address(1))]));
    });
}

#[test]
fn a_server_that_says_nothing_is_an_error_after_its_time() {
    run(|| async {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = silent.local_addr().unwrap();
        let resolver = resolver(server, Duration::from_millis(100));
        assert!(resolver.lookup_ip("n1.test.").await.is_err());
    });
}

#[test]
fn the_runtime_ends_with_a_look_up_in_progress() {
    watchdog(|| {
        let runtime = runtime();
        runtime.block_on(async {
            let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let server = silent.local_addr().unwrap();
            let look_up = async move { resolver(server, LONG).lookup_ip("n1.test.").await.is_ok() };
            evenkeel::spawn(look_up);
            silent.recv_from(&mut [0; 512]).await.unwrap();
        });
        drop(runtime);
    });
}
