//! Waiting for the end of a process.

use std::io;
use std::process::Child;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::panics::wake;
use crate::runtime::unpinned;

/// Tells when a process has ended, without reaping it.
#[derive(Debug)]
pub(super) enum Exit {
    /// Linux has a descriptor for it, which is readable then.
    #[cfg(target_os = "linux")]
    Descriptor(crate::io::AsyncFd<std::os::fd::OwnedFd>),
    /// A thread waits.
    Thread(Arc<Mutex<Ended>>),
}

/// What the thread has found.
#[derive(Debug, Default)]
pub(super) struct Ended {
    result: Option<Result<(), Errno>>,
    waker: Option<Waker>,
}

impl Exit {
    /// To be called in a runtime, before anybody can have reaped the child.
    ///
    /// # Errors
    ///
    /// Those of the system, if it has no descriptor and no thread for it.
    pub(super) fn of(child: &Child) -> io::Result<Exit> {
        let no_pid = || io::Error::from(io::ErrorKind::InvalidData);
        let id = i32::try_from(child.id()).ok();
        let pid = id.and_then(Pid::from_raw).ok_or_else(no_pid)?;
        // Kernels before 5.3 have no such descriptor, and some sandboxes refuse it.
        #[cfg(target_os = "linux")]
        if let Ok(fd) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
            use crate::io::{AsyncFd, Interest};
            return AsyncFd::with_interest(fd, Interest::READABLE).map(Exit::Descriptor);
        }
        Exit::by_thread(pid)
    }

    fn by_thread(pid: Pid) -> io::Result<Exit> {
        let ended = Arc::new(Mutex::new(Ended::default()));
        let of_thread = ended.clone();
        start_thread(move || {
            let result = wait_for(pid);
            let waker = {
                let mut ended = of_thread.lock();
                ended.result = Some(result);
                ended.waker.take()
            };
            waker.into_iter().for_each(wake);
        })?;
        Ok(Exit::Thread(ended))
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = match self {
            #[cfg(target_os = "linux")]
            Exit::Descriptor(fd) => {
                // If it was not the end after all, the next look waits again.
                let ready = fd.poll_read_ready(cx);
                return ready.map_ok(|mut guard| guard.clear_ready());
            }
            Exit::Thread(ended) => ended,
        };
        // Cloned and dropped outside the lock: a waker may be anybody's.
        let waker = cx.waker().clone();
        let mut locked = ended.lock();
        if let Some(result) = locked.result {
            return Poll::Ready(Ok(result?));
        }
        let before = locked.waker.replace(waker);
        drop(locked);
        drop(before);
        Poll::Pending
    }
}

/// Blocks until the process has ended, and leaves it to be reaped.
fn wait_for(pid: Pid) -> Result<(), Errno> {
    loop {
        match waitid(
            WaitId::Pid(pid),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        ) {
            Err(Errno::INTR) => {}
            result => return result.map(drop),
        }
    }
}

/// A thread that waits, for as long as that takes. It is none of the runtime's, whose end would
/// wait for it.
pub(super) fn start_thread(body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    const STACK: usize = 128 * 1024;
    let builder = thread::Builder::new().name("evenkeel-child".to_owned());
    unpinned(|| builder.stack_size(STACK).spawn(body)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::process::{Command, Stdio};

    #[test]
    fn a_thread_waits_where_there_is_no_descriptor() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32).unwrap();
        let exit = Exit::by_thread(pid).unwrap();
        let runtime = crate::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut polls = 0;
            let ended = poll_fn(|cx| {
                let polled = exit.poll(cx);
                polls += 1;
                if polls == 1 {
                    assert!(polled.is_pending(), "it reads");
                    drop(child.stdin.take());
                }
                polled
            });
            ended.await.unwrap();
            // Whoever asks again is told again.
            poll_fn(|cx| exit.poll(cx)).await.unwrap();
        });
        assert!(
            child.try_wait().unwrap().unwrap().success(),
            "not reaped before"
        );
        assert_eq!(wait_for(pid), Err(Errno::CHILD));
    }
}
