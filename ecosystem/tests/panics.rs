//! No row: what libraries say where they do not find a runtime of tokio's, and that the guide for
//! programs that come from tokio names it.
//!
//! On a thread of one's own that has entered nothing; it is the same everywhere without the feature
//! `tokio-rt`.

mod support;

use futures_util::FutureExt;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use sqlx::Connection;
use std::any::Any;
use std::fmt::Debug;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;
use support::http::HttpServer;
use support::{run, watchdog};

const GUIDE: &str = include_str!("../../docs/MIGRATING.md");
const NO_REACTOR: &str =
    "there is no reactor running, must be called from the context of a Tokio 1.x runtime";

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// An executor that knows nothing of any runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// What `body` says in its panic on a thread of one's own, or in its error.
fn says<T, E: Debug>(body: impl FnOnce() -> Result<T, E> + Send + 'static) -> String {
    watchdog(|| match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(_)) => panic!("it works"),
        Ok(Err(error)) => format!("{error:?}"),
        Err(panic) => text_of(panic),
    })
}

#[track_caller]
fn assert_is_in_guide(said: &str, expected: &str) {
    assert!(said.contains(expected), "it says {said:?}");
    assert!(
        GUIDE.contains(&format!("`{expected}`")),
        "docs/MIGRATING.md does not name {expected:?}"
    );
}

fn nothing() -> Result<(), ()> {
    Ok(())
}

#[test]
fn tokios_own() {
    let no_reactor: [fn() -> Result<(), ()>; 4] = [
        || {
            tokio::spawn(async {});
            nothing()
        },
        || {
            block_on(tokio::time::sleep(Duration::from_millis(1)));
            nothing()
        },
        || {
            drop(block_on(tokio::net::TcpListener::bind("127.0.0.1:0")));
            nothing()
        },
        || {
            tokio::task::spawn_blocking(|| ());
            nothing()
        },
    ];
    for body in no_reactor {
        assert_is_in_guide(&says(body), NO_REACTOR);
    }
}

#[test]
fn reqwest() {
    let server = HttpServer::start();
    let url = server.url("/hello/you");
    assert_is_in_guide(&says(|| block_on(::reqwest::get(url))), NO_REACTOR);
}

#[test]
fn sqlx() {
    let expected = "this functionality requires a Tokio context";
    let connect = || block_on(::sqlx::SqlitePool::connect("sqlite::memory:"));
    assert_is_in_guide(&says(connect), expected);
    let connect = || block_on(::sqlx::PgConnection::connect("postgres://127.0.0.1:1/x"));
    assert_is_in_guide(&says(connect), expected);
}

#[test]
fn tonic() {
    let endpoint = || ::tonic::transport::Channel::from_static("http://127.0.0.1:1");
    let connect = move || block_on(endpoint().connect()).map(drop);
    assert_is_in_guide(&says(connect), NO_REACTOR);
    let connect = move || {
        drop(endpoint().connect_lazy());
        nothing()
    };
    assert_is_in_guide(&says(connect), NO_REACTOR);
}

#[test]
fn redis() {
    let client = ::redis::Client::open("redis://127.0.0.1:1").unwrap();
    let connect = move || block_on(client.get_multiplexed_async_connection()).map(drop);
    assert_is_in_guide(&says(connect), NO_REACTOR);
}

#[test]
fn hickory() {
    let look_up = || {
        let config = NameServerConfig::udp(Ipv4Addr::LOCALHOST.into());
        let config = ResolverConfig::from_name_servers(vec![config]);
        let provider = TokioRuntimeProvider::default();
        let resolver = TokioResolver::builder_with_config(config, provider).build()?;
        block_on(resolver.lookup_ip("a.test."))
    };
    assert_is_in_guide(&says(look_up), NO_REACTOR);
}

#[test]
fn tower() {
    let service = ::tower::service_fn(async |()| Ok::<_, std::convert::Infallible>(()));
    let limited = ::tower::timeout::Timeout::new(service, Duration::from_secs(1));
    let call = || block_on(::tower::ServiceExt::oneshot(limited, ()));
    assert_is_in_guide(&says(call), NO_REACTOR);
}

#[test]
fn tokio_util() {
    let insert = || {
        let mut queue = ::tokio_util::time::DelayQueue::new();
        queue.insert((), Duration::from_secs(1));
        nothing()
    };
    assert_is_in_guide(&says(insert), NO_REACTOR);
}

#[test]
fn evenkeels_own() {
    let expected = "there is no Evenkeel runtime on this thread";
    let spawn = || {
        evenkeel::spawn(async {});
        nothing()
    };
    assert_is_in_guide(&says(spawn), expected);
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let bind = move || block_on(evenkeel::net::TcpListener::bind(address));
    assert_is_in_guide(&says(bind), expected);
}

/// As in tests that `tokio_test::block_on` runs.
#[test]
fn evenkeels_own_in_a_runtime_of_tokios() {
    let spawn = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(async { drop(evenkeel::spawn(async {})) });
        Ok::<_, std::io::Error>(())
    };
    let expected = "there is no Evenkeel runtime on this thread, only one of tokio's";
    assert_is_in_guide(&says(spawn), expected);
}

/// Of a panic.
fn text_of(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().expect("a text").to_string(),
    }
}

#[test]
fn what_is_gone() {
    let sleep = || {
        let runtime = support::runtime();
        let handle = runtime.handle().clone();
        drop(runtime);
        handle.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
        nothing()
    };
    let expected = "A Tokio 1.x context was found, but it is being shutdown.";
    assert_is_in_guide(&says(sleep), expected);
}

/// In a task, where all of it is there, but the thread must not block.
#[test]
fn what_blocks_in_a_task() {
    run(|| async {
        let receive = async {
            let (_send, mut receive) = evenkeel::sync::mpsc::channel::<()>(1);
            receive.blocking_recv();
        };
        let block = async || evenkeel::runtime::Handle::current().block_on(async {});
        let cannot = "Cannot block the current thread from within a runtime";
        let would = "it would block the thread that drives";
        for (body, expected) in [(receive.boxed(), cannot), (block().boxed(), would)] {
            let said = AssertUnwindSafe(body).catch_unwind().await;
            assert_is_in_guide(&text_of(said.unwrap_err()), expected);
        }
    });
}
