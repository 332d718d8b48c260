//! Bytes on their way to where writing blocks.
//!
//! A write is acknowledged once its bytes are in the outbox. A job on the blocking pool takes out
//! what has come, again and again, until nothing is left. So small writes in a row cost one hop to
//! another thread together, not one each. Each is a write of its own there: some files, such as
//! those of control groups, and logs that several programs append to, take each for a message.
//!
//! ```text
//! the task                                  the job
//! 1. puts its bytes in                      1. takes all bytes out
//! 2. if there is no job, says that there    2. if there are none, says that it is gone,
//!    is one, and makes it                      and ends
//!                                           3. writes them, and begins again
//! ```
//!
//! Each step is made with the state locked, but for the writing itself. So bytes that are put in
//! are either seen by the job in its step 1, or the job is gone and a new one is made.

use crate::panics::wake;
use crate::runtime::{is_rt_shutdown_err, pool_shut_down};
use crate::spawn::spawn_blocking;
use crate::tasks::budget::poll_output;
use parking_lot::{Mutex, MutexGuard};
use std::io::{self, IoSlice, Write};
use std::iter;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

/// The most that waits in an outbox: tokio's number.
pub(crate) const BUFFER_MAX: usize = 2 * 1024 * 1024;

/// A buffer that is larger is not kept when there is nothing to do.
const KEPT_MAX: usize = 64 * 1024;

pub(crate) struct Outbox<W> {
    target: Arc<W>,
    state: Arc<Mutex<State>>,
}

/// Bytes in the order in which they are to be written.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Where each write ends.
    ends: Vec<usize>,
}

impl Waiting {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Puts in one more write, of `count` bytes.
    fn put(&mut self, bufs: &[IoSlice<'_>], count: usize) {
        let mut left = count;
        for buf in bufs {
            let part = buf.len().min(left);
            self.bytes.extend_from_slice(&buf[..part]);
            left -= part;
        }
        self.ends.push(self.bytes.len());
    }

    /// Each write by itself.
    fn writes(&self) -> impl Iterator<Item = &[u8]> {
        let begins = iter::once(0).chain(self.ends.iter().copied());
        begins
            .zip(&self.ends)
            .map(|(begin, &end)| &self.bytes[begin..end])
    }
}

#[derive(Default)]
struct State {
    /// What no job has taken yet.
    waiting: Waiting,
    /// There is a job, or there will be, which looks at `waiting` once more before it ends.
    has_job: bool,
    /// Of a write that was acknowledged.
    error: Option<io::Error>,
    /// The task that waits for room, or for the end of the job.
    waker: Option<Waker>,
}

impl<W> Outbox<W>
where
    W: Send + Sync + 'static,
    for<'a> &'a W: Write,
{
    pub(crate) fn new(target: Arc<W>) -> Self {
        Outbox {
            target,
            state: Arc::default(),
        }
    }

    #[cfg(any(unix, feature = "fs"))]
    pub(crate) fn target(&self) -> &Arc<W> {
        &self.target
    }

    /// Puts bytes in, which are written as one: all of them, unless they are more than
    /// `buffer_max`.
    ///
    /// # Errors
    ///
    /// Of an earlier write; or of this one, if there is no pool any more that would write it.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        buffer_max: usize,
    ) -> Poll<io::Result<usize>> {
        poll_output(cx, |cx| self.poll_put(cx, bufs, buffer_max))
    }

    fn poll_put(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        buffer_max: usize,
    ) -> Poll<io::Result<usize>> {
        let add = |len: usize, buf: &IoSlice<'_>| len.saturating_add(buf.len());
        let count = bufs.iter().fold(0, add).min(buffer_max);
        let has_room = |state: &State| {
            state.error.is_some() || state.waiting.bytes.len() + count <= buffer_max
        };
        let mut state = ready!(self.poll_until(cx, has_room));
        if let Some(error) = state.error.take() {
            return Poll::Ready(Err(error));
        }
        state.waiting.put(bufs, count);
        let had_job = mem::replace(&mut state.has_job, true);
        drop(state);
        if had_job {
            return Poll::Ready(Ok(count));
        }
        let job = Job {
            target: Some(self.target.clone()),
            state: self.state.clone(),
        };
        // Refused, the job is dropped, which leaves an error. Another one that is there already is
        // for the next operation, as if it had come later.
        drop(spawn_blocking(move || job.run()));
        let mut state = self.state.lock();
        let refused = state.error.take_if(|error| is_rt_shutdown_err(error));
        Poll::Ready(refused.map_or(Ok(count), Err))
    }

    /// Waits until all is written.
    ///
    /// # Errors
    ///
    /// Of a write since the last error.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let error = ready!(self.poll_until(cx, |state| !state.has_job))
            .error
            .take();
        Poll::Ready(error.map_or(Ok(()), Err))
    }

    /// As [`poll_flush`](Outbox::poll_flush), but leaves an error where it is.
    #[cfg(feature = "fs")]
    pub(crate) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_until(cx, |state| !state.has_job).map(drop)
    }

    /// True if nothing is on its way.
    #[cfg(any(feature = "fs", test))]
    pub(crate) fn is_idle(&self) -> bool {
        !self.state.lock().has_job
    }

    fn poll_until(
        &self,
        cx: &mut Context<'_>,
        is_done: impl Fn(&State) -> bool,
    ) -> Poll<MutexGuard<'_, State>> {
        let mut is_registered = false;
        loop {
            let state = self.state.lock();
            if is_done(&state) {
                return Poll::Ready(state);
            }
            if is_registered {
                return Poll::Pending;
            }
            drop(state);
            let waker = cx.waker().clone();
            let before = self.state.lock().waker.replace(waker);
            drop(before);
            is_registered = true;
        }
    }
}

