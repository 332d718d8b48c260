//! What a source is ready for, and the event that said so.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Sub};

/// A set of readiness flags.
///
/// # Examples
/// ```
/// use evenkeel_io_driver::Ready;
///
/// let ready = Ready::READABLE | Ready::WRITE_CLOSED;
/// assert!(ready.is_readable() && ready.is_writable());
/// assert!(!ready.is_read_closed());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ready(u16);

impl Ready {
    /// No flag.
    pub const EMPTY: Ready = Ready(0);
    /// A read may succeed.
    pub const READABLE: Ready = Ready(1);
    /// A write may succeed.
    pub const WRITABLE: Ready = Ready(1 << 1);
    /// The reading side is closed: by a hang-up, or by the peer's last byte being announced.
    pub const READ_CLOSED: Ready = Ready(1 << 2);
    /// The writing side is closed: by a hang-up. An error alone is none, see
    /// [`ERROR`](Ready::ERROR).
    pub const WRITE_CLOSED: Ready = Ready(1 << 3);
    /// Priority (out-of-band) data. Reported by Linux and Android only.
    pub const PRIORITY: Ready = Ready(1 << 4);
    /// The source has an error to report. Comes with `READABLE` and `WRITABLE`, because the next
    /// read or write is what fetches it.
    pub const ERROR: Ready = Ready(1 << 5);
    /// Every flag.
    pub const ALL: Ready = Ready((1 << 6) - 1);

    /// `READ_CLOSED` for who waits for `PRIORITY`. It is a flag of its own because that a priority
    /// operation would block says nothing about the reading side, and the other way round.
    pub(crate) const PRIORITY_CLOSED: Ready = Ready(1 << 6);
    /// `PRIORITY` was reported at least once. Never cleared.
    pub(crate) const MARKED: Ready = Ready(1 << 7);
    /// `ERROR` for who waits for nothing else. Readers and writers clear theirs with their
    /// readiness, and what is in the error queue would be waited for in vain.
    pub(crate) const ERROR_ALONE: Ready = Ready(1 << 8);

    /// How many bits there are.
    pub(crate) const BITS: u32 = 9;

    /// The flags that live in the reading half of a registration.
    pub(crate) const READ_SIDE: Ready = Ready(
        Self::READABLE.0
            | Self::READ_CLOSED.0
            | Self::PRIORITY.0
            | Self::ERROR.0
            | Self::PRIORITY_CLOSED.0
            | Self::MARKED.0
            | Self::ERROR_ALONE.0,
    );
    /// The flags that live in the writing half of a registration.
    pub(crate) const WRITE_SIDE: Ready =
        Ready(Self::WRITABLE.0 | Self::WRITE_CLOSED.0 | Self::ERROR.0);
    /// A closed side stays closed until an operation on it would block all the same, which an end
    /// never says: then it was opened again (a FIFO between two writers), or not open yet (a socket
    /// registered before it was connected). `ERROR` is not among them: a datagram socket reports an
    /// error once and then goes on.
    pub(crate) const STICKY: Ready =
        Ready(Self::READ_CLOSED.0 | Self::WRITE_CLOSED.0 | Self::PRIORITY_CLOSED.0);

    /// Whether a read is worth trying: readable, or the reading side is closed.
    pub fn is_readable(self) -> bool {
        self.intersects(Self::READABLE | Self::READ_CLOSED)
    }

    /// Whether a write is worth trying: writable, or the writing side is closed.
    pub fn is_writable(self) -> bool {
        self.intersects(Self::WRITABLE | Self::WRITE_CLOSED)
    }

    /// Whether the reading side is closed.
    pub fn is_read_closed(self) -> bool {
        self.contains(Self::READ_CLOSED)
    }

    /// Whether the writing side is closed.
    pub fn is_write_closed(self) -> bool {
        self.contains(Self::WRITE_CLOSED)
    }

    /// Whether there is priority data.
    pub fn is_priority(self) -> bool {
        self.contains(Self::PRIORITY)
    }

