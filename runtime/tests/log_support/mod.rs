//! Whoever receives the log panics on every line, as `println!` does when the output is closed,
//! with a payload whose destructor panics in turn. It is that of the whole process, so this is for
//! binaries all of whose tests want it.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::cell::Cell;
use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static LINES: AtomicUsize = AtomicUsize::new(0);

/// Does more with a line than to panic.
pub(crate) type OnLine = Box<dyn Fn() + Send>;
pub(crate) static ON_LINE: Mutex<Option<OnLine>> = Mutex::new(None);

/// A payload whose destructor panics, and that payload's too.
pub(crate) struct Bomb(pub(crate) usize);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 {
            panic_any(Bomb(self.0 - 1));
        }
    }
}

pub(crate) fn explode() {
    panic_any(Bomb(2));
}

struct Log;

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("evenkeel")
    }

    fn event(&self, _: &Event<'_>) {
        thread_local!(static INSIDE: Cell<bool> = const { Cell::new(false) });
        LINES.fetch_add(1, Ordering::SeqCst);
        if !INSIDE.replace(true) {
            let on_line = ON_LINE
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(on_line) = on_line {
                on_line();
            }
            INSIDE.set(false);
        }
        explode();
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// To be called first.
pub(crate) fn have_the_log_panic() {
    static SET: Once = Once::new();
    SET.call_once(|| tracing::subscriber::set_global_default(Log).unwrap());
}

/// How many lines there have been.
pub(crate) fn lines() -> usize {
    LINES.load(Ordering::SeqCst)
}
