//! Who is measured: each way to place workers, and tokio for comparison.

use evenkeel::runtime::Pinning;
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
    /// Whether [`EVENKEEL`] has turned out to be the same, by what was seen of that.
    is_default: Option<fn(&Value) -> bool>,
}

/// All of them, in the table's order: a line each. Evenkeel's default comes first.
pub(super) const STRATEGIES: &[Strategy] = &[
    evenkeel(EVENKEEL, || Pinning::Auto, None),
    evenkeel("evenkeel:none", || Pinning::None, Some(is_unpinned)),
    evenkeel("evenkeel:per-core", || Pinning::PerCore, Some(is_pinned)),
    tokio(Tokio::NAME, || Pinning::Auto),
    tokio("tokio:pinned", || Pinning::PerCore),
];

/// Not measured where the default is seen to be the same.
const fn evenkeel(
    name: &'static str,
    pinning: fn() -> Pinning,
    is_default: Option<fn(&Value) -> bool>,
) -> Strategy {
    Strategy {
        name,
        runtime: Evenkeel::NAME,
        pinning,
        is_default,
    }
}

const fn tokio(name: &'static str, pinning: fn() -> Pinning) -> Strategy {
    Strategy {
        name,
        runtime: Tokio::NAME,
        pinning,
        is_default: None,
    }
}

fn is_pinned(seen: &Value) -> bool {
    seen["pinned"] == true
}

fn is_unpinned(seen: &Value) -> bool {
    seen["pinned"] == false
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
        let twin = self.is_default.map(|is_same| Twin {
            name: EVENKEEL,
            is_same,
        });
        Contender {
            pinning: self.pinning,
            twin,
            ..Contender::new(self.name, runtime.expect("a case has both runtimes").run)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_comes_first_and_tokio_comes_as_it_is() {
        for (name, index) in [(EVENKEEL, 0), (Tokio::NAME, 3)] {
            let strategy = &STRATEGIES[index];
            assert_eq!((strategy.name, strategy.runtime), (name, name));
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
