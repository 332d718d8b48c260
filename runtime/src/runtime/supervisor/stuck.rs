//! Whether a worker that has been in a poll for too long is to be replaced: the policy, without the
//! means.
//!
//! What waits decides. Short tasks are worth another worker; to start a long poll beside a long one
//! that computes makes the first one later and the second no sooner. One that sleeps leaves its
//! core to whoever comes.

use std::time::Duration;

/// Tasks that other workers can take may wait eight times as long for a worker that is stuck.
const PATIENT_FACTOR: u32 = 8;

/// A poll that has computed for this long is lowered, whatever waits, and long ones wait for it no
/// longer. It is a mistake, most likely: at normal priority it would have half of its core for
/// itself while the worker there wants more than that; and it may be waiting for one of those that
/// wait.
pub(super) const LOWER_AFTER: Duration = Duration::from_millis(100);

/// What a poll does that has taken too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Computes,
    Sleeps,
    /// The system does not tell.
    Unknown,
}

/// A worker that has been in a poll for too long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stuck {
    pub(super) verdict: Verdict,
    pub(super) age: Duration,
    /// What it has used of the CPU, if that is known.
    pub(super) used: Option<Duration>,
    /// Something waits that only this worker can do: a task in its LIFO slot, a timer that is due.
    pub(super) owes: bool,
}

/// What there is beside it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    /// All workers are stuck.
    pub(super) nobody: bool,
    /// So many tasks, about, have nobody yet who sits down for them.
    pub(super) waiting: usize,
    /// Tasks wait that are not expected to be long,
    pub(super) short_waits: bool,
    /// and have since the look before.
    pub(super) short_waited: bool,
    /// Long tasks wait.
    pub(super) long_waits: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Leave,
    Replace,
    /// And its thread is to be lowered, if threads may be.
    ReplaceAndLower,
}

impl Beside {
    /// A worker was replaced. There is nobody still if more wait than have sat down.
    pub(super) fn somebody_sits_down(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
        self.nobody &= self.waiting > 0;
    }
}

/// What is to be done about it. Polls are long from `after` on.
pub(super) fn decide(stuck: Stuck, beside: Beside, after: Duration) -> Decision {
    let computes = stuck.verdict == Verdict::Computes;
    if computes && stuck.used >= Some(LOWER_AFTER) {
        return Decision::ReplaceAndLower;
    }
    let is_wanted = if computes {
        let for_long = stuck.age >= after.saturating_mul(PATIENT_FACTOR);
        beside.short_waits && beside.nobody || beside.short_waited && for_long
    } else {
        // With nobody else, somebody has to be there for whatever comes.
        beside.nobody || beside.short_waits || beside.long_waits
    };
    if stuck.owes || is_wanted {
        Decision::Replace
    } else {
        Decision::Leave
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_millis(1);

    const COMPUTES: Stuck = Stuck {
        verdict: Verdict::Computes,
        age: Duration::from_millis(2),
        used: Some(Duration::from_millis(2)),
        owes: false,
    };
    const SLEEPS: Stuck = Stuck {
        verdict: Verdict::Sleeps,
        used: Some(Duration::ZERO),
        ..COMPUTES
    };
    const NOTHING: Beside = Beside {
        nobody: false,
        waiting: 0,
        short_waits: false,
        short_waited: false,
        long_waits: false,
    };
    const ALL_STUCK: Beside = Beside {
        nobody: true,
        ..NOTHING
    };
    const SHORT: Beside = Beside {
        short_waits: true,
        short_waited: true,
        ..NOTHING
    };

    #[test]
    fn what_waits_decides() {
        use Decision::{Leave, Replace, ReplaceAndLower};
        let owes = Stuck {
            owes: true,
            ..COMPUTES
        };
        let for_long = Stuck {
            age: 8 * AFTER,
            ..COMPUTES
        };
        let mistake = Stuck {
            used: Some(LOWER_AFTER),
            ..COMPUTES
        };
        let all_stuck_and_short = Beside {
            nobody: true,
            ..SHORT
        };
        let long = Beside {
            long_waits: true,
            ..NOTHING
        };
        let table = [
            (COMPUTES, NOTHING, Leave),
            (COMPUTES, ALL_STUCK, Leave),
            (COMPUTES, long, Leave),
            // Others take it.
            (COMPUTES, SHORT, Leave),
            (for_long, SHORT, Replace),
            (COMPUTES, all_stuck_and_short, Replace),
            (owes, NOTHING, Replace),
            (mistake, NOTHING, ReplaceAndLower),
            (SLEEPS, NOTHING, Leave),
            (SLEEPS, SHORT, Replace),
            (SLEEPS, long, Replace),
            (SLEEPS, ALL_STUCK, Replace),
        ];
        for (stuck, beside, decision) in table {
            let decided = decide(stuck, beside, AFTER);
            assert_eq!(decided, decision, "{stuck:?} {beside:?}");
        }
    }
}
