//! The binaries as a user starts them.
#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use support::{Client, watchdog};

/// A service that runs, and is killed with the test.
struct Service {
    child: Child,
    address: SocketAddr,
    /// What it has said before it was ready.
    said: String,
}

impl Service {
    fn start(command: &mut Command) -> Service {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert_ne!(
                stdout.read_line(&mut line).unwrap(),
                0,
                "it ended after {said:?}"
            );
            if let Some(address) = line.trim().strip_prefix("listening on ") {
                break address.trim_start_matches("http://").parse().unwrap();
            }
            said += &line;
        };
        // What it says from now on must find a reader.
        child.stdout = Some(stdout.into_inner());
        Service {
            child,
            address,
            said,
        }
    }

    fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    fn stderr(&mut self) -> BufReader<ChildStderr> {
        BufReader::new(self.child.stderr.take().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn login() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_login"));
    command.args(["--addr", "127.0.0.1:0", "--dir", env!("CARGO_MANIFEST_DIR")]);
    command
}

#[test]
fn login_serves_until_ctrl_c() {
    watchdog(|| {
        let service = Service::start(&mut login());
        assert!(
            service.said.contains("ada, password lovelace"),
            "{}",
            service.said
        );
        let mut client = service.connect();
        assert_eq!(client.get("/healthz").text(), "ok");
        assert!(
            client
                .get("/files/Cargo.toml")
                .text()
                .contains("evenkeel-examples")
        );
        let body = br#"{"user":"ada","password":"lovelace"}"#;
        assert_eq!(client.post("/login", "application/json", body).status, 200);

        client.send(
            "POST /login HTTP/1.1\r\ncontent-type: application/json\r\n\
                expect: 100-continue\r\ncontent-length: 2\r\n\r\n",
        );
        assert_eq!(client.reply().status, 100);
        service.signal("-INT");
        while TcpStream::connect(service.address).is_ok() {
            std::thread::yield_now();
        }
        client.send("{}");
        assert_eq!(client.reply().status, 400);
        assert!(service.wait().success());
    });
}

#[test]
fn a_second_ctrl_c_ends_it_at_once() {
    watchdog(|| {
        let service = Service::start(&mut login());
        let mut client = service.connect();
        client.send(
            "POST /login HTTP/1.1\r\ncontent-type: application/json\r\n\
                expect: 100-continue\r\ncontent-length: 2\r\n\r\n",
        );
        assert_eq!(client.reply().status, 100);
        service.signal("-INT");
        // The first one has been seen once nobody listens any more.
        while TcpStream::connect(service.address).is_ok() {
            std::thread::yield_now();
        }
        service.signal("-INT");
        assert_eq!(service.wait().code(), Some(130));
    });
}

#[test]
fn login_outlives_a_shortage_of_descriptors() {
    watchdog(|| {
        let login = login();
        let mut service = Service::start(
            Command::new("sh")
                .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""])
                .arg(login.get_program())
                .args(login.get_args()),
        );
        let crowd: Vec<_> = (0..80).map(|_| service.connect()).collect();
        let mut line = String::new();
        service.stderr().read_line(&mut line).unwrap();
        assert!(
            line.contains("WARN") && line.contains("could not be accepted"),
            "{line:?}"
        );
        drop(crowd);
        assert_eq!(service.connect().get("/healthz").text(), "ok");
    });
}

#[test]
fn thumbnails_serves_until_sigterm() {
    watchdog(|| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thumbnails"));
        let service = Service::start(command.args(["--addr", "127.0.0.1:0"]));
        assert_eq!(service.connect().get("/healthz").text(), "ok");
        service.signal("-TERM");
        assert!(service.wait().success());
    });
}

