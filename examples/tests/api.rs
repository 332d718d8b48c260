//! The service with axum, sqlx and reqwest over real connections.

mod support;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use evenkeel_examples::api::{self, Config};
use evenkeel_examples::http::text;
use evenkeel_examples::server::Limits;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde_json::{Value, json};
use support::{Client, Reply, Server, watchdog};

const JSON: &str = "application/json";
const GOOD: &str = "correct horse";

fn start(database: &str) -> Server {
    start_with(database, |config| config)
}

/// On an empty database.
fn start_with(database: &str, change: impl FnOnce(Config) -> Config) -> Server {
    let path = path(database);
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
    restart(database, change)
}

fn path(database: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{database}.sqlite"))
}

fn restart(database: &str, change: impl FnOnce(Config) -> Config) -> Server {
    let path = path(database).display().to_string();
    Server::start_any(move |listener, stopped| {
        // As cheap as the algorithm can be.
        let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
        let config = change(Config {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            ..Config::new(path)
        });
        async move {
            let server = api::Server::open(config).await.unwrap();
            server.serve(listener, Limits::default(), stopped).await;
        }
    })
}

fn post(client: &mut Client, path: &str, body: &Value) -> Reply {
    client.post(path, JSON, body.to_string().as_bytes())
}

fn register(client: &mut Client, name: &str, password: &str) -> u16 {
    let body = json!({"name": name, "password": password});
    post(client, "/users", &body).status
}

/// The token, or the status.
fn log_in(client: &mut Client, name: &str, password: &str) -> Result<String, u16> {
    let reply = post(
        client,
        "/sessions",
        &json!({"name": name, "password": password}),
    );
    match reply.status {
        201 => Ok(of_json(&reply)["token"].as_str().unwrap().to_owned()),
        status => Err(status),
    }
}

fn with_token(client: &mut Client, method: &str, path: &str, token: &str) -> Reply {
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n\r\n"
    ));
    match method {
        "DELETE" => client.reply_head(),
        _ => client.reply(),
    }
}

fn of_json(reply: &Reply) -> Value {
    assert_eq!(reply.headers["content-type"], JSON);
    serde_json::from_slice(&reply.body).unwrap()
}

#[test]
fn a_user_registers_and_has_sessions_until_it_ends_them() {
    watchdog(|| {
        let server = start("registers");
        let mut client = server.connect();
        assert_eq!(of_json(&client.get("/healthz")), json!({"status": "ok"}));
        assert_eq!(register(&mut client, "ada", GOOD), 201);
        assert_eq!(register(&mut client, "ada", "another password"), 409);
        let tokens = [(); 2].map(|()| log_in(&mut client, "ada", GOOD).unwrap());
        assert_ne!(tokens[0], tokens[1]);
        for token in &tokens {
            let me = with_token(&mut client, "GET", "/me", token);
            assert_eq!((me.status, of_json(&me)), (200, json!({"name": "ada"})));
        }
        assert_eq!(
            with_token(&mut client, "DELETE", "/sessions", &tokens[0]).status,
            204
        );
        assert_eq!(
            with_token(&mut client, "GET", "/me", &tokens[0]).status,
            401
        );
        assert_eq!(
            with_token(&mut client, "GET", "/me", &tokens[1]).status,
            200
        );
    });
}

#[test]
fn wrong_passwords_and_tokens_are_refused() {
    watchdog(|| {
        let server = start("wrong_passwords");
        let mut client = server.connect();
        assert_eq!(register(&mut client, "ada", GOOD), 201);
        for (name, password) in [
            ("ada", "Correct horse"),
            ("ada", ""),
            ("Ada", GOOD),
            // What the hash that stands in for the missing one was made of.
            ("nobody", ""),
            ("' OR 1 = 1 --", GOOD),
        ] {
            assert_eq!(
                log_in(&mut client, name, password),
                Err(401),
                "{name:?} {password:?}"
            );
        }
        let token = log_in(&mut client, "ada", GOOD).unwrap();
        for token in ["", "x", &"0".repeat(64), &format!("{token}0"), &token[1..]] {
            let reply = with_token(&mut client, "GET", "/me", token);
            assert_eq!(reply.status, 401, "{token:?}");
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
            assert!(of_json(&reply)["error"].is_string());
        }
        assert_eq!(client.get("/me").status, 401);
    });
}

