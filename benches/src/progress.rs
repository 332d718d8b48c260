//! How far a run is.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on a terminal, lines elsewhere; on standard error, so that the report alone is on standard
/// output.
pub(crate) struct Progress {
    bar: ProgressBar,
    on_terminal: bool,
}

impl Progress {
    /// For so many measurements that take about as long as `each`.
    pub(crate) fn new(measurements: usize, each: Duration) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let estimate = format!("about {:.0} s", each.as_secs_f64() * measurements as f64);
        let bar = ProgressBar::hidden();
        bar.set_length(measurements as u64);
        if on_terminal {
            let style =
                ProgressStyle::with_template("{bar:30} {pos}/{len}, {elapsed} of {prefix}  {msg}");
            bar.set_style(style.expect("the template is valid"));
            bar.set_prefix(estimate);
            bar.set_draw_target(ProgressDrawTarget::stderr());
            // Rarely, since the redraw takes its CPU time from the measurement.
            bar.enable_steady_tick(Duration::from_secs(1));
        } else {
            eprintln!("{measurements} measurements, {estimate}");
        }
        Self { bar, on_terminal }
    }

    /// A measurement of this name begins.
    pub(crate) fn begin(&self, name: &str) {
        self.bar.set_message(name.to_owned());
    }

    /// It has ended, and this is its line.
    pub(crate) fn end(&self, line: &str) {
        self.bar.inc(1);
        if !self.on_terminal {
            let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
            eprintln!("[{done:>2}/{all}] {line}");
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
