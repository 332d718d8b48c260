//! The suite `handlers`: an echo server whose handlers need CPU, as those of a real service do that
//! reads JSON, fills templates and turns rows into structs.
//!
//! The client of the main job sends in an open loop, and says in each request how much work it asks
//! for; latencies count from the due time. Most cases have CPU jobs of 20 ms beside it, which peers
//! put onto threads of lower priority ([`contenders`]). Loads are fractions of the machine's CPUs.
//! The cases are a product, made when they are asked for ([`grid`], [`mod@cases`]). Their server and
//! its load are the main job's ([`pair`]).

mod cases;
mod contenders;
mod grid;
mod pair;

use std::time::Duration;

pub(crate) use self::cases::cases;
use crate::mixed::Role;
use crate::suite;

/// One line for the help text and the report.
pub(crate) const ABOUT: &str = "handlers that need CPU, open loop, most beside CPU jobs of 20 ms; \
                                loads in fractions of the machine's CPUs";

/// The child's side: the server of a case.
pub(crate) fn measure(name: &str, contender: &str, _: Duration) -> Result<Vec<f64>, String> {
    let unknown = || suite::unknown(name, contender);
    let spec = grid::Spec::named(name).ok_or_else(unknown)?;
    let (engine, background) = contenders::part(contender, spec.beside()).ok_or_else(unknown)?;
    pair::serve(|spin| Role {
        engine,
        handler: spec.handler(spin),
        background,
        in_flight: grid::jobs_in_flight(grid::cpus()),
        spin,
    })
}
