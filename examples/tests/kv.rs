//! The key-value store over real connections, with bad clients too.

mod kv_support;
mod support;

use std::io::{BufRead, Read, Write};
use std::process::Command;
use std::thread;

use evenkeel_examples::kv::Config;
use kv_support::{Client, SHORT, request, start, start_with};
use support::watchdog;

#[test]
fn commands_answer_as_redis_does() {
    watchdog(|| {
        let server = start();
        let mut client = Client::new(&server);
        let syntax = "-ERR syntax error|";
        let no_integer = "-ERR value is not an integer or out of range|";
        for (line, reply) in [
            ("PING", "+PONG|"),
            ("ping hello", "$5|hello|"),
            ("ECHO 'two words'", "$9|two words|"),
            (r#"ECHO "\x41\n\"\\""#, "$4|A\n\"\\|"),
            ("GET a", "$-1|"),
            ("SET a 1", "+OK|"),
            ("get a", "$1|1|"),
            ("SET a 2 NX", "$-1|"),
            ("SET b 2 XX", "$-1|"),
            ("SET b 2 nx", "+OK|"),
            ("SET b 3 XX GET", "$1|2|"),
            ("SET c 3 GET", "$-1|"),
            ("SET c 4 NX GET", "$1|3|"),
            ("SET a 1 NX XX", syntax),
            ("SET a 1 EX", syntax),
            ("SET a 1 EX 1 PX 1", syntax),
            ("SET a 1 EX 1 KEEPTTL", syntax),
            ("SET a 1 EX soon", no_integer),
            ("SET a 1 EX 0", "-ERR invalid expire time in 'set' command|"),
            (
                "SET a 1 EX 9223372036854775807",
                "-ERR invalid expire time in 'set' command|",
            ),
            ("SET a", "-ERR wrong number of arguments for 'set' command|"),
            ("MGET a b nothing", "*3|$1|1|$1|3|$-1|"),
            ("EXISTS a a b nothing", ":3|"),
            ("DEL a b nothing", ":2|"),
            ("MSET a 1 b 2 a 3", "+OK|"),
            (
                "MSET a 1 b",
                "-ERR wrong number of arguments for 'mset' command|",
            ),
            ("GET a", "$1|3|"),
            ("DBSIZE", ":3|"),
            ("INCR n", ":1|"),
            ("INCRBY n -11", ":-10|"),
            ("DECR n", ":-11|"),
            ("DECRBY n -20", ":9|"),
            ("SET n 9223372036854775807", "+OK|"),
            ("INCR n", "-ERR increment or decrement would overflow|"),
            (
                "DECRBY n -9223372036854775808",
                "-ERR decrement would overflow|",
            ),
            ("SET n 007", "+OK|"),
            ("INCR n", no_integer),
            ("TTL nothing", ":-2|"),
            ("TTL n", ":-1|"),
            ("EXPIRE nothing 10", ":0|"),
            ("EXPIRE n 100", ":1|"),
            ("TTL n", ":100|"),
            ("SET n 1 KEEPTTL", "+OK|"),
            ("INCR n", ":2|"),
            ("TTL n", ":100|"),
            ("PERSIST n", ":1|"),
            ("PERSIST n", ":0|"),
            ("TTL n", ":-1|"),
            ("SET n 1 EX 100", "+OK|"),
            ("SET n 1", "+OK|"),
            ("TTL n", ":-1|"),
            ("EXPIRE n -1", ":1|"),
            ("EXISTS n", ":0|"),
            ("SELECT 0", "+OK|"),
            ("SELECT 1", "-ERR DB index is out of range|"),
            ("HELLO 3", "-NOPROTO unsupported protocol version|"),
            ("CONFIG GET save", "*2|$4|save|$0||"),
            ("CONFIG GET nothing", "*0|"),
            ("COMMAND DOCS", "*0|"),
            ("CLIENT SETNAME me", "+OK|"),
            ("PUBLISH nobody hello", ":0|"),
            ("UNSUBSCRIBE", "*3|$11|unsubscribe|$-1|:0|"),
            ("FLUSHALL", "+OK|"),
            ("DBSIZE", ":0|"),
            (
                "WHAT is this",
                "-ERR unknown command 'WHAT', with args beginning with: 'is' 'this' |",
            ),
        ] {
            assert_eq!(client.ask(line), reply, "{line}");
        }
        assert!(
            client
                .ask("HELLO 2")
                .starts_with("*12|$6|server|$7|mini-kv|")
        );
        assert!(client.ask("INFO").contains("connected_clients:1"));
        assert!(client.ask("COMMAND").contains("$9|subscribe|:-2|"));
        client.send("\r\n*0\r\n*-1\r\nQUIT\r\n");
        assert_eq!(
            client.until_closed(),
            "+OK|",
            "empty requests have no reply"
        );
    });
}

#[test]
fn values_may_be_anything() {
    watchdog(|| {
        let server = start();
        let mut client = Client::new(&server);
        let value: Vec<u8> = (0..=255).collect();
        client.send(request(&[b"SET", b"\r\n\0", &value]));
        assert_eq!(client.reply(), "+OK|");
        client.send(request(&[b"GET", b"\r\n\0"]));
        let mut reply = vec![0; b"$256\r\n".len() + 256 + 2];
        client.0.read_exact(&mut reply).unwrap();
        assert_eq!(reply[6..262], value);
        client.send(request(&[b"SET", b"", b""]));
        assert_eq!(client.reply(), "+OK|");
        assert_eq!(client.ask("GET ''"), "$0||");
        // What is said of an error stays on its line.
        client.send(request(&[b"bad\r\n+OK"]));
        assert!(
            client
                .reply()
                .starts_with("-ERR unknown command 'bad  +OK'")
        );
    });
}

#[test]
fn large_values_come_back_whole() {
    watchdog(|| {
        let server = start();
        let mut client = Client::new(&server);
        let value: String = (0..1_500_000).map(|i| format!("{i:07}")).collect();
        client.send(request(&[b"SET", b"large", value.as_bytes()]));
        assert_eq!(client.reply(), "+OK|");
        // Requests beside it keep their order.
        let get = request(&[b"GET", b"large"]);
        client.send([&get[..], b"PING\r\nMGET large nothing large\r\n"].concat());
        let expected = format!("${}|{value}|", value.len());
        assert!(client.reply() == expected);
        assert_eq!(client.reply(), "+PONG|");
        assert!(client.reply() == format!("*3|{expected}$-1|{expected}"));
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    watchdog(|| {
        const REQUESTS: usize = 20_000;
        let server = start();
        let mut client = Client::new(&server);
        let mut writer = client.0.get_ref().try_clone().unwrap();
        // On a thread of its own: the server does not read on while nobody reads its replies.
        let writing = thread::spawn(move || {
            let requests = request(&[b"INCR", b"n"]).repeat(REQUESTS);
            writer.write_all(&requests).unwrap();
        });
        for n in 1..=REQUESTS {
            assert_eq!(client.reply(), format!(":{n}|"));
        }
        writing.join().unwrap();
    });
}

#[test]
fn a_request_may_come_byte_by_byte() {
    watchdog(|| {
        let server = start();
        let mut client = Client::new(&server);
        for byte in [
            request(&[b"SET", b"a", b"1\r\n2"]),
            b"STRANGE 'x'\n".to_vec(),
        ]
        .concat()
        {
            client.send([byte]);
        }
        assert_eq!(client.reply(), "+OK|");
        assert!(client.reply().starts_with("-ERR unknown command 'STRANGE'"));
        assert_eq!(client.ask("GET a"), "$4|1\r\n2|");
    });
}

#[test]
fn what_is_no_request_gets_an_error_and_an_end() {
    watchdog(|| {
        let server = start_with(Config {
            arguments_max: 10,
            argument_bytes_max: 1000,
            request_bytes_max: 1500,
            ..Config::default()
        });
        let long = "x".repeat(70_000);
        let large = String::from_utf8(request(&[b"MSET", b"a", &[b'x'; 900], b"b", &[b'x'; 900]]));
        for (bytes, error) in [
            ("*x\r\n", "invalid multibulk length"),
            ("*11\r\n", "invalid multibulk length"),
            ("*99999999999999999999\r\n", "invalid multibulk length"),
            ("*1\r\n:1\r\n", "expected '$', got ':'"),
            ("*1\r\n$x\r\n", "invalid bulk length"),
            ("*1\r\n$-1\r\n", "invalid bulk length"),
            ("*1\r\n$1001\r\n", "invalid bulk length"),
            (
                "*1\r\n$4\r\nPINGPING\r\n",
                "expected CR and LF after an argument",
            ),
            (&large.unwrap(), "too big request"),
            ("ECHO 'open\r\n", "unbalanced quotes in request"),
            ("ECHO 'a'b\r\n", "unbalanced quotes in request"),
            (&format!("*{long}"), "too big mbulk count string"),
            (&format!("*1\r\n${long}"), "too big bulk count string"),
            (&long, "too big inline request"),
        ] {
            let mut client = Client::new(&server);
            client.send("PING\r\n");
            client.send(bytes);
            let reply = client.until_closed();
            assert_eq!(reply, format!("+PONG|-ERR Protocol error: {error}|"));
        }
        let mut client = Client::new(&server);
        assert_eq!(client.ask("PING"), "+PONG|");
    });
}

#[test]
fn keys_expire_whether_somebody_looks_or_not() {
    watchdog(|| {
        let server = start();
        let mut client = Client::new(&server);
        assert_eq!(client.ask("SET soon 1 PX 20"), "+OK|");
        assert_eq!(client.ask("SET later 1 EX 1000"), "+OK|");
        assert_eq!(client.ask("SET never 1"), "+OK|");
        while client.ask("GET soon") != "$-1|" {}
        assert_eq!(client.ask("TTL soon"), ":-2|");
        for i in 0..1000 {
            assert_eq!(client.ask(&format!("SET key:{i} 1 PX 10")), "+OK|");
        }
        // Nobody asks for these.
        while client.ask("DBSIZE") != ":2|" {
            thread::yield_now();
        }
        assert_eq!(client.ask("MGET later never"), "*2|$1|1|$1|1|");
    });
}

#[test]
fn several_keys_are_set_at_once() {
    watchdog(|| {
        const ROUNDS: usize = 2000;
        let server = start();
        let mut writer = Client::new(&server);
        assert_eq!(writer.ask("MSET a 0 b 0 c 0"), "+OK|");
        let writing = thread::spawn(move || {
            for i in 0..ROUNDS {
                assert_eq!(writer.ask(&format!("MSET a {i} b {i} c {i}")), "+OK|");
            }
        });
        let mut reader = Client::new(&server);
        while !writing.is_finished() {
            let reply = reader.ask("MGET a b c");
            let (list, values) = reply.split_once('|').unwrap();
            let each = values.len() / 3;
            assert_eq!((list, values), ("*3", values[..each].repeat(3).as_str()));
        }
        writing.join().unwrap();
    });
}

#[test]
fn memory_has_an_end() {
    watchdog(|| {
        let server = start_with(Config {
            memory_bytes_max: 1 << 20,
            ..Config::default()
        });
        let mut client = Client::new(&server);
        let value = "x".repeat(50_000);
        let stored = (0..).take_while(|i| {
            let reply = client.ask(&format!("SET key:{i} {value}"));
            let full = "-OOM command not allowed when used memory > 'maxmemory'.|";
            assert!(reply == "+OK|" || reply == full, "{reply}");
            reply == "+OK|"
        });
        let stored = stored.count();
        assert!((10..=20).contains(&stored), "{stored} values");
        // What is there can be read, and removed.
        assert_eq!(client.ask("EXISTS key:0"), ":1|");
        // A request that itself is too large for what is left.
        let mut large = Client::new(&server);
        large.send(format!(
            "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2000000\r\n{}",
            "x".repeat(1_000_000)
        ));
        assert_eq!(large.until_closed(), "-OOM no memory for this request|");
        assert_eq!(client.ask("FLUSHALL"), "+OK|");
        while client.ask(&format!("SET key {value}")) != "+OK|" {
            thread::yield_now();
        }
    });
}

#[test]
fn requests_without_end_and_replies_that_nobody_reads_are_cut_off() {
    watchdog(|| {
        let server = start_with(Config {
            request_time_max: SHORT,
            ..Config::default()
        });
        for beginning in ["*2\r\n$3\r\nGET\r\n", "PIN", "*1\r\n$10\r\nabc"] {
            let mut client = Client::new(&server);
            client.send(beginning);
            assert_eq!(client.until_closed(), "");
        }
        let server = start_with(Config {
            reply_time_max: SHORT,
            ..Config::default()
        });
        let mut client = Client::new(&server);
        let value = "x".repeat(1 << 20);
        client.send(request(&[b"SET", b"a", value.as_bytes()]));
        assert_eq!(client.reply(), "+OK|");
        // Ends with an error once the server has closed its side; the watchdog is for a server
        // that does not.
        let get = request(&[b"GET", b"a"]);
        while client.0.get_mut().write_all(&get).is_ok() {
            thread::yield_now();
        }
        let mut idle = Client::new(&server);
        assert_eq!(idle.ask("PING"), "+PONG|");
    });
}

#[test]
fn looking_at_all_keys_holds_nobody_up() {
    watchdog(|| {
        let server = start();
        let mut client = Client::new(&server);
        for key in ["user:1", "user:2", "user:11", "other"] {
            assert_eq!(client.ask(&format!("SET {key} x")), "+OK|");
        }
        let blocked = server.block_compute_lane();
        let mut asking = Client::new(&server);
        asking.send("KEYS user:?\r\nPING\r\n");
        for _ in 0..100 {
            assert_eq!(client.ask("GET other"), "$1|x|");
        }
        drop(blocked);
        let reply = asking.reply();
        let found = ["*2|$6|user:1|$6|user:2|", "*2|$6|user:2|$6|user:1|"];
        assert!(found.contains(&reply.as_str()), "{reply}");
        assert_eq!(asking.reply(), "+PONG|");
        assert_eq!(client.ask("KEYS nothing*"), "*0|");
        let long = "?".repeat(300);
        assert_eq!(
            client.ask(&format!("KEYS {long}")),
            "-ERR the pattern is too long|"
        );
    });
}

#[test]
fn more_connections_than_the_limit_wait_for_their_turn() {
    watchdog(|| {
        let server = start_with(Config {
            connections_max: 1,
            ..Config::default()
        });
        let mut first = Client::new(&server);
        assert_eq!(first.ask("PING"), "+PONG|");
        let mut second = Client::new(&server);
        second.send("PING\r\n");
        assert_eq!(first.ask("PING"), "+PONG|");
        let stream = second.0.get_ref().try_clone().unwrap();
        stream.set_read_timeout(Some(SHORT)).unwrap();
        assert!(second.0.fill_buf().is_err(), "it has no place yet");
        stream.set_read_timeout(None).unwrap();
        drop(first);
        assert_eq!(second.reply(), "+PONG|");
    });
}

#[test]
fn stopping_answers_what_has_been_asked() {
    watchdog(|| {
        let server = start();
        let mut client = Client::new(&server);
        let mut listener = Client::new(&server);
        assert!(listener.ask("SUBSCRIBE a").starts_with("*3|"));
        assert_eq!(client.ask("SET user:1 x"), "+OK|");
        let blocked = server.block_compute_lane();
        // The first reply shows that the requests have been read.
        client.send("PING\r\nKEYS *\r\nGET user:1\r\n");
        assert_eq!(client.reply(), "+PONG|");
        let stopping = server.stop();
        assert_eq!(listener.until_closed(), "");
        drop(blocked);
        assert_eq!(client.until_closed(), "*1|$6|user:1|$1|x|");
        stopping.wait();
    });
}

/// Whether a program is installed. Says so if it is not.
fn is_here(program: &str) -> bool {
    let here = Command::new(program).arg("--version").output().is_ok();
    if !here {
        // Not by `eprintln`, which is heard only if the test fails.
        let _ = writeln!(std::io::stderr(), "skipped: no {program} here");
    }
    here
}

#[test]
fn the_clients_of_redis_work_with_it() {
    watchdog(|| {
        let server = start();
        let port = server.address.port().to_string();
        if is_here("redis-cli") {
            let cli = |arguments: &[&str]| {
                let mut command = Command::new("redis-cli");
                let output = command
                    .args(["-p", &port])
                    .args(arguments)
                    .output()
                    .unwrap();
                String::from_utf8(output.stdout).unwrap()
            };
            assert_eq!(cli(&["SET", "a", "two words", "EX", "100"]), "OK\n");
            assert_eq!(cli(&["GET", "a"]), "two words\n");
            assert_eq!(cli(&["TTL", "a"]), "100\n");
            assert_eq!(cli(&["-3", "PING"]).lines().last(), Some("PONG"));
        }
        if is_here("redis-benchmark") {
            let mut command = Command::new("redis-benchmark");
            let arguments = [
                "-n",
                "2000",
                "-P",
                "8",
                "-q",
                "-t",
                "ping,set,get,incr,mset",
            ];
            let output = command
                .args(["-p", &port])
                .args(arguments)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{text}");
            assert_eq!(text.matches("requests per second").count(), 6, "{text}");
        }
    });
}
