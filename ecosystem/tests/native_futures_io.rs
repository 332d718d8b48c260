//! works: async-tungstenite
//! by: native (feature `futures-io`)
//! tested: server and client on the futures-io traits of TCP and Unix streams, texts and binaries,
//! closing, a peer of tokio-tungstenite
//! threads: sockets are polled by the tasks that hold them, on the workers of the IO lane

mod native_support;
mod support;

use async_tungstenite::tungstenite::{Error, Message};
use async_tungstenite::{accept_async, client_async};
use evenkeel::net::{TcpListener, TcpStream, UnixStream};
use futures_util::{AsyncRead, AsyncWrite, SinkExt, StreamExt};
use support::run;

/// Sends texts and binaries back, and ends with the peer.
async fn echo(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Error> {
    let mut socket = accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let (mut socket, _) = client_async("ws://localhost/", stream).await.unwrap();
    for message in [Message::text("hello"), Message::binary(vec![1; 300_000])] {
        socket.send(message.clone()).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap() == message);
    }
    socket.close(None).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_close());
    assert!(socket.next().await.is_none());
}

#[test]
fn messages_are_exchanged_over_tcp() {
    run(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = evenkeel::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            echo(stream).await
        });
        converse(TcpStream::connect(address).await.unwrap()).await;
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn messages_are_exchanged_over_a_unix_socket() {
    run(|| async {
        let (client, server) = UnixStream::pair().unwrap();
        let serving = evenkeel::spawn(echo(server));
        converse(client).await;
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn a_peer_that_uses_tokios_traits_is_understood() {
    run(|| async {
        let (client, server) = UnixStream::pair().unwrap();
        let serving = evenkeel::spawn(echo(server));
        let connecting = tokio_tungstenite::client_async("ws://localhost/", client);
        let (mut socket, _) = connecting.await.unwrap();
        let message = tokio_tungstenite::tungstenite::Message::text("hello");
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
        drop(socket);
        assert!(serving.await.unwrap().is_err(), "no frame of closing");
    });
}
