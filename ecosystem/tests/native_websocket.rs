//! works: tokio-tungstenite
//! by: native
//! tested: server and client on our streams, texts, binaries and pings, 1 MB messages, 64 clients
//! at once, a broadcast, limits of size, closing, peers that break off or speak no WebSocket
//! threads: sockets are polled by the tasks that hold them, on the workers of the IO lane

mod native_support;
mod support;

use std::net::SocketAddr;

use evenkeel::io::AsyncWriteExt;
use evenkeel::net::{TcpListener, TcpStream};
use futures_util::{SinkExt, StreamExt};
use support::run;
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, client_async};

const SIZE_MAX: usize = 2_000_000;

/// Sends texts and binaries back, and ends with the peer.
async fn echo(stream: TcpStream) -> Result<(), Error> {
    let config = WebSocketConfig::default().max_message_size(Some(SIZE_MAX));
    let mut socket = accept_async_with_config(stream, Some(config)).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

/// Serves one connection after the other, each by a task, and tells how each has ended.
async fn serve() -> (
    SocketAddr,
    tokio::sync::mpsc::UnboundedReceiver<Result<(), Error>>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, ends) = tokio::sync::mpsc::unbounded_channel();
    evenkeel::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let told = told.clone();
            evenkeel::spawn(async move {
                let _ = told.send(echo(stream).await);
            });
        }
    });
    (address, ends)
}

async fn connect(address: SocketAddr) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let url = format!("ws://{address}/");
    client_async(url, stream).await.unwrap().0
}

#[test]
fn messages_of_all_kinds_are_exchanged() {
    run(|| async {
        let (address, mut ends) = serve().await;
        let mut socket = connect(address).await;
        let large = vec![9; 1_000_000];
        for message in [Message::text("hello"), Message::text(""), large.into()] {
            socket.send(message.clone()).await.unwrap();
            assert!(socket.next().await.unwrap().unwrap() == message);
        }
        socket
            .send(Message::Ping("are you there?".into()))
            .await
            .unwrap();
        let pong = socket.next().await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong("are you there?".into()));
        let frame = CloseFrame {
            code: CloseCode::Away,
            reason: "gone".into(),
        };
        socket.close(Some(frame.clone())).await.unwrap();
        let last = socket.next().await.unwrap().unwrap();
        assert_eq!(last, Message::Close(Some(frame)));
        assert!(socket.next().await.is_none());
        ends.recv().await.unwrap().unwrap();
    });
}

#[test]
fn sixty_four_clients_are_answered() {
    run(|| async {
        let (address, _ends) = serve().await;
        let clients: Vec<_> = (0..64)
            .map(|number: u32| {
                evenkeel::spawn(async move {
                    let mut socket = connect(address).await;
                    for round in 0..10 {
                        let message = Message::text(format!("{number} {round}"));
                        socket.send(message.clone()).await.unwrap();
                        assert_eq!(socket.next().await.unwrap().unwrap(), message);
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
    });
}

#[test]
fn a_broadcast_reaches_all() {
    run(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (all, _) = broadcast::channel::<String>(16);
        let of_server = all.clone();
        evenkeel::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut texts = of_server.subscribe();
                evenkeel::spawn(async move {
                    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                    while let Ok(text) = texts.recv().await {
                        socket.send(Message::text(text)).await.unwrap();
                    }
                });
            }
        });
        let mut sockets = Vec::new();
        for _ in 0..10 {
            sockets.push(connect(address).await);
        }
        for text in ["one", "two"] {
            all.send(text.to_owned()).unwrap();
            for socket in &mut sockets {
                assert_eq!(
                    socket.next().await.unwrap().unwrap().to_text().unwrap(),
                    text
                );
            }
        }
    });
}

#[test]
fn what_is_too_large_is_refused() {
    run(|| async {
        let (address, mut ends) = serve().await;
        let mut socket = connect(address).await;
        let _ = socket.send(vec![0; SIZE_MAX + 1].into()).await;
        let end = ends.recv().await.unwrap();
        assert!(matches!(end, Err(Error::Capacity(_))), "{end:?}");
    });
}

#[test]
fn peers_that_break_off_or_speak_no_websocket_end_alone() {
    run(|| async {
        let (address, mut ends) = serve().await;
        let mut other = connect(address).await;
        drop(connect(address).await);
        assert!(ends.recv().await.unwrap().is_err(), "no frame of closing");
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        assert!(matches!(
            ends.recv().await.unwrap(),
            Err(Error::Protocol(_))
        ));
        let mut socket = connect(address).await;
        // A frame of the client that is not masked.
        socket.get_mut().write_all(&[0x81, 1, b'x']).await.unwrap();
        assert!(matches!(
            ends.recv().await.unwrap(),
            Err(Error::Protocol(_))
        ));
        other.send(Message::text("still here")).await.unwrap();
        assert!(other.next().await.unwrap().is_ok());
    });
}
