//! The table of registered sources: found by the driver without a lock, reused, and given back.
//!
//! Chunks of doubling size: a token leads to its slot by arithmetic and one look at the table. A
//! chunk's free slots wait in a stack of offsets. Its head carries a count that every change
//! raises: a thread that slept between reading `next_free` and its compare-exchange then fails,
//! even when the same slot is on top again.
//!
//! # Claims against the end of a chunk
//! `live` counts the claimed slots of a chunk, or says `RETIRED`.
//!
//! Claimant (`Chunk::claim`)                   Who gives the last slot back (`release`)
//! 1. `live + 1`, unless full or `RETIRED`     1. pushes the slot, `live - 1` (RMW)
//! 2. pops a slot                              2. `live`: from 0 to `RETIRED` (CAS)
//! 3. (`RETIRED`: puts a new chunk there)      3. puts the chunk's tombstone there
//!
//! Both change `live` with a read-modify-write: if the claimant is first, the other's step 2 fails,
//! and a claimed slot is in the table for as long as it is claimed. If the other is first, the
//! claimant makes a new chunk in the place of the retired one. A pushed slot is counted before it
//! is given up, so who has counted itself in finds one in the stack.
//!
//! Late events are told by their generation, also across chunks: a tombstone remembers a generation
//! that no token of its chunk has had, and the next chunk starts with it.
//!
//! Claims go to the first chunk that has room, so that the last ones become empty. An empty chunk
//! is kept while there are so many sources that it may soon be needed (`KEPT_FROM`), and the first
//! for good.
//!
//! # Shutdown against registration
//! Registrant (`claim`)                        Driver (`shut_down`)
//! 1. has a slot, in a chunk of the table      1. `shutdown = true`
//! 2. SeqCst fence                             2. SeqCst fence
//! 3. reads `shutdown`; true: gives up         3. marks and wakes every slot of every chunk
//!
//! Of two such fences one is first. The registrant's: the driver's step 3 finds the slot. The
//! driver's: the registrant's step 3 reads true. Later calls on the slot need no more than their
//! usual look at its state.
//!
//! Nothing waits here. Two registrants that need the same new chunk at once both make it, and one
//! is thrown away.
//!
//! Models: `loom_tests.rs`.

use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use evenkeel_sync::AtomicArc;
use evenkeel_sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

use crate::half::{GENERATIONS, Half, shutdown_error};
use crate::ready::Ready;

/// Slots of the first chunk. Each chunk has twice as many as the one before it.
const FIRST_CHUNK: u32 = if cfg!(evenkeel_loom) { 4 } else { 64 };

/// How many bits of a token are the index. The others are the generation, cut to what fits.
const INDEX_BITS: u32 = if usize::BITS >= 64 { 32 } else { 20 };

/// The chunks hold fewer slots than there are indices, so the waker's token is no slot's.
const CHUNKS: usize = if cfg!(evenkeel_loom) {
    2
} else {
    (INDEX_BITS - FIRST_CHUNK.ilog2()) as usize
};

/// An empty chunk stays while there are sources for more than one in so many of its slots.
const KEPT_FROM: usize = if cfg!(evenkeel_loom) { 1 } else { 4 };

/// In `live`: the chunk has no slot any more.
const RETIRED: u32 = u32::MAX;

/// An own cache line: neighbours belong to sockets that other cores work on.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Slot {
    pub(crate) read: Half,
    pub(crate) write: Half,
    /// Offset + 1 of the next free slot, 0 at the end. Of meaning while this one is free.
    next_free: AtomicU32,
}

#[derive(Debug)]
struct Chunk {
    /// The index of the first slot.
    first: u32,
    /// The generation that the slots started with.
    generation: u32,
    slots: Box<[Slot]>,
    live: AtomicU32,
    /// Offset + 1 of the first free slot in the low half, the count of changes in the high half.
    free: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Slots {
    /// Made in order. A chunk that was given back has left a tombstone: one without slots.
    chunks: [AtomicArc<Chunk>; CHUNKS],
    claimed: AtomicUsize,
    shutdown: AtomicBool,
}

/// A claimed slot.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Claim {
    chunk: Arc<Chunk>,
    offset: u32,
    generation: u32,
}

