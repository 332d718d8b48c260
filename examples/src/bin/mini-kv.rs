//! A key-value store for redis's clients.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;

use evenkeel::net::TcpListener;
use evenkeel_examples::kv::{self, Config};
use evenkeel_examples::signal::ctrl_c;
use lexopt::ValueExt;

const USAGE: &str = "usage: mini-kv [--addr ADDRESS] [--memory-mib NUMBER]";

#[evenkeel::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mini-kv: {error}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut address = "127.0.0.1:6380".to_owned();
    let mut config = Config::default();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("addr") => address = arguments.value()?.string()?,
            lexopt::Arg::Long("memory-mib") => {
                let mib: usize = arguments.value()?.parse()?;
                config.memory_bytes_max = mib.checked_mul(1 << 20).ok_or("too much memory")?;
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let stop = ctrl_c()?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    // On a worker, next to the connections.
    evenkeel::spawn(kv::serve(listener, config, stop)).await?;
    Ok(())
}
