//! The suite `echo`: TCP echo of 64-byte messages, which shows what the scheduler and the driver
//! cost when a task does nothing but wait for its socket.
//!
//! Beside the runtimes, monoio ([`monoio`]) and a raw epoll loop as the floor ([`epoll`]).

mod monoio;

use crate::closed_loop::{self, BY_REQUEST, Echo, generate_load, host};
use crate::epoll;
use crate::harness::{Bar, Case, Contender, Limit, Setup, Suite, Template};
use crate::runtimes::{self, Evenkeel, On, Runtime, Smol, Tokio, Workload};

pub(super) const SUITE: Suite = Suite::new(
    "echo",
    "TCP echo of 64-byte messages in a closed loop; the client is another process",
    |_| CASES,
);

/// Size of a request, and of its answer.
pub(super) const MESSAGE_BYTES: usize = 64;

/// Size of the server's buffer for each connection: there is room for more than comes.
const BUFFER_BYTES: usize = 1024;

pub(super) struct Server;

impl Workload for Server {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let runtime = runtimes::start::<R>(&setup.options)?;
        host(runtimes::serve(runtime, |stream| {
            runtimes::echo(R::io(stream), [0; BUFFER_BYTES])
        })?)
    }
}

/// So many connections that each have a message under way.
fn load<const CONNECTIONS: usize>(setup: &Setup) -> Result<Vec<f64>, String> {
    let protocol = Echo::of(MESSAGE_BYTES);
    generate_load(&protocol, CONNECTIONS, setup.window).map(|found| found.by_request())
}

const CONTENDERS: &[Contender] = &[
    On::<Server>::runtime::<Evenkeel>(),
    On::<Server>::runtime::<Tokio>(),
    On::<Server>::runtime::<Smol>(),
    Contender::new("monoio", |_| host(monoio::serve()?)),
    Contender::new("epoll", |_| host(epoll::serve(BUFFER_BYTES)?)),
];

const ECHO: Template = Template {
    suite: "echo",
    measure: &closed_loop::measure,
};

/// All there is to run, in this order.
const CASES: &[Case] = &[
    Case {
        load: Some(load::<1>),
        ..ECHO.case(
            "1_connection",
            "one connection: the way there and back",
            BY_REQUEST,
            CONTENDERS,
            &[Bar::new("p50", Limit::AtMost(1.05, &["tokio"]))],
        )
    },
    Case {
        load: Some(load::<64>),
        ..ECHO.case(
            "64_connections",
            "64 connections: as many requests as the machine can take",
            BY_REQUEST,
            CONTENDERS,
            &[
                Bar::new("server_cpu", Limit::AtMost(1.10, &["epoll"])),
                Bar::new("requests", Limit::AtLeast(1.15, &["tokio"])),
            ],
        )
    },
    Case {
        load: Some(load::<512>),
        ..ECHO.case(
            "512_connections",
            "512 connections: how evenly they are served",
            BY_REQUEST,
            CONTENDERS,
            &[Bar::new("p99", Limit::AtMost(0.5, &["tokio"]))],
        )
    },
];
