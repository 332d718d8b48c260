//! The table of registered sources: found by the driver without a lock, reused, never freed.
//!
//! Chunks of doubling size stay where they are, so a token leads to its slot by arithmetic alone.
//! A free slot waits in a stack of indices. The stack's head carries a count that every change
//! raises: a thread that slept between reading `next_free` and its compare-exchange then fails, even
//! when the same slot is on top again.
//!
//! # Shutdown against registration
//! Registrant (`claim`)                        Driver (`shut_down`)
//! 1. has a slot, in a chunk that exists       1. `shutdown = true`
//! 2. SeqCst fence                             2. SeqCst fence
//! 3. reads `shutdown`; true: gives up         3. marks and wakes every slot of every chunk
//!
//! Of two such fences one is first. The registrant's: the driver's step 3 finds the slot. The
//! driver's: the registrant's step 3 reads true. Later calls on the slot need no more than their
//! usual look at its state.
//!
//! What may wait here: two registrants that need the same new chunk at once. This happens once per
//! doubling of the table, and the driver is never one of them.
//!
//! Models: `loom_tests.rs`.

use std::io;

#[cfg(all(test, not(evenkeel_loom)))]
use crate::half::GENERATIONS;
use crate::half::{Half, shutdown_error};
use crate::ready::Ready;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, OnceLock, Ordering, fence};

/// Slots of the first chunk. Each chunk has twice as many as the one before it.
const FIRST_CHUNK: u32 = if cfg!(evenkeel_loom) { 2 } else { 64 };

/// How many bits of a token are the index. The others are the generation, cut to what fits.
const INDEX_BITS: u32 = if usize::BITS >= 64 { 32 } else { 20 };

const CHUNKS: usize = (INDEX_BITS - FIRST_CHUNK.ilog2()) as usize;

/// As many as the chunks hold, and less than would overflow `index + 1`.
const SLOTS_MAX: u32 = ((1_u64 << INDEX_BITS) - FIRST_CHUNK as u64) as u32;

/// An own cache line: neighbours belong to sockets that other cores work on.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Slot {
    pub(crate) read: Half,
    pub(crate) write: Half,
    /// Index + 1 of the next free slot, 0 at the end. Of meaning while this one is free.
    next_free: AtomicU32,
}

#[derive(Debug)]
pub(crate) struct Slots {
    chunks: [OnceLock<Box<[Slot]>>; CHUNKS],
    /// Index + 1 of the first free slot in the low half, the count of changes in the high half.
    free: AtomicU64,
    /// The first index that was never used.
    fresh: AtomicU32,
    claimed: AtomicUsize,
    shutdown: AtomicBool,
}

/// A claimed slot, as its index and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) index: u32,
    generation: u32,
}

impl Key {
    pub(crate) fn to_token(self) -> usize {
        (self.generation as usize).wrapping_shl(INDEX_BITS) | self.index as usize
    }

    fn from_token(token: usize) -> Key {
        let index = token & ((1 << INDEX_BITS) - 1);
        Key {
            index: index as u32,
            generation: (token >> INDEX_BITS) as u32,
        }
    }
}

/// The part of a generation that a token of this machine's width holds.
fn token_part(generation: u32) -> u32 {
    let mask = usize::MAX >> INDEX_BITS;
    generation & mask as u32
}

impl Slots {
    pub(crate) fn new() -> Slots {
        let slots = Slots {
            chunks: std::array::from_fn(|_| OnceLock::new()),
            free: AtomicU64::new(0),
            fresh: AtomicU32::new(0),
            claimed: AtomicUsize::new(0),
            shutdown: AtomicBool::new(false),
        };
        slots.make_chunk_of(0);
        slots
    }

    /// Claims a slot.
    pub(crate) fn claim(&self) -> io::Result<Key> {
        let index = match self.pop_free() {
            Some(index) => index,
            None => self.take_fresh()?,
        };
        self.claimed.fetch_add(1, Ordering::Relaxed);
        let generation = token_part(self.slot(index).read.generation());
        let key = Key { index, generation };

        fence(Ordering::SeqCst);
        if self.is_shutdown() {
            self.release(key);
            return Err(shutdown_error());
        }
        Ok(key)
    }

    /// Gives a slot back. Events for `key` miss from here on.
    pub(crate) fn release(&self, key: Key) {
        let slot = self.slot(key.index);
        slot.read.free();
        slot.write.free();
        self.claimed.fetch_sub(1, Ordering::Relaxed);
        self.push_free(key.index);
    }

    /// The slot at `index`, which must have been claimed once.
    pub(crate) fn slot(&self, index: u32) -> &Slot {
        self.get(index)
            .expect("the index comes from a claimed slot")
    }

