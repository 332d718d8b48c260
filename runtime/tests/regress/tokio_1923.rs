//! tokio#1923 and #5338: dropping the runtime waits for a blocking read that never ends. That stays
//! so, and is documented; a shutdown with a limit exists, and keeps it.

use crate::support::{Gate, foreign_block_on, runtime, watchdog};
use evenkeel::time::{Duration, Instant};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

#[test]
fn a_read_that_never_ends_does_not_keep_a_bounded_shutdown() {
    watchdog(|| {
        for background in [true, false] {
            let runtime = runtime();
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            let begun = Gate::new();
            let gate = begun.clone();
            let read = runtime.spawn_blocking(move || {
                gate.open();
                let mut byte = [0];
                theirs.read_exact(&mut byte).unwrap();
                byte[0]
            });
            begun.block();
            if background {
                runtime.shutdown_background();
            } else {
                let (limit, before) = (Duration::from_millis(20), Instant::now());
                runtime.shutdown_timeout(limit);
                assert!(before.elapsed() >= limit);
            }
            assert!(!read.is_finished());
            // Left to itself, the thread ends with its read.
            ours.write_all(&[5]).unwrap();
            assert_eq!(foreign_block_on(read).unwrap(), 5);
        }
    });
}

/// A drop waits for it.
#[test]
fn a_drop_waits_for_a_read() {
    watchdog(|| {
        let runtime = runtime();
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let begun = Gate::new();
        let gate = begun.clone();
        let read = runtime.spawn_blocking(move || {
            gate.open();
            theirs.read_exact(&mut [0]).unwrap();
        });
        begun.block();
        let writer = std::thread::spawn(move || ours.write_all(&[5]).unwrap());
        drop(runtime);
        assert!(read.is_finished());
        writer.join().unwrap();
    });
}
