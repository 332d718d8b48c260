//! How fast a pool with a thread maker grows.

use std::time::Duration;

/// How many threads to make when: one thread at once for the first job that has none, and after
/// each [`PAUSE`] twice as many as before, unless the threads that there are will soon have emptied
/// the queue. So the jobs of a burst that block have all been begun within ten pauses, for 512
/// threads, and those that are short make few threads.
#[derive(Default)]
pub(crate) struct Growth {
    /// How many threads to make next, at most.
    step: usize,
    /// How many jobs had ended at the last step.
    ended_before: u64,
    /// The pause since then, in [`PAUSE`]s.
    pauses: u32,
}

/// Time between two steps of [`Growth`].
const PAUSE: Duration = Duration::from_micros(100);

/// A queue that is going to be empty after so many pauses makes no threads.
const SOON_PAUSES: u32 = 10;

impl Growth {
    /// How many threads to make now for so many jobs that have none.
    pub(crate) fn step(&mut self, uncovered: usize, ended: u64) -> usize {
        let ended_in_pause = (ended - self.ended_before) / u64::from(self.pauses.max(1));
        let at_this_pace = ended_in_pause.saturating_mul(SOON_PAUSES.into());
        self.ended_before = ended;
        // The first step is at once, whatever the pace: a lone job is not to wait.
        if self.step > 0 && uncovered as u64 <= at_this_pace {
            self.step = 1;
            // As long as it goes on like this, there is no hurry.
            self.pauses = (2 * self.pauses).clamp(1, SOON_PAUSES);
            return 0;
        }
        self.pauses = 1;
        let now = self.step.max(1);
        self.step = now.saturating_mul(2);
        now
    }

    /// No job is without a thread: the next such job starts over.
    pub(crate) fn end(&mut self) {
        self.step = 0;
    }

    /// The time until the next step.
    pub(crate) fn pause(&self) -> Duration {
        PAUSE * self.pauses.max(1)
    }
}
