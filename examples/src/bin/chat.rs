//! Chat rooms for browsers.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;

use evenkeel::net::TcpListener;
use evenkeel_examples::chat::{self, Config};
use evenkeel_examples::server::{self, Limits};
use evenkeel_examples::signal::ctrl_c;
use lexopt::ValueExt;

const USAGE: &str = "usage: chat [--addr ADDRESS]";

#[evenkeel::main]
async fn main() -> ExitCode {
    server::log_to_stderr();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat: {error}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut address = "127.0.0.1:8082".to_owned();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("addr") => address = arguments.value()?.string()?,
            other => return Err(other.unexpected().into()),
        }
    }
    let stop = ctrl_c()?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let serving = chat::serve(listener, Limits::default(), Config::default(), stop);
    // On a worker, next to the connections.
    evenkeel::spawn(serving).await?;
    Ok(())
}
