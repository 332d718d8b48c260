//! The chat over real WebSockets, with bad clients too.

mod support;

use std::time::Duration;

use evenkeel::net::TcpStream;
use evenkeel_examples::chat::{self, Config};
use evenkeel_examples::server::Limits;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use support::{Server, watchdog};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

const SHORT: Duration = Duration::from_millis(200);

fn start() -> Server {
    start_with(Config::default())
}

fn start_with(config: Config) -> Server {
    Server::start_any(|listener, stopped| chat::serve(listener, Limits::default(), config, stopped))
}

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn enter(server: &Server, room: &str, name: &str) -> Client {
        Client::try_enter(server, &format!("room={room}&name={name}"))
            .await
            .unwrap_or_else(|status| panic!("refused with {status}"))
    }

    /// The status in place of a WebSocket, if the server refuses.
    async fn try_enter(server: &Server, query: &str) -> Result<Client, u16> {
        let stream = TcpStream::connect(server.address).await.unwrap();
        match client_async(format!("ws://chat/ws?{query}"), stream).await {
            Ok((socket, _)) => Ok(Client(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn send(&mut self, request: Value) {
        self.0
            .send(Message::text(request.to_string()))
            .await
            .unwrap();
    }

    /// The next event, whatever pings come before it.
    async fn event(&mut self) -> Value {
        loop {
            match self.0.next().await.expect("an event").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) => {}
                other => panic!("no event: {other:?}"),
            }
        }
    }

    /// The next event of this kind.
    async fn event_of(&mut self, kind: &str) -> Value {
        loop {
            if let Some(found) = self.event().await.get(kind) {
                return found.clone();
            }
        }
    }

    /// How the server ends the connection.
    async fn until_closed(&mut self) -> Option<CloseCode> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map(|frame| frame.code);
                    assert!(self.0.next().await.is_none(), "nothing comes after the end");
                    return code;
                }
                Some(Ok(_)) => {}
                // Without a word.
                Some(Err(_)) | None => return None,
            }
        }
    }
}

/// Runs a test's future on the server's own runtime.
fn with(server: Server, test: impl AsyncFnOnce(&Server)) {
    server.runtime.block_on(test(&server));
}

#[test]
fn a_room_hears_what_is_said_in_it() {
    watchdog(|| {
        with(start(), async |server| {
            let mut ada = Client::enter(server, "lobby", "ada").await;
            let welcome = json!({"welcome": {"members": ["ada"], "history": []}});
            assert_eq!(ada.event().await, welcome);
            let mut elsewhere = Client::enter(server, "elsewhere", "ada").await;
            elsewhere.event_of("welcome").await;
            ada.send(json!({"say": "is <b>anybody</b> here?"})).await;
            let said = json!({"name": "ada", "text": "is <b>anybody</b> here?"});
            assert_eq!(ada.event().await, json!({"said": said}));

            let mut bob = Client::enter(server, "lobby", "B%C3%B6b+2").await;
            let welcome = json!({"members": ["Böb 2", "ada"], "history": [said]});
            assert_eq!(bob.event().await, json!({"welcome": welcome}));
            assert_eq!(ada.event().await, json!({"joined": "Böb 2"}));
            for i in 0..10 {
                bob.send(json!({"say": format!("{i}")})).await;
            }
            for client in [&mut ada, &mut bob] {
                for i in 0..10 {
                    let said = json!({"name": "Böb 2", "text": format!("{i}")});
                    assert_eq!(client.event().await, json!({"said": said}));
                }
            }
            bob.0.close(None).await.unwrap();
            assert_eq!(
                bob.until_closed().await,
                None,
                "it has asked for the end itself"
            );
            assert_eq!(ada.event().await, json!({"left": "Böb 2"}));

            elsewhere.send(json!({"say": "x"})).await;
            let said = json!({"name": "ada", "text": "x"});
            assert_eq!(
                elsewhere.event().await,
                json!({"said": said}),
                "and nothing before it"
            );
        });
    });
}

