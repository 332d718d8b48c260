//! Keeping the panics of foreign code from the runtime's own threads. What is promised of each is in
//! ARCHITECTURE.md.

pub(crate) use evenkeel_sync::panics::{Foreign, contain, drop_quietly, log};
