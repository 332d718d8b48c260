//! An open file.

use super::{OpenOptions, in_pool};
use crate::io::inflow::Inflow;
use crate::io::outbox::{BUFFER_MAX, Outbox};
use crate::join::JoinHandle;
use crate::spawn::spawn_blocking;
use std::fmt;
use std::fs::{File as StdFile, FileTimes, Metadata, Permissions};
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, Read, Seek, SeekFrom};
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};
use tokio::sync::Mutex;

/// How much is read ahead at first, and after a seek;
const AHEAD_MIN: usize = 8 * 1024;

/// and at most. Each time it is twice as much as before.
const AHEAD_MAX: usize = 128 * 1024;

/// An open file.
///
/// # Writing
///
/// A write is done once its bytes are in a buffer, from which a thread of the blocking pool writes
/// them at once, each by itself; what is written meanwhile follows without another hop. A write of
/// more than the buffer's size ([`set_max_buf_size`](File::set_max_buf_size), 2 MiB by default) is
/// cut, as every `write` may be. An error comes with the next
/// write, `flush`, `shutdown` or `sync`; what was in the buffer then is lost. Dropping the file
/// does not wait: `flush` it before, or others may not see all of it, and errors are lost.
///
/// # Reading
///
/// A regular file that was opened here is read ahead, and the position is set right before it is
/// written, cloned or handed over. So nobody else sees the difference, but a reader may get what
/// was in the file a little earlier: seek to where you are (`seek(SeekFrom::Current(0))`) to have
/// it read again, and before you use the descriptor yourself. Files from
/// [`from_std`](File::from_std), and after [`try_clone`](File::try_clone), may share their position
/// with somebody, and are not read ahead.
///
/// # Cancel safety
///
/// What a dropped read has read is given to the next one. A dropped `write` has written nothing
/// unless it was done; `write_all` and its like may have written a part.
pub struct File {
    std: Arc<StdFile>,
    inner: Mutex<Inner>,
    /// The most that waits to be written, and the most that is read at once.
    buffer_max: usize,
}

struct Inner {
    inflow: Inflow,
    outbox: Outbox<StdFile>,
    seek: Option<JoinHandle<io::Result<u64>>>,
    /// After the last seek.
    position: u64,
    /// It is a regular file, and nobody else moves its position.
    is_sole: bool,
    /// How much is to be read ahead next.
    ahead: usize,
}

impl File {
    /// Opens a file for reading. See [`std::fs::File::open`].
    ///
    /// # Errors
    ///
    /// As the standard library's.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        File::options().read(true).open(path).await
    }

    /// Opens a file for writing, and makes it or removes what is in it. See
    /// [`std::fs::File::create`].
    ///
    /// # Errors
    ///
    /// As the standard library's.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        options.open(path).await
    }

    /// Makes a file, and opens it for reading and writing. See [`std::fs::File::create_new`].
    ///
    /// # Errors
    ///
    /// As the standard library's.
    pub async fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        options.open(path).await
    }

    /// Other ways to open a file.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// A file that the standard library has opened.
    pub fn from_std(std: StdFile) -> File {
        File::opened(std, false)
    }

    pub(super) fn opened(std: StdFile, is_sole: bool) -> File {
        let std = Arc::new(std);
        let inner = Inner {
            inflow: Inflow::default(),
            outbox: Outbox::new(std.clone()),
            seek: None,
            position: 0,
            is_sole,
            ahead: AHEAD_MIN,
        };
        File {
            std,
            inner: Mutex::new(inner),
            buffer_max: BUFFER_MAX,
        }
    }

    /// Runs `f` on the blocking pool, after the writes that are on their way.
    async fn after_writes<T, F>(&self, f: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&StdFile) -> io::Result<T> + Send + 'static,
    {
        let mut inner = self.inner.lock().await;
        inner.settle().await;
        let std = self.std.clone();
        in_pool(move || f(&std)).await
    }

    async fn after_flush<F>(&self, f: F) -> io::Result<()>
    where
        F: FnOnce(&StdFile) -> io::Result<()> + Send + 'static,
    {
        let mut inner = self.inner.lock().await;
        poll_fn(|cx| inner.outbox.poll_flush(cx)).await?;
        let std = self.std.clone();
        in_pool(move || f(&std)).await
    }

    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    ///
    /// Of an earlier write, or as [`std::fs::File::sync_all`].
    pub async fn sync_all(&self) -> io::Result<()> {
        self.after_flush(StdFile::sync_all).await
    }

    /// As [`sync_all`](File::sync_all), but what the system knows of the file need not be.
    ///
    /// # Errors
    ///
    /// Of an earlier write, or as [`std::fs::File::sync_data`].
    pub async fn sync_data(&self) -> io::Result<()> {
        self.after_flush(StdFile::sync_data).await
    }

    /// Makes the file shorter, or longer with zeros.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_len`].
    pub async fn set_len(&self, size: u64) -> io::Result<()> {
        self.after_writes(move |std| std.set_len(size)).await
    }

    /// What the system knows of the file.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::metadata`].
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.after_writes(StdFile::metadata).await
    }

    /// Changes the permissions of the file.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_permissions`].
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.after_writes(|std| std.set_permissions(permissions))
            .await
    }

    /// Changes the times of the file.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_times`].
    pub async fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.after_writes(move |std| std.set_times(times)).await
    }

    /// Changes the time at which the file was written last.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::set_modified`].
    pub async fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.after_writes(move |std| std.set_modified(time)).await
    }

    /// Another value for the same open file: the two share their position.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::try_clone`].
    pub async fn try_clone(&self) -> io::Result<File> {
        let mut inner = self.inner.lock().await;
        inner.settle().await;
        inner.is_sole = false;
        let std = self.std.clone();
        let mut clone = File::from_std(in_pool(move || std.try_clone()).await?);
        clone.buffer_max = self.buffer_max;
        Ok(clone)
    }

    /// The standard library's file, once all is written. An error of a write is lost: `flush`
    /// before.
    ///
    /// # Panics
    ///
    /// If an operation whose future was dropped is still in progress, and the system has no
    /// descriptor left for a second one of the file.
    pub async fn into_std(mut self) -> StdFile {
        self.inner.get_mut().settle().await;
        let File { std, inner, .. } = self;
        drop(inner);
        Arc::try_unwrap(std).unwrap_or_else(|std| std.try_clone().expect("a second descriptor"))
    }

    /// The standard library's file, at once.
    ///
    /// # Errors
    ///
    /// Gives this back if something is in progress.
    #[expect(clippy::result_large_err, reason = "it is tokio's signature")]
    pub fn try_into_std(mut self) -> Result<StdFile, File> {
        let inner = self.inner.get_mut();
        // The file's own, and the outbox's.
        if !inner.is_idle() || Arc::strong_count(&self.std) > 2 {
            return Err(self);
        }
        inner.seek_back();
        let File { std, inner, .. } = self;
        drop(inner);
        Ok(Arc::into_inner(std).expect("nobody has made another one since"))
    }

    /// How much may wait to be written, and is read at once, in bytes; 2 MiB by default. With a
    /// small one less is read ahead, too.
    ///
    /// # Panics
    ///
    /// If it is zero.
    pub fn set_max_buf_size(&mut self, bytes: usize) {
        assert!(bytes > 0, "a file needs room for at least one byte");
        self.buffer_max = bytes;
    }

    /// What [`set_max_buf_size`](File::set_max_buf_size) has set.
    pub fn max_buf_size(&self) -> usize {
        self.buffer_max
    }
}

