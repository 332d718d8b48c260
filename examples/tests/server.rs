//! What the services have in common: connections, limits, bad clients, and the end.

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use evenkeel_examples::server::Limits;
use evenkeel_examples::thumbnails::{Config, Thumbnails};
use support::{Server, watchdog};

const SHORT: Duration = Duration::from_millis(200);

fn start(limits: Limits) -> Server {
    start_with(limits, |config| config)
}

fn start_with(limits: Limits, change: impl FnOnce(Config) -> Config) -> Server {
    Server::start(limits, || {
        let service = Thumbnails::new(change(Config::new()));
        move |request| service.clone().handle(request)
    })
}

#[test]
fn malformed_requests_get_400_and_an_end() {
    watchdog(|| {
        let server = start(Limits::default());
        for request in [
            "this is no HTTP\r\n\r\n",
            "GET\r\n\r\n",
            "GET /healthz HTTP/9.9\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nno colon\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nbad name: x\r\n\r\n",
            "POST /thumbnail HTTP/1.1\r\ncontent-length: many\r\n\r\n",
            "POST /thumbnail HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "\0\0\0\0",
        ] {
            let mut client = server.connect();
            client.send(request);
            let reply = String::from_utf8(client.until_closed()).unwrap();
            assert!(
                reply.starts_with("HTTP/1.1 400 "),
                "{request:?} got {reply:?}"
            );
        }
        assert_eq!(server.connect().get("/healthz").text(), "ok");
    });
}

#[test]
fn a_header_without_end_gets_431() {
    watchdog(|| {
        let server = start(Limits::default());
        let mut client = server.connect();
        client.send(format!(
            "GET /healthz HTTP/1.1\r\nx: {}",
            "x".repeat(70_000)
        ));
        let reply = String::from_utf8(client.until_closed()).unwrap();
        assert!(reply.starts_with("HTTP/1.1 431 "), "{reply:?}");
    });
}

#[test]
fn silent_and_slow_clients_are_closed() {
    watchdog(|| {
        let server = start(Limits {
            header_time_max: SHORT,
            ..Limits::default()
        });
        for beginning in [
            "",
            "P",
            "PRI * HTTP/2.0",
            "GET /healthz HT",
            "GET / HTTP/1.1\r\nx: y\r\n",
        ] {
            let mut client = server.connect();
            client.send(beginning);
            client.until_closed();
        }
        // HTTP/2 that is opened, and then never asks for anything.
        let mut client = server.connect();
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
        assert!(
            !client.until_closed().is_empty(),
            "the server's settings come first"
        );
        // Idle after a request.
        let mut client = server.connect();
        assert_eq!(client.get("/healthz").status, 200);
        client.until_closed();
    });
}

#[test]
fn a_header_that_trickles_in_is_cut_off() {
    watchdog(|| {
        let server = start(Limits {
            header_time_max: SHORT,
            ..Limits::default()
        });
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nx: ").unwrap();
        // Ends with an error once the server has closed its side; the watchdog is for a server that
        // does not.
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    watchdog(|| {
        let server = start(Limits::default());
        let mut client = server.connect();
        let requests = ["/healthz", "/missing", "/thumbnail", "/healthz"]
            .map(|path| format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"));
        client.send(requests.concat());
        let statuses = [(); 4].map(|()| client.reply().status);
        assert_eq!(statuses, [200, 404, 405, 200]);
        assert_eq!(
            client.get("/healthz").status,
            200,
            "the connection is still open"
        );
    });
}

#[test]
fn a_body_that_does_not_come_gets_408() {
    watchdog(|| {
        let server = start_with(Limits::default(), |config| Config {
            running_max: 1,
            waiting_max: 0,
            body_time_max: SHORT,
            ..config
        });
        let header = "POST /thumbnail?width=1&height=1 HTTP/1.1\r\ncontent-length: 10\r\n\r\n";
        // The second time shows that the first gave its place back.
        for _ in 0..2 {
            let mut client = server.connect();
            client.send(header);
            client.send("12345");
            assert_eq!(client.reply().status, 408);
        }
    });
}

#[test]
fn a_body_that_breaks_off_gives_its_place_back() {
    watchdog(|| {
        let server = start_with(Limits::default(), |config| Config {
            running_max: 1,
            waiting_max: 0,
            ..config
        });
        let header = "POST /thumbnail?width=1&height=1 HTTP/1.1\r\n\
            expect: 100-continue\r\ncontent-length: 10\r\n\r\n";
        let mut client = server.connect();
        client.send(header);
        assert_eq!(client.reply().status, 100);
        drop(client);
        while server
            .connect()
            .post("/thumbnail?width=1&height=1", "x/x", b"x")
            .status
            != 415
        {
            thread::yield_now();
        }
    });
}

#[test]
fn more_connections_than_the_limit_wait_for_their_turn() {
    watchdog(|| {
        let server = start(Limits {
            connections_max: 1,
            ..Limits::default()
        });
        let mut first = server.connect();
        assert_eq!(first.get("/healthz").status, 200);
        let mut second = server.connect();
        second.send("GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n");
        assert_eq!(first.get("/healthz").status, 200);
        drop(first);
        assert_eq!(second.reply().status, 200);
    });
}

#[test]
fn an_old_connection_is_closed_after_its_request() {
    watchdog(|| {
        let server = start(Limits {
            connection_time_max: SHORT,
            ..Limits::default()
        });
        let mut client = server.connect();
        client.send(
            "POST /thumbnail?width=1&height=1 HTTP/1.1\r\n\
                expect: 100-continue\r\ncontent-length: 1\r\n\r\n",
        );
        assert_eq!(client.reply().status, 100);
        // Not to order anything: an answer before that time would be right as well, and the
        // connection kept.
        thread::sleep(2 * SHORT);
        client.send("x");
        assert_eq!(client.reply().status, 415);
        client.until_closed();
    });
}

#[test]
fn stopping_finishes_the_request_in_flight() {
    watchdog(|| {
        let server = start(Limits::default());
        let address = server.address;
        let mut idle = server.connect();
        assert_eq!(idle.get("/healthz").status, 200);
        let mut client = server.connect();
        client.send(
            "POST /thumbnail?width=1&height=1 HTTP/1.1\r\n\
                expect: 100-continue\r\ncontent-length: 1\r\n\r\n",
        );
        // It is in flight once the server asks for the body.
        assert_eq!(client.reply().status, 100);

        let stopping = server.stop();
        idle.until_closed();
        while TcpStream::connect(address).is_ok() {
            thread::yield_now();
        }
        client.send("x");
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.headers["connection"].as_str()),
            (415, "close")
        );
        client.until_closed();
        stopping.wait();
    });
}

#[test]
fn stopping_does_not_wait_for_ever() {
    watchdog(|| {
        let server = start(Limits {
            shutdown_time_max: SHORT,
            ..Limits::default()
        });
        let mut client = server.connect();
        client.send(
            "POST /thumbnail?width=1&height=1 HTTP/1.1\r\n\
                expect: 100-continue\r\ncontent-length: 1\r\n\r\n",
        );
        assert_eq!(client.reply().status, 100);
        server.stop().wait();
        client.until_closed();
    });
}