#[test]
fn mini_kv_serves_until_sigterm() {
    watchdog(|| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mini-kv"));
        let service = Service::start(command.args(["--addr", "127.0.0.1:0", "--memory-mib", "1"]));
        let mut client = TcpStream::connect(service.address).unwrap();
        client
            .write_all(b"CONFIG GET maxmemory\r\nQUIT\r\n")
            .unwrap();
        let mut said = String::new();
        client.read_to_string(&mut said).unwrap();
        assert_eq!(said, "*2\r\n$9\r\nmaxmemory\r\n$7\r\n1048576\r\n+OK\r\n");
        service.signal("-TERM");
        assert!(service.wait().success());
    });
}

#[test]
fn chat_serves_until_sigterm() {
    watchdog(|| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
        let service = Service::start(command.args(["--addr", "127.0.0.1:0"]));
        assert_eq!(service.connect().get("/healthz").text(), "ok");
        service.signal("-TERM");
        assert!(service.wait().success());
    });
}

#[cfg(feature = "api")]
#[test]
fn api_serves_until_sigterm() {
    watchdog(|| {
        let database = concat!(env!("CARGO_TARGET_TMPDIR"), "/api_binary.sqlite");
        let mut command = Command::new(env!("CARGO_BIN_EXE_api"));
        let arguments = ["--addr", "127.0.0.1:0", "--database", database];
        let service = Service::start(command.args(arguments));
        assert_eq!(service.connect().get("/healthz").status, 200);
        service.signal("-TERM");
        assert!(service.wait().success());
    });
}

#[test]
fn ctrl_c_ends_a_service_that_a_script_has_started() {
    watchdog(|| {
        // Shells let what they start in the background ignore it.
        let service = Service::start(
            Command::new("sh")
                .args(["-c", "trap '' INT; exec \"$0\" --addr 127.0.0.1:0"])
                .arg(env!("CARGO_BIN_EXE_thumbnails")),
        );
        service.signal("-INT");
        assert!(service.wait().success());
    });
}

#[test]
fn echo_sends_back_what_it_gets() {
    watchdog(|| {
        let service = Service::start(Command::new(env!("CARGO_BIN_EXE_echo")).arg("127.0.0.1:0"));
        let mut clients = [(); 3].map(|()| TcpStream::connect(service.address).unwrap());
        for round in 0..3 {
            for (index, client) in clients.iter_mut().enumerate() {
                let message = [round, index as u8, b'\n'];
                client.write_all(&message).unwrap();
                let mut echo = [0; 3];
                client.read_exact(&mut echo).unwrap();
                assert_eq!(echo, message);
            }
        }
        for mut client in clients {
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(client.read_to_end(&mut Vec::new()).unwrap(), 0);
        }
    });
}

#[test]
fn hello_does_all_three_kinds_of_work() {
    watchdog(|| {
        let output = Command::new(env!("CARGO_BIN_EXE_hello")).output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        for line in [
            "tick 3",
            "9592 primes below 100000",
            "25997 primes below 300000",
            "entries",
        ] {
            assert!(text.contains(line), "{line:?} is not in {text:?}");
        }
    });
}

#[test]
fn wrong_arguments_are_explained() {
    watchdog(|| {
        for (program, arguments, text) in [
            (env!("CARGO_BIN_EXE_login"), &["--port", "1"][..], "--port"),
            (
                env!("CARGO_BIN_EXE_login"),
                &["--dir", "/no/such/folder"],
                "No such file",
            ),
            (
                env!("CARGO_BIN_EXE_login"),
                &["--users", "/no/such/file"],
                "No such file",
            ),
            (env!("CARGO_BIN_EXE_thumbnails"), &["--addr"], "--addr"),
            (
                env!("CARGO_BIN_EXE_thumbnails"),
                &["--addr", "nowhere"],
                "usage",
            ),
            (
                env!("CARGO_BIN_EXE_mini-kv"),
                &["--memory-mib", "many"],
                "usage",
            ),
            (env!("CARGO_BIN_EXE_chat"), &["--room"], "--room"),
        ] {
            let output = Command::new(program).args(arguments).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{arguments:?}");
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(stderr.contains(text), "{arguments:?}: {stderr}");
        }
    });
}
