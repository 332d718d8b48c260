//! Who is measured: each way to place workers, and tokio for comparison.

use evenkeel::runtime::{Fence, Pinning};
use evenkeel_topology::{Placement, Topology};
use serde_json::Value;

use crate::harness::{Contender, EVENKEEL, Twin};
use crate::runtimes::{Evenkeel, Runtime, Tokio};

/// A place for workers.
pub(super) struct Strategy {
    /// Of the contender.
    pub(super) name: &'static str,
    /// The contender that is its runtime as it comes.
    runtime: &'static str,
    pinning: fn() -> Pinning,
    twin: Option<Twin>,
}

const NONE: &str = "evenkeel:none";
const PER_CORE: &str = "evenkeel:per-core";

/// All of them, in the table's order: an entry each. Evenkeel's default comes first. What that
/// comes to may change while it runs, so it is no other one's twin. Of two that put each worker to
/// the same place on this machine, one is measured.
pub(super) const STRATEGIES: &[Strategy] = &[
    evenkeel(EVENKEEL, || Pinning::Auto),
    evenkeel(NONE, || Pinning::None),
    evenkeel(PER_CORE, || Pinning::PerCore),
    evenkeel("evenkeel:compact", || Pinning::Compact)
        .unless(PER_CORE, |_| is(Pinning::Compact, Pinning::PerCore)),
    evenkeel("evenkeel:scatter", || Pinning::Scatter)
        .unless(PER_CORE, |_| is(Pinning::Scatter, Pinning::PerCore)),
    evenkeel("evenkeel:cluster", || Pinning::Fence(Fence::Cluster)).unless(PER_CORE, |_| {
        is(Pinning::Fence(Fence::Cluster), Pinning::PerCore)
    }),
    evenkeel("evenkeel:l3", || Pinning::Fence(Fence::L3))
        .unless(NONE, |_| is(Pinning::Fence(Fence::L3), Pinning::None)),
    evenkeel("evenkeel:node", || Pinning::Fence(Fence::Node))
        .unless(NONE, |_| is(Pinning::Fence(Fence::Node), Pinning::None)),
    evenkeel("evenkeel:compute-only", || Pinning::ComputeOnly),
    tokio(Tokio::NAME, || Pinning::Auto),
    tokio("tokio:pinned", || Pinning::PerCore),
];

const fn evenkeel(name: &'static str, pinning: fn() -> Pinning) -> Strategy {
    Strategy {
        name,
        runtime: Evenkeel::NAME,
        pinning,
        twin: None,
    }
}

const fn tokio(name: &'static str, pinning: fn() -> Pinning) -> Strategy {
    Strategy {
        runtime: Tokio::NAME,
        ..evenkeel(name, pinning)
    }
}

/// Whether both come to the same on this machine, with a worker for each CPU.
fn is(one: Pinning, other: Pinning) -> bool {
    is_on(&Topology::detect(), &one, &other)
}

fn is_on(topology: &Topology, one: &Pinning, other: &Pinning) -> bool {
    let cpus = topology.cpus();
    let place = |pinning| Placement::new(topology, cpus.len(), [cpus.len(); 2], pinning);
    let (Ok(one), Ok(other)) = (place(one), place(other)) else {
        return false;
    };
    // Who is kept to all CPUs is kept to none.
    let mask = |placement: &Placement, worker| {
        let mask = placement.io.mask(worker).cloned();
        mask.filter(|mask| mask != cpus)
    };
    (0..cpus.len()).all(|worker| mask(&one, worker) == mask(&other, worker))
}

impl Strategy {
    /// It is not measured where it is what another one is.
    const fn unless(self, name: &'static str, is_same: fn(&Value) -> bool) -> Self {
        Self {
            twin: Some(Twin { name, is_same }),
            ..self
        }
    }

    /// What a program says to have the strategy of this name, if it is one of Evenkeel's.
    pub(super) fn code_of(name: &str) -> Option<String> {
        let mut of_evenkeel = STRATEGIES
            .iter()
            .filter(|one| one.runtime == Evenkeel::NAME);
        let strategy = of_evenkeel.find(|strategy| strategy.name == name)?;
        Some(match (strategy.pinning)() {
            Pinning::Fence(fence) => format!("Pinning::Fence(Fence::{fence:?})"),
            pinning => format!("Pinning::{pinning:?}"),
        })
    }

    /// The strategy as a contender, in a case that has the two runtimes as they come.
    pub(super) fn contender(&self, as_they_come: &[Contender]) -> Contender {
        let mut runtimes = as_they_come.iter();
        let runtime = runtimes.find(|contender| contender.name == self.runtime);
        Contender {
            pinning: self.pinning,
            twin: self.twin,
            ..Contender::new(self.name, runtime.expect("a case has both runtimes").run)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_comes_first_and_tokio_comes_as_it_is() {
        assert_eq!(STRATEGIES[0].name, EVENKEEL);
        for runtime in [EVENKEEL, Tokio::NAME] {
            let mut strategies = STRATEGIES.iter();
            let strategy = strategies.find(|one| one.name == runtime).unwrap();
            assert_eq!(strategy.runtime, runtime);
            assert_eq!((strategy.pinning)(), Pinning::default());
        }
    }

    #[test]
    fn what_comes_to_the_same_is_known() {
        let vm = Topology::flat(&"0-1".parse().unwrap());
        let is =
            |one: &str, other: &str| is_on(&vm, &one.parse().unwrap(), &other.parse().unwrap());
        for (one, other) in [
            ("compact", "per_core"),
            ("scatter", "per_core"),
            ("fence_cluster", "per_core"),
            ("fence_l3", "none"),
            ("fence_node", "none"),
        ] {
            assert!(is(one, other), "{one} {other}");
        }
        assert!(!is("per_core", "none") && !is("fence:0", "none"));
    }

    #[test]
    fn strategies_of_evenkeel_have_their_code() {
        let code = |name| Strategy::code_of(name);
        assert_eq!(code(EVENKEEL).as_deref(), Some("Pinning::Auto"));
        assert_eq!(
            code("evenkeel:per-core").as_deref(),
            Some("Pinning::PerCore")
        );
        assert_eq!(
            code("evenkeel:l3").as_deref(),
            Some("Pinning::Fence(Fence::L3)")
        );
        assert_eq!((code("tokio"), code("tokio:pinned")), (None, None));
    }
}
