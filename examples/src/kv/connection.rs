//! One client: reads requests, answers them, and passes on messages.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use evenkeel::io::{AsyncReadExt, AsyncWriteExt};
use evenkeel::net::TcpStream;
use evenkeel::sync::watch;
use evenkeel::time::{Instant, timeout, timeout_at};

use super::memory::Taken;
use super::pubsub::Subscriptions;
use super::resp::{Parser, Reply};
use super::{Shared, commands, glob};

/// What there is room for in each read, at least.
const READ_BYTES: usize = 16 * 1024;
/// What every connection has without asking.
const SMALL_BYTES: usize = 2 * READ_BYTES;
/// Replies are sent once there are so many, or no further request is there. A value that is larger
/// is sent from where it is.
const OUTPUT_BYTES: usize = 64 * 1024;
const CHANNEL_NAME_BYTES_MAX: usize = 1024;
/// Of a `KEYS`: what a pattern may take is as long as it times the keys.
const SCAN_TIME_MAX: Duration = Duration::from_secs(5);
/// What is read and thrown away of a client that is to go: one whose connection is closed while it
/// still sends may never see the last reply.
const DISCARD_BYTES_MAX: usize = 64 << 20;
const DISCARD_TIME_MAX: Duration = Duration::from_secs(2);

/// Serves a client until it leaves, the server stops, or it must go.
pub(super) async fn serve(
    stream: TcpStream,
    shared: Arc<Shared>,
    stopped: watch::Receiver<()>,
) -> io::Result<()> {
    // Replies are small; without this the kernel may hold one back for what could follow it.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection {
        stream,
        input: Vec::new(),
        answered: 0,
        parser: Parser::new(shared.request_limits()),
        request_since: None,
        output: Vec::new(),
        taken: Taken::none(shared.memory.clone()),
        subscriptions: None,
        shared,
    };
    if connection.run(stopped).await? == End::Refused {
        connection.stream.shutdown().await?;
        let _ = timeout(DISCARD_TIME_MAX, discard(&mut connection.stream)).await;
    }
    Ok(())
}

async fn discard(stream: &mut TcpStream) -> io::Result<()> {
    let mut buf = [0; 4096];
    let mut seen = 0;
    while seen <= DISCARD_BYTES_MAX {
        match stream.read(&mut buf).await? {
            0 => break,
            n => seen += n,
        }
    }
    Ok(())
}

/// How a connection has come to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client has left, or asked for it, or the server stops.
    Agreed,
    /// The client may still be sending.
    Refused,
}

struct Connection {
    shared: Arc<Shared>,
    stream: TcpStream,
    input: Vec<u8>,
    /// Of the input, what has been answered.
    answered: usize,
    parser: Parser,
    /// Since when a request is incomplete.
    request_since: Option<Instant>,
    output: Vec<u8>,
    taken: Taken,
    subscriptions: Option<Subscriptions>,
}

/// What a request asks for beside the store.
enum Step {
    Reply(Reply),
    /// Several replies to one request.
    Replies(Vec<Reply>),
    Keys(Vec<u8>),
    Quit,
}

impl Connection {
    async fn run(&mut self, mut stopped: watch::Receiver<()>) -> io::Result<End> {
        // Polled again and again, so that it is registered once, and not with each request.
        let mut stopped = pin!(stopped.changed());
        loop {
            if let Some(end) = self.answer().await? {
                self.flush().await?;
                return Ok(end);
            }
            self.flush().await?;
            if !self.make_room() {
                self.reply(Reply::error("OOM no memory for this request"))
                    .await?;
                self.flush().await?;
                return Ok(End::Refused);
            }
            let limit = self
                .request_since
                .map(|since| since + self.shared.config.request_time_max);
            let subscriptions = self.subscriptions.as_mut();
            evenkeel::select! {
                read = read(&mut self.stream, &mut self.input, limit) => if read? == 0 {
                    return Ok(End::Agreed);
                },
                message = next_message(subscriptions) => self.pass_on(message?).await?,
                _ = &mut stopped => return Ok(End::Agreed),
            }
        }
    }

