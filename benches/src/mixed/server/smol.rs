//! The server on smol: an executor with a thread per CPU (smol's own default is one thread), as
//! smol's book has it, and `smol::unblock` for CPU jobs.

use std::io;
use std::net;
use std::sync::Arc;
use std::thread;

use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use smol::Executor;
use smol::net::{TcpListener, TcpStream};

use super::{BLOCKING_SLEEP, Handler, Job, Server};
use crate::mixed::MESSAGE_BYTES;
use crate::mixed::cases::Background;

pub(super) struct Smol {
    executor: Arc<Executor<'static>>,
}

impl Smol {
    pub(super) fn new() -> io::Result<Self> {
        let executor = Arc::new(Executor::new());
        for _ in 0..thread::available_parallelism()?.get() {
            let executor = Arc::clone(&executor);
            thread::spawn(move || smol::block_on(executor.run(future::pending::<()>())));
        }
        Ok(Self { executor })
    }
}

impl Server for Smol {
    fn serve(&self, listener: net::TcpListener, handler: Handler) -> io::Result<()> {
        let listener = TcpListener::try_from(listener)?;
        self.executor
            .spawn(accept(Arc::clone(&self.executor), listener, handler))
            .detach();
        Ok(())
    }

    fn start(&self, background: Background, job: &Job, in_flight: usize) -> io::Result<()> {
        for _ in 0..in_flight {
            let job = job.clone();
            match background {
                Background::Unblock => self.executor.spawn(unblock(job)).detach(),
                Background::InlineJobs => self.executor.spawn(inline_jobs(job)).detach(),
                Background::BlockingSleeps => self.executor.spawn(blocking_sleeps()).detach(),
                _ => return Err(io::ErrorKind::Unsupported.into()),
            }
        }
        Ok(())
    }
}

async fn accept(executor: Arc<Executor<'static>>, listener: TcpListener, handler: Handler) {
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        stream.set_nodelay(true).expect("set_nodelay");
        executor.spawn(echo(stream, handler)).detach();
    }
}

async fn echo(mut stream: TcpStream, handler: Handler) {
    let mut message = [0; MESSAGE_BYTES];
    while stream.read_exact(&mut message).await.is_ok() {
        handler.run(&message);
        if stream.write_all(&message).await.is_err() {
            return;
        }
    }
}

async fn unblock(job: Job) {
    loop {
        let job = job.clone();
        smol::unblock(move || job.run()).await;
    }
}

async fn inline_jobs(job: Job) {
    loop {
        job.run();
        future::yield_now().await;
    }
}

async fn blocking_sleeps() {
    loop {
        thread::sleep(BLOCKING_SLEEP);
        future::yield_now().await;
    }
}
