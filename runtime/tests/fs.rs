//! Files and directories.
#![cfg(all(unix, feature = "fs"))]

mod support;

use evenkeel::fs::{self, DirBuilder, File, OpenOptions};
use evenkeel::io::{AsyncReadExt, AsyncSeekExt, AsyncWrite, AsyncWriteExt, ErrorKind, SeekFrom};
use evenkeel::runtime::is_rt_shutdown_err;
use std::collections::BTreeSet;
use std::future::Future;
use std::io::{IoSlice, Read, Seek, Write};
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};
use support::{in_block_on, runtime, watchdog};

/// A directory that is removed with all that is in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NUMBERS: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("evenkeel-fs-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn file(&self, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join("file");
        std::fs::write(&path, contents).unwrap();
        path
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bytes that tell where they are from.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// Where the system has the position of the file.
fn position(file: &impl AsFd) -> u64 {
    let mut file = std::fs::File::from(file.as_fd().try_clone_to_owned().unwrap());
    file.stream_position().unwrap()
}

#[test]
fn what_is_flushed_is_in_the_file() {
    in_block_on(2, || async {
        let dir = Scratch::new();
        let path = dir.join("new");
        let mut file = File::create(&path).await.unwrap();
        let mut expected = Vec::new();
        for piece in 0..5_000 {
            let line = format!("{piece}\n");
            file.write_all(line.as_bytes()).await.unwrap();
            expected.extend(line.into_bytes());
        }
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        file.sync_all().await.unwrap();
        file.sync_data().await.unwrap();
    });
}

#[test]
fn what_is_not_flushed_is_written_all_the_same() {
    let dir = Scratch::new();
    let path = dir.join("new");
    let writes = path.clone();
    watchdog(move || {
        let runtime = runtime();
        runtime.block_on(async move {
            let mut file = File::create(&writes).await.unwrap();
            file.write_all(&pattern(100_000)).await.unwrap();
        });
    });
    assert_eq!(std::fs::read(&path).unwrap(), pattern(100_000));
}

#[test]
fn a_large_write_takes_what_the_buffer_holds() {
    in_block_on(2, || async {
        let dir = Scratch::new();
        let mut file = File::create(dir.join("new")).await.unwrap();
        file.set_max_buf_size(1000);
        assert_eq!(file.max_buf_size(), 1000);
        assert_eq!(file.write(&pattern(5000)).await.unwrap(), 1000);
        file.write_all(&pattern(50_000)).await.unwrap();
        // The metadata is that after what was written.
        assert_eq!(file.metadata().await.unwrap().len(), 51_000);
    });
}

#[test]
fn all_of_a_file_is_read_whatever_the_pieces() {
    in_block_on(2, || async {
        let dir = Scratch::new();
        let path = dir.file(pattern(300_000));
        let mut file = File::open(&path).await.unwrap();
        let mut seen = Vec::new();
        for size in [1, 7, 100, 8192, 100_000].iter().cycle() {
            let mut buf = vec![0; *size];
            match file.read(&mut buf).await.unwrap() {
                0 => break,
                n => seen.extend(&buf[..n]),
            }
        }
        assert!(seen == pattern(300_000));
        file.rewind().await.unwrap();
        let mut all = Vec::new();
        file.read_to_end(&mut all).await.unwrap();
        assert!(all == seen);
    });
}

#[test]
fn reading_ahead_is_seen_by_nobody_who_shares_the_position() {
    in_block_on(2, || async {
        let dir = Scratch::new();
        let path = dir.file(pattern(100_000));
        let mut file = File::open(&path).await.unwrap();
        assert_eq!(file.read_u8().await.unwrap(), 0);
        // There is something to be seen.
        assert!(position(&file) > 1);
        let mut clone = file.try_clone().await.unwrap();
        assert_eq!(clone.read_u8().await.unwrap(), 1);
        assert_eq!(file.read_u8().await.unwrap(), 2);
        assert_eq!(position(&clone), 3);

        let mut file = File::open(&path).await.unwrap();
        assert_eq!(file.read_u16().await.unwrap(), 1);
        let mut std = file.into_std().await;
        assert_eq!(std.stream_position().unwrap(), 2);

        std.rewind().unwrap();
        let mut file = File::from_std(std);
        assert_eq!(file.read_u8().await.unwrap(), 0);
        assert_eq!(position(&file), 1);

        let mut file = File::open(&path).await.unwrap();
        assert_eq!(file.read_u8().await.unwrap(), 0);
        let std = file.try_into_std().unwrap();
        assert_eq!(position(&std), 1);
    });
}

