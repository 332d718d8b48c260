//! Scales PNG and JPEG images over HTTP.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;

use evenkeel::net::TcpListener;
use evenkeel_examples::server::{self, Limits};
use evenkeel_examples::signal::ctrl_c;
use evenkeel_examples::thumbnails::{Config, Thumbnails};
use lexopt::ValueExt;

const USAGE: &str = "usage: thumbnails [--addr ADDRESS]";

#[evenkeel::main]
async fn main() -> ExitCode {
    server::log_to_stderr();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("thumbnails: {error}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut address = "127.0.0.1:8081".to_owned();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("addr") => address = arguments.value()?.string()?,
            other => return Err(other.unexpected().into()),
        }
    }
    let service = Thumbnails::new(Config::new());
    let stop = ctrl_c()?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let handler = move |request| service.clone().handle(request);
    // On a worker, next to the connections.
    evenkeel::spawn(server::serve(listener, Limits::default(), handler, stop)).await?;
    Ok(())
}
