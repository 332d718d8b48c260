//! The login service over HTTP/1 and HTTP/2.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use evenkeel::hyper::{Executor, Timer};
use evenkeel::net::TcpStream;
use evenkeel_examples::login::{Config, Login, Users};
use evenkeel_examples::server::Limits;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper::{Request, StatusCode};
use support::{Client, Reply, Server, watchdog};

const JSON: &str = "application/json";

/// As cheap as the algorithm can be.
fn cheap() -> Argon2<'static> {
    let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn start(name: &str) -> Server {
    start_with(name, cheap(), |config| config)
}

fn start_with(
    name: &str,
    argon2: Argon2<'static>,
    change: impl FnOnce(Config) -> Config,
) -> Server {
    let mut users = Users::new(argon2).unwrap();
    users.add("ada", "lovelace").unwrap();
    let dir = folder(name);
    Server::start(Limits::default(), || {
        let service = Login::new(change(Config::new(users, dir))).unwrap();
        move |request| service.clone().handle(request)
    })
}

/// A folder with something in it, and something beside it that nobody may read.
fn folder(name: &str) -> PathBuf {
    let outer = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&outer);
    let dir = outer.join("public");
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::write(outer.join("secret.txt"), "secret").unwrap();
    fs::write(dir.join(".hidden"), "secret").unwrap();
    fs::write(dir.join("sub/inside.txt"), "secret").unwrap();
    fs::write(dir.join("hello.txt"), "hello").unwrap();
    fs::write(dir.join("two words.HTML"), "<p>").unwrap();
    fs::write(dir.join("empty"), "").unwrap();
    fs::write(dir.join("large.bin"), large()).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        symlink("hello.txt", dir.join("link.txt")).unwrap();
        symlink("../secret.txt", dir.join("escape.txt")).unwrap();
        symlink("/etc/passwd", dir.join("passwd")).unwrap();
        symlink("loop", dir.join("loop")).unwrap();
        assert!(
            Command::new("mkfifo")
                .arg(dir.join("pipe"))
                .status()
                .unwrap()
                .success()
        );
    }
    dir
}

/// Several chunks, the last of which is not full.
fn large() -> Vec<u8> {
    (0..1_000_001_u32).map(|i| (i % 251) as u8).collect()
}

fn login(client: &mut Client, user: &str, password: &str) -> Reply {
    let body = serde_json::json!({ "user": user, "password": password }).to_string();
    client.post("/login", JSON, body.as_bytes())
}

#[test]
fn passwords_are_verified() {
    watchdog(|| {
        let server = start("passwords");
        let mut client = server.connect();
        let reply = login(&mut client, "ada", "lovelace");
        assert_eq!((reply.status, reply.text()), (200, "welcome, ada\n"));
        for (user, password) in [
            ("ada", "Lovelace"),
            ("ada", ""),
            ("ada", "lovelace "),
            ("Ada", "lovelace"),
            ("", ""),
            // What the hash that stands in for the missing one was made of.
            ("nobody", ""),
        ] {
            let reply = login(&mut client, user, password);
            assert_eq!(reply.status, 401, "{user:?} {password:?}");
            assert!(reply.headers.contains_key("www-authenticate"));
        }
    });
}

#[test]
fn hashes_with_the_default_parameters_are_verified() {
    watchdog(|| {
        let server = start_with("default_parameters", Argon2::default(), |config| config);
        assert_eq!(login(&mut server.connect(), "ada", "lovelace").status, 200);
        assert_eq!(login(&mut server.connect(), "ada", "babbage").status, 401);
    });
}

#[test]
fn bad_login_requests_are_refused() {
    watchdog(|| {
        let server = start("bad_logins");
        let mut client = server.connect();
        for body in [
            "",
            "{",
            "[]",
            "null",
            r#"{"user":"ada"}"#,
            r#"{"user":1,"password":2}"#,
        ] {
            assert_eq!(
                client.post("/login", JSON, body.as_bytes()).status,
                400,
                "{body:?}"
            );
        }
        assert_eq!(client.post("/login", JSON, b"\xff\xfe").status, 400);
        let form = client.post("/login", "application/x-www-form-urlencoded", b"user=ada");
        assert_eq!(form.status, 415);
        let with_charset = client.post("/login", "Application/JSON; charset=utf-8", b"{");
        assert_eq!(with_charset.status, 400);
        let reply = client.get("/login");
        assert_eq!(
            (reply.status, reply.headers["allow"].as_str()),
            (405, "POST")
        );
        let reply = client.post("/healthz", JSON, b"{}");
        assert_eq!(
            (reply.status, reply.headers["allow"].as_str()),
            (405, "GET, HEAD")
        );
        let reply = client.post("/files/hello.txt", JSON, b"{}");
        assert_eq!(
            (reply.status, reply.headers["allow"].as_str()),
            (405, "GET, HEAD")
        );
        assert_eq!(client.get("/").status, 404);
        assert_eq!(client.get("/login/").status, 404);
    });
}