impl Claim {
    pub(crate) fn slot(&self) -> &Slot {
        &self.chunk.slots[self.offset as usize]
    }

    pub(crate) fn index(&self) -> u32 {
        self.chunk.first + self.offset
    }

    pub(crate) fn token(&self) -> usize {
        (self.generation as usize).wrapping_shl(INDEX_BITS) | self.index() as usize
    }
}

/// Index and generation of a token.
fn parts(token: usize) -> (u32, u32) {
    let index = token & ((1 << INDEX_BITS) - 1);
    (index as u32, (token >> INDEX_BITS) as u32)
}

/// The part of a generation that a token of this machine's width holds.
fn token_part(generation: u32) -> u32 {
    let mask = usize::MAX >> INDEX_BITS;
    generation & mask as u32
}

/// No code of others runs while anything in here is half done.
impl UnwindSafe for Chunk {}
impl RefUnwindSafe for Chunk {}

impl Slots {
    pub(crate) fn new() -> Slots {
        let slots = Slots {
            chunks: std::array::from_fn(|_| AtomicArc::default()),
            claimed: AtomicUsize::new(0),
            shutdown: AtomicBool::new(false),
        };
        slots.make_chunk(0);
        slots
    }

    /// Claims a slot.
    pub(crate) fn claim(&self) -> io::Result<Claim> {
        let claim = self.claim_any()?;
        self.claimed.fetch_add(1, Ordering::Relaxed);

        fence(Ordering::SeqCst);
        if self.is_shutdown() {
            self.release(&claim);
            return Err(shutdown_error());
        }
        Ok(claim)
    }

    /// Gives a slot back, once. Events for `claim` miss from here on.
    pub(crate) fn release(&self, claim: &Claim) {
        let slot = claim.slot();
        slot.read.free();
        slot.write.free();
        let others = self.claimed.fetch_sub(1, Ordering::Relaxed) - 1;
        let empty = claim.chunk.give_back(claim.offset);
        // What an empty chunk is kept for depends on powers of two: see `retire_empty`.
        if empty || others.is_power_of_two() {
            self.retire_empty(others);
        }
    }

    /// The driver: brings an event to the slot that `token` names. False when it came too late.
    pub(crate) fn deliver(&self, token: usize, ready: Ready) -> bool {
        let (index, generation) = parts(token);
        let (number, offset) = place(index);
        let Some(place) = self.chunks.get(number) else {
            return false;
        };
        let delivered = place.with(|chunk| match chunk.slots.get(offset) {
            Some(slot) => slot.deliver(generation, ready),
            None => false,
        });
        delivered.unwrap_or(false)
    }

    /// The driver: nothing will be delivered any more.
    pub(crate) fn shut_down(&self) {
        self.shutdown.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        for chunk in self.chunks.iter().map_while(AtomicArc::load) {
            for slot in &chunk.slots {
                slot.read.shut_down();
                slot.write.shut_down();
            }
        }
    }

    pub(crate) fn is_shutdown(&self) -> bool {
        self.shutdown.load(Ordering::Acquire)
    }

    pub(crate) fn claimed(&self) -> usize {
        self.claimed.load(Ordering::Relaxed)
    }

    fn claim_any(&self) -> io::Result<Claim> {
        for number in 0..CHUNKS {
            loop {
                match self.chunks[number].with(Chunk::claim) {
                    Some(Ok(claim)) => return Ok(claim),
                    Some(Err(Unclaimed::Full)) => break,
                    Some(Err(Unclaimed::Retired)) | None => self.make_chunk(number),
                }
            }
        }
        let error = "too many sources are registered with the IO driver";
        Err(io::Error::other(error))
    }

    /// Makes a chunk where there is none, or a retired one, unless somebody else has.
    fn make_chunk(&self, number: usize) {
        let old = self.chunks[number].load();
        let generation = match &old {
            None => 0,
            Some(old) if old.is_retired() => old.unused_generation(),
            Some(_) => return,
        };
        let new = Chunk::new(number, generation);
        self.chunks[number].replace(old.as_ref(), Arc::new(new));
    }