#[test]
fn a_write_after_a_read_goes_to_where_the_read_ended() {
    in_block_on(2, || async {
        let dir = Scratch::new();
        let path = dir.file("abcdefgh");
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).open(&path).await.unwrap();
        let mut two = [0; 2];
        file.read_exact(&mut two).await.unwrap();
        file.write_all(b"XY").await.unwrap();
        // A read after a write sees what was written, and goes on behind it.
        file.read_exact(&mut two).await.unwrap();
        assert_eq!(&two, b"ef");
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abXYefgh");
    });
}

#[test]
fn seeks_count_from_where_the_reader_is() {
    in_block_on(2, || async {
        let dir = Scratch::new();
        let path = dir.file(pattern(100));
        for mut file in [
            File::open(&path).await.unwrap(),
            File::from_std(std::fs::File::open(&path).unwrap()),
        ] {
            file.read_exact(&mut [0; 10]).await.unwrap();
            assert_eq!(file.stream_position().await.unwrap(), 10);
            assert_eq!(file.seek(SeekFrom::Current(5)).await.unwrap(), 15);
            assert_eq!(file.read_u8().await.unwrap(), 15);
            assert_eq!(file.seek(SeekFrom::End(-1)).await.unwrap(), 99);
            assert_eq!(file.read_u8().await.unwrap(), 99);
            assert_eq!(file.read(&mut [0]).await.unwrap(), 0);
            assert_eq!(file.seek(SeekFrom::Start(3)).await.unwrap(), 3);
            assert_eq!(file.read_u8().await.unwrap(), 3);
            let before = file.seek(SeekFrom::Current(-10)).await.unwrap_err();
            assert_eq!(before.kind(), ErrorKind::InvalidInput);
        }
    });
}

#[test]
fn a_seek_after_a_write_that_is_on_its_way_comes_after_it() {
    in_block_on(2, || async {
        let dir = Scratch::new();
        let path = dir.join("new");
        let mut file = File::create_new(&path).await.unwrap();
        file.write_all(b"abc").await.unwrap();
        assert_eq!(file.seek(SeekFrom::Start(1)).await.unwrap(), 1);
        file.write_all(b"X").await.unwrap();
        file.rewind().await.unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "aXc");
        assert!(File::create_new(&path).await.is_err());
    });
}

#[test]
fn an_error_of_a_write_comes_with_the_next_one_and_only_once() {
    in_block_on(2, || async {
        let dir = Scratch::new();
        let path = dir.file("old");
        for how in 0..4 {
            // It is not open for writing, which only the system knows.
            let mut file = File::open(&path).await.unwrap();
            file.write_all(b"new").await.unwrap();
            // A read does not take the error away.
            if how == 1 {
                file.read_u8().await.unwrap();
            }
            let error = match how {
                0 | 1 => file.flush().await,
                2 => file.sync_all().await,
                _ => loop {
                    if let Err(error) = file.write_all(b"x").await {
                        break Err(error);
                    }
                },
            };
            assert_eq!(
                error.unwrap_err().raw_os_error(),
                Some(libc::EBADF),
                "{how}"
            );
            if how < 3 {
                file.flush().await.unwrap();
            }
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
    });
}

#[test]
fn what_an_abandoned_read_reads_is_for_the_next_one() {
    in_block_on(2, || async {
        // In a pipe there is nothing to read yet.
        let (end, mut other) = std::io::pipe().unwrap();
        let mut file = File::from(OwnedFd::from(end));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pin!(file.read_u8()).poll(&mut cx).is_pending());
        other.write_all(b"ab").unwrap();
        assert_eq!(file.read_u8().await.unwrap(), b'a');
        // Of a pipe nothing is read ahead.
        assert_eq!(file.read_u8().await.unwrap(), b'b');
        other.write_all(b"cd").unwrap();
        assert_eq!(file.read_u8().await.unwrap(), b'c');
        let mut std = file.into_std().await;
        drop(other);
        let mut rest = Vec::new();
        std.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"d");
    });
}

