//! When each request is due, whatever became of the others, and what it asks for.

use std::time::Duration;

use super::traffic::{Arrivals, Rate, Traffic, Work};

/// Requests before the window, which do not count.
pub(crate) const WARM_UP: Duration = Duration::from_millis(300);

/// All requests of an open loop, first those of the warm-up and then those of the window. Times are
/// from the start.
#[derive(Debug)]
pub(super) struct Schedule {
    requests: Vec<Request>,
    works: Vec<Work>,
    first_in_window: u64,
    first_counted: u64,
    end: Duration,
    burst_end: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Request {
    due_ns: u64,
    /// Which of the works.
    kind: u32,
}

impl Schedule {
    pub(super) fn new(traffic: &Traffic, window: Duration) -> Self {
        let end = WARM_UP + window;
        let requests = draw(traffic, end);
        let first_from = |time: Duration| {
            requests.partition_point(|request| Duration::from_nanos(request.due_ns) < time) as u64
        };
        let counted_from = traffic
            .counted
            .map_or(WARM_UP, |counted| WARM_UP.max(end.saturating_sub(counted)));
        Self {
            first_in_window: first_from(WARM_UP),
            first_counted: first_from(counted_from),
            works: traffic.works.clone(),
            end,
            burst_end: traffic.burst.map(|burst| WARM_UP + burst.length),
            requests,
        }
    }

    /// What one of several threads has to send, if each has every so manieth of the connections.
    /// Its requests have numbers of their own, and go over its own connections in turn as those of
    /// the whole do over all.
    pub(super) fn share(&self, connections: usize, thread: usize, threads: usize) -> Self {
        let is_own = |seq: u64| (seq % connections as u64) as usize % threads == thread;
        let own_before = |seq: u64| (0..seq).filter(|seq| is_own(*seq)).count() as u64;
        let own = (0..).zip(&self.requests).filter(|(seq, _)| is_own(*seq));
        Self {
            requests: own.map(|(_, request)| *request).collect(),
            works: self.works.clone(),
            first_in_window: own_before(self.first_in_window),
            first_counted: own_before(self.first_counted),
            end: self.end,
            burst_end: self.burst_end,
        }
    }

    /// When request number `seq` is due.
    pub(super) fn due(&self, seq: u64) -> Duration {
        Duration::from_nanos(self.requests[seq as usize].due_ns)
    }

    /// How many kinds of requests there are.
    pub(super) fn kinds(&self) -> usize {
        self.works.len()
    }

    /// Which kind request number `seq` is.
    pub(super) fn kind(&self, seq: u64) -> usize {
        self.requests[seq as usize].kind as usize
    }

    /// What request number `seq` asks for.
    pub(super) fn work_us(&self, seq: u64) -> u32 {
        self.works[self.kind(seq)].us
    }

    /// The number of the first request in the window, which is how many are in the warm-up.
    pub(super) fn first_in_window(&self) -> u64 {
        self.first_in_window
    }

    /// The number of the first request whose latency counts.
    pub(super) fn first_counted(&self) -> u64 {
        self.first_counted
    }

    /// How many requests there are.
    pub(super) fn total(&self) -> u64 {
        self.requests.len() as u64
    }

    /// When the window ends.
    pub(super) fn end(&self) -> Duration {
        self.end
    }

    /// When the burst ends, if there is one.
    pub(super) fn burst_end(&self) -> Option<Duration> {
        self.burst_end
    }
}

fn draw(traffic: &Traffic, end: Duration) -> Vec<Request> {
    let mut random = Random::new(traffic.seed);
    let mut requests = Vec::new();
    let mut from = 0;
    for (until, rate) in phases(traffic, end) {
        let mut elapsed = 0.0;
        for count in 0.. {
            let due_ns = match traffic.arrivals {
                Arrivals::Even => from + rate.nanos_of(count),
                Arrivals::Poisson => {
                    elapsed += random.exponential() * rate.mean_ns();
                    from + elapsed as u64
                }
            };
            if due_ns >= until {
                break;
            }
            let kind = kind(&traffic.works, &mut random);
            requests.push(Request { due_ns, kind });
        }
        from = until;
    }
    requests
}

/// Until when, in nanoseconds, which rate holds.
fn phases(traffic: &Traffic, end: Duration) -> Vec<(u64, Rate)> {
    let mut phases = Vec::new();
    if let Some(burst) = traffic.burst {
        phases.push((WARM_UP, traffic.rate));
        phases.push(((WARM_UP + burst.length).min(end), burst.rate));
    }
    phases.push((end, traffic.rate));
    let nanos = |(until, rate): (Duration, Rate)| (until.as_nanos() as u64, rate);
    phases.into_iter().map(nanos).collect()
}

fn kind(works: &[Work], random: &mut Random) -> u32 {
    let mut left = random.unit();
    for (kind, work) in (0..).zip(works) {
        left -= work.share;
        if left < 0.0 {
            return kind;
        }
    }
    // The shares add up to one but for rounding.
    works.len().saturating_sub(1) as u32
}

/// SplitMix64, by Sebastiano Vigna: good enough to draw from, the same everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1, without the 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Exponentially distributed, with a mean of 1.
    fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::super::traffic::Burst;
    use super::*;

    fn even(requests_per_s: u32, window: Duration) -> Schedule {
        Schedule::new(&Traffic::even(64, Rate::per_s(requests_per_s), 0), window)
    }

