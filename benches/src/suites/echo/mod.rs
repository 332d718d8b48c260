//! The suite `echo`: TCP echo of 64-byte messages, which shows what the scheduler and the driver
//! cost when a task does nothing but wait for its socket.
//!
//! Beside the runtimes, monoio ([`monoio`]) and a raw epoll loop as the floor ([`epoll`]).

mod epoll;
mod monoio;

use crate::closed_loop::{self, METRICS, Protocol, generate_load, host};
use crate::harness::{Bar, Case, Contender, Limit, Setup, Suite, Template};
use crate::runtimes::{self, Evenkeel, On, Runtime, Smol, Tokio, Workload};

pub(super) const SUITE: Suite = Suite::new(
    "echo",
    "TCP echo of 64-byte messages in a closed loop; the client is another process",
    |_| CASES,
);

/// Size of a request, and of its answer.
const MESSAGE_BYTES: usize = 64;

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

struct Echo;

impl Workload for Echo {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let runtime = runtimes::start::<R>(&setup.options)?;
        host(runtimes::serve(runtime, |stream| {
            runtimes::echo(R::io(stream))
        })?)
    }
}

const CONTENDERS: &[Contender] = &[
    On::<Echo>::runtime::<Evenkeel>(),
    On::<Echo>::runtime::<Tokio>(),
    On::<Echo>::runtime::<Smol>(),
    Contender::new("monoio", |_| host(monoio::serve()?)),
    Contender::new("epoll", |_| host(epoll::serve()?)),
];

const ECHO: Template = Template {
    suite: "echo",
    measure: &closed_loop::measure,
};

/// All there is to run, in this order.
const CASES: &[Case] = &[
    Case {
        load: Some(|setup| generate_load(&PROTOCOL, 1, setup.window)),
        ..ECHO.case(
            "1_connection",
            "one connection: the way there and back",
            METRICS,
            CONTENDERS,
            &[Bar::new("p50", Limit::AtMost(1.05, &["tokio"]))],
        )
    },
    Case {
        load: Some(|setup| generate_load(&PROTOCOL, 64, setup.window)),
        ..ECHO.case(
            "64_connections",
            "64 connections: as many requests as the machine can take",
            METRICS,
            CONTENDERS,
            &[
                Bar::new("server_cpu", Limit::AtMost(1.10, &["epoll"])),
                Bar::new("requests", Limit::AtLeast(1.15, &["tokio"])),
            ],
        )
    },
    Case {
        load: Some(|setup| generate_load(&PROTOCOL, 512, setup.window)),
        ..ECHO.case(
            "512_connections",
            "512 connections: how evenly they are served",
            METRICS,
            CONTENDERS,
            &[Bar::new("p99", Limit::AtMost(0.5, &["tokio"]))],
        )
    },
];
