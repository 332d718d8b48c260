//! The peers that a test starts.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A program that is told to end when this is dropped, or when the process of the test is gone.
pub(crate) struct Server {
    shell: Child,
}

impl Server {
    /// Of a command and its arguments, in this folder, where its output goes into the file `log`.
    /// Waits until it has written there that it is ready.
    pub(crate) fn start(folder: &Path, command: &[String]) -> io::Result<Server> {
        // The shell waits for the end of its input, which nobody else has.
        let script = "\"$@\" >log 2>&1 </dev/null & read -r _; kill -INT $!; wait $!";
        let shell = Command::new("sh")
            .args(["-c", script, "sh"])
            .args(command)
            .current_dir(folder)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .spawn()?;
        let (server, begun) = (Server { shell }, Instant::now());
        loop {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            if log.contains("eady to accept connections") {
                return Ok(server);
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{log}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// A program in PATH, or in one of these folders.
pub(crate) fn find(program: &str, folders: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = folders.into_iter().chain(std::env::split_paths(&path));
    found.find_map(|folder| Some(folder.join(program)).filter(|path| path.is_file()))
}

/// A port that nobody has at this moment; none of those that the kernel gives to whoever connects.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let ports = std::iter::repeat_with(|| {
        // Other processes look for one as well.
        let tried = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (std::process::id() * 37 + tried) % 10_000;
        port as u16
    });
    let mut free = ports.filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("they never end")
}

/// A peer on a thread of this process, with a runtime of tokio's. Ends when it is dropped, with all
/// that it has spawned.
pub(crate) struct Peer {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    /// Runs `body`, and waits until it has told what others have to know of it.
    pub(crate) fn start<T, B>(body: B) -> (Peer, T)
    where
        T: Send + 'static,
        B: AsyncFnOnce(Sender<T>) + Send + 'static,
    {
        let (end, ended) = oneshot::channel::<()>();
        let (told, hear) = channel();
        let thread = thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = body(told) => {}
                    _ = ended => {}
                }
            });
        });
        let heard = hear.recv().expect("the peer is ready");
        let (end, thread) = (Some(end), Some(thread));
        (Peer { end, thread }, heard)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Says why a test does nothing; also where the output of tests that pass is kept back.
pub(crate) fn skip(reason: &str) {
    let _ = writeln!(io::stderr(), "skipped: {reason}");
}
