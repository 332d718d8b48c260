//! The signals of Unix.

use crate::io::AsyncFd;
use signal_hook_registry::{FORBIDDEN, SigId, register, unregister};
use std::ffi::c_int;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll, ready};

/// Which signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignalKind(c_int);

impl SignalKind {
    /// The signal with this number.
    pub const fn from_raw(number: c_int) -> SignalKind {
        SignalKind(number)
    }

    /// Its number.
    pub const fn as_raw_value(self) -> c_int {
        self.0
    }

    /// `SIGALRM`: a timer of the system's has run out.
    pub const fn alarm() -> SignalKind {
        SignalKind(libc::SIGALRM)
    }

    /// `SIGCHLD`: a child process has ended or stopped. Ignored by default.
    pub const fn child() -> SignalKind {
        SignalKind(libc::SIGCHLD)
    }

    /// `SIGHUP`: the terminal is gone. Many servers read their configuration again.
    pub const fn hangup() -> SignalKind {
        SignalKind(libc::SIGHUP)
    }

    /// `SIGINFO`: Ctrl-T on a terminal.
    #[cfg(any(
        target_os = "dragonfly",
        target_os = "freebsd",
        target_os = "illumos",
        target_os = "macos",
        target_os = "netbsd",
        target_os = "openbsd"
    ))]
    pub const fn info() -> SignalKind {
        SignalKind(libc::SIGINFO)
    }

    /// `SIGINT`: Ctrl-C on a terminal.
    pub const fn interrupt() -> SignalKind {
        SignalKind(libc::SIGINT)
    }

    /// `SIGIO`: a descriptor is ready.
    pub const fn io() -> SignalKind {
        SignalKind(libc::SIGIO)
    }

    /// `SIGPIPE`: a write to a pipe that nobody reads. Ignored in programs of Rust.
    pub const fn pipe() -> SignalKind {
        SignalKind(libc::SIGPIPE)
    }

    /// `SIGQUIT`: Ctrl-\ on a terminal.
    pub const fn quit() -> SignalKind {
        SignalKind(libc::SIGQUIT)
    }

    /// `SIGTERM`: somebody asks the process to end.
    pub const fn terminate() -> SignalKind {
        SignalKind(libc::SIGTERM)
    }

    /// `SIGUSR1`.
    pub const fn user_defined1() -> SignalKind {
        SignalKind(libc::SIGUSR1)
    }

    /// `SIGUSR2`.
    pub const fn user_defined2() -> SignalKind {
        SignalKind(libc::SIGUSR2)
    }

    /// `SIGWINCH`: the size of the terminal has changed. Ignored by default.
    pub const fn window_change() -> SignalKind {
        SignalKind(libc::SIGWINCH)
    }
}

impl From<c_int> for SignalKind {
    fn from(number: c_int) -> SignalKind {
        SignalKind(number)
    }
}

impl From<SignalKind> for c_int {
    fn from(kind: SignalKind) -> c_int {
        kind.0
    }
}

/// Hears of a signal, each time that it comes; made by [`signal()`].
///
/// It belongs to the runtime in which it was made, and has a pair of sockets: the handler of the
/// signal writes to the one, and the runtime's IO driver watches the other.
#[must_use = "signals are heard of by `recv`"]
pub struct Signal {
    heard: AsyncFd<UnixStream>,
    registered: SigId,
}

/// Listens for a signal from now on.
///
/// # Errors
///
/// - [`InvalidInput`](ErrorKind::InvalidInput) for a signal that a process cannot hear of
///   (`SIGKILL`, `SIGSTOP`), or that says that its code is wrong (`SIGSEGV`, `SIGILL`, `SIGFPE`).
/// - Those of the system: no descriptor is left, or there is no such signal.
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub fn signal(kind: SignalKind) -> io::Result<Signal> {
    if FORBIDDEN.contains(&kind.0) || kind.0 <= 0 {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            format!("signal {} cannot be listened for", kind.0),
        ));
    }
    let (tell, heard) = UnixStream::pair()?;
    tell.set_nonblocking(true)?;
    heard.set_nonblocking(true)?;
    let heard = AsyncFd::new(heard)?;
    let tell = move || {
        // Full, it has been told already.
        let _ = (&tell).write(&[0]);
    };
    // SAFETY: all that the handler does is a `write` of a byte to a socket that it owns, without
    // allocating, locking or panicking. The registry keeps `errno`, and has no handler running
    // when it drops one.
    let registered = unsafe { register(kind.0, tell) }?;
    Ok(Signal { heard, registered })
}

impl Signal {
    /// Waits for the signal. What has come since the last call, or since this was made, counts as
    /// one.
    ///
    /// `None` once the runtime in which this was made is dropped.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<()> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Signal::recv), for hand-written futures. Only the task of the last call is
    /// woken.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let mut bytes = [0; 64];
        loop {
            let Ok(mut ready) = ready!(self.heard.poll_read_ready(cx)) else {
                return Poll::Ready(None);
            };
            let mut heard = false;
            let emptied = ready.try_io(|fd| {
                loop {
                    match fd.get_ref().read(&mut bytes) {
                        // The handler has the other end for as long as this lives.
                        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                        Ok(_) => heard = true,
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) => return Err::<(), _>(error),
                    }
                }
            });
            if heard {
                return Poll::Ready(Some(()));
            }
            if let Ok(Err(_)) = emptied {
                return Poll::Ready(None);
            }
        }
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        unregister(self.registered);
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").finish_non_exhaustive()
    }
}
