//! A PostgreSQL of the tests' own.

use super::process::{Server, find, free_port};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) struct Postgres {
    // Ended before its folder goes.
    _server: Server,
    folder: TempDir,
    port: u16,
}

impl Postgres {
    /// The one that the tests of this process share, which ends with the last of them. `None`, and
    /// a word about it, if PostgreSQL is not installed.
    pub(crate) fn shared() -> Option<Arc<Postgres>> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(|error| error.into_inner());
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = match programs() {
            Some(folder) => Arc::new(Postgres::start(&folder)),
            None => {
                eprintln!("skipped: no postgres here");
                return None;
            }
        };
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    /// Of the programs in this folder.
    fn start(programs: &Path) -> Postgres {
        let folder = tempfile::tempdir().expect("a folder");
        if is_root() {
            let owned = Command::new("chown")
                .arg("postgres")
                .arg(folder.path())
                .status();
            assert!(owned.expect("chown").success());
        }
        let data = folder.path().join("data").display().to_string();
        let init = [
            program(programs, "initdb"),
            "-D".into(),
            data.clone(),
            "-N".into(),
        ];
        let init = init
            .into_iter()
            .chain(["-A", "trust", "-U", "test"].map(String::from));
        let init: Vec<String> = as_postgres().into_iter().chain(init).collect();
        let made = Command::new(&init[0])
            .args(&init[1..])
            .current_dir(&folder)
            .output();
        let made = made.expect("initdb");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );

        let port = free_port();
        let sockets = folder.path().display().to_string();
        let serve = [
            program(programs, "postgres"),
            "-D".into(),
            data,
            "-F".into(),
        ];
        let serve = serve
            .into_iter()
            .chain(["-k".into(), sockets, "-p".into(), port.to_string()]);
        let serve: Vec<String> = as_postgres().into_iter().chain(serve).collect();
        let server = Server::start(folder.path(), &serve).expect("postgres");
        let postgres = Postgres {
            _server: server,
            folder,
            port,
        };
        postgres.wait();
        postgres
    }

    /// It answers once it takes connections over TCP.
    fn wait(&self) {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || std::fs::read_to_string(self.folder.path().join("log"));
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://test@127.0.0.1:{}/postgres", self.port)
    }

    /// The same over a Unix socket.
    pub(crate) fn url_of_socket(&self) -> String {
        let folder = self.folder.path().display();
        format!(
            "postgres:///postgres?host={folder}&port={}&user=test",
            self.port
        )
    }
}

/// The folder with `postgres` and `initdb`.
fn programs() -> Option<PathBuf> {
    let debian = Path::new("/usr/lib/postgresql").read_dir();
    let debian = debian
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"));
    let postgres = find("postgres", debian)?.canonicalize().ok()?;
    let folder = postgres.parent()?.to_owned();
    folder.join("initdb").is_file().then_some(folder)
}

fn program(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

fn is_root() -> bool {
    // SAFETY: It reads a number of the process's.
    unsafe { libc::geteuid() == 0 }
}

/// PostgreSQL does not run as root.
fn as_postgres() -> Vec<String> {
    if !is_root() {
        return Vec::new();
    }
    [
        "setpriv",
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        "--",
    ]
    .map(String::from)
    .into()
}
