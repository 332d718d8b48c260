//! What is in a directory.

use super::in_pool;
use crate::join::JoinHandle;
use crate::spawn::spawn_blocking;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, FileType, Metadata};
use std::future::{Future, poll_fn};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// How many entries are read in one hop to the blocking pool.
const CHUNK: usize = 64;

/// What is in a directory, in no order. See [`std::fs::read_dir`].
///
/// # Errors
///
/// As the standard library's.
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref().to_owned();
    let chunk = in_pool(|| Ok(Chunk::read(fs::read_dir(path)?))).await?;
    Ok(ReadDir { chunk, job: None })
}

/// The entries of a directory, from [`read_dir`].
#[must_use = "the entries are read by `next_entry`"]
pub struct ReadDir {
    chunk: Chunk,
    job: Option<JoinHandle<Chunk>>,
}

/// Entries that have been read, and where the others come from, if there are any.
#[derive(Default)]
struct Chunk {
    entries: VecDeque<io::Result<DirEntry>>,
    rest: Option<fs::ReadDir>,
}

impl Chunk {
    fn read(mut rest: fs::ReadDir) -> Chunk {
        let entries: VecDeque<_> = rest
            .by_ref()
            .take(CHUNK)
            .map(|entry| entry.map(DirEntry::new))
            .collect();
        let is_end = entries.len() < CHUNK;
        Chunk {
            entries,
            rest: (!is_end).then_some(rest),
        }
    }
}

impl ReadDir {
    /// The next entry, or `None` at the end.
    ///
    /// # Errors
    ///
    /// Those of the system, when it cannot read the directory any further.
    ///
    /// # Cancel safety
    ///
    /// No entry is lost if the future is dropped.
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        poll_fn(|cx| self.poll_next_entry(cx)).await
    }

    /// As [`next_entry`](ReadDir::next_entry), for hand-written futures.
    ///
    /// # Errors
    ///
    /// As [`next_entry`](ReadDir::next_entry).
    pub fn poll_next_entry(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<DirEntry>>> {
        loop {
            if let Some(job) = &mut self.job {
                let chunk = ready!(Pin::new(job).poll(cx));
                self.job = None;
                self.chunk = chunk.map_err(io::Error::other)?;
            }
            if let Some(entry) = self.chunk.entries.pop_front() {
                return Poll::Ready(entry.map(Some));
            }
            match self.chunk.rest.take() {
                Some(rest) => self.job = Some(spawn_blocking(|| Chunk::read(rest))),
                None => return Poll::Ready(Ok(None)),
            }
        }
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").finish_non_exhaustive()
    }
}

/// An entry of a directory.
#[derive(Debug)]
pub struct DirEntry {
    std: Arc<fs::DirEntry>,
    /// The system mostly tells it with the name.
    file_type: Option<FileType>,
}

impl DirEntry {
    /// To be called on the blocking pool.
    fn new(std: fs::DirEntry) -> DirEntry {
        DirEntry {
            file_type: std.file_type().ok(),
            std: Arc::new(std),
        }
    }

    /// The path of the directory, as it was given, with the name of the entry.
    pub fn path(&self) -> PathBuf {
        self.std.path()
    }

    /// The name of the entry.
    pub fn file_name(&self) -> OsString {
        self.std.file_name()
    }

    /// What the system knows of it, be it a link.
    ///
    /// # Errors
    ///
    /// Those of the system: it may be gone by now.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let std = self.std.clone();
        in_pool(move || std.metadata()).await
    }

    /// What it is: a file, a directory, a link.
    ///
    /// # Errors
    ///
    /// Those of the system: it may be gone by now.
    pub async fn file_type(&self) -> io::Result<FileType> {
        if let Some(file_type) = self.file_type {
            return Ok(file_type);
        }
        let std = self.std.clone();
        in_pool(move || std.file_type()).await
    }

    /// The number of its inode.
    #[cfg(unix)]
    pub fn ino(&self) -> u64 {
        std::os::unix::fs::DirEntryExt::ino(&*self.std)
    }
}
