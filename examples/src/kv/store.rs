//! Keys and values, and when they expire.
//!
//! They are in shards, each with its lock, so that a look at all of them (`KEYS`) holds up the
//! others for that of one shard only. A command with several keys takes all the locks, in their
//! order, and so it is as indivisible as in redis (but an `MSET` for which the memory runs out has
//! set what came before).

use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use evenkeel::sync::Notify;
use evenkeel::time::{Instant, sleep_until};

use super::memory::Memory;

pub(super) const SHARDS: usize = 64;
/// What an entry takes beside its key and value, in bytes. An estimate.
const ENTRY_BYTES: usize = 128;
/// Keys that are removed at once from a shard, while its lock is held.
const REMOVED_AT_ONCE: usize = 100;
/// How often keys that have expired are removed. Commands do not see them in any case.
const REMOVAL_INTERVAL: Duration = Duration::from_millis(10);

/// There is no memory for it.
#[derive(Debug)]
pub(super) struct Full;

#[derive(Debug)]
pub(super) struct Store {
    shards: Vec<Mutex<Shard>>,
    hashes: RandomState,
    memory: Arc<Memory>,
    started: Instant,
    /// The deadline that [`remove_expired`] waits for, in microseconds since the start; before it
    /// has looked at all shards, the largest number.
    waits_for_us: AtomicU64,
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<Bytes, Entry>,
    deadlines: BTreeSet<(Instant, Bytes)>,
}

#[derive(Debug)]
struct Entry {
    value: Bytes,
    expires_at: Option<Instant>,
}

impl Entry {
    fn has_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// What was in a [`Store`].
pub(super) struct Removed(Vec<Shard>);

impl Removed {
    /// Frees it, and says so. This takes long if there are many entries.
    pub(super) fn free(self, memory: &Memory) {
        for shard in self.0 {
            let entries = shard.entries.iter();
            let bytes = entries
                .map(|(key, entry)| bytes_of(key, &entry.value))
                .sum();
            drop(shard);
            memory.give_back(bytes);
        }
    }
}

impl Store {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hashes: RandomState::new(),
            memory,
            started: Instant::now(),
            waits_for_us: AtomicU64::new(u64::MAX),
            earlier: Notify::new(),
        }
    }

    /// Locks the shard of one key.
    pub(super) fn lock(&self, now: Instant, key: &[u8]) -> Locked<'_> {
        let first = self.index(key);
        Locked {
            store: self,
            now,
            first,
            guards: Guards::One(lock(&self.shards[first])),
        }
    }

    /// Locks all shards.
    pub(super) fn lock_all(&self, now: Instant) -> Locked<'_> {
        Locked {
            store: self,
            now,
            first: 0,
            guards: Guards::All(self.shards.iter().map(lock).collect()),
        }
    }

    fn index(&self, key: &[u8]) -> usize {
        self.hashes.hash_one(key) as usize % SHARDS
    }

    /// How many keys there are, with those that have expired and are not removed yet; and how many
    /// of them will expire or have done so.
    pub(super) fn len(&self) -> (usize, usize) {
        self.shards.iter().map(lock).fold((0, 0), |sum, shard| {
            (sum.0 + shard.entries.len(), sum.1 + shard.deadlines.len())
        })
    }

    /// The keys of one shard after the other, the locks of which are held one at a time.
    pub(super) fn keys(&self, now: Instant) -> impl Iterator<Item = Vec<Bytes>> {
        self.shards.iter().map(move |shard| {
            let shard = lock(shard);
            let alive = shard
                .entries
                .iter()
                .filter(|(_, entry)| !entry.has_expired(now));
            alive.map(|(key, _)| key.clone()).collect()
        })
    }

    /// Removes everything. The memory is given back when it is freed.
    pub(super) fn clear(&self) -> Removed {
        let mut guards: Vec<_> = self.shards.iter().map(lock).collect();
        let removed = guards.iter_mut().map(|shard| std::mem::take(&mut **shard));
        let removed: Vec<Shard> = removed.collect();
        drop(guards);
        Removed(removed)
    }

    /// Removes some of the keys that have expired, and says when to go on.
    fn remove_some(&self, now: Instant) -> Option<Instant> {
        let next = self.shards.iter().filter_map(|shard| {
            let mut shard = lock(shard);
            for _ in 0..REMOVED_AT_ONCE {
                let first = shard.deadlines.first()?;
                if first.0 > now {
                    break;
                }
                let key = first.1.clone();
                shard.remove(&key, &self.memory);
            }
            shard.deadlines.first().map(|first| first.0)
        });
        next.min()
    }

    fn in_us(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.started).as_micros()).unwrap_or(u64::MAX - 1)
    }

    /// Says that a key has a deadline, after its shard has it.
    fn note_deadline(&self, at: Instant) {
        let at_us = self.in_us(at);
        // With a look first: most deadlines are later than another.
        if at_us < self.waits_for_us.load(Ordering::SeqCst)
            && at_us < self.waits_for_us.fetch_min(at_us, Ordering::SeqCst)
        {
            self.earlier.notify_one();
        }
    }
}

