//! A closed loop: each connection asks again as soon as it has its answer, so a faster server is
//! asked more.
//!
//! The server is a process of its own, and so is the load ([`client`]), whose case brings the
//! protocol. The parent brings both together ([`pair`]).

mod client;
mod pair;

pub(crate) use self::client::Protocol;
pub(crate) use self::pair::{METRICS, generate_load, host, measure};