#[test]
fn a_file_in_use_is_not_given_away() {
    in_block_on(2, || async {
        let (end, mut other) = std::io::pipe().unwrap();
        let mut file = File::from(OwnedFd::from(end));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pin!(file.read_u8()).poll(&mut cx).is_pending());
        let mut file = file.try_into_std().unwrap_err();
        other.write_all(b"a").unwrap();
        assert_eq!(file.read_u8().await.unwrap(), b'a');
    });
}

#[test]
fn a_reader_at_the_end_sees_what_is_appended() {
    in_block_on(2, || async {
        let dir = Scratch::new();
        let path = dir.file("a");
        let mut reader = File::open(&path).await.unwrap();
        let mut log = OpenOptions::new();
        let mut log = log.append(true).open(&path).await.unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).await.unwrap();
        log.write_all(b"b").await.unwrap();
        log.flush().await.unwrap();
        reader.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "ab");
    });
}

#[test]
fn length_permissions_and_times_can_be_set() {
    in_block_on(2, || async {
        let dir = Scratch::new();
        let path = dir.file("abcdef");
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).open(&path).await.unwrap();
        assert_eq!(file.read_u8().await.unwrap(), b'a');
        file.set_len(2).await.unwrap();
        let mut rest = Vec::new();
        // What was read ahead is gone as well.
        file.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"b");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        file.set_modified(time).await.unwrap();
        let permissions = std::fs::Permissions::from_mode(0o600);
        file.set_permissions(permissions).await.unwrap();
        let metadata = file.metadata().await.unwrap();
        assert_eq!(metadata.modified().unwrap(), time);
        assert_eq!((metadata.mode() & 0o777, metadata.len()), (0o600, 2));
        let times = fs::FileTimes::new().set_accessed(time);
        file.set_times(times).await.unwrap();
        assert_eq!(file.metadata().await.unwrap().accessed().unwrap(), time);
    });
}

#[test]
fn options_of_the_system_are_passed_on() {
    in_block_on(2, || async {
        let dir = Scratch::new();
        let path = dir.join("new");
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o640);
        let file = options.open(&path).await.unwrap();
        let mode = file.metadata().await.unwrap().mode();
        assert_eq!(mode & 0o137, 0, "{mode:o}");
        fs::symlink(&path, dir.join("link")).await.unwrap();
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW);
        let error = options.open(dir.join("link")).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    });
}

