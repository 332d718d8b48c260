//! What a source is registered for, and waited for.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of what to wait for, of which there is always one at least.
///
/// # Examples
/// ```
/// use evenkeel_io_driver::Interest;
///
/// const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
/// assert!(BOTH.is_readable() && BOTH.is_writable());
/// assert_eq!(BOTH.remove(Interest::READABLE), Some(Interest::WRITABLE));
/// assert_eq!(BOTH.remove(BOTH), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interest(u8);

const READABLE: u8 = 1;
const WRITABLE: u8 = 1 << 1;
const PRIORITY: u8 = 1 << 2;
const ERROR: u8 = 1 << 3;

impl Interest {
    /// That a read is worth trying, which includes the end.
    pub const READABLE: Interest = Interest(READABLE);
    /// That a write is worth trying, which includes that nobody reads any more.
    pub const WRITABLE: Interest = Interest(WRITABLE);
    /// Priority (out-of-band) data.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub const PRIORITY: Interest = Interest(PRIORITY);
    /// That there is an error to be fetched: a pending one of a socket, something in the error
    /// queue of one, or a pipe that nobody reads. Systems differ in what is an error.
    ///
    /// It is reported for every source, whatever it is registered for.
    pub const ERROR: Interest = Interest(ERROR);

    /// Whether reads are among it.
    pub const fn is_readable(self) -> bool {
        self.0 & READABLE != 0
    }

    /// Whether writes are among it.
    pub const fn is_writable(self) -> bool {
        self.0 & WRITABLE != 0
    }

    /// Whether priority data is among it.
    pub const fn is_priority(self) -> bool {
        self.0 & PRIORITY != 0
    }

    /// Whether errors are among it.
    pub const fn is_error(self) -> bool {
        self.0 & ERROR != 0
    }

    /// What is in `self` or in `other`.
    #[must_use = "it makes a new set and leaves this one as it is"]
    pub const fn add(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }

    /// What is in `self` and not in `other`; `None` if that is nothing.
    #[must_use = "it makes a new set and leaves this one as it is"]
    pub const fn remove(self, other: Interest) -> Option<Interest> {
        match self.0 & !other.0 {
            0 => None,
            left => Some(Interest(left)),
        }
    }

    /// What to ask the system for. Errors come without being asked for; but mio has no empty set.
    #[cfg(not(evenkeel_loom))]
    pub(crate) fn to_mio(self) -> mio::Interest {
        let asked = [
            (self.is_readable(), mio::Interest::READABLE),
            (self.is_writable(), mio::Interest::WRITABLE),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            (self.is_priority(), mio::Interest::PRIORITY),
        ];
        let asked = asked
            .into_iter()
            .filter_map(|(asked, mio)| asked.then_some(mio));
        asked
            .reduce(mio::Interest::add)
            .unwrap_or(mio::Interest::READABLE)
    }
}

impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        self.add(other)
    }
}

impl BitOrAssign for Interest {
    fn bitor_assign(&mut self, other: Interest) {
        *self = self.add(other);
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.is_readable(), "READABLE"),
            (self.is_writable(), "WRITABLE"),
            (self.is_priority(), "PRIORITY"),
            (self.is_error(), "ERROR"),
        ];
        let mut set = names.iter().filter(|(set, _)| *set);
        set.next().map_or(Ok(()), |(_, name)| f.write_str(name))?;
        set.try_for_each(|(_, name)| write!(f, " | {name}"))
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_set_is_asked_of_the_system_without_errors() {
        let both = Interest::READABLE | Interest::WRITABLE;
        let to_mio = [
            (Interest::READABLE, mio::Interest::READABLE),
            (
                Interest::WRITABLE | Interest::ERROR,
                mio::Interest::WRITABLE,
            ),
            (
                both | Interest::ERROR,
                mio::Interest::READABLE | mio::Interest::WRITABLE,
            ),
            (Interest::ERROR, mio::Interest::READABLE),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            (Interest::PRIORITY, mio::Interest::PRIORITY),
        ];
        for (interest, mio) in to_mio {
            assert_eq!(interest.to_mio(), mio, "{interest:?}");
        }
    }

    #[test]
    fn it_is_shown_by_its_names() {
        let mut interest = Interest::ERROR;
        assert_eq!(format!("{interest:?}"), "ERROR");
        interest |= Interest::READABLE;
        assert_eq!(format!("{interest:?}"), "READABLE | ERROR");
    }
}
