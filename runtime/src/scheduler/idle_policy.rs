//! How an idle worker waits.

/// What an idle worker knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Another worker is awake, and polls are so short that it will soon be at the driver again.
    /// Not if it was found stuck.
    pub(super) others_get_on: bool,
    /// Somebody is on standby.
    pub(super) on_standby: bool,
    /// Other programs use this worker's core, so it is to be woken last.
    pub(super) in_reserve: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// In the driver if nobody else is there: this worker then handles the next event.
    InDriver,
    /// Those who are awake look after events.
    Parked,
    /// And this worker looks whether they get on.
    OnStandby,
}

/// How a worker waits that sees no work after its last look.
pub(super) fn how_to_wait(seen: Seen) -> Wait {
    match seen {
        Seen {
            others_get_on: false,
            ..
        } => Wait::InDriver,
        Seen {
            on_standby: true,
            in_reserve: false,
            ..
        } => Wait::Parked,
        _ => Wait::OnStandby,
    }
}

/// What a worker knows that has found nothing just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpinSeen {
    /// It is one of those that search: others rely on that.
    pub(super) is_searching: bool,
    pub(super) in_reserve: bool,
    /// It may be preempted meanwhile, so others would rely on it in vain.
    pub(super) is_low_priority: bool,
    /// It has had a task. A runtime that is just being started may need the core for that.
    pub(super) has_worked: bool,
}

/// Whether it looks a little longer before it sleeps, where that has been of use.
pub(super) fn may_spin(seen: SpinSeen) -> bool {
    seen.is_searching && seen.has_worked && !seen.in_reserve && !seen.is_low_priority
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_drives_or_one_is_on_standby_and_the_others_park() {
        let alone = Seen::default();
        let beside = Seen {
            others_get_on: true,
            ..alone
        };
        let second = Seen {
            on_standby: true,
            ..beside
        };
        let in_reserve = Seen {
            in_reserve: true,
            ..second
        };
        let table = [
            (alone, Wait::InDriver),
            (beside, Wait::OnStandby),
            (second, Wait::Parked),
            // Else it would be woken before the others.
            (in_reserve, Wait::OnStandby),
            (
                Seen {
                    others_get_on: false,
                    ..in_reserve
                },
                Wait::InDriver,
            ),
        ];
        for (seen, wait) in table {
            assert_eq!(how_to_wait(seen), wait, "{seen:?}");
        }
    }

    #[test]
    fn a_searcher_that_nothing_else_wants_may_spin() {
        let searcher = SpinSeen {
            is_searching: true,
            in_reserve: false,
            is_low_priority: false,
            has_worked: true,
        };
        let others = [
            SpinSeen {
                is_searching: false,
                ..searcher
            },
            SpinSeen {
                in_reserve: true,
                ..searcher
            },
            SpinSeen {
                is_low_priority: true,
                ..searcher
            },
            SpinSeen {
                has_worked: false,
                ..searcher
            },
        ];
        assert!(may_spin(searcher));
        assert!(others.into_iter().all(|seen| !may_spin(seen)));
    }
}
