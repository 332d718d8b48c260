//! Channels: who hears what.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use evenkeel::sync::{Notify, mpsc};

use super::resp::Reply;

/// What a message that waits takes beside its bytes.
const MESSAGE_BYTES: usize = 64;

/// Which subscribers a channel has.
#[derive(Debug, Default)]
pub(super) struct Channels {
    subscribers: Mutex<HashMap<Bytes, HashMap<u64, Arc<Outlet>>>>,
    next_id: AtomicU64,
}

/// Where the messages for one connection go in. They have no number at which they are full, but a
/// size: messages are as large as a request may be.
#[derive(Debug)]
struct Outlet {
    messages: mpsc::UnboundedSender<Bytes>,
    waiting_bytes: AtomicUsize,
    bytes_max: usize,
    /// Set with the first message that is lost. None is sent after it.
    is_too_slow: AtomicBool,
    too_slow: Notify,
}

/// The subscriptions of one connection; and where its messages come out, ready to be sent.
///
/// A subscriber for which too much waits gets nothing more, and is to be disconnected, as redis
/// does it: the publishers are not slowed down, and the memory has a bound.
#[derive(Debug)]
pub(super) struct Subscriptions {
    channels: Arc<Channels>,
    id: u64,
    names: HashSet<Bytes>,
    outlet: Arc<Outlet>,
    messages: mpsc::UnboundedReceiver<Bytes>,
}

impl Channels {
    fn lock(&self) -> MutexGuard<'_, HashMap<Bytes, HashMap<u64, Arc<Outlet>>>> {
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message to all who hear the channel, and says how many.
    pub(super) fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        let subscribers = self.lock();
        let Some((channel, outlets)) = subscribers.get_key_value(channel) else {
            return 0;
        };
        // Encoded once, for all of them.
        let mut encoded = Vec::new();
        let message = Bytes::copy_from_slice(message);
        let members = [
            Reply::text("message"),
            Reply::Bulk(channel.clone()),
            Reply::Bulk(message),
        ];
        Reply::List(members.into()).write(&mut encoded);
        let encoded = Bytes::from(encoded);
        // Under the lock, so that all hear the messages of a channel in the same order. Nothing
        // here waits.
        let mut heard = 0;
        for outlet in outlets.values() {
            heard += usize::from(outlet.send(encoded.clone()));
        }
        heard
    }
}

impl Outlet {
    fn send(&self, message: Bytes) -> bool {
        if self.is_too_slow.load(Ordering::Relaxed) {
            return false;
        }
        let bytes = message.len() + MESSAGE_BYTES;
        if self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.bytes_max {
            self.is_too_slow.store(true, Ordering::Relaxed);
            self.too_slow.notify_one();
            return false;
        }
        self.messages.send(message).is_ok()
    }
}

impl Subscriptions {
    /// None yet, and at most so many bytes waiting.
    pub(super) fn new(channels: Arc<Channels>, bytes_max: usize) -> Self {
        let (sender, messages) = mpsc::unbounded_channel();
        Self {
            id: channels.next_id.fetch_add(1, Ordering::Relaxed),
            channels,
            names: HashSet::new(),
            outlet: Arc::new(Outlet {
                messages: sender,
                waiting_bytes: AtomicUsize::new(0),
                bytes_max,
                is_too_slow: AtomicBool::new(false),
                too_slow: Notify::new(),
            }),
            messages,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn names(&self) -> Vec<Bytes> {
        self.names.iter().cloned().collect()
    }

    pub(super) fn add(&mut self, name: &[u8]) {
        let name = Bytes::copy_from_slice(name);
        if self.names.insert(name.clone()) {
            let mut subscribers = self.channels.lock();
            subscribers
                .entry(name)
                .or_default()
                .insert(self.id, self.outlet.clone());
        }
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        if self.names.remove(name) {
            forget(&mut self.channels.lock(), name, self.id);
        }
    }

    /// The next message. `None` if one has been lost because too many waited; those that came
    /// before it are not sent any more.
    ///
    /// Cancel safe: none is lost by that.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if self.outlet.is_too_slow.load(Ordering::Relaxed) {
            return None;
        }
        let message = evenkeel::select! {
            biased;
            () = self.outlet.too_slow.notified() => return None,
            message = self.messages.recv() => message,
        };
        let message = message.expect("there is a sender in this very struct");
        Some(self.taken(message))
    }

    /// The next message, if there is one.
    pub(super) fn try_next(&mut self) -> Option<Bytes> {
        let message = self.messages.try_recv().ok()?;
        Some(self.taken(message))
    }

    fn taken(&self, message: Bytes) -> Bytes {
        let bytes = message.len() + MESSAGE_BYTES;
        self.outlet
            .waiting_bytes
            .fetch_sub(bytes, Ordering::Relaxed);
        message
    }

    /// Completes once a message has been lost. It does so once only.
    pub(super) async fn too_slow(&self) {
        self.outlet.too_slow.notified().await;
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        let mut subscribers = self.channels.lock();
        for name in &self.names {
            forget(&mut subscribers, name, self.id);
        }
    }
}

fn forget(subscribers: &mut HashMap<Bytes, HashMap<u64, Arc<Outlet>>>, name: &[u8], id: u64) {
    if let Some(outlets) = subscribers.get_mut(name) {
        outlets.remove(&id);
        if outlets.is_empty() {
            subscribers.remove(name);
        }
    }
}