    /// Gives the memory of empty chunks back, with `claimed` sources left.
    fn retire_empty(&self, claimed: usize) {
        for place in &self.chunks[1..] {
            let Some(chunk) = place.load() else { return };
            if claimed <= chunk.slots.len() / KEPT_FROM && chunk.retire() {
                place.replace(Some(&chunk), Arc::new(chunk.tombstone()));
            }
        }
    }
}

impl Slot {
    fn new(generation: u32, next_free: u32) -> Slot {
        Slot {
            read: Half::of_generation(generation),
            write: Half::of_generation(generation),
            next_free: AtomicU32::new(next_free),
        }
    }

    fn deliver(&self, token_generation: u32, ready: Ready) -> bool {
        let side = |half: &Half, side: Ready| {
            let ready = ready & side;
            let generation = half.generation();
            !ready.is_empty()
                && token_part(generation) == token_generation
                && half.deliver(generation, ready)
        };
        let read = side(&self.read, Ready::READ_SIDE);
        let write = side(&self.write, Ready::WRITE_SIDE);
        read || write
    }
}

/// Why a chunk gives no slot.
enum Unclaimed {
    Full,
    Retired,
}

impl Chunk {
    fn new(number: usize, generation: u32) -> Chunk {
        let len = FIRST_CHUNK << number;
        let next = |offset| if offset + 1 < len { offset + 2 } else { 0 };
        Chunk {
            first: len - FIRST_CHUNK,
            generation,
            slots: (0..len).map(|o| Slot::new(generation, next(o))).collect(),
            live: AtomicU32::new(0),
            free: AtomicU64::new(1),
        }
    }

    /// What a retired chunk leaves behind.
    fn tombstone(&self) -> Chunk {
        Chunk {
            first: self.first,
            generation: self.unused_generation(),
            slots: Box::default(),
            live: AtomicU32::new(RETIRED),
            free: AtomicU64::new(0),
        }
    }

    /// A generation that no token for a slot of this chunk has had; the chunk is retired.
    fn unused_generation(&self) -> u32 {
        let age = |slot: &Slot| {
            let generations = slot.read.generation().wrapping_sub(self.generation);
            generations % GENERATIONS
        };
        let oldest = self.slots.iter().map(age).max().unwrap_or(0);
        (self.generation + oldest) % GENERATIONS
    }

    fn claim(self: &Arc<Chunk>) -> Result<Claim, Unclaimed> {
        let len = self.slots.len() as u32;
        let one_more = |live| (live < len).then(|| live + 1);
        let counted = self
            .live
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        match counted {
            Ok(_) => {}
            Err(RETIRED) => return Err(Unclaimed::Retired),
            Err(_) => return Err(Unclaimed::Full),
        }
        let offset = self.pop_free();
        let generation = token_part(self.slots[offset as usize].read.generation());
        Ok(Claim {
            chunk: Arc::clone(self),
            offset,
            generation,
        })
    }

    /// True if it was the last one.
    fn give_back(&self, offset: u32) -> bool {
        self.push_free(offset);
        self.live.fetch_sub(1, Ordering::AcqRel) == 1
    }

