//! works: hickory-resolver + hickory-server
//! by: tokio-rt
//! tested: UDP, TCP for what is too large for UDP, records of several types, names that are not
//! there, the cache, 64 look-ups at once, a server that says nothing, a server in Evenkeel's tasks,
//! the end of the runtime with look-ups in progress
//! threads: look-ups and sockets of UDP where they are awaited; connections of TCP, and the server,
//! on the thread of the small runtime

mod support;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::{SOA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record};
use hickory_server::Server;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use support::process::Peer;
use support::{everywhere, run, runtime, watchdog};
use tokio::net::{TcpListener, UdpSocket};

const LARGE: usize = 100;

fn name(name: &str) -> Name {
    Name::from_ascii(name).unwrap()
}

/// What the server knows.
fn zone() -> Catalog {
    let origin = name("test.");
    let mut zone: InMemoryZoneHandler =
        InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
    let soa = SOA::new(name("ns.test."), name("root.test."), 1, 60, 60, 600, 60);
    let mut records = vec![
        Record::from_rdata(origin.clone(), 60, RData::SOA(soa)),
        Record::from_rdata(
            name("a.test."),
            60,
            RData::A(Ipv4Addr::new(10, 0, 0, 1).into()),
        ),
        Record::from_rdata(name("a.test."), 60, RData::AAAA(Ipv6Addr::LOCALHOST.into())),
        Record::from_rdata(
            name("text.test."),
            60,
            RData::TXT(TXT::new(vec!["hello".into()])),
        ),
    ];
    records.extend((0..LARGE).map(|number| {
        let text = format!("{number} {}", "x".repeat(100));
        Record::from_rdata(name("large.test."), 60, RData::TXT(TXT::new(vec![text])))
    }));
    records.extend((0..64).map(|number| {
        let address = Ipv4Addr::new(10, 0, 1, number);
        Record::from_rdata(
            name(&format!("n{number}.test.")),
            60,
            RData::A(address.into()),
        )
    }));
    for record in records {
        assert!(zone.upsert_mut(record, 1));
    }
    let mut catalog = Catalog::new();
    catalog.upsert(origin.into(), vec![Arc::new(zone)]);
    catalog
}

/// UDP and TCP of one port.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
            return (socket, listener);
        }
    }
}

async fn server() -> (Server<Catalog>, SocketAddr) {
    let (socket, listener) = sockets().await;
    let address = socket.local_addr().unwrap();
    let mut server = Server::new(zone());
    server.register_socket(socket);
    server.register_listener(listener, Duration::from_secs(10), 1 << 16);
    (server, address)
}

/// A server on a thread of its own, with a runtime of tokio's.
fn serve() -> (Peer, SocketAddr) {
    Peer::start(async |told| {
        let (mut server, address) = server().await;
        told.send(address).unwrap();
        server.block_until_done().await.unwrap();
    })
}

fn resolver(server: SocketAddr) -> TokioResolver {
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    for connection in &mut config.connections {
        connection.port = server.port();
    }
    let config = ResolverConfig::from_name_servers(vec![config]);
    let provider = TokioRuntimeProvider::default();
    let mut builder = TokioResolver::builder_with_config(config, provider);
    builder.options_mut().timeout = Duration::from_secs(20);
    builder.build().unwrap()
}

#[evenkeel::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_looked_up() {
    let (_peer, address) = serve();
    let found = resolver(address).lookup_ip("a.test.").await.unwrap();
    let mut found: Vec<_> = found.iter().collect();
    found.sort();
    let expected: [IpAddr; 2] = [
        Ipv4Addr::new(10, 0, 0, 1).into(),
        Ipv6Addr::LOCALHOST.into(),
    ];
    assert_eq!(found, expected);
}

#[test]
fn records_are_found_wherever_they_are_looked_up() {
    let (peer, address) = serve();
    run(move || {
        everywhere(move || async move {
            let resolver = resolver(address);
            let texts = resolver.txt_lookup("text.test.").await.unwrap();
            assert_eq!(texts.answers().len(), 1);
            // Too large for UDP: it asks again over TCP.
            let texts = resolver.txt_lookup("large.test.").await.unwrap();
            assert_eq!(texts.answers().len(), LARGE);
            let error = resolver.lookup_ip("missing.test.").await.unwrap_err();
            assert!(error.to_string().contains("no record"), "{error}");
        })
    });
    drop(peer);
}

#[test]
fn many_names_at_once_are_found() {
    let (peer, address) = serve();
    run(move || async move {
        let resolver = resolver(address);
        let tasks: Vec<_> = (0..64)
            .map(|number| {
                let resolver = resolver.clone();
                evenkeel::spawn(async move {
                    let found = resolver
                        .ipv4_lookup(format!("n{number}.test."))
                        .await
                        .unwrap();
                    let found = found.answers()[0].data.to_string();
                    assert_eq!(found, format!("10.0.1.{number}"));
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    drop(peer);
}

#[test]
fn what_is_known_is_found_when_the_server_is_gone() {
    let (peer, address) = serve();
    run(move || async move {
        let resolver = resolver(address);
        resolver.ipv4_lookup("a.test.").await.unwrap();
        evenkeel::spawn_blocking(|| drop(peer)).await.unwrap();
        resolver.ipv4_lookup("a.test.").await.unwrap();
    });
}

/// By tokio's timers.
#[test]
fn a_server_that_says_nothing_is_given_up() {
    run(|| async {
        let silent = sockets().await;
        let address = silent.0.local_addr().unwrap();
        let mut config = NameServerConfig::udp(address.ip());
        config.connections[0].port = address.port();
        let config = ResolverConfig::from_name_servers(vec![config]);
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        builder.options_mut().timeout = Duration::from_millis(50);
        builder.options_mut().attempts = 1;
        let resolver = builder.build().unwrap();
        assert!(resolver.lookup_ip("a.test.").await.is_err());
        assert!(
            evenkeel::spawn(async move { resolver.lookup_ip("a.test.").await.is_err() })
                .await
                .unwrap()
        );
    });
}

#[test]
fn a_server_runs_in_a_task() {
    run(|| async {
        let (mut server, address) = server().await;
        let end = server.shutdown_token().clone();
        let serving = evenkeel::spawn(async move { server.block_until_done().await });
        resolver(address).lookup_ip("a.test.").await.unwrap();
        end.cancel();
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn a_runtime_ends_with_look_ups_in_progress() {
    watchdog(|| {
        let (_peer, address) = serve();
        for _ in 0..20 {
            let runtime = runtime();
            let kept = runtime.block_on(async {
                let (known, silent) = (resolver(address), sockets().await);
                known.txt_lookup("large.test.").await.unwrap();
                let waiting = resolver(silent.0.local_addr().unwrap());
                let (begun, wait) = evenkeel::sync::oneshot::channel();
                evenkeel::spawn(async move {
                    let mut lookup = Box::pin(waiting.lookup_ip("a.test."));
                    assert!(futures_util::poll!(&mut lookup).is_pending());
                    begun.send(()).unwrap();
                    lookup.await.unwrap();
                });
                wait.await.unwrap();
                (known, silent)
            });
            drop(runtime);
            drop(kept);
        }
    });
}
