//! The suite `bulk`: messages that do not fit into a socket's buffer, or just so. TCP echo, and a
//! file that is read in the blocking pool and written to a socket, piece by piece. Measured as
//! `echo` is.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::closed_loop::{self, BY_MIB, Echo, Protocol, generate_load, host, pattern};
use crate::epoll;
use crate::harness::{Bar, Case, Contender, Limit, Setup, Suite, Template};
use crate::runtimes::{self, Evenkeel, On, Runtime, Smol, Tokio, Workload};

pub(super) const SUITE: Suite = Suite::new(
    "bulk",
    "large messages over TCP in a closed loop; the client is another process",
    |_| CASES,
);

/// Size of the server's buffer for each connection, and of a piece of a file.
const BUFFER_BYTES: usize = 64 << 10;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

const PEERS: &[&str] = &["tokio", "smol"];

const BULK: Template = Template {
    suite: "bulk",
    measure: &closed_loop::measure,
};

/// All there is to run, in this order.
const CASES: &[Case] = &[
    echo::<{ 4 * KIB }, 1>("4KiB_1", "echo of 4 KiB on one connection"),
    echo::<{ 4 * KIB }, 8>("4KiB_8", "echo of 4 KiB on 8 connections"),
    echo::<{ 4 * KIB }, 64>("4KiB_64", "echo of 4 KiB on 64 connections"),
    echo::<{ 64 * KIB }, 1>("64KiB_1", "echo of 64 KiB on one connection"),
    echo::<{ 64 * KIB }, 8>("64KiB_8", "echo of 64 KiB on 8 connections"),
    echo::<{ 64 * KIB }, 64>("64KiB_64", "echo of 64 KiB on 64 connections"),
    echo::<MIB, 1>("1MiB_1", "echo of 1 MiB on one connection"),
    echo::<MIB, 8>("1MiB_8", "echo of 1 MiB on 8 connections"),
    echo::<MIB, 64>("1MiB_64", "echo of 1 MiB on 64 connections"),
    Case {
        load: Some(|setup| load(&Download(pattern(FILE_BYTES)), 8, setup)),
        ..BULK.case(
            "file",
            "files of 4 MiB on 8 connections, read 64 KiB at a time in the blocking pool",
            BY_MIB,
            On::<Files>::ALL,
            &[Bar::new("answers", Limit::AtLeast(1.0, PEERS))],
        )
    },
];

const fn echo<const MESSAGE_BYTES: usize, const CONNECTIONS: usize>(
    name: &'static str,
    about: &'static str,
) -> Case {
    Case {
        load: Some(|setup| load(&Echo::of(MESSAGE_BYTES), CONNECTIONS, setup)),
        ..BULK.case(name, about, BY_MIB, ECHO_CONTENDERS, ECHO_BARS)
    }
}

const ECHO_CONTENDERS: &[Contender] = &[
    On::<Echoes>::runtime::<Evenkeel>(),
    On::<Echoes>::runtime::<Tokio>(),
    On::<Echoes>::runtime::<Smol>(),
    Contender::new("epoll", |_| host(epoll::serve(BUFFER_BYTES)?)),
];

const ECHO_BARS: &[Bar] = &[
    Bar::new("answers", Limit::AtLeast(1.0, PEERS)),
    Bar::new("server_cpu", Limit::AtMost(1.1, &["epoll"])),
];

fn load(protocol: &impl Protocol, connections: usize, setup: &Setup) -> Result<Vec<f64>, String> {
    generate_load(protocol, connections, setup.window).map(|found| found.by_mib())
}

struct Echoes;

impl Workload for Echoes {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let runtime = runtimes::start::<R>(&setup.options)?;
        host(runtimes::serve(runtime, |stream| {
            runtimes::echo(R::io(stream), vec![0; BUFFER_BYTES])
        })?)
    }
}

/// A file for each request, on the server's side.
struct Files;

const FILE_BYTES: usize = 4 * MIB;
/// Asks for the file.
const REQUEST: &[u8] = b"file";

impl Workload for Files {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let file = temporary_file(&pattern(FILE_BYTES));
        let file = Arc::new(file.map_err(|error| format!("a temporary file: {error}"))?);
        let runtime = runtimes::start::<R>(&setup.options)?;
        host(runtimes::serve(runtime, move |stream| {
            let (mut stream, file) = (R::io(stream), Arc::clone(&file));
            async move {
                // The client ends it in the middle of what it likes; if too early, it complains.
                let _ = send_each::<R>(&mut stream, &file).await;
            }
        })?)
    }
}

/// The file once for each request, until the connection ends.
async fn send_each<R: Runtime>(stream: &mut R::Io, file: &Arc<File>) -> io::Result<()> {
    let mut request = [0; REQUEST.len()];
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        stream.read_exact(&mut request).await?;
        let mut sent = 0;
        while sent < FILE_BYTES {
            let file = Arc::clone(file);
            let read = R::spawn_blocking(move || {
                let count = file.read_at(&mut buffer, sent as u64);
                (buffer, count)
            });
            let (piece, count) = R::join(read).await;
            let count = count?;
            stream.write_all(&piece[..count]).await?;
            sent += count;
            buffer = piece;
        }
    }
}

/// A file of this content that has no name any more, so that nothing is left of it in the end.
fn temporary_file(content: &[u8]) -> io::Result<File> {
    let name = format!("evenkeel-bench-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    fs::remove_file(&path)?;
    file.write_all(content)?;
    Ok(file)
}

/// The file, on the client's side.
struct Download(Vec<u8>);

impl Protocol for Download {
    fn request(&self) -> &[u8] {
        REQUEST
    }

    fn answer_bytes(&self, _: &[u8]) -> Option<usize> {
        Some(self.0.len())
    }

    fn is_right(&self, answer: &[u8]) -> bool {
        answer == self.0
    }
}
