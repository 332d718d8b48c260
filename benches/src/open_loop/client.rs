//! The load generator: an open loop, in its own process.
//!
//! Requests leave when they are due, whatever became of the earlier ones, and a latency counts from
//! the due time: a server that stalls cannot slow the questions down (coordinated omission). A
//! request without an answer counts with the age that it has reached at the end.
//!
//! The threads should measure the server, and not their own wait for a CPU. Where the client has
//! CPUs of its own, each is on one of them and never sleeps: to wake up would take longer than many
//! a server. Elsewhere they sleep until something is to be done, and run above all normal threads,
//! where permitted.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

use evenkeel_topology::{CpuSet, pin_current_thread};

use super::schedule::Schedule;
use super::share::Share;
use super::tally::Tally;
use super::traffic::Traffic;
use crate::{child, sys};

/// What the harness tells its load generator.
#[derive(Debug)]
pub(crate) struct ClientOptions {
    pub(crate) port: u16,
    pub(crate) window: Duration,
    pub(crate) traffic: Traffic,
    pub(crate) threads: usize,
    /// The client's own, one for each thread; if it has none, the kernel places them.
    pub(crate) cpus: Option<CpuSet>,
}

/// Said when all connections are open.
pub(super) const CONNECTED: &str = "connected";
/// Answered to that: begin the warm-up.
pub(super) const GO: &str = "go";
/// Said when the first request of the window is due.
pub(super) const WINDOW: &str = "window";
/// Said when the window is over; the result follows.
pub(super) const END: &str = "end";

/// How long the client waits after the window for answers that are still missing.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// Runs the load generator.
pub(crate) fn client(options: &ClientOptions) -> Result<(), String> {
    let run = || -> io::Result<()> {
        child::tie_to_parent()?;
        // A machine with many CPUs has more connections than most limits allow.
        sys::raise_file_limit()?;
        // Threads that are started later have it too.
        let priority = match &options.cpus {
            // A real-time thread that never sleeps is stopped by the kernel now and then.
            Some(_) => format!("{}, never sleeping", sys::raise_nice()),
            None => sys::raise_priority(),
        };
        pin(options, 0)?;
        let shares = connect(options)?;
        child::say(CONNECTED)?;
        if child::next_command()?.as_deref() != Some(GO) {
            return Ok(());
        }
        let tally = run(shares, options, child::say)?;
        child::say(&serde_json::to_string(&tally.seen(priority))?)
    };
    run().map_err(|error| format!("client: {error}"))
}

/// Opens all connections, and hands them out.
fn connect(options: &ClientOptions) -> io::Result<Vec<Share>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let whole = Schedule::new(&options.traffic, options.window);
    let in_flight = Arc::new(AtomicU64::new(0));
    let (connections, threads) = (options.traffic.connections, options.threads);
    let shares = (0..threads).map(|thread| {
        let schedule = whole.share(connections, thread, threads);
        let own = (thread..connections).step_by(threads).len();
        let backlog_gone = options.traffic.burst.map_or(0, |burst| burst.backlog_gone);
        let sleeps = options.cpus.is_none();
        let in_flight = Arc::clone(&in_flight);
        Share::connect(address, own, schedule, sleeps, in_flight, backlog_gone)
    });
    shares.collect()
}

/// Runs the schedule. The calling thread has the first share, and tells the parent by `say` how far
/// it is.
fn run(
    shares: Vec<Share>,
    options: &ClientOptions,
    say: fn(&str) -> io::Result<()>,
) -> io::Result<Tally> {
    let start = Instant::now();
    let mut shares = shares.into_iter();
    let first = shares.next().expect("a client has a thread");
    thread::scope(|scope| {
        let others = (1..).zip(shares).map(|(thread, share)| {
            scope.spawn(move || {
                pin(options, thread)?;
                share.run(start, |_| Ok(()))
            })
        });
        let others: Vec<_> = others.collect();
        let mut tally = first.run(start, say);
        for other in others {
            let other = other.join().expect("a client's thread does not panic");
            tally = tally.and_then(|mut tally| {
                tally.add(&other?);
                Ok(tally)
            });
        }
        tally
    })
}

