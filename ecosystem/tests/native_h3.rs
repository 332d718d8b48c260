//! works: h3 + h3-quinn
//! by: native (`evenkeel::quinn`)
//! tested: server and client of HTTP/3, bodies both ways, trailers, 32 requests at once, a server
//! that says goodbye
//! threads: all is tasks of the IO lane

mod native_support;
mod support;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use evenkeel::quinn::Runtime;
use h3::client::SendRequest;
use h3::error::StreamError;
use h3::server::{RequestResolver, RequestStream};
use h3_quinn::OpenStreams;
use hyper::{HeaderMap, Request, Response, StatusCode};
use native_support::Identity;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig};
use support::{run, until};

const ALPN: &[&str] = &["h3"];

fn endpoint(config: Option<ServerConfig>) -> Endpoint {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let runtime = Arc::new(Runtime::new());
    Endpoint::new(EndpointConfig::default(), config, socket, runtime).unwrap()
}

/// Serves until the client goes, or after so many requests.
async fn serve(endpoint: Endpoint, requests_max: usize) {
    let quic = endpoint.accept().await.unwrap().await.unwrap();
    let connection = h3_quinn::Connection::new(quic.clone());
    let mut connection = h3::server::Connection::new(connection).await.unwrap();
    let mut requests = 0;
    while let Ok(Some(request)) = connection.accept().await {
        evenkeel::spawn(answer(request));
        requests += 1;
        if requests == requests_max {
            connection.shutdown(0).await.unwrap();
        }
    }
    // What was answered may still be under way.
    quic.closed().await;
}

/// Sends the body back, and a trailer with its length.
async fn answer(request: RequestResolver<h3_quinn::Connection, Bytes>) -> Result<(), StreamError> {
    let (request, mut stream): (_, RequestStream<_, Bytes>) = request.resolve_request().await?;
    let mut response = Response::new(());
    if request.uri().path() != "/echo" {
        *response.status_mut() = StatusCode::NOT_FOUND;
        stream.send_response(response).await?;
        return stream.finish().await;
    }
    stream.send_response(response).await?;
    let mut len = 0;
    while let Some(mut data) = stream.recv_data().await? {
        let data = data.copy_to_bytes(data.remaining());
        len += data.len();
        stream.send_data(data).await?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("length", len.into());
    stream.send_trailers(trailers).await?;
    stream.finish().await
}

type Client = SendRequest<OpenStreams, Bytes>;

/// A client of a server for one connection. The second is done when that connection is.
async fn connect(requests_max: usize) -> (Client, evenkeel::JoinHandle<()>, Endpoint) {
    let identity = Identity::new();
    let crypto = QuicServerConfig::try_from(identity.server(ALPN)).unwrap();
    let server = endpoint(Some(ServerConfig::with_crypto(Arc::new(crypto))));
    let address: SocketAddr = server.local_addr().unwrap();
    evenkeel::spawn(serve(server, requests_max));

    let crypto = QuicClientConfig::try_from(identity.client(ALPN)).unwrap();
    let mut endpoint = endpoint(None);
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
    let connection = endpoint
        .connect(address, "localhost")
        .unwrap()
        .await
        .unwrap();
    let connection = h3_quinn::Connection::new(connection);
    let (mut driver, client) = h3::client::new(connection).await.unwrap();
    let ended = evenkeel::spawn(async move {
        driver.wait_idle().await;
    });
    (client, ended, endpoint)
}

async fn round_trip(mut client: Client, body: Bytes) {
    let request = Request::post("https://localhost/echo").body(()).unwrap();
    let stream = client.send_request(request).await.unwrap();
    let (mut send, mut receive) = stream.split();
    let sent = body.clone();
    let sending = evenkeel::spawn(async move {
        for part in sent.chunks(10_000) {
            send.send_data(Bytes::copy_from_slice(part)).await.unwrap();
        }
        send.finish().await.unwrap();
    });
    assert_eq!(receive.recv_response().await.unwrap().status(), 200);
    let mut received = Vec::new();
    while let Some(mut data) = receive.recv_data().await.unwrap() {
        received.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    assert!(received == body);
    let trailers = receive.recv_trailers().await.unwrap().unwrap();
    assert_eq!(trailers["length"], body.len().to_string());
    sending.await.unwrap();
}

#[test]
fn requests_are_answered() {
    run(|| async {
        let (mut client, _ended, _endpoint) = connect(usize::MAX).await;
        for len in [0, 1, 1_000_000] {
            round_trip(client.clone(), Bytes::from(vec![2; len])).await;
        }
        let request = Request::get("https://localhost/missing").body(()).unwrap();
        let mut stream = client.send_request(request).await.unwrap();
        stream.finish().await.unwrap();
        assert_eq!(stream.recv_response().await.unwrap().status(), 404);
    });
}

#[test]
fn thirty_two_requests_share_a_connection() {
    run(|| async {
        let (client, _ended, _endpoint) = connect(usize::MAX).await;
        let requests: Vec<_> = (0..32_usize)
            .map(|number| {
                let body = Bytes::from(vec![number as u8; 1000 * number]);
                evenkeel::spawn(round_trip(client.clone(), body))
            })
            .collect();
        for request in requests {
            request.await.unwrap();
        }
    });
}

#[test]
fn a_server_that_says_goodbye_takes_no_more() {
    run(|| async {
        let (client, ended, endpoint) = connect(1).await;
        round_trip(client.clone(), Bytes::from_static(b"the last one")).await;
        until(|| async {
            let request = Request::get("https://localhost/echo").body(()).unwrap();
            client.clone().send_request(request).await.is_err()
        })
        .await;
        endpoint.close(0_u32.into(), b"");
        ended.await.unwrap();
    });
}
