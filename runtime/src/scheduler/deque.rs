//! The deques of workers: crossbeam's, or what stands for them in the models.

#[cfg(not(evenkeel_loom))]
pub(super) use crossbeam_deque::{Steal, Stealer, Worker as Deque};

#[cfg(evenkeel_loom)]
pub(super) use crossbeam_deque::Steal;
#[cfg(evenkeel_loom)]
pub(super) use modelled::{Deque, Stealer};

/// A queue under a lock, whose length is all that others see without it: no stronger than
/// crossbeam's deque, so that the fences of the lane's protocols must do.
#[cfg(evenkeel_loom)]
mod modelled {
    use crossbeam_deque::Steal;
    use evenkeel_sync::atomic::{AtomicIsize, Ordering};
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex, PoisonError};

    pub(in crate::scheduler) struct Deque<T>(Arc<Shared<T>>);

    pub(in crate::scheduler) struct Stealer<T>(Arc<Shared<T>>);

    struct Shared<T> {
        /// Not loom's: nothing happens while it is locked.
        tasks: Mutex<VecDeque<T>>,
        len: AtomicIsize,
    }

    impl<T> Shared<T> {
        fn with<R>(&self, f: impl FnOnce(&mut VecDeque<T>) -> R) -> R {
            f(&mut self.tasks.lock().unwrap_or_else(PoisonError::into_inner))
        }

        /// Seen after the task is there.
        fn push(&self, task: T) {
            self.with(|tasks| tasks.push_back(task));
            self.len.fetch_add(1, Ordering::Release);
        }

        fn pop(&self) -> Option<T> {
            let task = self.with(VecDeque::pop_front)?;
            self.len.fetch_sub(1, Ordering::Release);
            Some(task)
        }

        /// May be less than zero for a moment.
        fn len(&self) -> usize {
            self.len.load(Ordering::Acquire).max(0) as usize
        }
    }

    impl<T> Deque<T> {
        pub(in crate::scheduler) fn new_fifo() -> Self {
            Deque(Arc::new(Shared {
                tasks: Mutex::default(),
                len: AtomicIsize::new(0),
            }))
        }

        pub(in crate::scheduler) fn stealer(&self) -> Stealer<T> {
            Stealer(self.0.clone())
        }

        pub(in crate::scheduler) fn push(&self, task: T) {
            self.0.push(task);
        }

        pub(in crate::scheduler) fn pop(&self) -> Option<T> {
            self.0.pop()
        }

        pub(in crate::scheduler) fn len(&self) -> usize {
            self.0.len()
        }

        pub(in crate::scheduler) fn is_empty(&self) -> bool {
            self.0.len() == 0
        }
    }

    impl<T> Stealer<T> {
        pub(in crate::scheduler) fn len(&self) -> usize {
            self.0.len()
        }

        pub(in crate::scheduler) fn is_empty(&self) -> bool {
            self.0.len() == 0
        }

        pub(in crate::scheduler) fn steal(&self) -> Steal<T> {
            match self.0.pop() {
                Some(task) => Steal::Success(task),
                None => Steal::Empty,
            }
        }

        /// Half of the tasks, as crossbeam does.
        pub(in crate::scheduler) fn steal_batch_and_pop(&self, into: &Deque<T>) -> Steal<T> {
            if self.is_empty() {
                return Steal::Empty;
            }
            let others = self.len() / 2;
            let first = self.steal();
            for task in (0..others).map_while(|_| self.0.pop()) {
                into.push(task);
            }
            first
        }
    }
}
