//! What the cases are: the work of a handler, the load, and what is beside.

use std::time::Duration;

use crate::harness::Form;
use crate::open_loop::{Arrivals, Burst, Handler, Job, Rate, Traffic, Work, connections};

/// Fixed handlers, in microseconds of CPU.
const HANDLERS_US: [u32; 9] = [100, 300, 800, 1_200, 2_000, 5_000, 10_000, 20_000, 50_000];
/// Loads of the fixed handlers.
const LOADS: [f64; 3] = [0.45, 0.6, 0.8];
/// What of both is in the short form.
const SHORT_HANDLERS_US: [u32; 4] = [300, 1_200, 5_000, 20_000];
const SHORT_LOADS: [f64; 2] = [0.6, 0.8];

/// Short and long requests on the same connections.
const MIXTURE: [Work; 2] = [
    Work { us: 50, share: 0.9 },
    Work {
        us: 5_000,
        share: 0.1,
    },
];
const MIXTURE_LOADS: [f64; 2] = [0.6, 0.8];

/// The handler of the cases that have only one.
const HANDLER_US: u32 = 2_000;
/// The load of `inline_2ms`.
const INLINE_LOAD: f64 = 0.3;
/// The load of `overload` at first, and afterwards.
const OVERLOADS: [f64; 2] = [1.3, 0.6];
/// How long the overload lasts.
const OVERLOADED: Duration = Duration::from_secs(2);
/// The end of the window of `overload`, in which it should be as if nothing had been.
const RECOVERED: Duration = Duration::from_secs(2);
/// The shortest window of `overload`.
const OVERLOAD_WINDOW_MIN: Duration = Duration::from_secs(6);
/// How many requests come in a second for each CPU where handlers do not compute.
const NO_WORK_PER_S: u32 = 1_000;

/// How many requests a window of the long form has, if that takes no longer than the other.
const LONG_REQUESTS: u64 = 500;
const LONG_WINDOW_MIN: Duration = Duration::from_secs(3);
const LONG_WINDOW_MAX: Duration = Duration::from_secs(30);

/// All requests ask for the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fixed {
    us: u32,
    load: f64,
    arrivals: Arrivals,
    /// Whether there are CPU jobs beside them.
    pub(super) jobs: bool,
}

/// A case, as data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Spec {
    Fixed(Fixed),
    /// Some ask for much, and most for little.
    Mixture {
        load: f64,
    },
    /// Beside plain tasks that compute.
    Inline,
    /// More than the machine can do, for a while.
    Overload,
    /// Handlers that ask the kernel for memory, beside nothing or jobs that do too.
    Allocating {
        jobs: bool,
    },
    /// Handlers that write to standard error, beside nothing or jobs that do too.
    Logging {
        jobs: bool,
    },
}

