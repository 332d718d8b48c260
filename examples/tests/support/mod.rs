//! A service in this process, and a client that can send what no HTTP library would.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use evenkeel::net::TcpListener;
use evenkeel::runtime::{Builder, Pinning, Runtime};
use evenkeel::task::JoinHandle;
use evenkeel_examples::server::{self, Limits};
use hyper::body::{Body, Bytes, Incoming};
use hyper::{Request, Response};
use tokio::sync::oneshot;

/// Far longer than anything here takes.
const WATCHDOG: Duration = Duration::from_secs(120);
/// Of the lane that [`Server::block_compute_lane`] blocks.
pub(crate) const COMPUTE_THREADS: usize = 2;

/// Runs a test on a thread of its own, and fails if it makes no end.
#[track_caller]
pub(crate) fn watchdog(test: impl FnOnce() + Send + 'static) {
    let (ended, end) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let _ended = ended;
        test();
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = end.recv_timeout(WATCHDOG) {
        panic!("the test has made no end within {WATCHDOG:?}");
    }
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
}

/// Completes when the service is to stop.
pub(crate) type Stopped = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A service on a runtime of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) runtime: Runtime,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Server {
    /// `make` is called inside the runtime.
    pub(crate) fn start<H, F, B>(limits: Limits, make: impl FnOnce() -> H) -> Server
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        Server::start_any(|listener, stopped| server::serve(listener, limits, make(), stopped))
    }

    /// The same for what is not HTTP.
    pub(crate) fn start_any<F>(serve: impl FnOnce(TcpListener, Stopped) -> F) -> Server
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = Builder::new()
            .worker_threads(2)
            .compute_threads(COMPUTE_THREADS)
            .pinning(Pinning::None)
            .build()
            .unwrap();
        let (stop, stopped) = oneshot::channel();
        let (address, serving) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let stopped = Box::pin(async {
                let _ = stopped.await;
            });
            (address, evenkeel::spawn(serve(listener, stopped)))
        });
        Server {
            address,
            runtime,
            stop,
            serving,
        }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Asks the service to stop, and gives what is needed to wait for it.
    pub(crate) fn stop(self) -> Stopping {
        self.stop.send(()).unwrap();
        Stopping {
            runtime: self.runtime,
            serving: self.serving,
        }
    }

    /// Fills the compute lane until the value is dropped.
    pub(crate) fn block_compute_lane(&self) -> impl Drop + use<> {
        struct Blocked(Vec<mpsc::Sender<()>>);
        impl Drop for Blocked {
            fn drop(&mut self) {
                self.0.clear();
            }
        }
        let (started, starts) = mpsc::channel();
        let releases = (0..COMPUTE_THREADS).map(|_| {
            let (release, released) = mpsc::channel();
            let started = started.clone();
            drop(self.runtime.spawn_compute(move || {
                started.send(()).unwrap();
                // Ends when the sender is dropped.
                let _ = released.recv();
            }));
            release
        });
        let blocked = Blocked(releases.collect());
        starts.iter().take(COMPUTE_THREADS).for_each(drop);
        blocked
    }
}

pub(crate) struct Stopping {
    runtime: Runtime,
    serving: JoinHandle<()>,
}

impl Stopping {
    pub(crate) fn wait(self) {
        self.runtime.block_on(self.serving).unwrap();
    }
}

/// A connection that is used byte by byte.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// With names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream: BufReader::new(stream),
        }
    }

    /// Another value for the same connection. What one of them has read, the other does not see.
    pub(crate) fn try_clone(&self) -> Client {
        Client {
            stream: BufReader::new(self.stream.get_ref().try_clone().unwrap()),
        }
    }

    /// Closes the connection, for all its clones.
    pub(crate) fn shutdown(&self) {
        self.stream.get_ref().shutdown(Shutdown::Both).unwrap();
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// The next reply, with its body unless it is one to `HEAD` (see [`head`](Self::head)).
    pub(crate) fn reply(&mut self) -> Reply {
        let mut reply = self.reply_head();
        if reply.status != 100 {
            let len = reply.headers["content-length"].parse().unwrap();
            reply.body = vec![0; len];
            self.stream.read_exact(&mut reply.body).unwrap();
        }
        reply
    }

    pub(crate) fn reply_head(&mut self) -> Reply {
        let status_line = self.line();
        let status = status_line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .unwrap_or_else(|| panic!("no status line: {status_line:?}"));
        let mut headers = HashMap::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return Reply {
                    status,
                    headers,
                    body: Vec::new(),
                };
            }
            let (name, value) = line.split_once(':').unwrap();
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }

    /// Waits for a reply, and says whether there is one: false if the connection ends without.
    pub(crate) fn is_answered(&mut self) -> bool {
        self.stream.fill_buf().is_ok_and(|bytes| !bytes.is_empty())
    }

    /// False if the server says anything, or ends the connection, within that time.
    pub(crate) fn hears_nothing_for(&mut self, time: Duration) -> bool {
        self.stream.get_ref().set_read_timeout(Some(time)).unwrap();
        let heard = self.stream.fill_buf().map(<[u8]>::to_vec);
        self.stream.get_ref().set_read_timeout(None).unwrap();
        heard
            .is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"));
        self.reply()
    }

    pub(crate) fn head(&mut self, path: &str) -> Reply {
        self.send(format!("HEAD {path} HTTP/1.1\r\nhost: test\r\n\r\n"));
        self.reply_head()
    }

    pub(crate) fn post(&mut self, path: &str, content_type: &str, body: &[u8]) -> Reply {
        let len = body.len();
        self.send(format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: {content_type}\r\ncontent-length: {len}\r\n\r\n"
        ));
        self.send(body);
        self.reply()
    }

    /// Waits until the server closes the connection, and returns what it said before.
    pub(crate) fn until_closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }
}
