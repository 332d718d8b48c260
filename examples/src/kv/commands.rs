//! The commands that need nothing but the store.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use evenkeel::time::Instant;

use super::Shared;
use super::glob::{PATTERN_BYTES_MAX, matches};
use super::resp::{Reply, number};
use super::store::{Full, Locked};

type Result<T = Reply> = std::result::Result<T, Reply>;

/// What a command is given.
struct Call<'a> {
    shared: &'a Shared,
    now: Instant,
    /// Beginning with its own name.
    arguments: &'a [&'a [u8]],
}

struct Command {
    name: &'static str,
    /// As redis counts: with the name; negative if there may be more.
    arity: i32,
    run: fn(&Call<'_>) -> Result,
}

const fn command(name: &'static str, arity: i32, run: fn(&Call<'_>) -> Result) -> Command {
    Command { name, arity, run }
}

/// The most frequent ones come first.
const COMMANDS: &[Command] = &[
    command("get", 2, get),
    command("set", -3, set),
    command("del", -2, del),
    command("exists", -2, exists),
    command("incr", 2, |call| increment(call, 1)),
    command("decr", 2, |call| increment(call, -1)),
    command("incrby", 3, |call| {
        increment(call, integer(call.arguments[2])?)
    }),
    command("decrby", 3, decrby),
    command("mget", -2, mget),
    command("mset", -3, mset),
    command("expire", 3, |call| expire(call, 1000)),
    command("pexpire", 3, |call| expire(call, 1)),
    command("ttl", 2, |call| time_left(call, 1000)),
    command("pttl", 2, |call| time_left(call, 1)),
    command("persist", 2, persist),
    command("echo", 2, |call| {
        Ok(Reply::Bulk(Bytes::copy_from_slice(call.arguments[1])))
    }),
    command("publish", 3, publish),
    command("select", 2, select),
    command("dbsize", 1, |call| {
        Ok(Reply::count(call.shared.store.len().0))
    }),
    command("hello", -1, hello),
    command("config", -2, config),
    command("command", -1, list_commands),
    command("info", -1, info),
    command("client", -2, client),
];

/// Those that [`connection`](super::connection) runs, for lists of commands.
const OTHERS: &[(&str, i32)] = &[
    ("flushall", -1),
    ("flushdb", -1),
    ("keys", 2),
    ("ping", -1),
    ("quit", -1),
    ("subscribe", -2),
    ("unsubscribe", -1),
];

/// Runs a command; `arguments` begin with its name, which is one of those of this file or an error.
pub(super) fn run(shared: &Shared, arguments: &[&[u8]]) -> Reply {
    let name = arguments[0];
    let known = COMMANDS
        .iter()
        .find(|command| command.name.as_bytes().eq_ignore_ascii_case(name));
    let Some(command) = known else {
        return unknown(arguments);
    };
    if !arity_allows(command.arity, arguments.len()) {
        return wrong_number(command.name);
    }
    let call = Call {
        shared,
        now: Instant::now(),
        arguments,
    };
    (command.run)(&call).unwrap_or_else(|error| error)
}

fn arity_allows(arity: i32, len: usize) -> bool {
    let least = arity.unsigned_abs() as usize;
    len == least || (arity < 0 && len > least)
}

pub(super) fn wrong_number(name: &str) -> Reply {
    Reply::error(format!(
        "ERR wrong number of arguments for '{name}' command"
    ))
}

fn unknown(arguments: &[&[u8]]) -> Reply {
    let shortened =
        |text: &[u8]| String::from_utf8_lossy(&text[..text.len().min(128)]).into_owned();
    let name = shortened(arguments[0]);
    let mut text = format!("ERR unknown command '{name}', with args beginning with: ");
    for argument in arguments[1..].iter().take(8) {
        text += &format!("'{}' ", shortened(argument));
    }
    Reply::error(text)
}

fn syntax_error() -> Reply {
    Reply::error("ERR syntax error")
}

fn integer(text: &[u8]) -> Result<i64> {
    number(text).ok_or_else(|| Reply::error("ERR value is not an integer or out of range"))
}

impl From<Full> for Reply {
    fn from(_: Full) -> Self {
        Self::error("OOM command not allowed when used memory > 'maxmemory'.")
    }
}

impl Call<'_> {
    /// The first argument is the only key.
    fn lock(&self) -> Locked<'_> {
        self.shared.store.lock(self.now, self.arguments[1])
    }

    /// All arguments are keys, or keys and values.
    fn lock_keys(&self) -> Locked<'_> {
        if self.arguments.len() == 2 {
            self.lock()
        } else {
            self.shared.store.lock_all(self.now)
        }
    }
}

fn get(call: &Call<'_>) -> Result {
    Ok(Reply::optional(call.lock().get(call.arguments[1])))
}

/// The options of `SET`.
#[derive(Default)]
struct Options {
    /// `NX` or `XX`: whether the key must be there.
    must_exist: Option<bool>,
    keeps_deadline: bool,
    gets: bool,
    deadline: Option<Instant>,
}