#[test]
fn the_page_is_there_and_what_is_no_websocket_is_refused() {
    watchdog(|| {
        let server = start();
        let mut client = server.connect();
        let page = client.get("/");
        assert_eq!(page.status, 200);
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
        assert!(page.text().contains("new WebSocket(url)"));
        assert_eq!(client.get("/healthz").text(), "ok");
        assert_eq!(client.get("/nothing").status, 404);
        assert_eq!(client.get("/ws?room=a&name=b").status, 400);
        assert_eq!(
            client.post("/ws?room=a&name=b", "text/plain", b"").status,
            405
        );
        with(server, async |server| {
            let long = "x".repeat(33);
            for query in [
                "",
                "room=a",
                "room=a&name=",
                "room=a&name=b&name=c",
                "room=a&name=b&other=c",
                "room=a&name=+b",
                "room=a&name=b%0A",
                "room=a&name=%FF",
                &format!("room=a&name={long}"),
            ] {
                let status = Client::try_enter(server, query).await.err();
                assert_eq!(status, Some(400), "{query:?}");
            }
        });
    });
}

#[test]
fn names_places_and_rooms_have_an_end() {
    watchdog(|| {
        let server = start_with(Config {
            members_max: 3,
            rooms_max: 2,
            ..Config::default()
        });
        with(server, async |server| {
            let _ada = Client::enter(server, "a", "ada").await;
            let bob = Client::enter(server, "b", "bob").await;
            let status = async |query| Client::try_enter(server, query).await.err();
            assert_eq!(status("room=a&name=ada").await, Some(409));
            assert_eq!(status("room=c&name=ada").await, Some(503));
            let _eve = Client::enter(server, "a", "eve").await;
            assert_eq!(status("room=a&name=joe").await, Some(503));
            // An empty room is forgotten when another one needs its place.
            drop(bob);
            while status("room=c&name=ada").await.is_some() {
                evenkeel::task::yield_now().await;
            }
        });
    });
}

#[test]
fn the_history_is_searched() {
    watchdog(|| {
        let server = start_with(Config {
            history_max: 5,
            ..Config::default()
        });
        with(server, async |server| {
            let mut ada = Client::enter(server, "lobby", "ada").await;
            for text in [
                "forgotten apple",
                "apple",
                "pear",
                "Pineapple",
                "plum",
                "grape",
            ] {
                ada.send(json!({"say": text})).await;
                ada.event_of("said").await;
            }
            ada.send(json!({"search": "(pine)?apple$"})).await;
            let found = ada.event().await["found"].clone();
            assert_eq!(found["pattern"], "(pine)?apple$");
            let texts: Vec<_> = found["messages"]
                .as_array()
                .unwrap()
                .iter()
                .map(|said| &said["text"])
                .collect();
            assert_eq!(texts, ["apple", "Pineapple"]);
            for pattern in ["(".to_owned(), "x{900}{900}".to_owned(), "x".repeat(201)] {
                ada.send(json!({"search": pattern})).await;
                ada.event_of("error").await;
            }
        });
    });
}

#[test]
fn a_search_holds_nobody_up() {
    watchdog(|| {
        with(start(), async |server| {
            let mut ada = Client::enter(server, "lobby", "ada").await;
            let blocked = server.block_compute_lane();
            ada.send(json!({"search": "."})).await;
            ada.send(json!({"search": "."})).await;
            assert_eq!(ada.event_of("error").await, "one search at a time");
            let mut bob = Client::enter(server, "lobby", "bob").await;
            for client in [&mut ada, &mut bob] {
                client.send(json!({"say": "hello"})).await;
                assert_eq!(client.event_of("said").await["text"], "hello");
            }
            drop(blocked);
            assert_eq!(ada.event_of("found").await["messages"], json!([]));
        });
    });
}

