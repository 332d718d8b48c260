use super::id::Id;
use std::any::Any;
use std::fmt;
use std::sync::Mutex;

/// How a task ended without an output; stored in the task's cell.
pub(crate) enum Failure {
    Cancelled,
    Panicked(Box<dyn Any + Send>),
}

/// Why a task gave no result: it panicked, or it was cancelled.
///
/// A task is cancelled by [`abort`](super::JoinHandle::abort), or because its runtime was shut down
/// before it completed; for closures that block see [`Runtime`](crate::runtime::Runtime#shutdown).
pub struct JoinError {
    id: Id,
    repr: Repr,
}

enum Repr {
    Cancelled,
    // The mutex is there to make the payload, which is only `Send`, `Sync`.
    Panicked(Mutex<Box<dyn Any + Send>>),
}

impl JoinError {
    pub(crate) fn new(id: Id, failure: Failure) -> Self {
        let repr = match failure {
            Failure::Cancelled => Repr::Cancelled,
            Failure::Panicked(payload) => Repr::Panicked(Mutex::new(payload)),
        };
        JoinError { id, repr }
    }

    /// True if the task was cancelled, by an abort or by the shutdown of its runtime.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.repr, Repr::Cancelled)
    }

    /// True if the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.repr, Repr::Panicked(_))
    }

    /// The value the task panicked with, to be resumed with [`std::panic::resume_unwind`].
    ///
    /// # Panics
    ///
    /// If the task did not panic; see [`try_into_panic`](Self::try_into_panic).
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(error) => panic!("`JoinError::into_panic` on an error that is no panic: {error}"),
        }
    }

    /// The value the task panicked with, or the error itself if it did not panic.
    ///
    /// # Errors
    ///
    /// Returns `self` if the task was cancelled.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send + 'static>, JoinError> {
        match self.repr {
            Repr::Panicked(payload) => Ok(payload
                .into_inner()
                .unwrap_or_else(std::sync::PoisonError::into_inner)),
            Repr::Cancelled => Err(self),
        }
    }

    /// The id of the task.
    pub fn id(&self) -> Id {
        self.id
    }

    /// The message of the panic, where it is text, as nearly all are.
    fn message(&self) -> Option<String> {
        let Repr::Panicked(payload) = &self.repr else {
            return None;
        };
        let payload = payload
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        payload
            .downcast_ref::<&'static str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned())
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.repr, self.message()) {
            (Repr::Cancelled, _) => write!(f, "task {} was cancelled", self.id),
            (Repr::Panicked(_), Some(message)) => {
                write!(f, "task {} panicked with message {message:?}", self.id)
            }
            (Repr::Panicked(_), None) => write!(f, "task {} panicked", self.id),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.repr, self.message()) {
            (Repr::Cancelled, _) => write!(f, "JoinError::Cancelled({:?})", self.id),
            (Repr::Panicked(_), message) => {
                write!(
                    f,
                    "JoinError::Panic({:?}, {:?})",
                    self.id,
                    message.as_deref().unwrap_or("...")
                )
            }
        }
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for std::io::Error {
    fn from(error: JoinError) -> Self {
        std::io::Error::other(error)
    }
}