    /// Answers all requests that are complete. The replies may be in the output still.
    async fn answer(&mut self) -> io::Result<Option<End>> {
        loop {
            let input = &self.input[self.answered..];
            let request = match self.parser.next(input) {
                Ok(Some(request)) => request,
                Ok(None) => break,
                Err(error) => {
                    let text = format!("ERR Protocol error: {}", error.0);
                    self.reply(Reply::Error(text)).await?;
                    return Ok(Some(End::Refused));
                }
            };
            self.answered += request.len;
            let arguments = request.arguments(input);
            if arguments.is_empty() {
                continue;
            }
            match run(&self.shared, &mut self.subscriptions, &arguments) {
                Step::Reply(reply) => self.reply(reply).await?,
                Step::Replies(replies) => {
                    for reply in replies {
                        self.reply(reply).await?;
                    }
                }
                Step::Keys(pattern) => {
                    // This takes a while, and what has been answered should not wait for it.
                    self.flush().await?;
                    let (reply, _taken) = keys(&self.shared, pattern).await;
                    self.reply(reply).await?;
                }
                Step::Quit => {
                    self.reply(Reply::OK).await?;
                    return Ok(Some(End::Refused));
                }
            }
        }
        self.forget_answered();
        Ok(None)
    }

    fn forget_answered(&mut self) {
        self.input.drain(..self.answered);
        let any = self.answered > 0;
        self.answered = 0;
        if self.input.is_empty() {
            self.request_since = None;
            if self.input.capacity() > 4 * READ_BYTES {
                self.input = Vec::new();
            }
        } else if any || self.request_since.is_none() {
            self.request_since = Some(Instant::now());
        }
    }

    /// Makes room for more input. It grows by doubling, and so by what has come, not by what the
    /// client says will come. A small request finds room even if the memory is full: it may be the
    /// one that frees some.
    fn make_room(&mut self) -> bool {
        self.input.reserve(READ_BYTES);
        let bytes = self.input.capacity() + self.parser.bytes();
        self.taken.resize(bytes.saturating_sub(SMALL_BYTES))
    }

    async fn reply(&mut self, reply: Reply) -> io::Result<()> {
        // What is left of lists, the next one last.
        let mut left = Vec::new();
        let mut next = Some(reply);
        while let Some(reply) = next {
            reply.write_head(OUTPUT_BYTES, &mut self.output);
            match reply {
                Reply::List(members) => left.extend(members.into_iter().rev()),
                Reply::Bulk(value) if value.len() > OUTPUT_BYTES => {
                    self.flush().await?;
                    self.write(&value).await?;
                    self.output.extend_from_slice(b"\r\n");
                }
                _ => self.flush_if_large().await?,
            }
            next = left.pop();
        }
        Ok(())
    }

    /// Sends a message, and what else is there of them.
    async fn pass_on(&mut self, message: Bytes) -> io::Result<()> {
        let mut next = Some(message);
        while let Some(message) = next {
            if message.len() > OUTPUT_BYTES {
                self.flush().await?;
                self.write(&message).await?;
            } else {
                self.output.extend_from_slice(&message);
                self.flush_if_large().await?;
            }
            next = self
                .subscriptions
                .as_mut()
                .and_then(Subscriptions::try_next);
        }
        Ok(())
    }

    async fn flush_if_large(&mut self) -> io::Result<()> {
        if self.output.len() > OUTPUT_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            let output = std::mem::take(&mut self.output);
            self.write(&output).await?;
            self.output = output;
            self.output.clear();
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let write = write_steadily(&mut self.stream, bytes, self.shared.config.reply_time_max);
        evenkeel::select! {
            biased;
            error = too_slow(self.subscriptions.as_ref()) => Err(error),
            written = write => written,
        }
    }
}

