//! Who is measured: each way to place workers, and tokio for comparison.

use evenkeel::runtime::Pinning;

use crate::harness::{Contender, EVENKEEL};
use crate::runtimes::{Evenkeel, Runtime, Tokio};

/// A place for workers.
pub(super) struct Strategy {
    /// Of the contender.
    pub(super) name: &'static str,
    /// The contender that is its runtime as it comes.
    runtime: &'static str,
    pinning: fn() -> Pinning,
}

/// All of them, in the table's order: a line each. Evenkeel's default comes first. What that comes
/// to may change while it runs, so it is no other one's twin.
pub(super) const STRATEGIES: &[Strategy] = &[
    evenkeel(EVENKEEL, || Pinning::Auto),
    evenkeel("evenkeel:none", || Pinning::None),
    evenkeel("evenkeel:per-core", || Pinning::PerCore),
    tokio(Tokio::NAME, || Pinning::Auto),
    tokio("tokio:pinned", || Pinning::PerCore),
];

const fn evenkeel(name: &'static str, pinning: fn() -> Pinning) -> Strategy {
    Strategy {
        name,
        runtime: Evenkeel::NAME,
        pinning,
    }
}

const fn tokio(name: &'static str, pinning: fn() -> Pinning) -> Strategy {
    Strategy {
        name,
        runtime: Tokio::NAME,
        pinning,
    }
}

impl Strategy {
    /// What a program says to have the strategy of this name, if it is one of Evenkeel's.
    pub(super) fn code_of(name: &str) -> Option<String> {
        let mut of_evenkeel = STRATEGIES
            .iter()
            .filter(|one| one.runtime == Evenkeel::NAME);
        let strategy = of_evenkeel.find(|strategy| strategy.name == name)?;
        Some(format!("Pinning::{:?}", (strategy.pinning)()))
    }

    /// The strategy as a contender, in a case that has the two runtimes as they come.
    pub(super) fn contender(&self, as_they_come: &[Contender]) -> Contender {
        let mut runtimes = as_they_come.iter();
        let runtime = runtimes.find(|contender| contender.name == self.runtime);
        Contender {
            pinning: self.pinning,
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
    fn strategies_of_evenkeel_have_their_code() {
        let code = |name| Strategy::code_of(name);
        assert_eq!(code(EVENKEEL).as_deref(), Some("Pinning::Auto"));
        assert_eq!(
            code("evenkeel:per-core").as_deref(),
            Some("Pinning::PerCore")
        );
        assert_eq!((code("tokio"), code("tokio:pinned")), (None, None));
    }
}
