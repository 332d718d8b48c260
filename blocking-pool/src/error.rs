use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;

use parking_lot::Mutex;

/// Why a job was not accepted. The job itself has been dropped.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The pool is shut down.
    ShutDown,
    /// The pool has no thread, and the operating system refused to start one.
    NoThread(io::Error),
}

impl fmt::Display for ExecuteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShutDown => f.write_str("the blocking pool is shut down and takes no more jobs"),
            Self::NoThread(error) => {
                write!(
                    f,
                    "the blocking pool has no thread and could not start one: {error}"
                )
            }
        }
    }
}

impl Error for ExecuteError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::ShutDown => None,
            Self::NoThread(error) => Some(error),
        }
    }
}

/// Why a job gave no result: it panicked, or it was cancelled before it began.
pub struct JobError(Reason);

enum Reason {
    /// The mutex makes the payload `Sync`, which errors are expected to be.
    Panicked(Mutex<Box<dyn Any + Send>>),
    Cancelled(Option<ExecuteError>),
}

impl JobError {
    pub(crate) fn panicked(payload: Box<dyn Any + Send>) -> Self {
        Self(Reason::Panicked(Mutex::new(payload)))
    }

    pub(crate) fn cancelled() -> Self {
        Self(Reason::Cancelled(None))
    }

    pub(crate) fn refused(error: ExecuteError) -> Self {
        Self(Reason::Cancelled(Some(error)))
    }

    /// Whether the job panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.0, Reason::Panicked(_))
    }

    /// Whether the job was dropped before it began: by
    /// [`BlockingTask::cancel`](crate::BlockingTask::cancel), because the pool was shut down when
    /// it came, or had no thread for it (then [`source`](Error::source) mostly is an
    /// [`ExecuteError`]).
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0, Reason::Cancelled(_))
    }

    /// The value the job panicked with, fit for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    ///
    /// If the job did not panic; see [`is_panic`](Self::is_panic) and
    /// [`try_into_panic`](Self::try_into_panic).
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        self.try_into_panic()
            .expect("into_panic() on the error of a job that did not panic")
    }

    /// The value the job panicked with.
    ///
    /// # Errors
    ///
    /// Gives the error back if the job did not panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, Self> {
        match self.0 {
            Reason::Panicked(payload) => Ok(payload.into_inner()),
            reason => Err(Self(reason)),
        }
    }
}

/// The text of a panic's payload, where it has one.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "(no text)"
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Panicked(payload) => f
                .debug_tuple("JobError::Panicked")
                .field(&panic_text(&**payload.lock()))
                .finish(),
            Reason::Cancelled(None) => f.write_str("JobError::Cancelled"),
            Reason::Cancelled(Some(error)) => {
                f.debug_tuple("JobError::Cancelled").field(error).finish()
            }
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Panicked(payload) => {
                write!(
                    f,
                    "the blocking job panicked: {}",
                    panic_text(&**payload.lock())
                )
            }
            Reason::Cancelled(None) => {
                f.write_str("the blocking job was cancelled before it began")
            }
            Reason::Cancelled(Some(error)) => write!(f, "the blocking job was refused: {error}"),
        }
    }
}

impl Error for JobError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Reason::Cancelled(Some(error)) => Some(error),
            _ => None,
        }
    }
}
