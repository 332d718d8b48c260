//! works: h2
//! by: native
//! tested: server and client on our streams, 50 streams at once, bodies larger than the window,
//! trailers, resets by both sides, pings, a graceful end
//! threads: a connection is driven by the task that polls it, on the workers of the IO lane

mod native_support;
mod support;

use bytes::Bytes;
use evenkeel::net::{TcpListener, TcpStream};
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use hyper::{HeaderMap, Request, Response};
use support::run;

/// Sends the body back, then a trailer with its length; resets `/reset`.
async fn echo(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    if request.uri().path() == "/reset" {
        respond.send_reset(Reason::ENHANCE_YOUR_CALM);
        return Ok(());
    }
    let mut body = request.into_body();
    let mut send = respond.send_response(Response::new(()), false)?;
    let mut len = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        len += data.len();
        let _ = body.flow_control().release_capacity(data.len());
        write(&mut send, data).await?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("length", len.into());
    send.send_trailers(trailers)
}

/// Sends as the peer's window allows.
async fn write(send: &mut h2::SendStream<Bytes>, mut data: Bytes) -> Result<(), h2::Error> {
    while !data.is_empty() {
        send.reserve_capacity(data.len());
        let Some(room) = std::future::poll_fn(|cx| send.poll_capacity(cx)).await else {
            return Ok(());
        };
        send.send_data(data.split_to(room?.min(data.len())), false)?;
    }
    Ok(())
}

/// A client whose connection and server are tasks.
async fn connect() -> (
    SendRequest<Bytes>,
    evenkeel::JoinHandle<Result<(), h2::Error>>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = evenkeel::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await?;
        while let Some(accepted) = connection.accept().await {
            let (request, respond) = accepted?;
            evenkeel::spawn(echo(request, respond));
        }
        Ok(())
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    evenkeel::spawn(connection);
    (client, serving)
}

async fn round_trip(client: SendRequest<Bytes>, body: Bytes) {
    let mut client = client.ready().await.unwrap();
    let request = Request::post("http://localhost/echo").body(()).unwrap();
    let (response, mut send) = client.send_request(request, false).unwrap();
    let sent = body.clone();
    let sending = evenkeel::spawn(async move {
        write(&mut send, sent).await?;
        send.send_data(Bytes::new(), true)
    });
    let mut received = Vec::new();
    let mut answer = response.await.unwrap().into_body();
    while let Some(data) = answer.data().await {
        let data = data.unwrap();
        let _ = answer.flow_control().release_capacity(data.len());
        received.extend_from_slice(&data);
    }
    assert!(received == body);
    let trailers = answer.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["length"], body.len().to_string());
    sending.await.unwrap().unwrap();
}

#[test]
fn bodies_go_both_ways_beyond_the_window() {
    run(|| async {
        let (client, _serving) = connect().await;
        for len in [0, 1, 1_000_000] {
            round_trip(client.clone(), Bytes::from(vec![1; len])).await;
        }
    });
}

#[test]
fn fifty_streams_share_a_connection() {
    run(|| async {
        let (client, _serving) = connect().await;
        let streams: Vec<_> = (0..50_usize)
            .map(|number| {
                let body = vec![number as u8; 2000 * number];
                evenkeel::spawn(round_trip(client.clone(), body.into()))
            })
            .collect();
        for stream in streams {
            stream.await.unwrap();
        }
    });
}

#[test]
fn a_reset_of_either_side_ends_its_stream_alone() {
    run(|| async {
        let (client, _serving) = connect().await;
        let mut ready = client.clone().ready().await.unwrap();
        let request = Request::get("http://localhost/reset").body(()).unwrap();
        let (response, _) = ready.send_request(request, true).unwrap();
        let error = response.await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
        let request = Request::post("http://localhost/echo").body(()).unwrap();
        let (response, mut send) = ready.send_request(request, false).unwrap();
        send.send_reset(Reason::CANCEL);
        assert!(response.await.is_err());
        round_trip(client, Bytes::from_static(b"still there")).await;
    });
}

#[test]
fn pings_are_answered_and_the_connection_ends_with_its_client() {
    run(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = evenkeel::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            connection.accept().await.is_none()
        });
        let stream = TcpStream::connect(address).await.unwrap();
        let (client, mut connection) = h2::client::handshake::<TcpStream>(stream).await.unwrap();
        let mut pings = connection.ping_pong().unwrap();
        evenkeel::spawn(connection);
        for _ in 0..3 {
            pings.ping(h2::Ping::opaque()).await.unwrap();
        }
        drop((client, pings));
        assert!(serving.await.unwrap());
    });
}
