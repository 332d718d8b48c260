//! The three kinds of work, side by side.
#![forbid(unsafe_code)]

use std::error::Error;

use evenkeel::time::{Duration, sleep};

#[evenkeel::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Waits: a future on the IO lane.
    let ticks = evenkeel::spawn(async {
        for tick in 1..=3 {
            sleep(Duration::from_millis(50)).await;
            println!("tick {tick}: on time, whatever the other cores and lanes do");
        }
    });

    // Computes: a closure on the compute lane, one for each number.
    let counts = [100_000, 200_000, 300_000]
        .map(|below| (below, evenkeel::spawn_compute(move || count_primes(below))));

    // Blocks: a closure on a thread of the blocking pool.
    let entries = evenkeel::spawn_blocking(|| std::fs::read_dir(".").map(Iterator::count));

    println!("{} entries in this folder", entries.await??);
    for (below, count) in counts {
        println!("{} primes below {below}", count.await?);
    }
    ticks.await?;
    Ok(())
}

fn count_primes(below: u32) -> usize {
    (2..below)
        .filter(|&n| (2..).take_while(|d| d * d <= n).all(|d| n % d != 0))
        .count()
}
