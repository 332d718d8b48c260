//! One member: what it says, what it is told, and whether it is still there.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use evenkeel::hyper::Io;
use evenkeel::sync::watch;
use evenkeel::time::{Instant, interval_at, sleep_until, timeout};
use futures_util::{SinkExt, StreamExt};
use hyper::body::Bytes;
use hyper::upgrade::Upgraded;
use regex::RegexBuilder;
use serde::Deserialize;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::room::{Event, Member, Said};

const PATTERN_BYTES_MAX: usize = 200;
/// Of a compiled pattern. It bounds the time that a search takes, too.
const REGEX_BYTES_MAX: usize = 64 * 1024;
const FOUND_MAX: usize = 20;

type Socket = WebSocketStream<Io<Upgraded>>;
type Search = Pin<Box<dyn Future<Output = Utf8Bytes> + Send>>;

/// What clients say, as JSON: `{"say": "hello"}`.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Request {
    Say(String),
    Search(String),
}

/// Why a session ends.
enum End {
    /// The client has left, or cannot be reached.
    Gone,
    /// It is told so.
    Told(CloseCode, &'static str),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                Self::Told(CloseCode::Size, "the message is too large")
            }
            Error::Utf8(_) => Self::Told(CloseCode::Invalid, "text is in UTF-8"),
            Error::Protocol(_) => Self::Told(CloseCode::Protocol, "a broken frame"),
            _ => Self::Gone,
        }
    }
}

/// Serves a member until it leaves, must leave, or the server stops.
pub(super) async fn run(socket: Socket, member: Member, welcome: Utf8Bytes) {
    let close_time_max = member.chat.config.close_time_max;
    let mut session = Session {
        pace: Pace::new(member.chat.config.burst_max, member.chat.config.pause),
        heard_at: Instant::now(),
        search: None,
        socket,
        member,
    };
    let end = match session.run(welcome).await {
        Ok(end) | Err(end) => end,
    };
    // Its place in the room is free from here on.
    let Session {
        mut socket, member, ..
    } = session;
    drop(member);
    if let End::Told(code, reason) = end {
        let _ = timeout(close_time_max, close(&mut socket, code, reason)).await;
    }
}

/// Says why, and waits until the client agrees: what it still says is thrown away.
async fn close(socket: &mut Socket, code: CloseCode, reason: &'static str) {
    let reason = reason.into();
    let closing = socket.close(Some(CloseFrame { code, reason })).await;
    while closing.is_ok()
        && let Some(Ok(_)) = socket.next().await
    {}
}

struct Session {
    socket: Socket,
    member: Member,
    pace: Pace,
    heard_at: Instant,
    /// At most one at a time.
    search: Option<Search>,
}

impl Session {
    async fn run(&mut self, welcome: Utf8Bytes) -> Result<End, End> {
        self.send(Message::Text(welcome)).await?;
        let config = self.member.chat.config.clone();
        let mut stopping = self.member.chat.stopping.subscribe();
        let first = Instant::now() + config.ping_interval;
        let mut pings = interval_at(first, config.ping_interval);
        loop {
            let allowed = self.pace.allows();
            evenkeel::select! {
                heard = self.socket.next(), if allowed => match heard {
                    None => return Ok(End::Gone),
                    Some(heard) => {
                        let message = heard?;
                        self.heard_at = Instant::now();
                        self.hear(message).await?;
                    }
                },
                () = self.pace.wait(), if !allowed => {}
                told = self.member.inbox.recv() => match told {
                    Some(text) => self.send(Message::Text(text)).await?,
                    None => return Ok(End::Told(CloseCode::Policy, "you do not keep up")),
                },
                found = found(&mut self.search) => self.send(Message::Text(found)).await?,
                _ = pings.tick() => {
                    if self.heard_at.elapsed() > config.silence_max {
                        return Ok(End::Gone);
                    }
                    self.send(Message::Ping(Bytes::new())).await?;
                }
                () = stopped(&mut stopping) => {
                    return Ok(End::Told(CloseCode::Away, "the server stops"));
                }
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        let time_max = self.member.chat.config.send_time_max;
        let sent = timeout(time_max, self.socket.send(message)).await;
        Ok(sent.map_err(|_| End::Gone)??)
    }

    async fn hear(&mut self, message: Message) -> Result<(), End> {
        self.pace.count();
        let request = match &message {
            Message::Text(text) => serde_json::from_str(text),
            Message::Binary(_) => {
                return Err(End::Told(CloseCode::Unsupported, "only text is understood"));
            }
            // Pings are answered by the library, which also agrees to an end.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {
                return Ok(());
            }
        };
        match request {
            Ok(Request::Say(text)) => self.member.say(text),
            Ok(Request::Search(pattern)) if self.search.is_none() => {
                self.search = Some(Box::pin(search(&self.member, pattern)));
            }
            Ok(Request::Search(_)) => self.complain("one search at a time").await?,
            Err(_) => {
                let text = r#"say {"say": "..."} or {"search": "..."}"#;
                self.complain(text).await?;
            }
        }
        Ok(())
    }

    async fn complain(&mut self, text: &str) -> Result<(), End> {
        self.send(Message::Text(Event::Error(text).encode())).await
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // It fails if there is no server any more, which has stopped then.
    let _ = stopping.wait_for(|&stopping| stopping).await;
}

/// The answer to the search, if there is one.
async fn found(search: &mut Option<Search>) -> Utf8Bytes {
    let Some(running) = search else {
        return std::future::pending().await;
    };
    let found = running.await;
    *search = None;
    found
}

/// Searches the history. A client that has left does not wait for it, and the others do not
/// either: it is on the compute lane.
fn search(member: &Member, pattern: String) -> impl Future<Output = Utf8Bytes> + Send + use<> {
    let history = member.history();
    let place = member.chat.searches.try_enter();
    async move {
        let Ok(place) = place else {
            return Event::Error("too many searches, try again").encode();
        };
        let found = place.compute(move || matches(&history, &pattern)).await;
        found.unwrap_or_else(|_| Event::Error("the search has failed").encode())
    }
}

/// The last messages that match, in order.
fn matches(history: &[Arc<Said>], pattern: &str) -> Utf8Bytes {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Event::Error("the pattern is too long").encode();
    }
    let regex = RegexBuilder::new(pattern)
        .size_limit(REGEX_BYTES_MAX)
        .case_insensitive(true)
        .build();
    let Ok(regex) = regex else {
        return Event::Error("no regular expression, or too large a one").encode();
    };
    let found = history
        .iter()
        .rev()
        .filter(|said| regex.is_match(&said.text));
    let mut messages: Vec<_> = found.take(FOUND_MAX).map(|said| &**said).collect();
    messages.reverse();
    Event::Found { pattern, messages }.encode()
}

/// Lets a number of messages through at once, and then one after each pause.
struct Pace {
    burst: Duration,
    pause: Duration,
    /// When all that has been let through would have been, with a pause after each.
    paid_until: Instant,
}

impl Pace {
    fn new(burst_max: u32, pause: Duration) -> Self {
        Self {
            burst: pause * burst_max,
            pause,
            paid_until: Instant::now(),
        }
    }

    fn allows(&self) -> bool {
        self.paid_until + self.pause <= Instant::now() + self.burst
    }

    fn count(&mut self) {
        self.paid_until = self.paid_until.max(Instant::now()) + self.pause;
    }

    /// Completes when the next message is allowed.
    async fn wait(&self) {
        // Before the runtime's start there is nothing to wait for.
        if let Some(at) = (self.paid_until + self.pause).checked_sub(self.burst) {
            sleep_until(at).await;
        }
    }
}