impl Spec {
    /// All there is, in the table's order.
    pub(super) fn all(form: Form) -> Vec<Self> {
        let mut all = match form {
            Form::Short => {
                let poisson = [Arrivals::Poisson];
                fixed(&SHORT_HANDLERS_US, &SHORT_LOADS, &poisson, &[true])
            }
            Form::Long => {
                let arrivals = [Arrivals::Even, Arrivals::Poisson];
                fixed(&HANDLERS_US, &LOADS, &arrivals, &[true, false])
            }
        };
        all.extend(MIXTURE_LOADS.map(|load| Self::Mixture { load }));
        all.extend([Self::Inline, Self::Overload]);
        for jobs in [false, true] {
            all.extend([Self::Allocating { jobs }, Self::Logging { jobs }]);
        }
        all
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::Fixed(fixed) => {
                let beside = if fixed.jobs { "jobs" } else { "alone" };
                let [ms, load, arrivals] = fixed.words();
                format!("{ms}ms_{load}_{arrivals}_{beside}")
            }
            Self::Mixture { load } => format!("mixture_{load}"),
            Self::Inline => format!("inline_{}ms", ms(HANDLER_US)),
            Self::Overload => "overload".to_owned(),
            Self::Allocating { jobs } => format!("allocating{}", beside_jobs(jobs)),
            Self::Logging { jobs } => format!("logging{}", beside_jobs(jobs)),
        }
    }

    /// One line.
    pub(super) fn about(self) -> String {
        match self {
            Self::Fixed(fixed) => {
                let beside = if fixed.jobs { "beside" } else { "no" };
                let [ms, load, arrivals] = fixed.words();
                format!("{ms} ms, load {load}, {arrivals}, {beside} CPU jobs")
            }
            Self::Mixture { load } => {
                let [short, long] = MIXTURE;
                format!(
                    "{} ms with probability {} or else {} ms, load {load}, poisson, beside CPU \
                     jobs",
                    ms(short.us),
                    short.share,
                    ms(long.us),
                )
            }
            Self::Inline => format!(
                "{} ms, load {INLINE_LOAD}, even, beside plain tasks that compute 20 ms between \
                 yields, from the start of the window",
                ms(HANDLER_US),
            ),
            Self::Overload => format!(
                "{} ms, load {} for {} s and then {}, poisson, beside CPU jobs; latencies of the \
                 last {} s",
                ms(HANDLER_US),
                OVERLOADS[0],
                OVERLOADED.as_secs(),
                OVERLOADS[1],
                RECOVERED.as_secs(),
            ),
            Self::Allocating { jobs } => {
                let jobs = if jobs {
                    ", beside jobs that fill 8 MiB"
                } else {
                    ""
                };
                format!("{}, each allocates and touches 256 KiB{jobs}", no_work())
            }
            Self::Logging { jobs } => {
                let jobs = if jobs {
                    ", beside jobs that write 1,000"
                } else {
                    ""
                };
                format!("{}, each writes a line to standard error{jobs}", no_work())
            }
        }
    }

    pub(super) fn handler(self) -> Handler {
        match self {
            Self::Allocating { .. } => Handler::Allocate,
            Self::Logging { .. } => Handler::Log,
            _ => Handler::Compute,
        }
    }

    pub(super) fn job(self) -> Job {
        match self {
            Self::Allocating { .. } => Job::Fill,
            Self::Logging { .. } => Job::Log,
            _ => Job::COMPUTE,
        }
    }

    /// What the client sends to a machine with so many CPUs.
    pub(super) fn traffic(self, cpus: usize, round: u32) -> Traffic {
        let (arrivals, works) = match self {
            Self::Fixed(fixed) => (fixed.arrivals, one(fixed.us)),
            Self::Mixture { .. } => (Arrivals::Poisson, MIXTURE.to_vec()),
            Self::Overload => (Arrivals::Poisson, one(HANDLER_US)),
            Self::Inline => (Arrivals::Even, one(HANDLER_US)),
            Self::Allocating { .. } | Self::Logging { .. } => (Arrivals::Even, one(0)),
        };
        let is_overload = self == Self::Overload;
        Traffic {
            connections: connections(cpus),
            arrivals,
            rate: self.rate(cpus),
            burst: is_overload.then(|| Burst {
                rate: rate_of(OVERLOADS[0], cpus, &works),
                length: OVERLOADED,
                backlog_gone: 2 * cpus as u64,
            }),
            works,
            seed: u64::from(round),
            counted: is_overload.then_some(RECOVERED),
        }
    }

    fn rate(self, cpus: usize) -> Rate {
        match self {
            Self::Fixed(fixed) => rate_of(fixed.load, cpus, &one(fixed.us)),
            Self::Mixture { load } => rate_of(load, cpus, &MIXTURE),
            Self::Inline => rate_of(INLINE_LOAD, cpus, &one(HANDLER_US)),
            Self::Overload => rate_of(OVERLOADS[1], cpus, &one(HANDLER_US)),
            Self::Allocating { .. } | Self::Logging { .. } => {
                Rate::per_s(NO_WORK_PER_S * cpus as u32)
            }
        }
    }

    /// The shortest window on such a machine.
    pub(super) fn window_min(self, form: Form, cpus: usize) -> Duration {
        let of_form = match form {
            Form::Short => Duration::ZERO,
            Form::Long => {
                let long = self.rate(cpus).time_of(LONG_REQUESTS);
                long.clamp(LONG_WINDOW_MIN, LONG_WINDOW_MAX)
            }
        };
        match self {
            Self::Overload => of_form.max(OVERLOAD_WINDOW_MIN),
            _ => of_form,
        }
    }
}