/// Removes keys once they have expired, and sleeps as long as there are none.
pub(super) async fn remove_expired(store: Arc<Store>) {
    loop {
        // Whoever sets a deadline from here on says so. Whatever was set before is seen.
        store.waits_for_us.store(u64::MAX, Ordering::SeqCst);
        let now = Instant::now();
        let earliest = now + REMOVAL_INTERVAL;
        match store.remove_some(now) {
            None => store.earlier.notified().await,
            Some(next) => {
                let waits_for_us = store.in_us(next);
                store.waits_for_us.fetch_min(waits_for_us, Ordering::SeqCst);
                evenkeel::select! {
                    () = sleep_until(next) => {}
                    () = store.earlier.notified() => {}
                }
            }
        }
        sleep_until(earliest).await;
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bytes_of(key: &[u8], value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

impl Shard {
    fn remove(&mut self, key: &[u8], memory: &Memory) -> Option<Bytes> {
        let (key, entry) = self.entries.remove_entry(key)?;
        memory.give_back(bytes_of(&key, &entry.value));
        if let Some(at) = entry.expires_at {
            self.deadlines.remove(&(at, key));
        }
        Some(entry.value)
    }
}

/// Locked shards: that of one key, or all.
pub(super) struct Locked<'a> {
    store: &'a Store,
    now: Instant,
    /// Of the shards, the one that the first guard is for.
    first: usize,
    guards: Guards<'a>,
}

enum Guards<'a> {
    One(MutexGuard<'a, Shard>),
    All(Vec<MutexGuard<'a, Shard>>),
}

impl Locked<'_> {
    fn shard(&mut self, key: &[u8]) -> &mut Shard {
        let index = self.store.index(key);
        match &mut self.guards {
            Guards::One(guard) => {
                debug_assert_eq!(index, self.first, "the key of another shard");
                guard
            }
            Guards::All(guards) => &mut guards[index],
        }
    }

    /// The shard of `key`, from which it is removed if it has expired.
    fn live(&mut self, key: &[u8]) -> &mut Shard {
        let (now, memory) = (self.now, &self.store.memory);
        let shard = self.shard(key);
        if shard
            .entries
            .get(key)
            .is_some_and(|entry| entry.has_expired(now))
        {
            shard.remove(key, memory);
        }
        shard
    }

    pub(super) fn get(&mut self, key: &[u8]) -> Option<Bytes> {
        Some(self.live(key).entries.get(key)?.value.clone())
    }

    pub(super) fn contains(&mut self, key: &[u8]) -> bool {
        self.live(key).entries.contains_key(key)
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        let memory = &self.store.memory;
        self.live(key).remove(key, memory).is_some()
    }

    /// Sets a value. With `keep_deadline`, what the key has of one stays; else it has none.
    pub(super) fn set(
        &mut self,
        key: &[u8],
        value: &[u8],
        keep_deadline: bool,
    ) -> Result<(), Full> {
        let memory = &self.store.memory;
        let shard = self.live(key);
        let Some(entry) = shard.entries.get_mut(key) else {
            if !memory.exchange(0, bytes_of(key, value)) {
                return Err(Full);
            }
            // Copies: a part of what was read would keep all of it.
            let entry = Entry {
                value: Bytes::copy_from_slice(value),
                expires_at: None,
            };
            shard.entries.insert(Bytes::copy_from_slice(key), entry);
            return Ok(());
        };
        if entry.value.len() != value.len() && !memory.exchange(entry.value.len(), value.len()) {
            return Err(Full);
        }
        entry.value = Bytes::copy_from_slice(value);
        if !keep_deadline {
            self.set_deadline(key, None);
        }
        Ok(())
    }

    /// When the key expires. `None` if there is no such key.
    pub(super) fn deadline(&mut self, key: &[u8]) -> Option<Option<Instant>> {
        Some(self.live(key).entries.get(key)?.expires_at)
    }

    /// Sets when the key expires, and says when it would have before. `None` if there is no such
    /// key.
    pub(super) fn set_deadline(
        &mut self,
        key: &[u8],
        at: Option<Instant>,
    ) -> Option<Option<Instant>> {
        let store = self.store;
        let shard = self.live(key);
        let entry = shard.entries.get_mut(key)?;
        let before = std::mem::replace(&mut entry.expires_at, at);
        if before == at {
            return Some(before);
        }
        let (key, _) = shard.entries.get_key_value(key)?;
        if let Some(before) = before {
            shard.deadlines.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            shard.deadlines.insert((at, key.clone()));
            store.note_deadline(at);
        }
        Some(before)
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(bytes_max: usize) -> Store {
        Store::new(Arc::new(Memory::new(bytes_max)))
    }

    fn set(store: &Store, key: &[u8], value: &[u8], now: Instant) -> bool {
        store.lock(now, key).set(key, value, false).is_ok()
    }

    #[test]
    fn all_memory_is_given_back() {
        let store = store(1 << 20);
        let now = Instant::now();
        for key in [&b"a"[..], b"b", b"c", b"d"] {
            assert!(set(&store, key, b"something", now));
            assert!(set(&store, key, b"something longer", now));
        }
        assert!(store.lock(now, b"a").remove(b"a"));
        store.lock(now, b"b").set_deadline(b"b", Some(now));
        assert_eq!(store.lock(now, b"b").get(b"b"), None);
        store.lock(now, b"c").set_deadline(b"c", Some(now));
        assert_eq!(store.remove_some(now), None);
        assert_eq!(store.len(), (1, 0));
        store.clear().free(&store.memory);
        assert_eq!((store.memory.used_bytes(), store.len()), (0, (0, 0)));
    }

    #[test]
    fn what_is_too_much_changes_nothing() {
        let store = store(2 * ENTRY_BYTES + 20);
        let now = Instant::now();
        assert!(set(&store, b"a", b"123456789", now));
        assert!(!set(&store, b"a", &[0; 200], now));
        assert!(!set(&store, b"b", &[0; 20], now));
        assert_eq!(store.lock(now, b"a").get(b"a").unwrap(), "123456789");
        assert!(set(&store, b"b", b"123456789", now));
    }

    #[test]
    fn another_deadline_takes_the_place_of_the_first() {
        let store = store(1 << 20);
        let now = Instant::now();
        let (soon, later) = (now + Duration::from_secs(1), now + Duration::from_secs(9));
        assert!(set(&store, b"a", b"1", now));
        store.lock(now, b"a").set_deadline(b"a", Some(soon));
        store.lock(now, b"a").set_deadline(b"a", Some(later));
        assert_eq!(store.remove_some(soon), Some(later));
        assert_eq!(store.lock(soon, b"a").get(b"a").unwrap(), "1");
        // A value that is set anew does not expire any more.
        assert!(set(&store, b"a", b"2", soon));
        assert_eq!(store.remove_some(later), None);
        assert_eq!(store.lock(later, b"a").get(b"a").unwrap(), "2");
    }
}
