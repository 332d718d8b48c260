//! The suite `ecosystem`: servers as people write them with axum, sqlx, hyper-util, tonic and
//! quinn. On Evenkeel they are on its own sockets, by `evenkeel::serve` and `evenkeel::quinn`; on
//! tokio they are as their documentation has them. Measured as `http` is.
//!
//! These libraries are many crates, and one needs a C compiler. So the suite is behind the feature
//! `ecosystem`; without it, its cases say so (`absent`).

#[cfg(not(feature = "ecosystem"))]
mod absent;
#[cfg(feature = "ecosystem")]
mod axum;
#[cfg(feature = "ecosystem")]
mod client;
#[cfg(feature = "ecosystem")]
mod json;
#[cfg(feature = "ecosystem")]
mod load;
#[cfg(feature = "ecosystem")]
mod quinn;
#[cfg(feature = "ecosystem")]
mod serve;
#[cfg(feature = "ecosystem")]
mod sqlx;
#[cfg(feature = "ecosystem")]
mod tonic;

#[cfg(not(feature = "ecosystem"))]
use self::{
    absent as axum, absent as client, absent as json, absent as quinn, absent as sqlx,
    absent as tonic,
};
use crate::closed_loop::{self, BY_REQUEST};
use crate::harness::{Bar, Case, Limit, Suite, Template};

pub(super) const SUITE: Suite = Suite::new(
    "ecosystem",
    "axum, sqlx, hyper-util, tonic and quinn in a closed loop (build with --features ecosystem)",
    |_| CASES,
);

const ECOSYSTEM: Template = Template {
    suite: "ecosystem",
    measure: &closed_loop::measure,
};

const BARS: &[Bar] = &[
    Bar::new("requests", Limit::AtLeast(1.0, &["tokio"])),
    Bar::new("p99", Limit::AtMost(1.0, &["tokio"])),
];

/// Why nobody can be measured.
fn obstacle() -> Option<&'static str> {
    (!cfg!(feature = "ecosystem")).then_some("this program was built without --features ecosystem")
}

/// All there is to run, in this order.
const CASES: &[Case] = &[
    Case {
        obstacle,
        load: Some(axum::load),
        ..ECOSYSTEM.case(
            "axum",
            "64 connections of HTTP/1 that all ask a router for the same short text",
            BY_REQUEST,
            axum::CONTENDERS,
            BARS,
        )
    },
    Case {
        obstacle,
        load: Some(json::load),
        ..ECOSYSTEM.case(
            "json",
            "64 connections that all ask for 118 KB of JSON, about 1 ms of CPU",
            BY_REQUEST,
            json::CONTENDERS,
            BARS,
        )
    },
    Case {
        obstacle,
        load: Some(sqlx::load),
        ..ECOSYSTEM.case(
            "sqlx",
            "64 connections that each ask for a row, from a pool of 8 connections to SQLite",
            BY_REQUEST,
            sqlx::CONTENDERS,
            BARS,
        )
    },
    Case {
        obstacle,
        load: Some(client::load),
        ..ECOSYSTEM.case(
            "client",
            "64 connections whose requests are passed on to another server",
            BY_REQUEST,
            client::CONTENDERS,
            BARS,
        )
    },
    Case {
        obstacle,
        load: Some(tonic::load),
        ..ECOSYSTEM.case(
            "tonic",
            "unary calls of 64 bytes: 16 connections with 4 calls each in progress",
            BY_REQUEST,
            tonic::CONTENDERS,
            BARS,
        )
    },
    Case {
        obstacle,
        load: Some(quinn::load),
        ..ECOSYSTEM.case(
            "quinn",
            "64 bytes there and back by a stream of their own: 16 connections, 4 streams each",
            BY_REQUEST,
            quinn::CONTENDERS,
            BARS,
        )
    },
];
