//! TCP echo, 64-byte messages: what the scheduler and the driver cost when a task does nothing but
//! wait for its socket.
//!
//! The server is a process of its own ([`server`], [`monoio`], and [`epoll`] as the floor), and so is the load,
//! a closed loop ([`client`]). The parent brings both together ([`pair`]); the `http` suite does
//! the same with another protocol.

mod client;
mod epoll;
mod monoio;
mod pair;
mod server;

use std::time::Duration;

pub(crate) use self::client::Protocol;
pub(crate) use self::pair::{LOAD, METRICS, generate_load, host, measure_pair, serve, serve_on};
pub(crate) use self::server::echo;
use crate::suite::{Bar, Case, EVENKEEL, Limit, Template, unknown};

/// One line for the help text and the report.
pub(crate) const ABOUT: &str =
    "TCP echo of 64-byte messages in a closed loop; the client is another process";

/// Size of a request, and of its answer.
const MESSAGE_BYTES: usize = 64;
/// Size of a server's buffer for each connection: there is room for more than comes.
const BUFFER_BYTES: usize = 1024;

/// What goes there and back.
const MESSAGE: [u8; MESSAGE_BYTES] = {
    let mut message = [0; MESSAGE_BYTES];
    let mut index = 0;
    while index < MESSAGE_BYTES {
        message[index] = index as u8;
        index += 1;
    }
    message
};

const PROTOCOL: Protocol = Protocol {
    request: &MESSAGE,
    answer_bytes: |_| Some(MESSAGE_BYTES),
    is_right: |answer| answer == MESSAGE,
};

const ECHO: Template = Template {
    suite: "echo",
    contenders: &[EVENKEEL, "tokio", "smol", "monoio", "epoll"],
    measure: measure_pair,
};

/// All there is to run, in this order.
#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    ECHO.case("1_connection", "one connection: the way there and back", METRICS, &[
        Bar { metric: "p50", limit: Limit::AtMost(1.05, &["tokio"]) },
    ]),
    ECHO.case("64_connections", "64 connections: as many requests as the machine can take", METRICS, &[
        Bar { metric: "server_cpu", limit: Limit::AtMost(1.10, &["epoll"]) },
        Bar { metric: "requests", limit: Limit::AtLeast(1.15, &["tokio"]) },
    ]),
    ECHO.case("512_connections", "512 connections: how evenly they are served", METRICS, &[
        Bar { metric: "p99", limit: Limit::AtMost(0.5, &["tokio"]) },
    ]),
];

fn connections(name: &str) -> Option<usize> {
    match name {
        "1_connection" => Some(1),
        "64_connections" => Some(64),
        "512_connections" => Some(512),
        _ => None,
    }
}

/// The child's side: the server on this contender, or the load.
pub(crate) fn measure(name: &str, contender: &str, window: Duration) -> Result<Vec<f64>, String> {
    let connections = connections(name).ok_or_else(|| unknown(name, contender))?;
    let serve: fn() -> Result<u16, String> = match contender {
        LOAD => return generate_load(&PROTOCOL, connections, window),
        EVENKEEL => server::evenkeel,
        "tokio" => server::tokio,
        "smol" => server::smol,
        "monoio" => monoio::serve,
        "epoll" => epoll::serve,
        _ => return Err(unknown(name, contender)),
    };
    host(serve)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_its_connections() {
        for case in CASES {
            let (count, _) = case.name.split_once('_').unwrap();
            assert_eq!(connections(case.name), count.parse().ok(), "{case}");
        }
    }
}