#[test]
fn a_login_that_is_too_large_gets_413() {
    watchdog(|| {
        let server = start("large_logins");
        let header = "POST /login HTTP/1.1\r\ncontent-type: application/json\r\n";
        // It is not asked for if the client would wait for that.
        let mut client = server.connect();
        client.send(format!(
            "{header}expect: 100-continue\r\ncontent-length: 8193\r\n\r\n"
        ));
        assert_eq!(client.reply().status, 413);
        // Of a known length, and of one that shows only as it arrives. An answer before the client
        // has sent everything would end in a reset, and then it is often lost.
        let chunk = [b"2710\r\n".to_vec(), vec![b' '; 10_000], b"\r\n".to_vec()].concat();
        for (framing, part, end) in [
            ("content-length: 20000", &chunk[6..10_006], ""),
            ("transfer-encoding: chunked", &chunk[..], "0\r\n\r\n"),
        ] {
            let mut client = server.connect();
            client.send(format!("{header}{framing}\r\n\r\n"));
            client.send(part);
            assert!(
                client.hears_nothing_for(Duration::from_millis(100)),
                "{framing}"
            );
            client.send(part);
            client.send(end);
            assert_eq!(client.reply().status, 413, "{framing}");
        }
        // One that has no end, of which not everything is read.
        let mut client = server.connect();
        client.send(format!("{header}content-length: 99999999999\r\n\r\n"));
        assert_eq!(client.reply().status, 413);
    });
}