/// Writes all of it, to a client that takes some of it in each such time.
async fn write_steadily(
    stream: &mut TcpStream,
    mut bytes: &[u8],
    time_max: Duration,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match timeout(time_max, stream.write(bytes)).await?? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => bytes = &bytes[written..],
        }
    }
    Ok(())
}

/// Reads what comes next; 0 at the end.
async fn read(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
    limit: Option<Instant>,
) -> io::Result<usize> {
    let read = stream.read_buf(input);
    match limit {
        Some(limit) => timeout_at(limit, read).await?,
        None => read.await,
    }
}

async fn next_message(subscriptions: Option<&mut Subscriptions>) -> io::Result<Bytes> {
    let Some(subscriptions) = subscriptions else {
        return std::future::pending().await;
    };
    let message = subscriptions.next().await;
    message.ok_or_else(|| io::ErrorKind::TimedOut.into())
}

/// Completes if the client subscribes to more than it takes.
async fn too_slow(subscriptions: Option<&Subscriptions>) -> io::Error {
    match subscriptions {
        Some(subscriptions) => subscriptions.too_slow().await,
        None => std::future::pending().await,
    }
    io::ErrorKind::TimedOut.into()
}

/// Runs a request. What has to wait for something is left to the caller.
fn run(
    shared: &Arc<Shared>,
    subscriptions: &mut Option<Subscriptions>,
    arguments: &[&[u8]],
) -> Step {
    let name = arguments[0].to_ascii_lowercase();
    let rest = &arguments[1..];
    let listening = subscriptions.as_ref().is_some_and(|own| own.len() > 0);
    match (name.as_slice(), rest) {
        (b"quit", _) => Step::Quit,
        (b"ping", []) if listening => {
            Step::Reply(Reply::List(vec![Reply::text("pong"), Reply::text("")]))
        }
        (b"ping", []) => Step::Reply(Reply::Status("PONG")),
        (b"ping", [text]) => {
            let text = Reply::Bulk(Bytes::copy_from_slice(text));
            Step::Reply(match listening {
                true => Reply::List(vec![Reply::text("pong"), text]),
                false => text,
            })
        }
        (b"ping", _) => Step::Reply(commands::wrong_number("ping")),
        (b"subscribe", [_, ..]) => subscribe(shared, subscriptions, rest),
        (b"subscribe", []) => Step::Reply(commands::wrong_number("subscribe")),
        (b"unsubscribe", _) => unsubscribe(subscriptions.as_mut(), rest),
        _ if listening => {
            let name = String::from_utf8_lossy(&name);
            Step::Reply(Reply::error(format!(
                "ERR Can't execute '{name}': only SUBSCRIBE / UNSUBSCRIBE / PING / QUIT are \
                allowed in this context"
            )))
        }
        (b"keys", [pattern]) if pattern.len() > glob::PATTERN_BYTES_MAX => {
            Step::Reply(Reply::error("ERR the pattern is too long"))
        }
        (b"keys", [pattern]) => Step::Keys(pattern.to_vec()),
        (b"keys", _) => Step::Reply(commands::wrong_number("keys")),
        (b"flushall" | b"flushdb", _) => {
            flush_all(shared);
            Step::Reply(Reply::OK)
        }
        _ => Step::Reply(commands::run(shared, arguments)),
    }
}

fn subscribe(
    shared: &Arc<Shared>,
    subscriptions: &mut Option<Subscriptions>,
    names: &[&[u8]],
) -> Step {
    let config = &shared.config;
    let own = subscriptions.get_or_insert_with(|| {
        Subscriptions::new(shared.channels.clone(), config.messages_bytes_max)
    });
    let mut replies = Vec::new();
    for name in names {
        if own.len() >= config.subscriptions_max || name.len() > CHANNEL_NAME_BYTES_MAX {
            let text = "ERR too many channels, or a name that is too long";
            replies.push(Reply::error(text));
            break;
        }
        own.add(name);
        replies.push(subscription("subscribe", Some(name), own.len()));
    }
    Step::Replies(replies)
}

