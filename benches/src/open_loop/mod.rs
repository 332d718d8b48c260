//! An open loop: requests leave when they are due, whatever became of the earlier ones, and the
//! server has something else to do beside them.
//!
//! Each measurement has two fresh processes: the server ([`server`], with the work of
//! [`background`]) and the load generator ([`mod@client`]), each of whose threads has a share of
//! the connections ([`share`]). The parent tells both when to begin and collects what they have
//! seen ([`session`], [`load`], [`tally`]), of which a case shows some columns ([`mod@column`]).

mod background;
mod client;
mod column;
mod load;
mod message;
mod schedule;
mod server;
mod session;
mod share;
mod tally;
mod traffic;
mod work;

pub(crate) use self::background::{Background, inline_jobs, jobs_in_flight, repeat};
pub(crate) use self::client::{ClientOptions, GRACE, client};
pub(crate) use self::column::{ANSWERED, Column, JOBS, P50, P90, P99, metrics};
pub(crate) use self::column::{LATE_P50, LATE_P90, LATE_P99, NET_P50, NET_P90, NET_P99};
pub(crate) use self::message::MESSAGE_BYTES;
pub(crate) use self::server::{Handler, serve};
pub(crate) use self::session::{Outcome, Plan, run, run_in};
pub(crate) use self::tally::Lateness;
pub(crate) use self::traffic::{Arrivals, Burst, Rate, Traffic, Work, connections};
pub(crate) use self::work::{CountedWork, Job};
