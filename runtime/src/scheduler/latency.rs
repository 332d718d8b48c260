//! How latencies are counted: in buckets, by one thread at a time, for anybody to read.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// An octave (from one power of two to the next) is cut into so many buckets.
const STEPS: u32 = 4;
const STEPS_LOG2: u32 = STEPS.ilog2();
/// The first octave begins at 256 ns. What takes less is counted there as well.
const FIRST_OCTAVE: u32 = 8;
/// The last one ends at 8.6 s. What takes longer is counted there as well.
const OCTAVES: u32 = 25;
const BUCKETS: usize = (OCTAVES * STEPS) as usize;

/// The bucket of a latency.
fn bucket(ns: u64) -> usize {
    let octave = ns.max(1).ilog2();
    if octave < FIRST_OCTAVE {
        return 0;
    }
    let step = (ns >> (octave - STEPS_LOG2)) as u32 % STEPS;
    let index = (octave - FIRST_OCTAVE) * STEPS + step;
    (index as usize).min(BUCKETS - 1)
}

/// Where a bucket ends.
fn end_ns(bucket: usize) -> u64 {
    let (octave, step) = (bucket as u32 / STEPS, bucket as u32 % STEPS);
    u64::from(STEPS + step + 1) << (octave + FIRST_OCTAVE - STEPS_LOG2)
}

/// Latencies that one thread at a time counts.
pub(super) struct Latencies([AtomicU64; BUCKETS]);

impl Latencies {
    pub(super) fn new() -> Self {
        Latencies([const { AtomicU64::new(0) }; BUCKETS])
    }

    pub(super) fn record(&self, ns: u64) {
        let count = &self.0[bucket(ns)];
        // Only one thread writes, so no read-modify-write is needed.
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub(super) fn add_to(&self, sum: &mut LatencyHistogram) {
        for (count, sum) in self.0.iter().zip(&mut sum.counts) {
            *sum += count.load(Ordering::Relaxed);
        }
    }
}

/// How often a latency was so and so long.
///
/// It is counted in buckets from 256 ns to 8.6 s, four to each doubling, so that what is said of a
/// latency is at most a quarter too much.
#[derive(Clone, PartialEq, Eq)]
pub struct LatencyHistogram {
    counts: [u64; BUCKETS],
}

impl LatencyHistogram {
    pub(crate) const fn new() -> Self {
        LatencyHistogram {
            counts: [0; BUCKETS],
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The latency that a part of all did not exceed: `quantile(0.5)` is the median, and
    /// `quantile(0.99)` what is called p99. `None` if there were none.
    ///
    /// `part` is from 0 to 1; what is outside of that counts as the nearer of the two.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let count = self.count();
        let rank = ((part.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1);
        let mut below = 0;
        let bucket = self.counts.iter().position(|count| {
            below += count;
            below >= rank
        })?;
        Some(Duration::from_nanos(end_ns(bucket)))
    }

    /// Each bucket: what its latencies did not exceed, and how many it has. Shorter ones first. For
    /// a monitoring system that wants a histogram.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let counts = self.counts.iter().enumerate();
        counts.map(|(bucket, count)| (Duration::from_nanos(end_ns(bucket)), *count))
    }

    /// What has been counted since it was `before`.
    pub(crate) fn since(&self, before: &LatencyHistogram) -> LatencyHistogram {
        let counts =
            std::array::from_fn(|bucket| self.counts[bucket].saturating_sub(before.counts[bucket]));
        LatencyHistogram { counts }
    }
}

impl fmt::Debug for LatencyHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatencyHistogram")
            .field("count", &self.count())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .finish()
    }
}

#[cfg(test)]
impl FromIterator<Duration> for LatencyHistogram {
    fn from_iter<I: IntoIterator<Item = Duration>>(latencies: I) -> Self {
        let mut histogram = LatencyHistogram::new();
        for latency in latencies {
            histogram.counts[bucket(latency.as_nanos() as u64)] += 1;
        }
        histogram
    }
}

#[cfg(all(test, not(evenkeel_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_where_the_next_begins_and_is_at_most_a_quarter_wide() {
        for index in 0..BUCKETS - 1 {
            let end = end_ns(index);
            assert_eq!((bucket(end - 1), bucket(end)), (index, index + 1));
            assert!(end_ns(index + 1) - end <= end / 4);
        }
        assert_eq!((bucket(0), bucket(256)), (0, 0));
        assert_eq!(
            (bucket(end_ns(BUCKETS - 1)), bucket(u64::MAX)),
            (BUCKETS - 1, BUCKETS - 1)
        );
        assert_eq!(end_ns(BUCKETS - 1), 1 << 33);
    }

    #[test]
    fn quantiles_are_those_of_the_latencies_or_a_little_more() {
        let latencies = (1..=1_000).map(Duration::from_micros);
        let histogram: LatencyHistogram = latencies.collect();
        assert_eq!(histogram.count(), 1_000);
        for (part, us) in [
            (0.0, 1),
            (0.5, 500),
            (0.9, 900),
            (0.99, 990),
            (1.0, 1_000),
            (7.0, 1_000),
        ] {
            let (found, exact) = (histogram.quantile(part).unwrap(), Duration::from_micros(us));
            assert!(
                exact <= found && found <= exact * 5 / 4,
                "{part}: {found:?}"
            );
        }
        assert_eq!(LatencyHistogram::new().quantile(0.5), None);
    }

    #[test]
    fn what_was_counted_before_is_left_out() {
        let latencies = Latencies::new();
        let now = |latencies: &Latencies| {
            let mut sum = LatencyHistogram::new();
            latencies.add_to(&mut sum);
            sum
        };
        latencies.record(1_000);
        let before = now(&latencies);
        latencies.record(1_000_000);
        let since = now(&latencies).since(&before);
        assert_eq!(since, [Duration::from_millis(1)].into_iter().collect());
        let (longest, _) = since.buckets().find(|(_, count)| *count > 0).unwrap();
        assert_eq!(since.quantile(1.0), Some(longest));
    }
}
