//! A closed loop: each connection asks again as soon as it has its answer, so a faster server is
//! asked more.
//!
//! The server is a process of its own, and so is the load, whose case brings the protocol
//! ([`client`], [`protocol`]) or a program that is one ([`Target::watched`]). The parent brings
//! both together ([`pair`]).

mod client;
mod found;
mod pair;
mod protocol;

#[cfg(feature = "ecosystem")]
pub(crate) use self::client::{GRACE, WARM_UP};
#[cfg(feature = "ecosystem")]
pub(crate) use self::found::Found;
pub(crate) use self::found::{BY_MIB, BY_REQUEST};
pub(crate) use self::pair::{Target, generate_load, generate_load_per_cpu, host, measure};
pub(crate) use self::protocol::{Echo, Protocol, pattern};