fn unsubscribe(subscriptions: Option<&mut Subscriptions>, names: &[&[u8]]) -> Step {
    let Some(own) = subscriptions.filter(|own| own.len() > 0 || !names.is_empty()) else {
        let names: Vec<_> = match names {
            [] => vec![None],
            names => names.iter().map(|&name| Some(name)).collect(),
        };
        let none = names
            .into_iter()
            .map(|name| subscription("unsubscribe", name, 0));
        return Step::Replies(none.collect());
    };
    let all = own.names();
    let all = all.iter().map(|name| &name[..]).collect::<Vec<_>>();
    let names = if names.is_empty() { &all } else { names };
    let replies = names.iter().map(|name| {
        own.remove(name);
        subscription("unsubscribe", Some(name), own.len())
    });
    Step::Replies(replies.collect())
}

fn subscription(kind: &'static str, name: Option<&[u8]>, len: usize) -> Reply {
    let name = Reply::optional(name.map(Bytes::copy_from_slice));
    Reply::List(vec![Reply::text(kind), name, Reply::count(len)])
}

/// The entries are gone at once. Freeing them takes long if there are many, and takes locks of the
/// allocator's, which IO needs as well: so it is done at normal priority, not on the compute lane.
fn flush_all(shared: &Arc<Shared>) {
    let removed = shared.store.clear();
    let memory = shared.memory.clone();
    drop(evenkeel::spawn_blocking(move || removed.free(&memory)));
}

/// The keys that match. However many they are, no other client waits for more than one shard's.
async fn keys(shared: &Arc<Shared>, pattern: Vec<u8>) -> (Reply, Taken) {
    let turn = shared.scans.acquire().await;
    let mut taken = Taken::none(shared.memory.clone());
    let mut keys = Vec::new();
    for shard in shared.store.keys(Instant::now()) {
        keys.extend(shard);
        if !taken.resize(keys.len() * size_of::<Reply>()) {
            return (Reply::error("OOM no memory for so many keys"), taken);
        }
        evenkeel::task::yield_now().await;
    }
    let matching = evenkeel::spawn_compute(move || matching(&pattern, keys, SCAN_TIME_MAX));
    let reply = matching
        .await
        .unwrap_or_else(|_| Reply::error("ERR shutting down"));
    drop(turn);
    (reply, taken)
}

/// An error if it takes longer than that: the program could not be stopped meanwhile.
fn matching(pattern: &[u8], keys: Vec<Bytes>, time_max: Duration) -> Reply {
    let started = Instant::now();
    let mut matching = Vec::new();
    for key in keys {
        if started.elapsed() > time_max {
            return Reply::error("ERR the scan takes too long");
        }
        if glob::matches(pattern, &key) {
            matching.push(Reply::Bulk(key));
        }
    }
    Reply::List(matching)
}

#[cfg(test)]
mod tests {
    use super::super::{Config, store};
    use super::*;
    use std::future::poll_fn;

    /// The task of a connection goes to the back of its queue with each `Pending`.
    #[test]
    fn a_scan_gives_others_a_turn_after_each_shard() {
        let runtime = evenkeel::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let shared = Shared::new(Config::default());
            let now = Instant::now();
            for key in 0..1000 {
                let key = format!("key:{key}");
                let mut locked = shared.store.lock(now, key.as_bytes());
                assert!(locked.set(key.as_bytes(), b"value", false).is_ok());
            }
            let mut scan = pin!(keys(&shared, b"*".to_vec()));
            let mut turns = 0;
            let (reply, _taken) = poll_fn(|cx| {
                turns += 1;
                scan.as_mut().poll(cx)
            })
            .await;
            assert!(matches!(reply, Reply::List(keys) if keys.len() == 1000));
            assert!(turns > store::SHARDS, "{turns} turns");
        });
    }
}
