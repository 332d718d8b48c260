//! Bytes from where reading blocks.
//!
//! A job on the blocking pool fills a buffer, which reads are served from until it is empty. A read
//! that is dropped leaves its job, and the next one gets what that has read.

use crate::join::JoinHandle;
use crate::spawn::spawn_blocking;
use crate::tasks::budget::poll_operation;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::mem;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;

#[derive(Default)]
pub(crate) struct Inflow {
    /// With the job, while there is one.
    buffer: Vec<u8>,
    /// What has been read, and not been given to anybody.
    unread: Range<usize>,
    job: Option<Job>,
}

type Job = JoinHandle<(Vec<u8>, io::Result<usize>)>;

impl Inflow {
    /// Reads into `buf` what is there; if there is nothing, at most `wanted` bytes are read with
    /// `read` first.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        wanted: usize,
        read: impl FnMut(&mut [u8]) -> io::Result<usize> + Send + 'static,
    ) -> Poll<io::Result<()>> {
        poll_operation(cx, |cx| {
            if self.unread.is_empty() {
                if self.job.is_none() {
                    self.start(wanted, read);
                }
                ready!(self.poll_job(cx))?;
            }
            let count = self.unread.len().min(buf.remaining());
            buf.put_slice(&self.buffer[self.unread.start..][..count]);
            self.unread.start += count;
            Poll::Ready(Ok(()))
        })
    }

    fn start(
        &mut self,
        wanted: usize,
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize> + Send + 'static,
    ) {
        let mut buffer = mem::take(&mut self.buffer);
        if buffer.len() < wanted {
            buffer.resize(wanted, 0);
        }
        self.job = Some(spawn_blocking(move || {
            loop {
                match read(&mut buffer[..wanted]) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    result => return (buffer, result),
                }
            }
        }));
    }

    /// Waits for the job, if there is one.
    ///
    /// # Errors
    ///
    /// Of the read.
    pub(crate) fn poll_job(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(job) = &mut self.job else {
            return Poll::Ready(Ok(()));
        };
        let ended = ready!(Pin::new(job).poll(cx));
        self.job = None;
        let (buffer, result) = ended.map_err(io::Error::other)?;
        self.buffer = buffer;
        self.unread = 0..result?;
        Poll::Ready(Ok(()))
    }

    /// True if a read has to wait for a job that has yet to be made.
    #[cfg(feature = "fs")]
    pub(crate) fn is_empty(&self) -> bool {
        self.unread.is_empty() && self.job.is_none()
    }

    /// How many bytes have been read that nobody has got.
    #[cfg(feature = "fs")]
    pub(crate) fn unread(&self) -> usize {
        self.unread.len()
    }

    /// Forgets these.
    #[cfg(feature = "fs")]
    pub(crate) fn clear(&mut self) {
        self.unread = 0..0;
    }

    /// True if nothing is on its way.
    #[cfg(feature = "fs")]
    pub(crate) fn is_idle(&self) -> bool {
        self.job.is_none()
    }
}