impl Inner {
    fn is_idle(&self) -> bool {
        self.seek.is_none() && self.inflow.is_idle() && self.outbox.is_idle()
    }

    fn poll_seek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(seek) = &mut self.seek {
            let ended = ready!(Pin::new(seek).poll(cx));
            self.seek = None;
            self.position = ended.map_err(io::Error::other)??;
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for what is in progress, so that the position is where the user thinks.
    async fn settle(&mut self) {
        poll_fn(|cx| self.poll_settle(cx)).await;
        self.seek_back();
    }

    /// Errors of reads and seeks, whose futures are gone, are not told of; those of writes are,
    /// later.
    fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = ready!(self.poll_seek(cx));
        let _ = ready!(self.inflow.poll_job(cx));
        self.outbox.poll_written(cx)
    }

    /// Gives back what was read, and nobody has got. This does not wait for the disk, and so needs
    /// no hop.
    fn seek_back(&mut self) {
        let unread = self.inflow.unread();
        if unread == 0 {
            return;
        }
        // A few megabytes at most.
        let back = SeekFrom::Current(-(unread as i64));
        // What cannot be sought in is for the next read.
        if (&**self.outbox.target()).seek(back).is_ok() {
            self.inflow.clear();
            self.ahead = AHEAD_MIN;
        }
    }

    fn wanted(&mut self, room: usize, buffer_max: usize) -> usize {
        if !self.is_sole {
            return room.min(buffer_max);
        }
        let wanted = room.max(self.ahead).min(buffer_max);
        if self.inflow.is_empty() {
            self.ahead = (2 * self.ahead).min(AHEAD_MAX);
        }
        wanted
    }
}

impl AsyncRead for File {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (std, buffer_max) = (self.std.clone(), self.buffer_max);
        let inner = self.inner.get_mut();
        let _ = ready!(inner.poll_seek(cx));
        ready!(inner.outbox.poll_written(cx));
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let wanted = inner.wanted(buf.remaining(), buffer_max);
        let read = move |buf: &mut [u8]| (&*std).read(buf);
        inner.inflow.poll_read(cx, buf, wanted, read)
    }
}

impl AsyncWrite for File {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let buffer_max = self.buffer_max;
        let inner = self.inner.get_mut();
        let _ = ready!(inner.poll_seek(cx));
        let _ = ready!(inner.inflow.poll_job(cx));
        inner.seek_back();
        inner.outbox.poll_write(cx, bufs, buffer_max)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.get_mut().outbox.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl AsyncSeek for File {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        let std = self.std.clone();
        let inner = self.inner.get_mut();
        if !inner.is_idle() {
            let message = "another operation is in progress: call `poll_complete` before";
            return Err(io::Error::other(message));
        }
        inner.seek_back();
        inner.ahead = AHEAD_MIN;
        // Only for the end the system may have to ask a server.
        if inner.is_sole && !matches!(position, SeekFrom::End(_)) {
            inner.position = (&*std).seek(position)?;
        } else {
            inner.seek = Some(spawn_blocking(move || (&*std).seek(position)));
        }
        Ok(())
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let inner = self.inner.get_mut();
        ready!(inner.outbox.poll_written(cx));
        let _ = ready!(inner.inflow.poll_job(cx));
        ready!(inner.poll_seek(cx))?;
        Poll::Ready(Ok(inner.position))
    }
}

impl From<StdFile> for File {
    fn from(std: StdFile) -> File {
        File::from_std(std)
    }
}

#[cfg(unix)]
impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File::from_std(fd.into())
    }
}

#[cfg(unix)]
impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> File {
        // SAFETY: by the caller's word.
        File::from_std(unsafe { StdFile::from_raw_fd(fd) })
    }
}

#[cfg(unix)]
impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.std.as_fd()
    }
}

#[cfg(unix)]
impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.std.as_raw_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("File").field(&self.std).finish()
    }
}
