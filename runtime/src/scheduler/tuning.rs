//! Which heuristics of the scheduler are on.

/// Each is a guess that may be wrong; none is needed for a task to be run.
///
/// For measuring what each is worth: the harness switches them off one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// A worker that finds nothing looks a little longer before it sleeps, where that has paid.
    pub spin: bool,
    /// One idle worker looks every millisecond whether the others, who are awake, get on.
    pub standby: bool,
    /// While one is on standby, nobody is woken for what those who are awake will soon get to.
    pub hold_back: bool,
    /// How long polls take on average is estimated; else all count as long.
    pub poll_time: bool,
    /// A worker whose core other programs use is woken last.
    pub reserve: bool,
    /// After a takeover, what comes in goes before what was queued.
    pub pass_over: bool,
    /// The task woken last by the current one runs next.
    pub lifo_slot: bool,
    /// Of compute workers, one whose core's IO worker sleeps is woken first.
    pub free_core: bool,
    /// Tasks whose next poll is expected to be long wait behind the others.
    pub long_queue: bool,
    /// New tasks are expected to be like other new ones before them.
    pub prior: bool,
    /// A poll that takes long is asked to end before its worker is replaced.
    pub preempt: bool,
    /// After a takeover the supervisor looks more often for a while.
    pub alert: bool,
    /// Threads of low priority end later and one after another.
    pub retire: bool,
    /// A CPU on which a worker was woken is interrupted, where the kernel leaves it waiting else.
    pub kick: bool,
}

/// After so many tasks whoever runs them looks at what comes from outside. (tokio's number for
/// events; prime, so that it does not beat with a program's own patterns.)
pub(super) const LOOK_AFTER: u32 = 61;

/// A thread that runs all tasks itself takes what other threads have sent first once in so many.
/// (tokio's number.)
pub(super) const ARRIVALS_INTERVAL: u32 = 31;

/// How often a worker that is busy looks at what comes from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intervals {
    /// At the IO driver: every so many tasks.
    pub(crate) events: u32,
    /// At what other threads have sent: after so many tasks, at most. `None` for the default.
    pub(crate) inbox: Option<u32>,
}

impl Default for Intervals {
    fn default() -> Self {
        Intervals {
            events: LOOK_AFTER,
            inbox: None,
        }
    }
}

/// What a heuristic is called, and where it is.
type Entry = (&'static str, fn(&mut Tuning) -> &mut bool);

const ENTRIES: [Entry; 14] = [
    ("spin", |tuning| &mut tuning.spin),
    ("standby", |tuning| &mut tuning.standby),
    ("hold-back", |tuning| &mut tuning.hold_back),
    ("poll-time", |tuning| &mut tuning.poll_time),
    ("reserve", |tuning| &mut tuning.reserve),
    ("pass-over", |tuning| &mut tuning.pass_over),
    ("lifo-slot", |tuning| &mut tuning.lifo_slot),
    ("free-core", |tuning| &mut tuning.free_core),
    ("long-queue", |tuning| &mut tuning.long_queue),
    ("prior", |tuning| &mut tuning.prior),
    ("preempt", |tuning| &mut tuning.preempt),
    ("alert", |tuning| &mut tuning.alert),
    ("retire", |tuning| &mut tuning.retire),
    ("kick", |tuning| &mut tuning.kick),
];

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            spin: true,
            standby: true,
            hold_back: true,
            poll_time: true,
            reserve: true,
            pass_over: true,
            lifo_slot: true,
            free_core: true,
            long_queue: true,
            prior: true,
            preempt: true,
            alert: true,
            retire: true,
            kick: true,
        }
    }
}

impl Tuning {
    /// The names of all heuristics.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ENTRIES.iter().map(|(name, _)| *name)
    }

    /// Switches a heuristic off. False if there is none of that name.
    pub fn switch_off(&mut self, name: &str) -> bool {
        let entry = ENTRIES.iter().find(|(other, _)| *other == name);
        entry.is_some_and(|(_, field)| {
            *field(self) = false;
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_name_switches_one_heuristic_off() {
        let all_on = Tuning::default();
        let mut seen = HashSet::new();
        for name in Tuning::names() {
            let mut tuning = all_on;
            assert!(tuning.switch_off(name));
            assert!(seen.insert(format!("{tuning:?}")), "{name}");
            assert_eq!(format!("{tuning:?}").matches("false").count(), 1, "{name}");
        }
        assert!(!Tuning::default().switch_off("nothing"));
    }
}
