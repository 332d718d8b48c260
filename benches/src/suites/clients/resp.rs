//! A server of strings that speaks RESP, as far as `redis-benchmark -t ping,set,get` needs it.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::closed_loop::host;
use crate::harness::Setup;
use crate::runtimes::{self, Runtime, Workload};

/// Size of a connection's buffers to begin with.
const BUFFER_BYTES: usize = 4096;
/// The largest that a command may announce, and the most words that it may have.
const WORD_BYTES_MAX: usize = 1 << 20;
const WORDS_MAX: usize = 64;

type Store = Mutex<HashMap<Vec<u8>, Vec<u8>>>;

pub(in crate::suites) struct Server;

impl Workload for Server {
    fn run<R: Runtime>(setup: &Setup) -> Result<Vec<f64>, String> {
        let store = Arc::new(Store::default());
        let runtime = runtimes::start::<R>(&setup.options)?;
        host(runtimes::serve(runtime, move |stream| {
            let (stream, store) = (R::io(stream), Arc::clone(&store));
            async move {
                // The client ends it when it likes; if too early, it complains.
                let _ = converse(stream, &store).await;
            }
        })?)
    }
}

/// Answers all commands that have come with one write, until the connection ends.
async fn converse<S>(mut stream: S, store: &Store) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut input = Vec::with_capacity(BUFFER_BYTES);
    let mut output = Vec::with_capacity(BUFFER_BYTES);
    while stream.read_buf(&mut input).await? > 0 {
        let mut rest = &input[..];
        while let Some((command, after)) = command(rest)? {
            answer(&command, store, &mut output);
            rest = after;
        }
        let done = input.len() - rest.len();
        input.drain(..done);
        stream.write_all(&output).await?;
        output.clear();
    }
    Ok(())
}

/// What was parsed, and what comes after it; `None` if it is not whole yet.
type Parsed<'a, T> = io::Result<Option<(T, &'a [u8])>>;

/// The words of the first command.
fn command(input: &[u8]) -> Parsed<'_, Vec<&[u8]>> {
    let Some((count, mut rest)) = number(b'*', WORDS_MAX, input)? else {
        return Ok(None);
    };
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let Some((length, after)) = number(b'$', WORD_BYTES_MAX, rest)? else {
            return Ok(None);
        };
        let Some((word, after)) = after.split_at_checked(length) else {
            return Ok(None);
        };
        let Some((_, after)) = after.split_at_checked(b"\r\n".len()) else {
            return Ok(None);
        };
        words.push(word);
        rest = after;
    }
    Ok(Some((words, rest)))
}

/// The number of a line that begins with this sign.
fn number(sign: u8, max: usize, input: &[u8]) -> Parsed<'_, usize> {
    let Some(end) = input.iter().position(|&byte| byte == b'\n') else {
        return Ok(None);
    };
    let line = input[..end].strip_suffix(b"\r");
    let digits = line.and_then(|line| line.strip_prefix(&[sign]));
    let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    match number {
        Some(number) if number <= max => Ok(Some((number, &input[end + 1..]))),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn answer(words: &[&[u8]], store: &Store, output: &mut Vec<u8>) {
    let Some((name, arguments)) = words.split_first() else {
        return;
    };
    match (name.to_ascii_uppercase().as_slice(), arguments) {
        (b"SET", [key, value, ..]) => {
            let mut store = store.lock().expect("no holder panics");
            store.insert(key.to_vec(), value.to_vec());
            output.extend(b"+OK\r\n");
        }
        (b"GET", [key]) => match store.lock().expect("no holder panics").get(*key) {
            Some(value) => bulk(value, output),
            None => output.extend(b"$-1\r\n"),
        },
        (b"PING", []) => output.extend(b"+PONG\r\n"),
        // A setting that is asked for is there, and empty.
        (b"CONFIG", [_, setting]) => {
            output.extend(b"*2\r\n");
            bulk(setting, output);
            bulk(b"", output);
        }
        (b"COMMAND", _) => output.extend(b"*0\r\n"),
        _ => output.extend(b"-ERR unknown command\r\n"),
    }
}

fn bulk(value: &[u8], output: &mut Vec<u8>) {
    output.extend(format!("${}\r\n", value.len()).as_bytes());
    output.extend(value);
    output.extend(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is answered to this, which comes in pieces of so many bytes.
    fn answers(input: &[u8], piece_bytes: usize) -> io::Result<String> {
        let store = Store::default();
        futures_lite::future::block_on(async {
            let (client, server) = tokio::io::duplex(1 << 16);
            let (mut reader, mut writer) = tokio::io::split(client);
            let server = converse(server, &store);
            let client = async {
                for piece in input.chunks(piece_bytes) {
                    writer.write_all(piece).await?;
                    futures_lite::future::yield_now().await;
                }
                writer.shutdown().await
            };
            let (served, told) = futures_lite::future::zip(server, client).await;
            told.and(served)?;
            let mut answers = String::new();
            reader.read_to_string(&mut answers).await?;
            Ok(answers)
        })
    }

    const PIPELINE: &[u8] =
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n*2\r\n$3\r\nget\r\n$1\r\nk\r\n\
        *2\r\n$3\r\nGET\r\n$1\r\nl\r\n*1\r\n$4\r\nPING\r\n";

    #[test]
    fn a_pipeline_is_answered_in_its_order_however_it_is_cut() {
        for piece_bytes in 1..=PIPELINE.len() {
            let answers = answers(PIPELINE, piece_bytes).unwrap();
            assert_eq!(answers, "+OK\r\n$4\r\na\r\nb\r\n$-1\r\n+PONG\r\n");
        }
    }

    #[test]
    fn what_a_client_asks_first_has_an_answer() {
        let config = b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$4\r\nsave\r\n";
        assert_eq!(
            answers(config, 64).unwrap(),
            "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"
        );
        assert_eq!(answers(b"*1\r\n$7\r\nCOMMAND\r\n", 64).unwrap(), "*0\r\n");
        let unknown = answers(b"*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n", 64).unwrap();
        assert!(unknown.starts_with("-ERR"));
    }

    #[test]
    fn what_is_no_command_ends_the_connection() {
        for wrong in [
            "PING\r\n",
            "*1\r\n+PING\r\n",
            "*1\n",
            "*-1\r\n",
            "*1\r\n$99999999\r\n",
        ] {
            let error = answers(wrong.as_bytes(), 64).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{wrong}");
        }
    }
}
