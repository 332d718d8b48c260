//! Logins and a folder of files over HTTP.
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use argon2::Argon2;
use evenkeel::net::TcpListener;
use evenkeel_examples::login::{Config, Login, Users};
use evenkeel_examples::server::{self, Limits};
use evenkeel_examples::signal::ctrl_c;
use lexopt::ValueExt;

const USAGE: &str = "usage: login [--addr ADDRESS] [--dir FOLDER] [--users FILE]";

struct Arguments {
    address: String,
    dir: PathBuf,
    users: Option<PathBuf>,
}

#[evenkeel::main]
async fn main() -> ExitCode {
    server::log_to_stderr();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("login: {error}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let users = match arguments.users {
        Some(file) => Users::from_file(&file)?,
        None => demo_users()?,
    };
    let service = Login::new(Config::new(users, arguments.dir))?;
    let stop = ctrl_c()?;
    let listener = TcpListener::bind(arguments.address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let handler = move |request| service.clone().handle(request);
    // On a worker, next to the connections.
    evenkeel::spawn(server::serve(listener, Limits::default(), handler, stop)).await?;
    Ok(())
}

fn arguments() -> Result<Arguments, lexopt::Error> {
    let mut address = "127.0.0.1:8080".to_owned();
    let (mut dir, mut users) = (PathBuf::from("."), None);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            lexopt::Arg::Long("addr") => address = parser.value()?.string()?,
            lexopt::Arg::Long("dir") => dir = parser.value()?.into(),
            lexopt::Arg::Long("users") => users = Some(parser.value()?.into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Arguments {
        address,
        dir,
        users,
    })
}

fn demo_users() -> Result<Users, Box<dyn Error>> {
    let mut users = Users::new(Argon2::default())?;
    users.add("ada", "lovelace")?;
    println!("no --users given, so there is one for trying out: ada, password lovelace");
    Ok(users)
}