/// Puts the calling thread on its CPU.
fn pin(options: &ClientOptions, thread: usize) -> io::Result<()> {
    let Some(cpus) = &options.cpus else {
        return Ok(());
    };
    let cpu = cpus.as_slice()[thread % cpus.len()];
    match pin_current_thread(cpu) {
        true => Ok(()),
        false => Err(io::Error::other(format!("the system refuses CPU {cpu}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use std::io::{Read, Write};

    use super::super::message::MESSAGE_BYTES;
    use super::super::tally::Seen;
    use super::super::traffic::{Burst, Rate, Work};
    use super::*;

    const CONNECTIONS: usize = 64;

    /// Runs a client against a server that greets every connection, and then leaves it to `serve`.
    fn run_against(serve: fn(std::net::TcpStream)) -> io::Result<Seen> {
        let traffic = Traffic::even(CONNECTIONS, Rate::per_s(1_000), 7);
        run_traffic_against(traffic, serve)
    }

    fn run_traffic_against(traffic: Traffic, serve: fn(std::net::TcpStream)) -> io::Result<Seen> {
        run_threads_against(1, None, traffic, serve)
    }

    fn run_threads_against(
        threads: usize,
        cpus: Option<CpuSet>,
        traffic: Traffic,
        serve: fn(std::net::TcpStream),
    ) -> io::Result<Seen> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().take(CONNECTIONS) {
                let mut stream = stream.unwrap();
                echo_once(&mut stream).unwrap();
                thread::spawn(move || serve(stream));
            }
        });
        let window = Duration::from_millis(200);
        let options = ClientOptions {
            port,
            window,
            traffic,
            threads,
            cpus,
        };
        let tally = super::run(connect(&options)?, &options, |_| Ok(()))?;
        Ok(tally.seen(String::new()))
    }

    fn echo_once(stream: &mut std::net::TcpStream) -> io::Result<()> {
        let mut message = [0; MESSAGE_BYTES];
        stream.read_exact(&mut message)?;
        stream.write_all(&message)
    }

    #[test]
    fn an_honest_echo_answers_everything() {
        let seen = run_against(|mut stream| while echo_once(&mut stream).is_ok() {})
            .unwrap()
            .latencies;
        assert_eq!(
            (seen.requests, seen.answered, seen.lost_connections),
            (200, 200, 0)
        );
        assert!(seen.p50_us > 0.0 && seen.p50_us <= seen.p99_us && seen.p99_us <= seen.max_us);
    }

    #[test]
    fn several_threads_send_all_requests_once() {
        let traffic = Traffic {
            burst: Some(Burst {
                rate: Rate::per_s(2_000),
                length: Duration::from_millis(100),
                backlog_gone: 4,
            }),
            ..Traffic::even(CONNECTIONS, Rate::per_s(1_000), 7)
        };
        let echo = |mut stream| while echo_once(&mut stream).is_ok() {};
        let seen = run_threads_against(3, None, traffic, echo).unwrap();
        let latencies = seen.latencies;
        assert_eq!((latencies.requests, latencies.answered), (300, 300));
        assert_eq!(
            (latencies.client_threads, latencies.lost_connections),
            (3, 0)
        );
        assert!(seen.backlog_ms < Some(GRACE.as_millis() as f64));
    }

    #[test]
    fn a_client_with_cpus_of_its_own_answers_for_everything_too() {
        let echo = |mut stream| while echo_once(&mut stream).is_ok() {};
        let traffic = Traffic::even(CONNECTIONS, Rate::per_s(1_000), 7);
        let cpus = Some(evenkeel_topology::allowed_cpus());
        let seen = run_threads_against(2, cpus, traffic, echo).unwrap();
        assert_eq!(
            (seen.latencies.requests, seen.latencies.answered),
            (200, 200)
        );
    }

    #[test]
    fn a_thread_is_on_its_cpu() {
        let all = evenkeel_topology::allowed_cpus();
        let options = |cpus: &CpuSet| ClientOptions {
            port: 0,
            window: Duration::ZERO,
            traffic: Traffic::even(1, Rate::per_s(1), 0),
            threads: 2,
            cpus: Some(cpus.clone()),
        };
        for thread in 0..2 {
            let pinned = || pin(&options(&all), thread).map(|()| evenkeel_topology::allowed_cpus());
            let pinned = thread::scope(|scope| scope.spawn(pinned).join().unwrap());
            let expected = all.as_slice()[thread % all.len()];
            assert_eq!(pinned.unwrap().as_slice(), [expected]);
        }
        let nowhere = options(&[8191].into_iter().collect());
        assert!(pin(&nowhere, 0).unwrap_err().to_string().contains("8191"));
    }

    #[test]
    fn a_silent_server_counts_with_the_age_of_its_requests() {
        let silent = |mut stream| drop(io::copy(&mut stream, &mut io::sink()));
        let seen = run_against(silent).unwrap().latencies;
        assert_eq!((seen.requests, seen.answered), (200, 0));
        let grace_us = GRACE.as_micros() as f64;
        assert!(
            seen.p50_us > grace_us && seen.max_us >= grace_us + 190_000.0,
            "{seen:?}"
        );
    }

    #[test]
    fn a_lost_connection_is_counted_and_does_not_end_the_run() {
        let seen = run_against(drop).unwrap().latencies;
        assert_eq!((seen.answered, seen.lost_connections), (0, CONNECTIONS));
    }

    #[test]
    fn a_wrong_answer_is_an_error() {
        let error = run_against(|mut stream| {
            let mut message = [0; MESSAGE_BYTES];
            while stream.read_exact(&mut message).is_ok() {
                message[20] ^= 1;
                let _ = stream.write_all(&message);
            }
        })
        .unwrap_err();
        assert!(error.to_string().contains("wrong answer"));
    }

    #[test]
    fn every_kind_of_request_has_its_latencies() {
        let traffic = Traffic {
            works: vec![Work { us: 1, share: 0.5 }, Work { us: 2, share: 0.5 }],
            ..Traffic::even(CONNECTIONS, Rate::per_s(1_000), 0)
        };
        let echo = |mut stream| while echo_once(&mut stream).is_ok() {};
        let seen = run_traffic_against(traffic, echo).unwrap();
        assert_eq!(seen.by_work.len(), 2);
        assert!(
            seen.by_work.iter().all(|kind| kind.p50_us > 0.0),
            "{seen:?}"
        );
        assert_eq!(seen.backlog_ms, None);
    }

    #[test]
    fn a_backlog_is_gone_when_it_is_answered_or_never() {
        let traffic = || Traffic {
            burst: Some(Burst {
                rate: Rate::per_s(2_000),
                length: Duration::from_millis(100),
                backlog_gone: 4,
            }),
            ..Traffic::even(CONNECTIONS, Rate::per_s(1_000), 0)
        };
        let echo = |mut stream| while echo_once(&mut stream).is_ok() {};
        let answered = run_traffic_against(traffic(), echo).unwrap();
        let silent = |mut stream| drop(io::copy(&mut stream, &mut io::sink()));
        let never = run_traffic_against(traffic(), silent).unwrap();
        let grace_ms = GRACE.as_millis() as f64;
        assert!(answered.backlog_ms < Some(grace_ms), "{answered:?}");
        assert!(never.backlog_ms >= Some(grace_ms), "{never:?}");
    }
}