#[test]
fn functions_do_what_their_names_say() {
    in_block_on(2, || async {
        let dir = Scratch::new();
        let (a, b) = (dir.join("a"), dir.join("b"));
        fs::write(&a, "text").await.unwrap();
        assert_eq!(fs::read(&a).await.unwrap(), b"text");
        assert_eq!(fs::copy(&a, &b).await.unwrap(), 4);
        assert_eq!(fs::read_to_string(&b).await.unwrap(), "text");
        fs::rename(&b, dir.join("c")).await.unwrap();
        assert!(!fs::try_exists(&b).await.unwrap());
        fs::hard_link(&a, &b).await.unwrap();
        assert_eq!(fs::metadata(&b).await.unwrap().nlink(), 2);
        fs::remove_file(&b).await.unwrap();
        fs::symlink(&a, &b).await.unwrap();
        assert_eq!(fs::read_link(&b).await.unwrap(), a);
        assert!(fs::symlink_metadata(&b).await.unwrap().is_symlink());
        assert!(fs::metadata(&b).await.unwrap().is_file());
        let whole = fs::canonicalize(&b).await.unwrap();
        assert_eq!(whole, std::fs::canonicalize(&a).unwrap());
        let permissions = std::fs::Permissions::from_mode(0o400);
        fs::set_permissions(&a, permissions).await.unwrap();
        assert_eq!(fs::metadata(&a).await.unwrap().mode() & 0o777, 0o400);
        let missing = fs::read(dir.join("missing")).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn directories_are_made_listed_and_removed() {
    in_block_on(2, || async {
        let dir = Scratch::new();
        let inner = dir.join("x/y");
        assert!(fs::create_dir(&inner).await.is_err());
        fs::create_dir_all(&inner).await.unwrap();
        let mut builder = DirBuilder::new();
        assert!(builder.create(&inner).await.is_err());
        builder.recursive(true).mode(0o700);
        builder.create(inner.join("z")).await.unwrap();
        let metadata = fs::metadata(inner.join("z")).await.unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o700);
        assert!(fs::remove_dir(dir.join("x")).await.is_err());
        fs::remove_dir(inner.join("z")).await.unwrap();

        // More than are read at once, and none; and exactly as many.
        for count in [300, 0, 64, 128] {
            let path = dir.join(format!("of-{count}"));
            fs::create_dir(&path).await.unwrap();
            let mut expected = BTreeSet::new();
            for number in 0..count {
                std::fs::write(path.join(number.to_string()), "").unwrap();
                expected.insert(path.join(number.to_string()));
            }
            let mut entries = fs::read_dir(&path).await.unwrap();
            let mut seen = BTreeSet::new();
            while let Some(entry) = entries.next_entry().await.unwrap() {
                assert!(entry.file_type().await.unwrap().is_file());
                assert_eq!(entry.metadata().await.unwrap().ino(), entry.ino());
                assert_eq!(path.join(entry.file_name()), entry.path());
                seen.insert(entry.path());
            }
            assert_eq!(seen, expected);
            assert!(entries.next_entry().await.unwrap().is_none());
        }
        fs::remove_dir_all(dir.join("x")).await.unwrap();
        assert!(!fs::try_exists(dir.join("x")).await.unwrap());
        assert!(fs::read_dir(dir.join("x")).await.is_err());
    });
}

#[test]
fn a_file_outlives_its_runtime() {
    watchdog(|| {
        let dir = Scratch::new();
        let path = dir.file(pattern(1000));
        let first = runtime();
        let mut file = first.block_on(async {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).write(true).open(&path).await.unwrap();
            file.read_exact(&mut [0; 10]).await.unwrap();
            file
        });
        drop(first);
        runtime().block_on(async {
            assert_eq!(file.read_u8().await.unwrap(), 10);
            file.write_all(b"x").await.unwrap();
            file.flush().await.unwrap();
        });
        assert_eq!(std::fs::read(&path).unwrap()[11], b'x');
    });
}

#[test]
fn slices_are_written_as_one() {
    in_block_on(1, || async {
        let path = Scratch::new();
        let mut file = File::create(path.join("file")).await.unwrap();
        assert!(file.is_write_vectored());
        let slices = [b"ab".as_slice(), b"", b"cde"].map(IoSlice::new);
        assert_eq!(file.write_vectored(&slices).await.unwrap(), 5);
        file.set_max_buf_size(4);
        // The second is cut where the buffer is full.
        assert_eq!(file.write_vectored(&slices).await.unwrap(), 4);
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(path.join("file")).unwrap(), b"abcdeabcd");
    });
}

#[test]
fn without_a_pool_an_operation_says_that_the_runtime_is_gone() {
    watchdog(|| {
        let (gone, other) = (runtime(), runtime());
        let handle = gone.handle().clone();
        drop(gone);
        other.block_on(async {
            let _entered = handle.enter();
            let error = fs::read("/").await.unwrap_err();
            assert!(is_rt_shutdown_err(&error), "{error}");
        });
    });
}
