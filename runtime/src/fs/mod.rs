//! Files and directories.
//!
//! The system has no way to wait for a file that is worth having, so everything here runs on the
//! blocking pool: a hop to one of its threads and back, some microseconds, and as long as the disk
//! takes. What costs a hop:
//!
//! | | hops |
//! |---|---|
//! | a function of this module, such as [`read`] or [`create_dir_all`] | one, whatever it does |
//! | [`File::open`], and its other methods that are `async` | one |
//! | a read of a [`File`] | one for what it reads ahead: 8 KiB at first, up to 128 KiB |
//! | writes to a [`File`] | one for all that come before it has been made |
//! | `flush` | none, but it waits for the writes |
//! | `seek` | none, but for [`SeekFrom::End`](std::io::SeekFrom) |
//! | [`ReadDir::next_entry`] | one for 64 entries; their [`file_type`](DirEntry::file_type) none |
//!
//! Files that may share their position with somebody (from [`File::from_std`], after
//! [`File::try_clone`], or not regular ones) are not read ahead, and each of their seeks is a hop.
//!
//! So many small reads or writes of other files need no `BufReader` or `BufWriter`. For work with
//! many steps on many files, one closure in [`spawn_blocking`] that uses [`std::fs`] is cheaper
//! than any of this.
//!
//! # Panics
//!
//! All of it panics outside a runtime.
//!
//! # Cancel safety
//!
//! What has begun goes on if its future is dropped: a file is removed, or not, whether or not
//! somebody waits for the answer.

mod dir;
mod dir_builder;
mod file;
mod open_options;

pub use dir::{DirEntry, ReadDir, read_dir};
pub use dir_builder::DirBuilder;
pub use file::File;
pub use open_options::OpenOptions;
#[doc(no_inline)]
pub use std::fs::{FileTimes, FileType, Metadata, Permissions};

use crate::runtime::pool_shut_down;
use crate::spawn::spawn_blocking;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Runs `f` on the blocking pool.
async fn in_pool<T, F>(f: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> io::Result<T> + Send + 'static,
{
    match spawn_blocking(f).await {
        Ok(result) => result,
        Err(error) if error.is_cancelled() => Err(pool_shut_down::error()),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The absolute path without links. See [`std::fs::canonicalize`].
///
/// # Errors
///
/// As the standard library's.
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    in_pool(|| fs::canonicalize(path)).await
}

/// Copies what is in a file, and its permissions; the number of bytes. See [`std::fs::copy`].
///
/// # Errors
///
/// As the standard library's.
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    in_pool(|| fs::copy(from, to)).await
}

/// Makes a directory. See [`std::fs::create_dir`].
///
/// # Errors
///
/// As the standard library's.
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    in_pool(|| fs::create_dir(path)).await
}

/// Makes a directory, and those above it that are missing. See [`std::fs::create_dir_all`].
///
/// # Errors
///
/// As the standard library's.
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    in_pool(|| fs::create_dir_all(path)).await
}

/// Gives a file one more name. See [`std::fs::hard_link`].
///
/// # Errors
///
/// As the standard library's.
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    in_pool(|| fs::hard_link(original, link)).await
}

/// What the system knows of the file that the path leads to. See [`std::fs::metadata`].
///
/// # Errors
///
/// As the standard library's.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref().to_owned();
    in_pool(|| fs::metadata(path)).await
}

/// All that is in a file. See [`std::fs::read`].
///
/// # Errors
///
/// As the standard library's.
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref().to_owned();
    in_pool(|| fs::read(path)).await
}

/// Where a link leads to. See [`std::fs::read_link`].
///
/// # Errors
///
/// As the standard library's.
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    in_pool(|| fs::read_link(path)).await
}

/// All that is in a file, as text. See [`std::fs::read_to_string`].
///
/// # Errors
///
/// As the standard library's.
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref().to_owned();
    in_pool(|| fs::read_to_string(path)).await
}

/// Removes an empty directory. See [`std::fs::remove_dir`].
///
/// # Errors
///
/// As the standard library's.
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    in_pool(|| fs::remove_dir(path)).await
}

/// Removes a directory and all that is in it. See [`std::fs::remove_dir_all`].
///
/// # Errors
///
/// As the standard library's.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    in_pool(|| fs::remove_dir_all(path)).await
}

/// Removes a file. See [`std::fs::remove_file`].
///
/// # Errors
///
/// As the standard library's.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    in_pool(|| fs::remove_file(path)).await
}

/// Gives a file or a directory another name, and replaces a file that has that. See
/// [`std::fs::rename`].
///
/// # Errors
///
/// As the standard library's.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    in_pool(|| fs::rename(from, to)).await
}

/// Changes the permissions of a file or a directory. See [`std::fs::set_permissions`].
///
/// # Errors
///
/// As the standard library's.
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    in_pool(|| fs::set_permissions(path, permissions)).await
}

/// Makes a symbolic link. See [`std::os::unix::fs::symlink`].
///
/// # Errors
///
/// As the standard library's.
#[cfg(unix)]
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_owned(), link.as_ref().to_owned());
    in_pool(|| std::os::unix::fs::symlink(original, link)).await
}

/// What the system knows of what has this name, be it a link. See [`std::fs::symlink_metadata`].
///
/// # Errors
///
/// As the standard library's.
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref().to_owned();
    in_pool(|| fs::symlink_metadata(path)).await
}

/// Whether the path leads to something. See [`std::fs::exists`].
///
/// # Errors
///
/// As the standard library's: it could not be found out.
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    let path = path.as_ref().to_owned();
    in_pool(|| fs::exists(path)).await
}

/// Makes a file of this, or replaces all that is in it. See [`std::fs::write`].
///
/// # Errors
///
/// As the standard library's.
pub async fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let (path, contents) = (path.as_ref().to_owned(), contents.as_ref().to_owned());
    in_pool(|| fs::write(path, contents)).await
}