#[test]
fn names_may_be_anything_that_can_be_seen() {
    watchdog(|| {
        let server = start("names");
        let mut client = server.connect();
        for name in ["'); DROP TABLE users; --", "Böb 2", "\u{1F600}"] {
            assert_eq!(register(&mut client, name, GOOD), 201, "{name:?}");
            let token = log_in(&mut client, name, GOOD).unwrap();
            let me = with_token(&mut client, "GET", "/me", &token);
            assert_eq!(of_json(&me), json!({"name": name}));
        }
        for (name, password) in [
            ("", GOOD),
            (" ada", GOOD),
            ("a\nb", GOOD),
            (&"x".repeat(33), GOOD),
            ("ada", "1234567"),
        ] {
            assert_eq!(
                register(&mut client, name, password),
                422,
                "{name:?} {password:?}"
            );
        }
    });
}

#[test]
fn whatever_goes_wrong_the_answer_is_json() {
    watchdog(|| {
        let server = start("errors");
        let mut client = server.connect();
        let large = json!({"name": "ada", "password": "x".repeat(10_000)}).to_string();
        for (path, content_type, body, status) in [
            ("/users", JSON, "", 400),
            ("/users", JSON, "{", 400),
            ("/users", JSON, r#"{"name": "ada"}"#, 422),
            ("/users", JSON, r#"{"name": 1, "password": 2}"#, 422),
            ("/users", "text/plain", "{}", 415),
            ("/sessions", JSON, "[]", 422),
            ("/sessions", JSON, &large, 413),
            ("/me", JSON, "", 405),
            ("/nothing", JSON, "", 404),
        ] {
            // One that has refused a body may close the connection.
            let reply = server.connect().post(path, content_type, body.as_bytes());
            assert_eq!(reply.status, status, "{path} {body}");
            assert!(of_json(&reply)["error"].is_string());
        }
        let reply = client.post("/me", JSON, b"");
        assert_eq!(reply.headers["allow"], "GET,HEAD");
    });
}

#[test]
fn a_body_that_does_not_come_is_answered_in_json() {
    watchdog(|| {
        let server = start_with("late", |config| Config {
            body_time_max: Duration::from_millis(200),
            ..config
        });
        let mut client = server.connect();
        client.send(
            "POST /users HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
                content-length: 10\r\n\r\n12345",
        );
        let reply = client.reply();
        assert_eq!(reply.status, 408);
        assert!(of_json(&reply)["error"].is_string());
    });
}

#[test]
fn one_of_many_gets_the_name() {
    watchdog(|| {
        const CLIENTS: usize = 8;
        let server = start("one_of_many");
        let address = server.address;
        let clients = [(); CLIENTS]
            .map(|()| thread::spawn(move || register(&mut Client::connect(address), "ada", GOOD)));
        let mut statuses = clients.map(|client| client.join().unwrap());
        statuses.sort_unstable();
        assert_eq!(
            (statuses[0], &statuses[1..]),
            (201, &[409; CLIENTS - 1][..])
        );
    });
}

#[test]
fn sessions_outlive_the_server_but_not_their_time() {
    watchdog(|| {
        let server = start("restart");
        let mut client = server.connect();
        assert_eq!(register(&mut client, "ada", GOOD), 201);
        let token = log_in(&mut client, "ada", GOOD).unwrap();
        drop(client);
        server.stop().wait();

        let server = restart("restart", |config| Config {
            session_time: Duration::ZERO,
            ..config
        });
        let mut client = server.connect();
        assert_eq!(with_token(&mut client, "GET", "/me", &token).status, 200);
        let over = log_in(&mut client, "ada", GOOD).unwrap();
        assert_eq!(with_token(&mut client, "GET", "/me", &over).status, 401);
    });
}

#[test]
fn the_oldest_sessions_of_a_user_end() {
    watchdog(|| {
        let server = start("oldest");
        let mut client = server.connect();
        assert_eq!(register(&mut client, "ada", GOOD), 201);
        assert_eq!(register(&mut client, "bob", GOOD), 201);
        let bob = log_in(&mut client, "bob", GOOD).unwrap();
        let tokens: Vec<_> = (0..12)
            .map(|_| log_in(&mut client, "ada", GOOD).unwrap())
            .collect();
        let statuses = tokens
            .iter()
            .map(|token| with_token(&mut client, "GET", "/me", token).status);
        assert_eq!(
            statuses.collect::<Vec<_>>(),
            [vec![401; 2], vec![200; 10]].concat()
        );
        assert_eq!(with_token(&mut client, "GET", "/me", &bob).status, 200);
    });
}

#[test]
fn logins_hold_up_nobody_else_and_are_bounded() {
    watchdog(|| {
        let server = start_with("bounded", |config| Config {
            hashes_max: 1,
            waiting_max: 1,
            ..config
        });
        let mut client = server.connect();
        assert_eq!(register(&mut client, "ada", GOOD), 201);
        let token = log_in(&mut client, "ada", GOOD).unwrap();
        let blocked = server.block_compute_lane();
        let body = json!({"name": "ada", "password": GOOD}).to_string();
        let request = format!(
            "POST /sessions HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
                content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut waiting = [(); 2].map(|()| server.connect());
        waiting.iter_mut().for_each(|client| client.send(&request));
        let refused = loop {
            // Until both have their places, this would be a third that waits for ever.
            let mut third = server.connect();
            third.send(&request);
            if !third.hears_nothing_for(Duration::from_millis(50)) {
                break third.reply();
            }
            third.shutdown();
        };
        assert_eq!(
            (refused.status, refused.headers["retry-after"].as_str()),
            (503, "1")
        );
        // The other one may have been idle for longer than the server keeps it, on a slow machine.
        let mut client = server.connect();
        assert_eq!(client.get("/healthz").status, 200);
        assert_eq!(with_token(&mut client, "GET", "/me", &token).status, 200);
        drop(blocked);
        for client in &mut waiting {
            assert!([201, 503].contains(&client.reply().status));
        }
    });
}

/// A service for leaked passwords that gives one answer, and the paths that it was asked for.
fn leaked(status: u16, answer: String) -> (Server, String, Arc<Mutex<Vec<String>>>) {
    let paths = Arc::new(Mutex::new(Vec::new()));
    let asked = paths.clone();
    let server = Server::start(Limits::default(), move || {
        move |request: Request<Incoming>| {
            asked.lock().unwrap().push(request.uri().path().to_owned());
            let answer = text(StatusCode::from_u16(status).unwrap(), answer.clone());
            async move { answer }
        }
    });
    let url = format!("http://{}", server.address);
    (server, url, paths)
}

#[test]
fn leaked_passwords_are_refused_and_not_told() {
    watchdog(|| {
        // The SHA-1 of "password1" is e38ad214943daad1d64c102faec29de4afe9da3d.
        let answer = "D214943DAAD1D64C102FAEC29DE4AFE9DA3C:5\r\n\
            214943DAAD1D64C102FAEC29DE4AFE9DA3D:2427158\r\n";
        let (_leaked, url, paths) = leaked(200, answer.to_owned());
        let server = start_with("leaked", |config| Config {
            leaked_url: Some(url),
            ..config
        });
        let mut client = server.connect();
        assert_eq!(register(&mut client, "ada", "password1"), 422);
        assert_eq!(register(&mut client, "ada", GOOD), 201);
        let paths = paths.lock().unwrap();
        assert_eq!(paths[0], "/range/E38AD");
        assert_eq!(paths[1].len(), "/range/E38AD".len());
    });
}

#[test]
fn a_service_for_leaked_passwords_that_does_not_work_is_no_permission() {
    watchdog(|| {
        let long = "x".repeat(300_000);
        for (status, answer) in [(500, ""), (200, &long)] {
            let (_leaked, url, _) = leaked(status, answer.to_owned());
            let server = start_with("no_permission", |config| Config {
                leaked_url: Some(url),
                ..config
            });
            assert_eq!(
                register(&mut server.connect(), "ada", GOOD),
                503,
                "{status}"
            );
        }
        // One that accepts and says nothing, and one that is not there.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let server = start_with("no_permission", |config| Config {
            leaked_url: Some(format!("http://{address}")),
            leaked_time_max: Duration::from_millis(200),
            ..config
        });
        let mut client = server.connect();
        assert_eq!(register(&mut client, "ada", GOOD), 503);
        drop(silent);
        assert_eq!(register(&mut client, "ada", GOOD), 503);
        assert_eq!(client.get("/healthz").status, 200);
    });
}

#[test]
fn stopping_finishes_the_request_in_flight() {
    watchdog(|| {
        let server = start("stopping");
        let mut client = server.connect();
        assert_eq!(register(&mut client, "ada", GOOD), 201);
        client.send(
            "POST /sessions HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
                expect: 100-continue\r\ncontent-length: 41\r\n\r\n",
        );
        assert_eq!(client.reply().status, 100);
        let stopping = server.stop();
        let body = json!({"name": "ada", "password": GOOD}).to_string();
        assert_eq!(body.len(), 41);
        client.send(body);
        assert_eq!(client.reply().status, 201);
        client.until_closed();
        stopping.wait();
    });
}
