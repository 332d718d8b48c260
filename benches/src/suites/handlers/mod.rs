//! The suite `handlers`: a server whose handlers need CPU, as those of a real service do that reads
//! JSON, fills templates and turns rows into structs.
//!
//! The open loop says in each request how much work it asks for; latencies count from the due time.
//! Most cases have CPU jobs of 20 ms beside it, which peers put onto threads of lower priority
//! ([`contenders`]). Loads are fractions of the machine's CPUs. The cases are a product, made when
//! they are asked for ([`grid`], [`mod@cases`]).

mod cases;
mod contenders;
mod grid;

use std::time::Duration;

use crate::harness::{Layout, Suite};

pub(super) const SUITE: Suite = Suite {
    layout: Layout::ColumnsAndQuote,
    window: Duration::from_millis(1500),
    rounds: 1,
    ..Suite::new(
        "handlers",
        "handlers that need CPU, open loop, most beside CPU jobs of 20 ms; loads in fractions of \
         the machine's CPUs",
        cases::cases,
    )
};
