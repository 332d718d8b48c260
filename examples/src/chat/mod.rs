//! Chat rooms over WebSocket, and a page to use them from a browser.
//!
//! It shows connections that live long and talk both ways: a task for each, which waits for its
//! client, its room, its timer and the end of the server at once. Searching the history by regular
//! expressions, which can be made to take long, happens on the compute lane.
//!
//! The limits, and what happens at them:
//!
//! - members and rooms: 503 before the connection becomes a WebSocket;
//! - a message that is too large: the end of the connection, with the code for it;
//! - more messages than a person writes: the client is read more slowly, and so it has to wait;
//! - a client that does not read: once [`Config::waiting_max`] messages wait for it, it loses its
//!   place, so that a room is never slower than its fastest members;
//! - a client that is silent, and does not answer pings either: the end.

mod room;
mod session;

use std::sync::Arc;
use std::time::Duration;

use evenkeel::hyper::Io;
use evenkeel::net::TcpListener;
use evenkeel::sync::{Semaphore, watch};
use evenkeel::time::timeout;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::gate::Gate;
use crate::http::{Refusal, require_method, text};
use crate::server::{self, Limits};
use room::Rooms;

const NAME_CHARS_MAX: usize = 32;
/// How long a client may take to become a WebSocket once it is told to.
const UPGRADE_TIME_MAX: Duration = Duration::from_secs(10);

/// What a [`serve`] is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// Members of all rooms together.
    pub members_max: u32,
    /// Rooms. One that is empty is forgotten when its place is needed.
    pub rooms_max: usize,
    /// Messages that a room remembers.
    pub history_max: usize,
    /// Bytes of a message, as it is sent.
    pub message_bytes_max: usize,
    /// Messages that wait for one member.
    pub waiting_max: usize,
    /// Messages at once, after which there is a pause of [`pause`](Self::pause) before each.
    pub burst_max: u32,
    /// See [`burst_max`](Self::burst_max).
    pub pause: Duration,
    /// How often a client is asked whether it is still there.
    pub ping_interval: Duration,
    /// How long a client may be silent. It answers pings, so this is more than their interval.
    pub silence_max: Duration,
    /// How long a client may take for one message.
    pub send_time_max: Duration,
    /// How long a client may take to agree to the end.
    pub close_time_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            members_max: 1000,
            rooms_max: 100,
            history_max: 200,
            message_bytes_max: 4096,
            waiting_max: 64,
            burst_max: 20,
            pause: Duration::from_millis(100),
            ping_interval: Duration::from_secs(20),
            silence_max: Duration::from_secs(50),
            send_time_max: Duration::from_secs(10),
            close_time_max: Duration::from_secs(2),
        }
    }
}

/// What all sessions share.
#[derive(Debug)]
struct Chat {
    config: Config,
    rooms: Rooms,
    /// One for each member.
    places: Arc<Semaphore>,
    searches: Gate,
    stopping: watch::Sender<bool>,
}

/// Serves the page and the rooms on `listener` until `stop` completes. Then all members are told,
/// and have [`Config::close_time_max`] to agree.
pub async fn serve(
    listener: TcpListener,
    limits: Limits,
    config: Config,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let compute_threads = evenkeel::runtime::Handle::current().compute_threads();
    let chat = Arc::new(Chat {
        rooms: Rooms::new(config.clone()),
        places: Arc::new(Semaphore::new(config.members_max as usize)),
        searches: Gate::new(compute_threads, 16),
        stopping: watch::Sender::new(false),
        config,
    });
    let handler = {
        let chat = chat.clone();
        move |request| chat.clone().handle(request)
    };
    let stop = {
        let chat = chat.clone();
        async move {
            stop.await;
            chat.stopping.send_replace(true);
        }
    };
    server::serve(listener, limits, handler, stop).await;
    // Each session gives its place back, which its own limits make sure of.
    let _all = chat.places.acquire_many(chat.config.members_max).await;
}

impl Chat {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let result = match request.uri().path() {
            "/" => require_method(request.method(), "GET").map(|()| page()),
            "/healthz" => {
                require_method(request.method(), "GET").map(|()| text(StatusCode::OK, "ok"))
            }
            "/ws" => {
                let entered = require_method(request.method(), "GET");
                let mut request = request;
                let entered = entered.and_then(|()| self.enter(&mut request));
                return match entered {
                    Ok(response) => response,
                    Err(refusal) => refuse(refusal, request).await,
                };
            }
            _ => Err(Refusal::new(StatusCode::NOT_FOUND, "no such path")),
        };
        match result {
            Ok(response) => response,
            Err(refusal) => refuse(refusal, request).await,
        }
    }

    /// Takes a place in a room, and makes the connection a WebSocket.
    fn enter(
        self: Arc<Self>,
        request: &mut Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let response = create_response_with_body(request, Full::default)
            .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "this path is for WebSockets"))?;
        let (room, name) = query(request.uri().query().unwrap_or_default()).ok_or_else(|| {
            let text = "the query is room=...&name=..., each of 1 to 32 characters";
            Refusal::new(StatusCode::BAD_REQUEST, text)
        })?;
        let full = |_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the house is full");
        let place = self.places.clone().try_acquire_owned().map_err(full)?;
        let upgrade = hyper::upgrade::on(request);
        let (member, welcome) = Rooms::enter(&self, room, name)?;
        evenkeel::spawn(async move {
            // The client may leave before it has the response.
            if let Ok(Ok(upgraded)) = timeout(UPGRADE_TIME_MAX, upgrade).await {
                let size_max = Some(self.config.message_bytes_max);
                let config = WebSocketConfig::default()
                    .max_message_size(size_max)
                    .max_frame_size(size_max);
                let stream = Io::new(upgraded);
                let socket =
                    WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
                session::run(socket, member, welcome).await;
            }
            drop(place);
        });
        Ok(response)
    }
}

async fn refuse(refusal: Refusal, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    refusal.into_response(&head, body).await
}

fn page() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(include_bytes!("page.html"))));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    // No other site may put the page into a frame of its own.
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("frame-ancestors 'none'"),
    );
    response
}

/// The room and the name: both parameters once, and no other.
fn query(query: &str) -> Option<(String, String)> {
    let (mut room, mut name) = (None, None);
    for parameter in query.split('&') {
        let (key, value) = parameter.split_once('=')?;
        let value = value.replace('+', " ");
        let value = percent_decode_str(&value).decode_utf8().ok()?;
        let fits = (1..=NAME_CHARS_MAX).contains(&value.chars().count());
        if !fits || value.chars().any(char::is_control) || value.trim() != value {
            return None;
        }
        let place = match key {
            "room" => &mut room,
            "name" => &mut name,
            _ => return None,
        };
        if place.replace(value.into_owned()).is_some() {
            return None;
        }
    }
    room.zip(name)
}
