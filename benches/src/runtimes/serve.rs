//! Servers, on any runtime.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::runtime::Runtime;

/// Accepts connections until the process ends, with a task for each, and returns the port.
pub(crate) fn serve<R, F>(
    runtime: &'static R,
    connection: impl Fn(R::Stream) -> F + Send + 'static,
) -> Result<u16, String>
where
    R: Runtime,
    F: Future<Output = ()> + Send + 'static,
{
    let (listener, port) = listen()?;
    R::detach(runtime.spawn(async move {
        let listener = R::listen(listener).expect("listen");
        loop {
            let stream = R::accept(&listener).await.expect("accept");
            R::detach(runtime.spawn_in_task(connection(stream)));
        }
    }));
    Ok(port)
}

/// A non-blocking listener on a free port, and that port.
pub(crate) fn listen() -> Result<(TcpListener, u16), String> {
    let listen = || -> io::Result<(TcpListener, u16)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    };
    listen().map_err(|error| format!("listen: {error}"))
}

/// A connection that answers with what it is told, through this buffer.
pub(crate) async fn echo<S>(mut stream: S, mut buffer: impl AsMut<[u8]>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let buffer = buffer.as_mut();
    while let Ok(count @ 1..) = stream.read(buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