impl Fixed {
    /// Milliseconds, load and arrivals.
    fn words(self) -> [String; 3] {
        let arrivals = match self.arrivals {
            Arrivals::Even => "even",
            Arrivals::Poisson => "poisson",
        };
        [
            ms(self.us).to_string(),
            self.load.to_string(),
            arrivals.to_owned(),
        ]
    }
}

fn fixed(us: &[u32], loads: &[f64], arrivals: &[Arrivals], jobs: &[bool]) -> Vec<Spec> {
    let mut all = Vec::new();
    for &us in us {
        for &load in loads {
            for &arrivals in arrivals {
                let jobs = jobs.iter();
                all.extend(jobs.map(|&jobs| {
                    Spec::Fixed(Fixed {
                        us,
                        load,
                        arrivals,
                        jobs,
                    })
                }));
            }
        }
    }
    all
}

/// All requests ask for the same.
fn one(us: u32) -> Vec<Work> {
    vec![Work { us, share: 1.0 }]
}

fn rate_of(load: f64, cpus: usize, works: &[Work]) -> Rate {
    let mean_us = works.iter().map(|work| f64::from(work.us) * work.share);
    Rate::of_cpus(load * cpus as f64, mean_us.sum())
}

fn ms(us: u32) -> f64 {
    f64::from(us) / 1e3
}

fn beside_jobs(jobs: bool) -> &'static str {
    if jobs { "_jobs" } else { "" }
}

fn no_work() -> String {
    format!("{NO_WORK_PER_S} requests/s for each CPU")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The case of this name; the long form has all.
    fn named(name: &str) -> Option<Spec> {
        let mut all = Spec::all(Form::Long).into_iter();
        all.find(|spec| spec.name() == name)
    }

    #[test]
    fn a_name_is_one_case() {
        for form in [Form::Short, Form::Long] {
            for spec in Spec::all(form) {
                assert_eq!(named(&spec.name()), Some(spec), "{}", spec.name());
            }
        }
        let fixed = Spec::all(Form::Long);
        let fixed = fixed.iter().filter(|spec| matches!(spec, Spec::Fixed(_)));
        assert_eq!(fixed.count(), 108);
    }

    #[test]
    fn names_say_what_the_case_is() {
        for name in [
            "2ms_0.6_poisson_jobs",
            "0.1ms_0.45_even_alone",
            "mixture_0.8",
            "inline_2ms",
        ] {
            assert!(named(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_load_is_of_all_cpus() {
        let rate = |name: &str, cpus| named(name).unwrap().traffic(cpus, 0).rate;
        assert_eq!(rate("2ms_0.6_even_jobs", 2), Rate::per_s(600));
        assert_eq!(rate("2ms_0.6_even_jobs", 16), Rate::per_s(4_800));
        assert_eq!(rate("inline_2ms", 2), Rate::per_s(300));
        // 545 us in the mean.
        let mixture = Rate::of_cpus(1.2, 545.0);
        assert_eq!(rate("mixture_0.6", 2), mixture);
    }

    #[test]
    fn a_long_window_has_its_requests_or_its_length() {
        let window = |name: &str| {
            let spec = named(name).unwrap();
            spec.window_min(Form::Long, 2)
        };
        assert_eq!(window("20ms_0.8_even_jobs"), Duration::from_millis(6_250));
        assert_eq!(window("0.1ms_0.8_even_jobs"), LONG_WINDOW_MIN);
        assert_eq!(window("overload"), OVERLOAD_WINDOW_MIN);
        let slow = named("50ms_0.45_even_jobs").unwrap();
        assert_eq!(slow.window_min(Form::Long, 1), LONG_WINDOW_MAX);
        assert_eq!(slow.window_min(Form::Short, 1), Duration::ZERO);
    }

    #[test]
    fn what_does_not_compute_goes_with_the_cpus_too() {
        for name in ["allocating", "logging", "allocating_jobs", "logging_jobs"] {
            let traffic = |cpus| named(name).unwrap().traffic(cpus, 0);
            assert_eq!(traffic(2).rate, Rate::per_s(2_000));
            assert_eq!(traffic(64).rate, Rate::per_s(64_000));
            assert_eq!(
                [1, 2, 64].map(|cpus| traffic(cpus).connections),
                [32, 64, 2_048]
            );
        }
    }
}
