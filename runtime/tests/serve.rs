//! `evenkeel::serve` for peers that behave: both versions, both kinds of services, the end.
#![cfg(all(unix, feature = "serve", feature = "tokio-io"))]

mod net_support;
mod serve_support;
mod support;

use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as UnixSocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use evenkeel::hyper::Io;
use evenkeel::net::{TcpStream, UnixListener, UnixStream};
use evenkeel::runtime::Builder;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version, client, header};
use net_support::{listener, run};
use serve_support::{Answer, Client, Server, body_text, get, text};
use support::{Gate, Live, on_built, runtime, watchdog};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SHORT: Duration = Duration::from_millis(100);

/// The method, the path, the version and the body of a request.
async fn mirror(request: Request<Incoming>) -> Result<Answer, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let body = String::from_utf8_lossy(&body);
    Ok(text(format!(
        "{} {} {:?} {body}",
        head.method,
        head.uri.path(),
        head.version
    )))
}

#[test]
fn both_versions_are_served_on_one_port() {
    run(async {
        let server = Server::start(service_fn(mirror)).await;
        let mut old = server.connect().await;
        for path in ["/a", "/b"] {
            assert_eq!(old.get(path).await, format!("GET {path} HTTP/1.1 "));
        }
        old.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody")
            .await;
        assert_eq!(old.answer().await.1, "POST / HTTP/1.1 body");

        let mut new = server.http2().await;
        for path in ["/a", "/b"] {
            let response = new.send_request(get(path)).await.unwrap();
            assert_eq!(response.version(), Version::HTTP_2);
            assert_eq!(body_text(response).await, format!("GET {path} HTTP/2.0 "));
        }
    });
}

#[test]
fn a_service_of_tower_is_served() {
    /// Ready at the second look, and then once.
    #[derive(Clone, Default)]
    struct Counts {
        looks: usize,
    }

    impl tower_service::Service<Request<Incoming>> for Counts {
        type Response = Answer;
        type Error = io::Error;
        type Future = Ready<io::Result<Answer>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.looks += 1;
            if self.looks > 1 {
                return Poll::Ready(Ok(()));
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }

        fn call(&mut self, _: Request<Incoming>) -> Self::Future {
            ready(Ok(text(self.looks.to_string())))
        }
    }

    run(async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        let server = evenkeel::serve(listener, Counts::default());
        evenkeel::spawn(server.into_future());
        let mut client = Client::connect(address).await;
        assert_eq!(client.get("/").await, "2");
        assert_eq!(client.get("/").await, "2");
    });
}

