//! The server on each runtime. Each function returns its port, and serves until the process ends.

use ::smol::net::TcpStream as SmolStream;
use ::tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{BUFFER_BYTES, serve};
use crate::runtimes::{Evenkeel, Smol, Tokio};

pub(super) fn evenkeel() -> Result<u16, String> {
    serve::<Evenkeel, _>(|stream| {
        stream.set_nodelay(true).expect("set_nodelay");
        echo(stream)
    })
}

pub(super) fn tokio() -> Result<u16, String> {
    serve::<Tokio, _>(|stream| {
        stream.set_nodelay(true).expect("set_nodelay");
        echo(stream)
    })
}

pub(super) fn smol() -> Result<u16, String> {
    serve::<Smol, _>(|stream| {
        let stream = SmolStream::from(stream);
        stream.set_nodelay(true).expect("set_nodelay");
        smol_echo(stream)
    })
}

/// A connection of a runtime with tokio's IO traits.
pub(crate) async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let mut buffer = [0; BUFFER_BYTES];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// The same over futures-io's.
async fn smol_echo(mut stream: SmolStream) {
    use futures_lite::{AsyncReadExt, AsyncWriteExt};

    let mut buffer = [0; BUFFER_BYTES];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
