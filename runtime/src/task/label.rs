//! The id of a task and the registry that holds it, in one word: tasks are many and their cells small.

use super::Id;
use super::cell::Shard;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The upper bits are the shard, all ones for none; the rest is the id.
const NO_SHARD: u64 = Shard::COUNT_MAX as u64;

pub(super) struct Label(AtomicU64);

impl Label {
    pub(super) fn new(id: Id) -> Self {
        Label(AtomicU64::new((NO_SHARD << Id::BITS) | id.as_u64()))
    }

    pub(super) fn id(&self) -> Id {
        Id::from_u64(self.0.load(Ordering::Relaxed) & Id::MASK).expect("made from an id")
    }

    pub(super) fn shard(&self) -> Option<Shard> {
        let shard = self.0.load(Ordering::Relaxed) >> Id::BITS;
        (shard != NO_SHARD).then_some(Shard(shard as usize))
    }

    /// Only for the one who has RUNNING, and only once.
    pub(super) fn set_shard(&self, shard: Shard) {
        debug_assert!(shard.0 < Shard::COUNT_MAX);
        let word = ((shard.0 as u64) << Id::BITS) | self.id().as_u64();
        self.0.store(word, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    #[test]
    fn both_parts_stay_what_they_are() {
        for id in [1, 2, Id::MASK - 1, Id::MASK] {
            let label = Label::new(Id::from_u64(id).unwrap());
            assert_eq!((label.id().as_u64(), label.shard()), (id, None));
            for shard in [0, 1, Shard::COUNT_MAX - 1] {
                label.set_shard(Shard(shard));
                assert_eq!(
                    (label.id().as_u64(), label.shard()),
                    (id, Some(Shard(shard)))
                );
            }
        }
    }
}
