//! works: quinn
//! by: native (`evenkeel::quinn`)
//! tested: streams both ways, 50 connections at once, datagrams, segmentation offload (GSO, GRO), a
//! network that loses, a peer that closes and one that vanishes, idle timeouts, 8 MB through one
//! stream, the end of the runtime with open connections
//! threads: endpoints and connections are tasks of the IO lane, TLS included

mod native_support;
mod support;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use evenkeel::quinn::Runtime;
use native_support::Identity;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, IdleTimeout, Incoming,
    ServerConfig, TransportConfig, VarInt,
};
use support::{run, runtime, watchdog};

const ALPN: &[&str] = &["test"];

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(
        IdleTimeout::try_from(Duration::from_secs(30)).unwrap(),
    ));
    transport
}

fn endpoint(config: Option<ServerConfig>) -> Endpoint {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let runtime = Arc::new(Runtime::new());
    Endpoint::new(EndpointConfig::default(), config, socket, runtime).unwrap()
}

fn server(identity: &Identity, transport: TransportConfig) -> Endpoint {
    let crypto = QuicServerConfig::try_from(identity.server(ALPN)).unwrap();
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    endpoint(Some(config))
}

fn client(identity: &Identity, transport: TransportConfig) -> Endpoint {
    let crypto = QuicClientConfig::try_from(identity.client(ALPN)).unwrap();
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    let mut endpoint = endpoint(None);
    endpoint.set_default_client_config(config);
    endpoint
}

/// A client and a server. The latter sends everything back.
fn pair() -> (Endpoint, Endpoint) {
    let identity = Identity::new();
    let server = server(&identity, transport());
    evenkeel::spawn(serve(server.clone()));
    (client(&identity, transport()), server)
}

async fn connect(client: &Endpoint, address: SocketAddr) -> Connection {
    client.connect(address, "localhost").unwrap().await.unwrap()
}

async fn serve(endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        evenkeel::spawn(echo(incoming));
    }
}

/// Sends back what comes by streams and by datagrams, until the peer closes.
async fn echo(incoming: Incoming) -> Result<(), ConnectionError> {
    let connection = incoming.await?;
    let datagrams = connection.clone();
    evenkeel::spawn(async move {
        while let Ok(datagram) = datagrams.read_datagram().await {
            let _ = datagrams.send_datagram(datagram);
        }
    });
    loop {
        let (mut send, mut receive) = connection.accept_bi().await?;
        evenkeel::spawn(async move {
            let mut buf = vec![0; 1 << 16];
            while let Ok(Some(n)) = receive.read(&mut buf).await {
                if send.write_all(&buf[..n]).await.is_err() {
                    return;
                }
            }
            let _ = send.finish();
        });
    }
}

async fn round_trip(connection: &Connection, message: &[u8]) {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let sent = async {
        send.write_all(message).await.unwrap();
        send.finish().unwrap();
    };
    let (_, received) = evenkeel::join!(sent, receive.read_to_end(message.len() + 1));
    assert!(received.unwrap() == message, "{} bytes", message.len());
}

#[test]
fn streams_carry_bytes_both_ways() {
    run(|| async {
        let (client, server) = pair();
        let connection = connect(&client, server.local_addr().unwrap()).await;
        for len in [0, 1, 1000, 100_000] {
            round_trip(&connection, &vec![7; len]).await;
        }
        // Opened by the server.
        let identity = Identity::new();
        let quiet = self::server(&identity, transport());
        let address = quiet.local_addr().unwrap();
        let client = self::client(&identity, transport());
        let accepted = async { quiet.accept().await.unwrap().await.unwrap() };
        let (ours, theirs) = evenkeel::join!(connect(&client, address), accepted);
        let mut send = theirs.open_uni().await.unwrap();
        send.write_all(b"from the server").await.unwrap();
        send.finish().unwrap();
        let mut receive = ours.accept_uni().await.unwrap();
        assert_eq!(receive.read_to_end(100).await.unwrap(), b"from the server");
    });
}

#[test]
fn a_hundred_streams_of_one_connection_are_answered() {
    run(|| async {
        let (client, server) = pair();
        let connection = connect(&client, server.local_addr().unwrap()).await;
        let streams: Vec<_> = (0..100_usize)
            .map(|number| {
                let connection = connection.clone();
                evenkeel::spawn(async move {
                    round_trip(&connection, &vec![number as u8; 10 * number]).await;
                })
            })
            .collect();
        for stream in streams {
            stream.await.unwrap();
        }
    });
}

#[test]
fn fifty_connections_at_once_are_answered() {
    run(|| async {
        let (client, server) = pair();
        let address = server.local_addr().unwrap();
        let connections: Vec<_> = (0..50)
            .map(|_| {
                let client = client.clone();
                evenkeel::spawn(async move {
                    let connection = connect(&client, address).await;
                    round_trip(&connection, b"one of fifty").await;
                    connection
                })
            })
            .collect();
        let mut open = Vec::new();
        for connection in connections {
            open.push(connection.await.unwrap());
        }
        assert_eq!(client.open_connections(), 50);
    });
}

#[test]
fn much_goes_through_a_stream_in_few_calls() {
    run(|| async {
        let (client, server) = pair();
        let connection = connect(&client, server.local_addr().unwrap()).await;
        round_trip(&connection, &vec![1; 8_000_000]).await;
        let sent = connection.stats().udp_tx;
        assert!(sent.bytes > 8_000_000);
        let runtime: &dyn quinn::Runtime = &Runtime::new();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let socket = runtime.wrap_udp_socket(socket).unwrap();
        if socket.max_transmit_segments() > 1 {
            assert!(sent.ios < sent.datagrams, "{sent:?}");
        } else {
            println!("skipped: no segmentation offload here");
        }
        assert!(!socket.may_fragment(), "IP_MTU_DISCOVER was set");
    });
}

