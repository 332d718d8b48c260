//! Accounts and sessions over HTTP.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;

use evenkeel::net::TcpListener;
use evenkeel_examples::api::{Config, Server};
use evenkeel_examples::server::{self, Limits};
use evenkeel_examples::signal::ctrl_c;
use lexopt::ValueExt;

const USAGE: &str = "usage: api [--addr ADDRESS] [--database FILE] [--leaked-url URL]";

#[evenkeel::main]
async fn main() -> ExitCode {
    server::log_to_stderr();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("api: {error}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut address = "127.0.0.1:8083".to_owned();
    let mut config = Config::new("accounts.sqlite");
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("addr") => address = arguments.value()?.string()?,
            lexopt::Arg::Long("database") => config.database = arguments.value()?.string()?,
            lexopt::Arg::Long("leaked-url") => {
                config.leaked_url = Some(arguments.value()?.string()?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let server = Server::open(config).await?;
    let stop = ctrl_c()?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // On a worker, next to the connections.
    evenkeel::spawn(server.serve(listener, Limits::default(), stop)).await?;
    Ok(())
}