    /// Whether the source has an error to report.
    pub fn is_error(self) -> bool {
        self.contains(Self::ERROR)
    }

    /// Whether no flag is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other`'s flags are set.
    pub fn contains(self, other: Ready) -> bool {
        self & other == other
    }

    /// Whether any of `other`'s flags is set.
    pub fn intersects(self, other: Ready) -> bool {
        !(self & other).is_empty()
    }

    pub(crate) fn from_bits(bits: u16) -> Ready {
        Ready(bits)
    }

    pub(crate) fn bits(self) -> u16 {
        self.0
    }
}

impl BitOr for Ready {
    type Output = Ready;

    fn bitor(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }
}

impl BitOrAssign for Ready {
    fn bitor_assign(&mut self, other: Ready) {
        self.0 |= other.0;
    }
}

impl BitAnd for Ready {
    type Output = Ready;

    fn bitand(self, other: Ready) -> Ready {
        Ready(self.0 & other.0)
    }
}

impl Sub for Ready {
    type Output = Ready;

    fn sub(self, other: Ready) -> Ready {
        Ready(self.0 & !other.0)
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Ready::READABLE, "READABLE"),
            (Ready::WRITABLE, "WRITABLE"),
            (Ready::READ_CLOSED, "READ_CLOSED"),
            (Ready::WRITE_CLOSED, "WRITE_CLOSED"),
            (Ready::PRIORITY, "PRIORITY"),
            (Ready::ERROR, "ERROR"),
        ];
        let mut set = names.iter().filter(|(flag, _)| self.contains(*flag));
        match set.next() {
            None => f.write_str("EMPTY")?,
            Some((_, name)) => f.write_str(name)?,
        }
        set.try_for_each(|(_, name)| write!(f, " | {name}"))
    }
}

/// The flags that have a second one, for who waits for nothing else of that side.
const ALONE: [(Ready, Ready); 2] = [
    (Ready::READ_CLOSED, Ready::PRIORITY_CLOSED),
    (Ready::ERROR, Ready::ERROR_ALONE),
];

/// Readiness as it was seen at one moment.
///
/// It is handed back to `clear_readiness` when the operation it promised would have blocked. Each
/// half remembers how many events had been delivered, so readiness that arrived since is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyEvent {
    pub(crate) ready: Ready,
    /// The events of each half by then; `None` for a half that was not looked at.
    pub(crate) read_tick: Option<u32>,
    pub(crate) write_tick: Option<u32>,
}

impl ReadyEvent {
    /// Its flags, but for what says of a side that it is closed and said so at `earlier` already.
    pub(crate) fn since(&self, earlier: Option<ReadyEvent>) -> Ready {
        let Some(earlier) = earlier else {
            return self.ready;
        };
        let mut old = Ready::EMPTY;
        if self.read_tick == earlier.read_tick {
            old |= Ready::STICKY & Ready::READ_SIDE;
        }
        if self.write_tick == earlier.write_tick {
            old |= Ready::STICKY & Ready::WRITE_SIDE;
        }
        self.ready - (old & earlier.ready)
    }

    /// What the source was ready for, of what was asked.
    pub fn ready(&self) -> Ready {
        let mut shown = self.ready & Ready::ALL;
        for (flag, alone) in ALONE {
            if self.ready.contains(alone) {
                shown |= flag;
            }
        }
        shown
    }

    /// The same moment, with other flags: clearing it clears `ready` alone.
    #[must_use = "it makes a new event and leaves this one as it is"]
    pub fn with_ready(&self, ready: Ready) -> ReadyEvent {
        let mut ready = ready;
        for (flag, alone) in ALONE {
            let either = flag | alone;
            if ready.contains(flag) && self.ready.intersects(either) {
                // The one, the other or both: as it was asked.
                ready = (ready - either) | (self.ready & either);
            }
        }
        ReadyEvent { ready, ..*self }
    }
}