    fn retire(&self) -> bool {
        self.live
            .compare_exchange(0, RETIRED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    fn is_retired(&self) -> bool {
        self.live.load(Ordering::Acquire) == RETIRED
    }

    fn pop_free(&self) -> u32 {
        let mut head = self.free.load(Ordering::Acquire);
        loop {
            let offset = (head as u32)
                .checked_sub(1)
                .expect("a slot was pushed for each that is not counted");
            let next = self.slots[offset as usize]
                .next_free
                .load(Ordering::Relaxed);
            match self.swap_free(head, next) {
                Ok(_) => return offset,
                Err(now) => head = now,
            }
        }
    }

    fn push_free(&self, offset: u32) {
        let slot = &self.slots[offset as usize];
        let mut head = self.free.load(Ordering::Acquire);
        loop {
            slot.next_free.store(head as u32, Ordering::Relaxed);
            match self.swap_free(head, offset + 1) {
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

/// Number of the chunk, and offset in it, of an index.
fn place(index: u32) -> (usize, usize) {
    let n = u64::from(index) + u64::from(FIRST_CHUNK);
    let chunk = n.ilog2() - FIRST_CHUNK.ilog2();
    let offset = n - (u64::from(FIRST_CHUNK) << chunk);
    (chunk as usize, offset as usize)
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    fn claim(slots: &Slots, many: usize) -> Vec<Claim> {
        (0..many).map(|_| slots.claim().unwrap()).collect()
    }

    fn release(slots: &Slots, claims: &[Claim]) {
        claims.iter().for_each(|claim| slots.release(claim));
    }

    /// How many slots there is memory for.
    fn room(slots: &Slots) -> usize {
        let chunks = slots.chunks.iter().map_while(AtomicArc::load);
        chunks.map(|chunk| chunk.slots.len()).sum()
    }

    #[test]
    fn every_index_has_a_place_of_its_own() {
        assert_eq!(place(0), (0, 0));
        assert_eq!(place(FIRST_CHUNK - 1), (0, FIRST_CHUNK as usize - 1));
        assert_eq!(place(FIRST_CHUNK), (1, 0));
        assert_eq!(place(3 * FIRST_CHUNK), (2, 0));
        let last = ((1_u64 << INDEX_BITS) - u64::from(FIRST_CHUNK) - 1) as u32;
        let (chunk, offset) = place(last);
        assert_eq!(chunk, CHUNKS - 1);
        assert_eq!(offset, ((FIRST_CHUNK as usize) << chunk) - 1);
    }

    #[test]
    fn a_token_keeps_its_parts() {
        let claim = Claim {
            chunk: Arc::new(Chunk {
                first: u32::MAX >> (32 - INDEX_BITS) << 7,
                ..Chunk::new(0, 0)
            }),
            offset: 63,
            generation: token_part(GENERATIONS - 1),
        };
        assert_eq!(parts(claim.token()), (claim.index(), claim.generation));
    }

    #[test]
    fn slots_are_reused_and_old_tokens_miss() {
        let slots = Slots::new();
        let old = claim(&slots, 64);
        assert_eq!(slots.claimed(), 64);
        release(&slots, &old);
        assert_eq!(slots.claimed(), 0);

        let new = claim(&slots, 64);
        assert!(new.iter().all(|claim| claim.index() < 64));
        let reached = |claim: &Claim| slots.deliver(claim.token(), Ready::READABLE);
        assert!(!old.iter().any(reached));
        assert!(new.iter().all(reached));
    }

    #[test]
    fn the_memory_of_sources_that_are_gone_is_given_back() {
        let slots = Slots::new();
        let claims = claim(&slots, 16_000);
        assert!(room(&slots) >= 16_000);
        // In the order of their making, and the other way round.
        release(&slots, &claims[..8000]);
        claims[8000..]
            .iter()
            .rev()
            .for_each(|claim| slots.release(claim));
        assert_eq!(room(&slots), FIRST_CHUNK as usize);
    }

    #[test]
    fn a_chunk_that_may_soon_be_needed_is_kept() {
        let slots = Slots::new();
        let claims = claim(&slots, 64);
        for _ in 0..3 {
            let one_more = slots.claim().unwrap();
            let chunk = slots.chunks[1].load().unwrap();
            slots.release(&one_more);
            let now = slots.chunks[1].load().unwrap();
            assert!(Arc::ptr_eq(&chunk, &now), "made anew for each source");
        }
        release(&slots, &claims[..32]);
        assert_eq!(room(&slots), 64, "kept for 32 sources of 64 that fit");
        release(&slots, &claims[32..]);
    }

    #[test]
    fn old_tokens_miss_in_a_chunk_that_was_made_again() {
        let slots = Slots::new();
        let mut old: Vec<Claim> = Vec::new();
        for _ in 0..3 {
            let claims = claim(&slots, 100);
            let reached = |claim: &Claim| slots.deliver(claim.token(), Ready::READABLE);
            assert!(!old.iter().any(reached));
            assert!(claims.iter().all(reached));
            release(&slots, &claims);
            assert_eq!(room(&slots), 64);
            old.extend(claims);
        }
    }

    #[test]
    fn unknown_tokens_are_ignored() {
        assert!(!Slots::new().deliver(usize::MAX, Ready::ALL));
        assert!(!Slots::new().deliver(usize::MAX >> 1, Ready::ALL));
        assert!(!Slots::new().deliver(1 << 20, Ready::ALL));
    }
}