#[test]
fn datagrams_are_exchanged() {
    run(|| async {
        let (client, server) = pair();
        let connection = connect(&client, server.local_addr().unwrap()).await;
        // They may be lost: sent until one has come back.
        let answer = evenkeel::spawn({
            let connection = connection.clone();
            async move { connection.read_datagram().await.unwrap() }
        });
        while !answer.is_finished() {
            connection
                .send_datagram(Bytes::from_static(b"a datagram"))
                .unwrap();
            evenkeel::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(answer.await.unwrap(), "a datagram");
    });
}

/// Forwards between one client and a server, and loses every tenth datagram of each direction.
async fn lossy(server: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    use evenkeel::net::UdpSocket;
    let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = front.local_addr().unwrap();
    let lost = Arc::new(AtomicUsize::new(0));
    let (counted, there) = (lost.clone(), (front.clone(), back.clone()));
    evenkeel::spawn(async move {
        let (mut client, mut number) = (None, 0);
        let (mut left, mut right) = ([0; 2000], [0; 2000]);
        loop {
            evenkeel::select! {
                got = there.0.recv_from(&mut left) => {
                    let (n, from) = got.unwrap();
                    client = Some(from);
                    number += 1;
                    if number % 10 == 0 {
                        counted.fetch_add(1, Ordering::SeqCst);
                    } else {
                        let _ = there.1.send_to(&left[..n], server).await;
                    }
                }
                got = there.1.recv_from(&mut right) => {
                    let (n, _) = got.unwrap();
                    number += 1;
                    if number % 10 == 0 {
                        counted.fetch_add(1, Ordering::SeqCst);
                    } else if let Some(client) = client {
                        let _ = there.0.send_to(&right[..n], client).await;
                    }
                }
            }
        }
    });
    (address, lost)
}

#[test]
fn a_network_that_loses_datagrams_delays_and_no_more() {
    run(|| async {
        let (client, server) = pair();
        let (address, lost) = lossy(server.local_addr().unwrap()).await;
        let connection = connect(&client, address).await;
        round_trip(&connection, &vec![3; 300_000]).await;
        assert!(lost.load(Ordering::SeqCst) > 0);
        assert!(connection.stats().path.lost_packets > 0);
    });
}

#[test]
fn a_peer_that_closes_says_why() {
    run(|| async {
        let identity = Identity::new();
        let server = server(&identity, transport());
        let client = client(&identity, transport());
        let address = server.local_addr().unwrap();
        let accepted = async { server.accept().await.unwrap().await.unwrap() };
        let (ours, theirs) = evenkeel::join!(connect(&client, address), accepted);
        theirs.close(VarInt::from_u32(42), b"enough");
        match ours.closed().await {
            ConnectionError::ApplicationClosed(close) => {
                assert_eq!(close.error_code, VarInt::from_u32(42));
                assert_eq!(close.reason, "enough");
            }
            other => panic!("{other:?}"),
        }
        server.wait_idle().await;
    });
}

#[test]
fn a_peer_that_vanishes_is_found_out_by_the_idle_timeout() {
    run(|| async {
        let identity = Identity::new();
        let mut short = transport();
        let limit = IdleTimeout::try_from(Duration::from_millis(300)).unwrap();
        short.max_idle_timeout(Some(limit));
        let server = server(&identity, transport());
        let client = client(&identity, short);
        let address = server.local_addr().unwrap();
        let accepted = async { server.accept().await.unwrap().await.unwrap() };
        let (ours, theirs) = evenkeel::join!(connect(&client, address), accepted);
        // Nobody reads what comes to the old socket any more.
        let elsewhere = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        server.rebind(elsewhere).unwrap();
        assert!(matches!(ours.closed().await, ConnectionError::TimedOut));
        drop(theirs);
    });
}

#[test]
fn nobody_at_the_other_end_is_an_error_and_the_endpoint_lives() {
    run(|| async {
        let identity = Identity::new();
        let mut short = transport();
        let limit = IdleTimeout::try_from(Duration::from_millis(300)).unwrap();
        short.max_idle_timeout(Some(limit));
        let client = client(&identity, short);
        // A port that was free a moment ago: the kernel answers that nobody is there.
        let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let nobody = free.local_addr().unwrap();
        drop(free);
        let refused = client.connect(nobody, "localhost").unwrap().await;
        assert!(matches!(refused, Err(ConnectionError::TimedOut)));
        let server = server(&identity, transport());
        evenkeel::spawn(serve(server.clone()));
        let connection = connect(&client, server.local_addr().unwrap()).await;
        round_trip(&connection, b"still there").await;
    });
}

#[test]
fn a_wrong_certificate_is_refused() {
    run(|| async {
        let server = server(&Identity::new(), transport());
        evenkeel::spawn(serve(server.clone()));
        let client = client(&Identity::new(), transport());
        let address = server.local_addr().unwrap();
        let refused = client.connect(address, "localhost").unwrap().await;
        assert!(matches!(refused, Err(ConnectionError::TransportError(_))));
    });
}

#[test]
fn the_runtime_ends_with_open_connections() {
    watchdog(|| {
        let runtime = runtime();
        let kept = runtime.block_on(async {
            let (client, server) = pair();
            let connection = connect(&client, server.local_addr().unwrap()).await;
            round_trip(&connection, b"before the end").await;
            (client, server, connection)
        });
        drop(runtime);
        drop(kept);
    });
}
