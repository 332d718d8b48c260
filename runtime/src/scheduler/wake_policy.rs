//! Whom to wake for a new piece of work.

/// What a submitter sees, after its push and its fence, if nobody searches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// A worker is awake: it looks at everything once more before it sleeps.
    pub(super) anybody_awake: bool,
    /// A worker on standby looks whether those who are awake get on.
    pub(super) on_standby: bool,
    /// Those who are awake will get to the work sooner than somebody who has to be woken.
    pub(super) is_little: bool,
}

/// Among which sleeping workers one is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    Nobody,
    /// Those whose core nobody else uses.
    NotInReserve,
    /// Those, or else the others.
    Anybody,
}

/// Who is woken. Nobody is where a worker searches already; but a compute worker whose core's IO
/// worker sleeps is all the same, for the searcher may be off its CPU for long.
pub(super) fn whom(seen: Seen) -> Whom {
    if seen.anybody_awake && seen.is_little && seen.on_standby {
        Whom::Nobody
    } else if seen.anybody_awake {
        Whom::NotInReserve
    } else {
        Whom::Anybody
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_more_is_on_the_way_the_fewer_are_woken() {
        let asleep = Seen::default();
        let awake = Seen {
            anybody_awake: true,
            ..asleep
        };
        let little = Seen {
            is_little: true,
            ..awake
        };
        let watched = Seen {
            on_standby: true,
            ..little
        };
        let table = [
            (asleep, Whom::Anybody),
            (awake, Whom::NotInReserve),
            (little, Whom::NotInReserve),
            (watched, Whom::Nobody),
            (
                Seen {
                    is_little: false,
                    ..watched
                },
                Whom::NotInReserve,
            ),
            // Nobody would get to it.
            (
                Seen {
                    anybody_awake: false,
                    ..watched
                },
                Whom::Anybody,
            ),
        ];
        for (seen, chosen) in table {
            assert_eq!(whom(seen), chosen, "{seen:?}");
        }
    }
}