impl Options {
    fn parse(now: Instant, words: &[&[u8]]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let word = word.to_ascii_lowercase();
            let has_time = options.keeps_deadline || options.deadline.is_some();
            match word.as_slice() {
                b"nx" if options.must_exist.is_none() => options.must_exist = Some(false),
                b"xx" if options.must_exist.is_none() => options.must_exist = Some(true),
                b"get" => options.gets = true,
                b"keepttl" if !has_time => options.keeps_deadline = true,
                b"ex" | b"px" if !has_time => {
                    let unit_ms = if word == b"ex" { 1000 } else { 1 };
                    let count = integer(words.next().ok_or_else(syntax_error)?)?;
                    let deadline = deadline(now, count, unit_ms).filter(|&at| at > now);
                    let invalid = || Reply::error("ERR invalid expire time in 'set' command");
                    options.deadline = Some(deadline.ok_or_else(invalid)?);
                }
                _ => return Err(syntax_error()),
            }
        }
        Ok(options)
    }
}

/// `now` if it is in the past; `None` if it is too far in the future.
fn deadline(now: Instant, count: i64, unit_ms: u64) -> Option<Instant> {
    let ms = u64::try_from(count.max(0)).ok()?.checked_mul(unit_ms)?;
    // What a TTL can be in milliseconds.
    i64::try_from(ms).ok()?;
    now.checked_add(Duration::from_millis(ms))
}

fn set(call: &Call<'_>) -> Result {
    let (key, value) = (call.arguments[1], call.arguments[2]);
    let options = Options::parse(call.now, &call.arguments[3..])?;
    let mut locked = call.lock();
    let before = if options.gets { locked.get(key) } else { None };
    let refused = options
        .must_exist
        .is_some_and(|must_exist| locked.contains(key) != must_exist);
    if !refused {
        locked.set(key, value, options.keeps_deadline)?;
        if options.deadline.is_some() {
            locked.set_deadline(key, options.deadline);
        }
    }
    Ok(match (options.gets, refused) {
        (true, _) => Reply::optional(before),
        (false, true) => Reply::Nil,
        (false, false) => Reply::OK,
    })
}

fn del(call: &Call<'_>) -> Result {
    let mut locked = call.lock_keys();
    let removed = call.arguments[1..].iter().filter(|key| locked.remove(key));
    Ok(Reply::count(removed.count()))
}

fn exists(call: &Call<'_>) -> Result {
    let mut locked = call.lock_keys();
    let there = call.arguments[1..]
        .iter()
        .filter(|key| locked.contains(key));
    Ok(Reply::count(there.count()))
}

fn increment(call: &Call<'_>, by: i64) -> Result {
    let mut locked = call.lock();
    let key = call.arguments[1];
    let before = locked.get(key).map_or(Ok(0), |value| integer(&value))?;
    let overflow = || Reply::error("ERR increment or decrement would overflow");
    let after = before.checked_add(by).ok_or_else(overflow)?;
    locked.set(key, after.to_string().as_bytes(), true)?;
    Ok(Reply::Integer(after))
}

fn decrby(call: &Call<'_>) -> Result {
    let by = integer(call.arguments[2])?.checked_neg();
    let by = by.ok_or_else(|| Reply::error("ERR decrement would overflow"))?;
    increment(call, by)
}

fn mget(call: &Call<'_>) -> Result {
    let mut locked = call.lock_keys();
    let values = call.arguments[1..]
        .iter()
        .map(|key| Reply::optional(locked.get(key)));
    Ok(Reply::List(values.collect()))
}

fn mset(call: &Call<'_>) -> Result {
    let pairs = &call.arguments[1..];
    if !pairs.len().is_multiple_of(2) {
        return Err(wrong_number("mset"));
    }
    let mut locked = call.shared.store.lock_all(call.now);
    for pair in pairs.chunks_exact(2) {
        locked.set(pair[0], pair[1], false)?;
    }
    Ok(Reply::OK)
}

fn expire(call: &Call<'_>, unit_ms: u64) -> Result {
    let at = deadline(call.now, integer(call.arguments[2])?, unit_ms);
    let name = if unit_ms == 1 { "pexpire" } else { "expire" };
    let invalid = || Reply::error(format!("ERR invalid expire time in '{name}' command"));
    let at = at.ok_or_else(invalid)?;
    let before = call.lock().set_deadline(call.arguments[1], Some(at));
    Ok(Reply::Integer(before.is_some().into()))
}

fn time_left(call: &Call<'_>, unit_ms: u64) -> Result {
    let mut locked = call.lock();
    Ok(Reply::Integer(match locked.deadline(call.arguments[1]) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => {
            let ms = at.duration_since(locked.now()).as_millis();
            // To the nearest second, as redis does it.
            let rounded = (ms + u128::from(unit_ms) / 2) / u128::from(unit_ms);
            i64::try_from(rounded).unwrap_or(i64::MAX)
        }
    }))
}

