//! The programs, and what they say at their end. Both end when the server does, so nothing is left
//! of a measurement that is given up.

use std::io;
use std::process::Command;
use std::time::Duration;

pub(in crate::suites) const REDIS_BENCHMARK: &str = "redis-benchmark";
pub(super) const WRK: &str = "wrk";

/// What a program says of the answers it has had.
#[derive(Debug, PartialEq)]
pub(in crate::suites) struct Said {
    pub(in crate::suites) requests: u64,
    /// Per second.
    pub(in crate::suites) rate: f64,
    pub(in crate::suites) p50_us: f64,
    pub(in crate::suites) p99_us: f64,
}

/// So many requests of one of its tests, on 50 connections.
pub(super) fn redis_benchmark(port: u16, test: &str, requests: u64) -> io::Result<Said> {
    let (port, count) = (port.to_string(), requests.to_string());
    let on = ["-p", &port, "-c", "50", "-n", &count];
    let text = run(Command::new(REDIS_BENCHMARK)
        .args(on)
        .args(["-t", test, "--csv"]))?;
    said_by_redis_benchmark(&text, requests).ok_or_else(|| unclear(REDIS_BENCHMARK, &text))
}

/// For so long, rounded up to seconds, on 64 connections and one thread.
pub(super) fn wrk(port: u16, window: Duration) -> io::Result<Said> {
    let duration = format!("-d{}", window.as_secs_f64().ceil());
    let url = format!("http://127.0.0.1:{port}/");
    let text = run(Command::new(WRK).args(["-c64", "-t1", &duration, "--latency", &url]))?;
    said_by_wrk(&text).ok_or_else(|| unclear(WRK, &text))
}

/// Runs the program to its end, and returns what it has written.
fn run(command: &mut Command) -> io::Result<String> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    Err(io::Error::other(format!(
        "{command:?}: {status}: {text}{stderr}"
    )))
}

fn unclear(program: &str, text: &str) -> io::Error {
    io::Error::other(format!("{program} said what is not understood: {text}"))
}

/// A line of headings and a line of numbers, latencies in ms; since version 7.
fn said_by_redis_benchmark(text: &str, requests: u64) -> Option<Said> {
    let mut lines = text.lines().skip_while(|line| !line.contains("\"rps\""));
    let headings = lines.next()?.split(',');
    let values = lines.next()?.split(',');
    let cells: Vec<_> = headings.zip(values).collect();
    let value = |name: &str| {
        let (_, value) = cells
            .iter()
            .find(|(heading, _)| heading.trim_matches('"') == name)?;
        value.trim_matches('"').parse::<f64>().ok()
    };
    Some(Said {
        requests,
        rate: value("rps")?,
        p50_us: value("p50_latency_ms")? * 1e3,
        p99_us: value("p99_latency_ms")? * 1e3,
    })
}

/// Nothing where any answer was not the right one.
fn said_by_wrk(text: &str) -> Option<Said> {
    let after = |heading: &str| {
        let mut lines = text.lines().map(str::trim);
        lines
            .find_map(|line| line.strip_prefix(heading))
            .map(str::trim)
    };
    if after("Socket errors").or(after("Non-2xx")).is_some() {
        return None;
    }
    let mut lines = text.lines();
    let requests = lines
        .find_map(|line| line.trim().split_once(" requests in "))?
        .0;
    Some(Said {
        requests: requests.parse().ok()?,
        rate: after("Requests/sec:")?.parse().ok()?,
        p50_us: microseconds(after("50%")?)?,
        p99_us: microseconds(after("99%")?)?,
    })
}

/// A number with its unit.
fn microseconds(time: &str) -> Option<f64> {
    let number = time.trim_end_matches(char::is_alphabetic);
    let factor = match &time[number.len()..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_benchmark_is_understood() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\
            \"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\
            \"SET\",\"134228.19\",\"0.226\",\"0.072\",\"0.25\",\"0.351\",\"0.5\",\"4.519\"\n";
        let said = Said {
            requests: 20_000,
            rate: 134_228.19,
            p50_us: 250.0,
            p99_us: 500.0,
        };
        assert_eq!(said_by_redis_benchmark(text, 20_000), Some(said));
        // Version 6 knows no latencies.
        assert_eq!(said_by_redis_benchmark("\"SET\",\"134228.19\"\n", 1), None);
    }

    const WRK_TEXT: &str = "\
Running 1s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   441.62us    0.91ms  24.10ms   97.99%
    Req/Sec   149.89k    16.58k  166.46k    72.73%
  Latency Distribution
     50%  390.00us
     75%  448.00us
     90%  511.00us
     99%    1.50ms
  163941 requests in 1.10s, 12.66MB read
Requests/sec: 149057.91
Transfer/sec:     11.51MB
";

    #[test]
    fn wrk_is_understood() {
        let said = Said {
            requests: 163_941,
            rate: 149_057.91,
            p50_us: 390.0,
            p99_us: 1500.0,
        };
        assert_eq!(said_by_wrk(WRK_TEXT), Some(said));
    }

    #[test]
    fn answers_that_were_missed_are_not_passed_over() {
        for wrong in [
            "  Non-2xx or 3xx responses: 7\n",
            "  Socket errors: connect 0, read 1, write 0, timeout 0\n",
        ] {
            assert_eq!(said_by_wrk(&format!("{WRK_TEXT}{wrong}")), None);
        }
    }

    #[test]
    fn a_program_that_fails_says_why() {
        let error = run(Command::new("sh").args(["-c", "echo no >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no\n") && text.contains("3"), "{text}");
    }
}
