//! How soon workers run that are woken, as the metrics and the dump show it.

mod support;

use evenkeel::runtime::{Builder, Runtime};
use support::{Gate, foreign_block_on, on_built, until};

/// One worker in each lane, so that it is known who is woken, and who is beside it.
fn one_worker() -> Builder {
    let mut builder = support::builder(1);
    builder.compute_threads(1);
    builder
}

/// Has this thread wake the IO worker until one of `counts` has risen, and returns by how much the
/// other has.
fn wake_until_one_rises(runtime: &Runtime, counts: [fn(&Runtime) -> u64; 2]) -> u64 {
    let before = counts.map(|count| count(runtime));
    until(|| {
        // The worker may still have been awake.
        foreign_block_on(runtime.spawn(async {})).unwrap();
        counts[0](runtime) > before[0]
    });
    counts[1](runtime) - before[1]
}

fn alone(runtime: &Runtime) -> u64 {
    runtime.metrics().wake_to_run().count()
}

fn beside_compute(runtime: &Runtime) -> u64 {
    let metrics = runtime.metrics();
    metrics.wake_to_run_beside_compute().count()
}

#[test]
fn wake_ups_are_counted_by_what_the_compute_worker_does() {
    on_built(one_worker(), |runtime| {
        let others = wake_until_one_rises(runtime, [alone, beside_compute]);
        assert_eq!(others, 0, "nobody computed");

        let (begun, end) = (Gate::new(), Gate::new());
        let inside = (begun.clone(), end.clone());
        let job = runtime.spawn_compute(move || {
            inside.0.open();
            inside.1.block();
        });
        begun.block();
        let others = wake_until_one_rises(runtime, [beside_compute, alone]);
        assert_eq!(
            others, 0,
            "the compute worker was in a closure all the time"
        );
        end.open();
        foreign_block_on(job).unwrap();
    });
}

#[test]
fn the_dump_shows_what_the_metrics_count() {
    on_built(one_worker(), |runtime| {
        wake_until_one_rises(runtime, [alone, beside_compute]);
        let count = alone(runtime);
        let histogram = runtime.metrics().wake_to_run();
        assert!(histogram.quantile(0.5).unwrap() <= histogram.quantile(0.99).unwrap());
        let dump = runtime.handle().dump().to_string();
        let line = dump
            .lines()
            .find(|line| line.contains("woken alone: "))
            .unwrap();
        let shown = line
            .split([' ', ';'])
            .find_map(|word| word.parse::<u64>().ok());
        assert!(shown >= Some(count) && line.contains("(p99)"), "{dump}");
        assert!(dump.contains("woken beside compute: 0\n"), "{dump}");
    });
}