struct Job<W> {
    /// `None` once it is over.
    target: Option<Arc<W>>,
    state: Arc<Mutex<State>>,
}

impl<W> Job<W>
where
    for<'a> &'a W: Write,
{
    fn run(mut self) {
        let mut waiting = Waiting::default();
        while let Some(target) = self.take(&mut waiting) {
            let mut target = &*target;
            let mut writes = waiting.writes();
            // What goes to a terminal is seen at once; to flush a file does nothing.
            let written = writes
                .try_for_each(|bytes| target.write_all(bytes))
                .and_then(|()| target.flush());
            if let Err(error) = written {
                let mut state = self.state.lock();
                // They would leave a gap.
                state.waiting.clear();
                state.error = Some(error);
            }
        }
    }

    /// Takes all bytes; if there are none, the job is over.
    fn take(&mut self, waiting: &mut Waiting) -> Option<Arc<W>> {
        waiting.clear();
        let mut state = self.state.lock();
        mem::swap(&mut state.waiting, waiting);
        if waiting.ends.is_empty() {
            end(&mut self.target, state, None);
            return None;
        }
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(wake);
        self.target.clone()
    }
}

/// The target is let go of before anybody hears of the end, who may want to be its only owner.
fn end<W>(target: &mut Option<Arc<W>>, mut state: MutexGuard<'_, State>, error: Option<io::Error>) {
    *target = None;
    state.has_job = false;
    if state.waiting.bytes.capacity() > KEPT_MAX {
        state.waiting = Waiting::default();
    }
    if error.is_some() {
        state.error = error;
    }
    let waker = state.waker.take();
    drop(state);
    waker.into_iter().for_each(wake);
}

impl<W> Drop for Job<W> {
    fn drop(&mut self) {
        if self.target.is_some() {
            let mut state = self.state.lock();
            state.waiting.clear();
            end(&mut self.target, state, Some(pool_shut_down::error()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Runtime;
    use parking_lot::Condvar;
    use std::future::poll_fn;

    /// Notes how many bytes each write has, and can be stopped.
    #[derive(Default)]
    struct Slow {
        state: Mutex<(bool, Vec<usize>)>,
        opened: Condvar,
    }

    impl Write for &Slow {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            let mut state = self.state.lock();
            state.1.push(buf.len());
            self.opened.notify_all();
            self.opened.wait_while(&mut state, |(is_open, _)| !*is_open);
            if buf[0] == b'!' {
                return Err(io::Error::other("refused"));
            }
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Slow {
        fn wait_for_write(&self) {
            let mut state = self.state.lock();
            self.opened
                .wait_while(&mut state, |(_, writes)| writes.is_empty());
        }

        fn open(&self) {
            self.state.lock().0 = true;
            self.opened.notify_all();
        }
    }

    async fn write(outbox: &mut Outbox<Slow>, buf: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| outbox.poll_write(cx, &[IoSlice::new(buf)], 16)).await
    }

    async fn flush(outbox: &mut Outbox<Slow>) -> io::Result<()> {
        poll_fn(|cx| outbox.poll_flush(cx)).await
    }

    #[test]
    fn what_comes_during_a_write_is_written_at_once_afterwards_each_by_itself() {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let slow = Arc::new(Slow::default());
            let mut outbox = Outbox::new(slow.clone());
            assert_eq!(write(&mut outbox, b"a").await.unwrap(), 1);
            slow.wait_for_write();
            for _ in 0..5 {
                assert_eq!(write(&mut outbox, b"bcd").await.unwrap(), 3);
            }
            // It is full: one more would have to be cut in two.
            let mut cx = Context::from_waker(Waker::noop());
            let more = [IoSlice::new(b"ef")];
            assert!(outbox.poll_write(&mut cx, &more, 16).is_pending());
            assert!(outbox.poll_flush(&mut cx).is_pending());
            slow.open();
            flush(&mut outbox).await.unwrap();
            assert_eq!(slow.state.lock().1, [1, 3, 3, 3, 3, 3]);
            assert_eq!(write(&mut outbox, &[b'g'; 20]).await.unwrap(), 16);
            flush(&mut outbox).await.unwrap();
            assert!(outbox.is_idle());
            // Nobody else has it once all is written.
            drop(slow);
            assert_eq!(Arc::strong_count(&outbox.target), 1);
        });
    }

    #[test]
    fn after_an_error_nothing_of_what_was_acknowledged_is_written() {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let slow = Arc::new(Slow::default());
            let mut outbox = Outbox::new(slow.clone());
            write(&mut outbox, b"!").await.unwrap();
            slow.wait_for_write();
            write(&mut outbox, b"after").await.unwrap();
            slow.open();
            let error = flush(&mut outbox).await.unwrap_err();
            assert_eq!(error.to_string(), "refused");
            write(&mut outbox, b"good").await.unwrap();
            flush(&mut outbox).await.unwrap();
            assert_eq!(slow.state.lock().1, [1, 4]);
        });
    }

    #[test]
    fn a_write_to_a_runtime_that_was_shut_down_is_an_error() {
        let runtime = Runtime::new().unwrap();
        let (mut outbox, handle) = (
            Outbox::new(Arc::new(Slow::default())),
            runtime.handle().clone(),
        );
        drop(runtime);
        let other = Runtime::new().unwrap();
        other.block_on(async {
            let entered = handle.enter();
            let error = write(&mut outbox, b"late").await.unwrap_err();
            assert!(is_rt_shutdown_err(&error), "{error}");
            drop(entered);
            flush(&mut outbox).await.unwrap();
        });
    }
}