    /// The driver: brings an event to the slot that `token` names. False when it came too late.
    pub(crate) fn deliver(&self, token: usize, ready: Ready) -> bool {
        let key = Key::from_token(token);
        let Some(slot) = self.get(key.index) else {
            return false;
        };
        let side = |half: &Half, side: Ready| {
            let ready = ready & side;
            let generation = half.generation();
            !ready.is_empty()
                && token_part(generation) == key.generation
                && half.deliver(generation, ready)
        };
        let read = side(&slot.read, Ready::READ_SIDE);
        let write = side(&slot.write, Ready::WRITE_SIDE);
        read || write
    }

    /// The driver: nothing will be delivered any more.
    pub(crate) fn shut_down(&self) {
        self.shutdown.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        for slot in self.chunks.iter().filter_map(OnceLock::get).flatten() {
            slot.read.shut_down();
            slot.write.shut_down();
        }
    }

    pub(crate) fn is_shutdown(&self) -> bool {
        self.shutdown.load(Ordering::Acquire)
    }

    pub(crate) fn claimed(&self) -> usize {
        self.claimed.load(Ordering::Relaxed)
    }

    fn get(&self, index: u32) -> Option<&Slot> {
        let (chunk, offset) = place(index);
        self.chunks.get(chunk)?.get()?.get(offset)
    }

    fn make_chunk_of(&self, index: u32) {
        let (chunk, _) = place(index);
        let len = (FIRST_CHUNK as usize) << chunk;
        self.chunks[chunk].get_or_init(|| (0..len).map(|_| Slot::default()).collect());
    }

    fn take_fresh(&self) -> io::Result<u32> {
        let next = |fresh| (fresh < SLOTS_MAX).then_some(fresh + 1);
        let index = self
            .fresh
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .map_err(|_| io::Error::other("too many sources are registered with the IO driver"))?;
        self.make_chunk_of(index);
        Ok(index)
    }

    fn pop_free(&self) -> Option<u32> {
        let mut head = self.free.load(Ordering::Acquire);
        loop {
            let index = (head as u32).checked_sub(1)?;
            let next = self.slot(index).next_free.load(Ordering::Relaxed);
            match self.swap_free(head, next) {
                Ok(_) => return Some(index),
                Err(now) => head = now,
            }
        }
    }

    fn push_free(&self, index: u32) {
        let slot = self.slot(index);
        let mut head = self.free.load(Ordering::Acquire);
        loop {
            slot.next_free.store(head as u32, Ordering::Relaxed);
            match self.swap_free(head, index + 1) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn swap_free(&self, head: u64, top: u32) -> Result<u64, u64> {
        let count = (head >> 32).wrapping_add(1) << 32;
        let new = count | u64::from(top);
        self.free
            .compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire)
    }
}

/// Chunk, and offset in it, of an index.
fn place(index: u32) -> (usize, usize) {
    let n = u64::from(index) + u64::from(FIRST_CHUNK);
    let chunk = n.ilog2() - FIRST_CHUNK.ilog2();
    let offset = n - (u64::from(FIRST_CHUNK) << chunk);
    (chunk as usize, offset as usize)
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_a_place_of_its_own() {
        assert_eq!(place(0), (0, 0));
        assert_eq!(place(FIRST_CHUNK - 1), (0, FIRST_CHUNK as usize - 1));
        assert_eq!(place(FIRST_CHUNK), (1, 0));
        assert_eq!(place(3 * FIRST_CHUNK), (2, 0));
        let (chunk, offset) = place(SLOTS_MAX - 1);
        assert_eq!(chunk, CHUNKS - 1);
        assert_eq!(offset, ((FIRST_CHUNK as usize) << chunk) - 1);
    }

    #[test]
    fn a_token_keeps_its_key() {
        let key = Key {
            index: SLOTS_MAX - 1,
            generation: token_part(GENERATIONS - 1),
        };
        assert_eq!(Key::from_token(key.to_token()), key);
        assert_ne!(key.to_token(), usize::MAX, "that is the waker's");
    }

    #[test]
    fn slots_are_reused_and_old_tokens_miss() {
        let slots = Slots::new();
        let keys: Vec<Key> = (0..200).map(|_| slots.claim().unwrap()).collect();
        assert_eq!(slots.claimed(), 200);
        keys.iter().for_each(|key| slots.release(*key));
        assert_eq!(slots.claimed(), 0);

        let again: Vec<Key> = (0..200).map(|_| slots.claim().unwrap()).collect();
        assert!(
            again.iter().all(|key| key.index < 200),
            "a fresh slot, though 200 were free"
        );
        assert!(
            keys.iter()
                .all(|old| !slots.deliver(old.to_token(), Ready::READABLE))
        );
        assert!(
            again
                .iter()
                .all(|new| slots.deliver(new.to_token(), Ready::READABLE))
        );
    }

    #[test]
    fn unknown_tokens_are_ignored() {
        assert!(!Slots::new().deliver(usize::MAX >> 1, Ready::ALL));
        assert!(!Slots::new().deliver(1 << 20, Ready::ALL));
    }
}
