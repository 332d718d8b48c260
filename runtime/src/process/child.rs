//! A running child, until it is reaped.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::process::{self, ExitStatus, Output};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt};

use super::exit::{Exit, start_thread};
use super::stdio::{ChildStderr, ChildStdin, ChildStdout};
use crate::runtime::{Handle, RuntimeFlavor, is_rt_shutdown_err};

/// A child that was started, with our ends of its pipes.
///
/// Dropped, it lets the child go on, or kills it with
/// [`kill_on_drop`](super::Command::kill_on_drop); the child is reaped either way, once it has
/// ended.
#[derive(Debug)]
pub struct Child {
    /// First, so that it is killed before its pipes are closed.
    state: State,
    /// Its standard input, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// Its standard output, if that is a pipe.
    pub stdout: Option<ChildStdout>,
    /// Its standard error, if that is a pipe.
    pub stderr: Option<ChildStderr>,
}

#[derive(Debug)]
enum State {
    Running(Running),
    Ended(ExitStatus),
}

/// A child that may have ended, and was not reaped as far as anybody here knows.
#[derive(Debug)]
struct Running {
    /// `None` once it is somebody else's to reap.
    child: Option<process::Child>,
    /// `None` if there is nobody to tell of its end: then it is being given up.
    exit: Option<Exit>,
    kill_on_drop: bool,
}

impl Child {
    /// To be called in a runtime.
    pub(super) fn new(mut child: process::Child, kill_on_drop: bool) -> io::Result<Self> {
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut running = Running {
            child: Some(child),
            exit: None,
            // If it cannot be looked after.
            kill_on_drop: true,
        };
        running.exit = running.child.as_ref().map(Exit::of).transpose()?;
        let child = Child {
            stdin: pipes.0.map(ChildStdin::from_std).transpose()?,
            stdout: pipes.1.map(ChildStdout::from_std).transpose()?,
            stderr: pipes.2.map(ChildStderr::from_std).transpose()?,
            state: State::Running(Running {
                kill_on_drop,
                child: running.child.take(),
                exit: running.exit.take(),
            }),
        };
        Ok(child)
    }

    /// The system's id of the process. `None` once it was reaped, since another may have that id
    /// then.
    pub fn id(&self) -> Option<u32> {
        match &self.state {
            State::Running(running) => running.child.as_ref().map(process::Child::id),
            State::Ended(_) => None,
        }
    }

    /// Sends the child a signal that ends it (`SIGKILL`). It is not waited for. If it is known to
    /// have ended, this does nothing.
    ///
    /// # Errors
    ///
    /// That of the system.
    pub fn start_kill(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Running(Running {
                child: Some(child), ..
            }) => child.kill(),
            _ => Ok(()),
        }
    }

    /// As [`start_kill`](Child::start_kill), and waits for its end.
    ///
    /// # Errors
    ///
    /// As `start_kill` and [`wait`](Child::wait).
    pub async fn kill(&mut self) -> io::Result<()> {
        self.start_kill()?;
        self.wait().await.map(drop)
    }

    /// Closes the standard input of the child, so that it is not waited for while it waits for us,
    /// and waits for its end. Ready at once if that is known.
    ///
    /// # Errors
    ///
    /// That of the system, for example if somebody else has reaped the child.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing; the standard input stays closed.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        poll_fn(|cx| self.poll_end(cx)).await
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Poll::Ready(Ok(status));
            }
            let State::Running(Running {
                exit: Some(exit),
                child: Some(child),
                ..
            }) = &mut self.state
            else {
                unreachable!("only a child that has an exit may not have ended")
            };
            match ready!(exit.poll(cx)) {
                // The runtime in which it was started is gone, and this is another one.
                Err(error) if is_rt_shutdown_err(&error) && Handle::try_current().is_ok() => {
                    *exit = Exit::of(child)?;
                }
                ended => ended?,
            }
        }
    }

    /// The status of the child, if it has ended.
    ///
    /// # Errors
    ///
    /// As [`wait`](Child::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let child = match &mut self.state {
            State::Ended(status) => return Ok(Some(*status)),
            State::Running(running) => &mut running.child,
        };
        let status = match child {
            Some(child) => child.try_wait()?,
            None => None,
        };
        if let Some(status) = status {
            self.state = State::Ended(status);
        }
        Ok(status)
    }

    /// Closes the standard input of the child, reads its other pipes to their ends, and waits for
    /// its end.
    ///
    /// # Errors
    ///
    /// Those of reading, and as [`wait`](Child::wait).
    ///
    /// # Cancel safety
    ///
    /// What was read is lost with the future, and so is the child.
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let (stdout, stderr) = both(read_to_end(stdout), read_to_end(stderr)).await;
        let (stdout, stderr) = (stdout?, stderr?);
        Ok(Output {
            status: self.wait().await?,
            stdout,
            stderr,
        })
    }
}

async fn read_to_end(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Drives both: a child may write to either pipe until that is full.
async fn both<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> (T, T) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let mut outputs = (None, None);
    poll_fn(|cx| {
        let poll =
            |output: &mut Option<T>, future: Pin<&mut dyn Future<Output = T>>, cx: &mut _| {
                if output.is_none()
                    && let Poll::Ready(value) = future.poll(cx)
                {
                    *output = Some(value);
                }
            };
        poll(&mut outputs.0, one.as_mut(), cx);
        poll(&mut outputs.1, other.as_mut(), cx);
        match (outputs.0.take(), outputs.1.take()) {
            (Some(one), Some(other)) => Poll::Ready((one, other)),
            some => {
                outputs = some;
                Poll::Pending
            }
        }
    })
    .await
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        if self.kill_on_drop {
            // Refused for a child that has other rights by now, or has ended.
            let _ = child.kill();
        }
        // An error means that there is nothing to reap.
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        let orphan = Orphan(Some(child));
        // In a current-thread runtime nobody might poll it.
        if let (Some(exit), Ok(runtime)) = (self.exit.take(), Handle::try_current())
            && runtime.runtime_flavor() == RuntimeFlavor::MultiThread
        {
            drop(runtime.spawn(reap(orphan, exit)));
        }
    }
}

/// Waits for the end of a child that nobody else waits for, and reaps it.
async fn reap(mut orphan: Orphan, exit: Exit) {
    // On an error a thread does it.
    let _ = poll_fn(|cx| exit.poll(cx)).await;
    if let Some(child) = &mut orphan.0
        && !matches!(child.try_wait(), Ok(None))
    {
        orphan.0 = None;
    }
}

/// A child that nobody waits for. A thread does so when it is dropped, where there is no runtime to
/// do it, or that ends.
struct Orphan(Option<process::Child>);

impl Drop for Orphan {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // Refused, it stays a zombie to the end of this process.
            let _ = start_thread(move || drop(child.wait()));
        }
    }
}