    fn poisson(requests_per_s: u32, seed: u64) -> Traffic {
        Traffic {
            arrivals: Arrivals::Poisson,
            seed,
            ..Traffic::even(64, Rate::per_s(requests_per_s), 100)
        }
    }

    #[test]
    fn requests_are_evenly_spaced() {
        let schedule = even(8_000, Duration::from_secs(4));
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(1), Duration::from_micros(125));
        assert_eq!(schedule.due(8_000 * 3), Duration::from_secs(3));
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_does_not_drift() {
        let schedule = even(3, Duration::from_secs(2_000));
        assert_eq!(schedule.due(1), Duration::from_nanos(333_333_333));
        assert_eq!(schedule.due(3 * 2_000), Duration::from_secs(2_000));
    }

    #[test]
    fn exactly_the_window_counts() {
        for rate in [1, 7, 2_000, 8_000] {
            let schedule = even(rate, Duration::from_millis(1_234));
            let (first, total) = (schedule.first_counted(), schedule.total());
            assert_eq!(schedule.first_in_window(), first);
            assert!(schedule.due(first) >= WARM_UP);
            assert!(first == 0 || schedule.due(first - 1) < WARM_UP);
            assert!(schedule.due(total - 1) < schedule.end());
            let next = Rate::per_s(rate).time_of(total);
            assert!(next >= schedule.end());
        }
        let schedule = even(2_000, Duration::from_secs(1));
        assert_eq!(schedule.total() - schedule.first_counted(), 2_000);
    }

    #[test]
    fn poisson_requests_have_the_rate_and_no_rhythm() {
        let schedule = Schedule::new(&poisson(10_000, 7), Duration::from_secs(20));
        let count = schedule.total() as f64;
        let expected = 10_000.0 * schedule.end().as_secs_f64();
        // Five standard deviations.
        assert!((count - expected).abs() < 5.0 * expected.sqrt(), "{count}");
        // As many come within a mean distance of the one before as the distribution says.
        let soon = (1..schedule.total())
            .filter(|&seq| schedule.due(seq) - schedule.due(seq - 1) < Duration::from_micros(100))
            .count() as f64;
        let share = soon / count;
        assert!((share - (1.0 - (-1.0_f64).exp())).abs() < 0.01, "{share}");
    }

    #[test]
    fn a_seed_is_a_sequence() {
        let requests = |seed| {
            let mut traffic = poisson(1_000, seed);
            traffic.works = vec![Work { us: 50, share: 0.5 }, Work { us: 99, share: 0.5 }];
            Schedule::new(&traffic, Duration::from_secs(1)).requests
        };
        assert_eq!(requests(1), requests(1));
        assert_ne!(requests(1), requests(2));
    }

    #[test]
    fn threads_share_the_requests_by_their_connections() {
        let (connections, threads) = (7, 3);
        let mut traffic = poisson(1_000, 5);
        traffic.counted = Some(Duration::from_millis(100));
        let whole = Schedule::new(&traffic, Duration::from_millis(500));
        let shares = [0, 1, 2].map(|thread| whole.share(connections, thread, threads));
        let sum = |of: fn(&Schedule) -> u64| shares.iter().map(of).sum::<u64>();
        assert_eq!(sum(Schedule::total), whole.total());
        assert_eq!(sum(Schedule::first_in_window), whole.first_in_window());
        assert_eq!(sum(Schedule::first_counted), whole.first_counted());
        // The second thread has the connections 1 and 4, in turn.
        let second = &shares[1];
        for (own, of_whole) in [(0, 1), (1, 4), (2, 8), (3, 11)] {
            assert_eq!(second.due(own), whole.due(of_whole));
        }
        let alone = whole.share(connections, 0, 1);
        assert_eq!(alone.requests, whole.requests);
    }

    #[test]
    fn works_come_in_their_shares() {
        let mut traffic = poisson(10_000, 3);
        traffic.works = vec![
            Work { us: 50, share: 0.9 },
            Work {
                us: 5_000,
                share: 0.1,
            },
        ];
        let schedule = Schedule::new(&traffic, Duration::from_secs(10));
        let long = (0..schedule.total()).filter(|&seq| schedule.work_us(seq) == 5_000);
        let share = long.count() as f64 / schedule.total() as f64;
        assert!((share - 0.1).abs() < 0.01, "{share}");
    }

    #[test]
    fn a_burst_is_the_start_of_the_window() {
        let (second, rate) = (Duration::from_secs(1), Rate::per_s(100));
        let traffic = Traffic {
            burst: Some(Burst {
                rate: Rate::per_s(1_000),
                length: second,
                backlog_gone: 4,
            }),
            counted: Some(second),
            ..Traffic::even(64, rate, 0)
        };
        let schedule = Schedule::new(&traffic, 4 * second);
        let between = |from: Duration, until: Duration| {
            let due = (0..schedule.total()).map(|seq| schedule.due(seq));
            due.filter(|due| (from..until).contains(due)).count()
        };
        assert_eq!(between(Duration::ZERO, WARM_UP), 30);
        assert_eq!(between(WARM_UP, WARM_UP + second), 1_000);
        assert_eq!(between(WARM_UP + second, schedule.end()), 300);
        assert_eq!(schedule.burst_end(), Some(WARM_UP + second));
        assert_eq!(schedule.first_in_window(), 30);
        assert_eq!(schedule.total() - schedule.first_counted(), 100);
    }
}