#[test]
fn files_are_served() {
    watchdog(|| {
        let server = start("files");
        let mut client = server.connect();
        let reply = client.get("/files/hello.txt");
        assert_eq!((reply.status, reply.text()), (200, "hello"));
        assert_eq!(reply.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
        let reply = client.get("/files/two%20words.HTML?version=2");
        assert_eq!((reply.status, reply.text()), (200, "<p>"));
        assert_eq!(reply.headers["content-type"], "text/html; charset=utf-8");
        let reply = client.get("/files/empty");
        assert_eq!((reply.status, reply.text()), (200, ""));
        assert_eq!(reply.headers["content-type"], "application/octet-stream");
        assert_eq!(client.get("/files/large.bin").body, large());
        if cfg!(unix) {
            assert_eq!(client.get("/files/link.txt").text(), "hello");
        }
    });
}

#[test]
fn head_is_get_without_the_body() {
    watchdog(|| {
        let server = start("head");
        let mut client = server.connect();
        for (path, status, len) in [
            ("/files/large.bin", 200, "1000001"),
            ("/files/hello.txt", 200, "5"),
            ("/healthz", 200, "2"),
            ("/files/missing", 404, "13"),
        ] {
            let reply = client.head(path);
            assert_eq!(
                (reply.status, reply.headers["content-length"].as_str()),
                (status, len)
            );
        }
        assert_eq!(
            client.get("/healthz").text(),
            "ok",
            "nothing was left on the connection"
        );
    });
}

/// None of them may leave the folder, or tell what lies outside.
const TRAVERSALS: [&str; 26] = [
    "/files/",
    "/files/.",
    "/files/..",
    "/files/../secret.txt",
    "/files/..%2fsecret.txt",
    "/files/..%2Fsecret.txt",
    "/files/%2e%2e/secret.txt",
    "/files/%2e%2e%2fsecret.txt",
    "/files/%252e%252e%252fsecret.txt",
    "/files/..%5csecret.txt",
    "/files/..\\secret.txt",
    "/files//etc/passwd",
    "/files/%2fetc%2fpasswd",
    "/files/hello.txt/../../secret.txt",
    "/files/sub",
    "/files/sub/inside.txt",
    "/files/sub%2finside.txt",
    "/files/hello.txt/",
    "/files/.hidden",
    "/files/%2ehidden",
    "/files/hello.txt%00",
    "/files/%00",
    "/files/%ff%fe",
    "/files/%",
    "/files/missing.txt",
    "/files",
];

#[test]
fn nothing_outside_the_folder_is_served() {
    watchdog(|| {
        let server = start("traversals");
        let mut client = server.connect();
        let unix: &[&str] = if cfg!(unix) {
            &["/files/escape.txt", "/files/passwd", "/files/pipe"]
        } else {
            &[]
        };
        for path in TRAVERSALS.iter().chain(unix) {
            let reply = client.get(path);
            assert_eq!(reply.status, 404, "{path}: {}", reply.text());
        }
        let long = format!("/files/{}", "x".repeat(1000));
        assert_eq!(client.get(&long).status, 404);
        if cfg!(unix) {
            assert_eq!(client.get("/files/loop").status, 500);
        }
    });
}

#[test]
fn a_full_gate_refuses_logins_and_nothing_else() {
    watchdog(|| {
        let server = start_with("full_gate", cheap(), |config| Config {
            hashes_max: 1,
            waiting_max: 1,
            ..config
        });
        let blocked = server.block_compute_lane();
        let (sender, replies) = mpsc::channel();
        for _ in 0..5 {
            let (sender, mut client) = (sender.clone(), server.connect());
            thread::spawn(move || sender.send(login(&mut client, "ada", "lovelace")));
        }
        // One is at the lane and one waits; which they are is not decided here.
        for reply in replies.iter().take(3) {
            assert_eq!(
                (reply.status, reply.headers["retry-after"].as_str()),
                (503, "1")
            );
        }
        let mut client = server.connect();
        assert_eq!(client.get("/healthz").text(), "ok");
        assert_eq!(client.get("/files/hello.txt").text(), "hello");
        drop(blocked);
        for reply in replies.iter().take(2) {
            assert_eq!(reply.status, 200);
        }
        assert_eq!(login(&mut client, "ada", "lovelace").status, 200);
    });
}

#[test]
fn a_client_that_leaves_keeps_its_place_until_its_hash_is_done() {
    watchdog(|| {
        let server = start_with("leaver", cheap(), |config| Config {
            hashes_max: 1,
            waiting_max: 0,
            ..config
        });
        let blocked = server.block_compute_lane();
        let body = r#"{"user":"ada","password":"lovelace"}"#;
        let request = format!(
            "POST /login HTTP/1.1\r\ncontent-type: {JSON}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut clients = [server.connect(), server.connect()];
        let (sender, refused) = mpsc::channel();
        for (index, client) in clients.iter_mut().enumerate() {
            client.send(&request);
            let (sender, mut client) = (sender.clone(), client.try_clone());
            // One of the two is never answered.
            thread::spawn(move || {
                if client.is_answered() {
                    sender.send((index, client.reply().status)).unwrap();
                }
            });
        }
        let (index, status) = refused.recv().unwrap();
        assert_eq!(status, 503);
        clients[1 - index].shutdown();
        for _ in 0..20 {
            assert_eq!(login(&mut server.connect(), "ada", "lovelace").status, 503);
        }
        drop(blocked);
        while login(&mut server.connect(), "ada", "lovelace").status != 200 {
            thread::yield_now();
        }
    });
}

#[test]
fn the_health_check_answers_during_a_flood_of_logins() {
    watchdog(|| {
        // A fifth of the default memory: hashes take long where nothing is optimised.
        let params = Params::new(4096, 1, 1, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let server = start_with("flood", argon2, |config| config);
        let flood: Vec<_> = (0..8)
            .map(|_| {
                let mut client = server.connect();
                thread::spawn(move || login(&mut client, "ada", "lovelace").status)
            })
            .collect();
        let mut client = server.connect();
        for _ in 0..100 {
            assert_eq!(client.get("/healthz").text(), "ok");
        }
        for login in flood {
            assert_eq!(login.join().unwrap(), 200);
        }
    });
}

#[test]
fn http2_with_prior_knowledge_multiplexes() {
    watchdog(|| {
        let server = start("http2");
        let address = server.address;
        server.runtime.block_on(async {
            let stream = TcpStream::connect(address).await.unwrap();
            let (sender, connection) = http2::Builder::new(Executor::new())
                .timer(Timer::new())
                .handshake(stream)
                .await
                .unwrap();
            evenkeel::spawn(connection);
            let ask = |method: &str, path: &str, body: &'static str| {
                let request = Request::builder()
                    .method(method)
                    .uri(format!("http://{address}{path}"))
                    .header("content-type", JSON)
                    .body(Full::new(Bytes::from(body)))
                    .unwrap();
                let mut sender = sender.clone();
                evenkeel::spawn(async move {
                    let response = sender.send_request(request).await.unwrap();
                    let (head, body) = response.into_parts();
                    (head.status, body.collect().await.unwrap().to_bytes())
                })
            };
            let right = r#"{"user":"ada","password":"lovelace"}"#;
            let wrong = r#"{"user":"ada","password":"babbage"}"#;
            let asked = [
                (
                    ask("POST", "/login", right),
                    StatusCode::OK,
                    Bytes::from("welcome, ada\n"),
                ),
                (
                    ask("POST", "/login", wrong),
                    StatusCode::UNAUTHORIZED,
                    Bytes::from("wrong user or password\n"),
                ),
                (
                    ask("GET", "/healthz", ""),
                    StatusCode::OK,
                    Bytes::from("ok"),
                ),
                (
                    ask("HEAD", "/files/hello.txt", ""),
                    StatusCode::OK,
                    Bytes::new(),
                ),
                (
                    ask("GET", "/files/large.bin", ""),
                    StatusCode::OK,
                    large().into(),
                ),
                (
                    ask("GET", "/files/%2e%2e%2fsecret.txt", ""),
                    StatusCode::NOT_FOUND,
                    Bytes::from("no such file\n"),
                ),
            ];
            for (answer, status, body) in asked {
                assert_eq!(answer.await.unwrap(), (status, body));
            }
        });
        server.stop().wait();
    });
}

#[test]
fn stopping_finishes_an_http2_request_in_flight() {
    watchdog(|| {
        let server = start("http2_stop");
        let blocked = server.block_compute_lane();
        let address = server.address;
        let handle = server.runtime.handle().clone();
        let (mut sender, connection) = handle.block_on(async {
            let stream = TcpStream::connect(address).await.unwrap();
            http2::handshake(Executor::new(), stream).await.unwrap()
        });
        let connection = handle.spawn(connection);
        let mut ask = |method: &str, path: &str, body: &'static str| {
            let request = Request::builder()
                .method(method)
                .uri(format!("http://{address}{path}"))
                .header("content-type", JSON)
                .body(Full::new(Bytes::from(body)))
                .unwrap();
            handle.spawn(sender.send_request(request))
        };
        let login = ask("POST", "/login", r#"{"user":"ada","password":"lovelace"}"#);
        // Answered after the login has been taken up: its stream is the earlier one.
        let health = ask("GET", "/healthz", "");
        assert_eq!(
            handle.block_on(health).unwrap().unwrap().status(),
            StatusCode::OK
        );
        let stopping = server.stop();
        drop(blocked);
        assert_eq!(
            handle.block_on(login).unwrap().unwrap().status(),
            StatusCode::OK
        );
        handle.block_on(connection).unwrap().unwrap();
        stopping.wait();
    });
}

#[test]
fn users_are_read_from_a_file() {
    watchdog(|| {
        let path = folder("users_file").join("users");
        let hash = {
            use argon2::PasswordHasher;
            cheap().hash_password(b"lovelace").unwrap().to_string()
        };
        fs::write(&path, format!("# a comment\n\nada:{hash}\n")).unwrap();
        let users = Users::from_file(&path).unwrap();
        assert!(users.verify("ada", "lovelace"));
        assert!(!users.verify("ada", "babbage"));
        assert!(!users.verify("# a comment", ""));
        for line in [
            "ada",
            "ada:lovelace",
            "ada:$argon2id$v=19$m=8,t=1,p=1",
            "eve:$scrypt$x",
            "a:",
        ] {
            fs::write(&path, format!("eve:{hash}\n{line}\n")).unwrap();
            let error = Users::from_file(&path).unwrap_err().to_string();
            assert!(error.contains("line 2"), "{line:?}: {error}");
        }
        fs::write(&path, format!("ada:{hash}\nada:{hash}\n")).unwrap();
        assert!(
            Users::from_file(&path)
                .unwrap_err()
                .to_string()
                .contains("line 2")
        );
        assert!(Users::from_file(&path.with_extension("missing")).is_err());
    });
}

#[test]
fn a_missing_folder_is_an_error_at_the_start() {
    watchdog(|| {
        let runtime = evenkeel::runtime::Runtime::new().unwrap();
        let _entered = runtime.enter();
        let users = Users::new(cheap()).unwrap();
        let error = Login::new(Config::new(users, "/no/such/folder")).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    });
}