#[test]
fn a_unix_socket_is_served() {
    run(async {
        let path = std::env::temp_dir().join(format!("evenkeel-serve-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let is_unnamed = |addr: UnixSocketAddr| addr.is_unnamed();
        let server = evenkeel::serve(listener, service_fn(whether)).with_connect_info(is_unnamed);
        evenkeel::spawn(server.into_future());

        let stream = UnixStream::connect(&path).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let (mut sender, connection) = client::conn::http1::handshake(stream).await.unwrap();
        evenkeel::spawn(connection);
        let response = sender.send_request(get("/")).await.unwrap();
        assert_eq!(body_text(response).await, "true");
    });

    async fn whether(request: Request<Incoming>) -> Result<Answer, Infallible> {
        Ok(text(
            request.extensions().get::<bool>().unwrap().to_string(),
        ))
    }
}

#[test]
fn a_request_knows_its_peer() {
    run(async {
        let whom = |request: Request<Incoming>| async move {
            let addr = request.extensions().get::<SocketAddr>().unwrap();
            Ok::<_, Infallible>(text(addr.to_string()))
        };
        let server =
            Server::start_with(service_fn(whom), |server| server.with_connect_info(|a| a)).await;
        for _ in 0..2 {
            let mut client = server.connect().await;
            let own = client.stream.get_ref().local_addr().unwrap().to_string();
            assert_eq!(client.get("/").await, own);
            assert_eq!(client.get("/").await, own);
        }
    });
}

#[test]
fn a_current_thread_runtime_serves() {
    on_built(Builder::new_current_thread(), |runtime| {
        runtime.block_on(async {
            let server = Server::start(service_fn(mirror)).await;
            assert_eq!(server.connect().await.get("/").await, "GET / HTTP/1.1 ");
            let response = server.http2().await.send_request(get("/")).await.unwrap();
            assert_eq!(body_text(response).await, "GET / HTTP/2.0 ");
            server.stop().await.unwrap().unwrap();
        });
    });
}

#[test]
fn many_connections_at_once_are_all_answered() {
    run(async {
        let server = Server::start(service_fn(mirror)).await;
        let clients: Vec<_> = (0..200)
            .map(|_| {
                let address = server.address;
                evenkeel::spawn(async move {
                    let mut client = Client::connect(address).await;
                    for _ in 0..3 {
                        assert_eq!(client.get("/").await, "GET / HTTP/1.1 ");
                    }
                    client
                })
            })
            .collect();
        let mut open = Vec::new();
        for client in clients {
            open.push(client.await.unwrap());
        }
        server.stop().await.unwrap().unwrap();
    });
}

#[test]
fn an_upgraded_connection_belongs_to_who_took_it() {
    async fn upgrade(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        evenkeel::spawn(async {
            let mut stream = Io::new(hyper::upgrade::on(request).await.unwrap());
            let mut buf = [0; 4];
            stream.read_exact(&mut buf).await.unwrap();
            stream.write_all(&buf).await.unwrap();
        });
        let response = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "echo");
        Ok(response.body(Full::default()).unwrap())
    }

    run(async {
        let server = Server::start(service_fn(upgrade)).await;
        let mut client = server.connect().await;
        client
            .send("GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
            .await;
        let (head, _) = client.answer().await;
        assert!(head.starts_with("http/1.1 101 "), "{head:?}");
        // The server does not wait for it.
        server.stop().await.unwrap().unwrap();
        client.send("ping").await;
        assert_eq!(client.until_closed().await, "ping");
    });
}

/// Answers once the gate is open; tells when it has begun, and when it is dropped.
#[derive(Clone)]
struct Slow {
    begun: Gate,
    go: Gate,
    live: Arc<Live>,
}

impl Slow {
    fn new() -> Slow {
        Slow {
            begun: Gate::new(),
            go: Gate::new(),
            live: Arc::new(Live::new()),
        }
    }

    async fn answer(self, _: Request<Incoming>) -> Result<Answer, Infallible> {
        let _live = Live::clone(&self.live);
        self.begun.open();
        self.go.wait().await;
        Ok(text("late"))
    }
}

#[test]
fn a_graceful_end_answers_what_is_in_flight() {
    run(async {
        let slow = Slow::new();
        let service = slow.clone();
        let server =
            Server::start(service_fn(move |request| service.clone().answer(request))).await;
        let address = server.address;
        let mut idle = server.connect().await;
        let mut old = server.connect().await;
        old.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        slow.begun.wait().await;
        let mut new = server.http2().await;
        let late = evenkeel::spawn(new.send_request(get("/")));
        while slow.live.others() < 2 {
            evenkeel::task::yield_now().await;
        }

        let serving = server.stop();
        assert_eq!(idle.until_closed().await, "");
        // The listener is closed; what waited in its queue is reset.
        while TcpStream::connect(address).await.is_ok() {
            evenkeel::task::yield_now().await;
        }
        assert!(!serving.is_finished());
        slow.go.open();
        let (head, body) = old.answer().await;
        assert!(head.contains("connection: close"), "{head:?}");
        assert_eq!(body, "late");
        assert_eq!(old.until_closed().await, "");
        assert_eq!(body_text(late.await.unwrap().unwrap()).await, "late");
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn a_graceful_end_has_a_limit() {
    run(async {
        let slow = Slow::new();
        let service = slow.clone();
        let service = service_fn(move |request| service.clone().answer(request));
        let server = Server::start_with(service, |server| server.shutdown_timeout(SHORT)).await;
        let mut old = server.connect().await;
        old.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut new = server.http2().await;
        let late = evenkeel::spawn(new.send_request(get("/")));
        while slow.live.others() < 2 {
            evenkeel::task::yield_now().await;
        }
        server.stop().await.unwrap().unwrap();
        assert_eq!(old.until_closed().await, "");
        assert!(late.await.unwrap().is_err());
        // The request of HTTP/2 is dropped by a task of its own.
        while slow.live.others() > 0 {
            evenkeel::task::yield_now().await;
        }
    });
}

#[test]
fn a_server_that_is_dropped_ends_its_connections() {
    run(async {
        let slow = Slow::new();
        let service = slow.clone();
        let server =
            Server::start(service_fn(move |request| service.clone().answer(request))).await;
        let mut idle = server.connect().await;
        let mut busy = server.connect().await;
        busy.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        slow.begun.wait().await;
        server.abort().await;
        assert_eq!(idle.until_closed().await, "");
        slow.go.open();
        assert_eq!(busy.answer().await.1, "late");
        assert_eq!(busy.until_closed().await, "");
    });
}

#[test]
fn the_end_of_the_runtime_drops_what_is_in_flight() {
    watchdog(|| {
        let slow = Slow::new();
        let service = slow.clone();
        let runtime = runtime();
        let server = runtime.block_on(async {
            let service = service_fn(move |request| service.clone().answer(request));
            let server = Server::start(service).await;
            let mut client = server.connect().await;
            client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
            let mut new = server.http2().await;
            evenkeel::spawn(async move { drop(new.send_request(get("/")).await) });
            while slow.live.others() < 2 {
                evenkeel::task::yield_now().await;
            }
            (server, client)
        });
        drop(runtime);
        assert_eq!(slow.live.others(), 0);
        drop(server);
    });
}

#[test]
fn more_connections_than_the_limit_wait_for_their_turn() {
    run(async {
        let server =
            Server::start_with(service_fn(mirror), |server| server.max_connections(1)).await;
        let mut first = server.connect().await;
        first.get("/").await;
        let mut second = server.connect().await;
        second.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        first.get("/").await;
        drop(first);
        assert_eq!(second.answer().await.1, "GET / HTTP/1.1 ");
        // While one waits for a place, the server ends all the same.
        let _third = server.connect().await;
        server.stop().await.unwrap().unwrap();
    });
}

#[test]
fn an_old_connection_is_closed_after_its_request() {
    run(async {
        // In the task of the connection, where its age is looked at first.
        let service = service_fn(|_| async {
            evenkeel::time::sleep(2 * SHORT).await;
            Ok::<_, Infallible>(text("late"))
        });
        let server = Server::start_with(service, |server| server.max_connection_age(SHORT)).await;
        let answer = loop {
            let mut client = server.connect().await;
            client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
            let answer = client.until_closed().await;
            // Else the connection had its age before the request came.
            if !answer.is_empty() {
                break answer;
            }
        };
        assert!(answer.contains("connection: close"), "{answer:?}");
        assert!(answer.ends_with("late"), "{answer:?}");
    });
}

#[test]
fn hypers_own_settings_are_in_effect() {
    run(async {
        let server = Server::start_with(service_fn(mirror), |server| {
            server.configure(|http| {
                http.http1().max_buf_size(8192);
            })
        })
        .await;
        let mut client = server.connect().await;
        client
            .send(format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(9000)))
            .await;
        let answer = client.until_closed().await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
    });
}

#[test]
fn a_request_that_the_client_gives_up_is_dropped() {
    run(async {
        let live = Arc::new(Live::new());
        let of_service = live.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let live = Live::clone(&of_service);
            async move {
                let _live = live;
                assert_eq!(request.method(), Method::GET);
                pending::<Result<Answer, Infallible>>().await
            }
        });
        let server = Server::start(service).await;
        let mut new = server.http2().await;
        let mut old = server.connect().await;
        old.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let request = evenkeel::spawn(new.send_request(get("/")));
        while live.others() < 2 {
            evenkeel::task::yield_now().await;
        }
        request.abort();
        drop(old);
        while live.others() > 0 {
            evenkeel::task::yield_now().await;
        }
    });
}