#[test]
fn clients_that_break_the_rules_are_told_so() {
    watchdog(|| {
        with(start(), async |server| {
            let mut ada = Client::enter(server, "lobby", "ada").await;
            for text in ["", "hello", "{}", r#"{"shout": "x"}"#, r#"{"say": 1}"#] {
                ada.0.send(Message::text(text)).await.unwrap();
                ada.event_of("error").await;
            }
            ada.0.send(Message::binary(vec![0])).await.unwrap();
            assert_eq!(ada.until_closed().await, Some(CloseCode::Unsupported));

            let mut bob = Client::enter(server, "lobby", "bob").await;
            bob.send(json!({"say": "x".repeat(5000)})).await;
            assert_eq!(bob.until_closed().await, Some(CloseCode::Size));

            // Not masked, as those of clients must be; and a text that is none.
            for (frame, code) in [
                (&[0x81, 1, b'x'][..], CloseCode::Protocol),
                (&[0x81, 0x81, 0, 0, 0, 0, 0xFF], CloseCode::Invalid),
            ] {
                let mut eve = Client::enter(server, "lobby", "eve").await;
                let stream = eve.0.get_mut();
                tokio::io::AsyncWriteExt::write_all(stream, frame)
                    .await
                    .unwrap();
                assert_eq!(eve.until_closed().await, Some(code));
            }
        });
    });
}

#[test]
fn a_member_that_does_not_keep_up_loses_its_place() {
    watchdog(|| {
        let server = start_with(Config {
            burst_max: u32::MAX >> 8,
            pause: Duration::from_nanos(1),
            waiting_max: 10,
            send_time_max: SHORT,
            ..Config::default()
        });
        with(server, async |server| {
            let mut slow = Client::enter(server, "lobby", "slow").await;
            let mut ada = Client::enter(server, "lobby", "ada").await;
            let text = "x".repeat(4000);
            // Once the kernel's buffers and the queue are full, it is no member any more.
            loop {
                ada.send(json!({"say": text})).await;
                let event = ada.event().await;
                if event["left"] == "slow" {
                    break;
                }
            }
            slow.until_closed().await;
            let mut again = Client::enter(server, "lobby", "slow").await;
            again.event_of("welcome").await;
        });
    });
}

#[test]
fn a_member_that_says_too_much_is_slowed_down() {
    watchdog(|| {
        let server = start_with(Config {
            burst_max: 5,
            pause: Duration::from_secs(3600),
            ..Config::default()
        });
        with(server, async |server| {
            let mut loud = Client::enter(server, "lobby", "loud").await;
            for i in 0..100 {
                loud.send(json!({"say": i.to_string()})).await;
            }
            // Of those, the burst is heard.
            for i in 0..5 {
                assert_eq!(loud.event_of("said").await["text"], i.to_string());
            }
            let mut ada = Client::enter(server, "lobby", "ada").await;
            assert_eq!(
                ada.event_of("welcome").await["history"]
                    .as_array()
                    .unwrap()
                    .len(),
                5
            );
            ada.send(json!({"say": "hello"})).await;
            assert_eq!(ada.event_of("said").await["name"], "ada");
            assert_eq!(loud.event_of("said").await["name"], "ada");
        });
    });
}

#[test]
fn clients_that_do_not_answer_pings_are_given_up() {
    watchdog(|| {
        let server = start_with(Config {
            ping_interval: SHORT,
            silence_max: 15 * SHORT,
            ..Config::default()
        });
        with(server, async |server| {
            let mut alive = Client::enter(server, "lobby", "alive").await;
            let mut silent = Client::enter(server, "lobby", "silent").await;
            assert_eq!(alive.event_of("joined").await, "silent");
            // It reads, which answers the pings, and so it hears of the end of the other one.
            assert_eq!(alive.event_of("left").await, "silent");
            assert_eq!(silent.until_closed().await, None);
            alive.send(json!({"say": "still here"})).await;
            assert_eq!(alive.event_of("said").await["text"], "still here");
        });
    });
}

#[test]
fn stopping_tells_all_members() {
    watchdog(|| {
        let server = start();
        // On a runtime of its own, since that of the server goes with it.
        let runtime = evenkeel::runtime::Runtime::new().unwrap();
        let mut members = Vec::new();
        for name in ["ada", "bob", "eve"] {
            let mut member = runtime.block_on(Client::enter(&server, "lobby", name));
            runtime.block_on(member.event_of("welcome"));
            members.push(member);
        }
        // One that does not agree is waited for no longer than the limit.
        let unfair = members.pop();
        let stopping = server.stop();
        for mut member in members {
            assert_eq!(
                runtime.block_on(member.until_closed()),
                Some(CloseCode::Away)
            );
        }
        stopping.wait();
        drop(unfair);
    });
}