fn persist(call: &Call<'_>) -> Result {
    let before = call.lock().set_deadline(call.arguments[1], None);
    Ok(Reply::Integer(matches!(before, Some(Some(_))).into()))
}

fn publish(call: &Call<'_>) -> Result {
    let heard = call
        .shared
        .channels
        .publish(call.arguments[1], call.arguments[2]);
    Ok(Reply::count(heard))
}

fn select(call: &Call<'_>) -> Result {
    match integer(call.arguments[1])? {
        0 => Ok(Reply::OK),
        _ => Err(Reply::error("ERR DB index is out of range")),
    }
}

fn hello(call: &Call<'_>) -> Result {
    let mut words = call.arguments[1..].iter();
    match words.next().map(|version| number(version)) {
        None | Some(Some(2)) => {}
        Some(Some(_)) => return Err(Reply::error("NOPROTO unsupported protocol version")),
        Some(None) => {
            let text = "ERR Protocol version is not an integer or out of range";
            return Err(Reply::error(text));
        }
    }
    while let Some(word) = words.next() {
        match word.to_ascii_lowercase().as_slice() {
            // Names are for lists of clients, and there is none.
            b"setname" if words.next().is_some() => {}
            b"auth" => return Err(Reply::error("ERR there are no passwords here")),
            _ => return Err(syntax_error()),
        }
    }
    Ok(Reply::List(vec![
        Reply::text("server"),
        Reply::text("mini-kv"),
        Reply::text("version"),
        Reply::text(env!("CARGO_PKG_VERSION")),
        Reply::text("proto"),
        Reply::Integer(2),
        Reply::text("mode"),
        Reply::text("standalone"),
        Reply::text("role"),
        Reply::text("master"),
        Reply::text("modules"),
        Reply::List(Vec::new()),
    ]))
}

/// `redis-benchmark` asks for these two.
fn config(call: &Call<'_>) -> Result {
    if !call.arguments[1].eq_ignore_ascii_case(b"get") || call.arguments.len() < 3 {
        return Err(Reply::error("ERR only CONFIG GET is known here"));
    }
    let maxmemory = call.shared.memory.bytes_max().to_string();
    let known = [
        ("save", ""),
        ("appendonly", "no"),
        ("maxmemory", &maxmemory),
    ];
    let asked = known.iter().filter(|(name, _)| {
        let patterns = &mut call.arguments[2..].iter();
        let mut patterns = patterns.filter(|pattern| pattern.len() <= PATTERN_BYTES_MAX);
        patterns.any(|pattern| matches(pattern, name.as_bytes()))
    });
    let pairs = asked.flat_map(|(name, value)| [*name, *value]);
    let texts = pairs.map(|text| Reply::Bulk(Bytes::copy_from_slice(text.as_bytes())));
    Ok(Reply::List(texts.collect()))
}

fn list_commands(call: &Call<'_>) -> Result {
    let here = COMMANDS.iter().map(|command| (command.name, command.arity));
    let all = here.chain(OTHERS.iter().copied());
    let asked = call.arguments.get(1).map(|word| word.to_ascii_lowercase());
    match asked.as_deref() {
        None => Ok(Reply::List(all.map(describe).collect())),
        Some(b"count") => Ok(Reply::count(all.count())),
        // What an interactive redis-cli asks for, and does without.
        Some(b"docs") => Ok(Reply::List(Vec::new())),
        Some(_) => Err(syntax_error()),
    }
}

/// Without flags, and without saying where its keys are.
fn describe((name, arity): (&'static str, i32)) -> Reply {
    let [first, last, step] = [0, 0, 0].map(Reply::Integer);
    let (arity, flags) = (Reply::Integer(arity.into()), Reply::List(Vec::new()));
    Reply::List(vec![Reply::text(name), arity, flags, first, last, step])
}

fn info(call: &Call<'_>) -> Result {
    let shared = call.shared;
    let (keys, expires) = shared.store.len();
    let text = format!(
        "# Server\r\nredis_version:7.0.0\r\nserver_name:mini-kv\r\nuptime_in_seconds:{}\r\n\r\n\
        # Clients\r\nconnected_clients:{}\r\n\r\n\
        # Memory\r\nused_memory:{}\r\nmaxmemory:{}\r\nmaxmemory_policy:noeviction\r\n\r\n\
        # Keyspace\r\ndb0:keys={keys},expires={expires},avg_ttl=0\r\n",
        shared.started.elapsed().as_secs(),
        shared.connected.load(Ordering::Relaxed),
        shared.memory.used_bytes(),
        shared.memory.bytes_max(),
    );
    Ok(Reply::Bulk(text.into()))
}

/// What libraries say of themselves when they connect.
fn client(call: &Call<'_>) -> Result {
    match call.arguments[1].to_ascii_lowercase().as_slice() {
        b"setname" | b"setinfo" => Ok(Reply::OK),
        _ => Err(Reply::error(
            "ERR only CLIENT SETNAME and SETINFO are known here",
        )),
    }
}
