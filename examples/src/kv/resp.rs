//! RESP 2: requests as they come in piece by piece, and replies.

use std::fmt::Write as _;
use std::ops::Range;

use bytes::Bytes;

/// Of an inline command, and of the line with a number.
const LINE_BYTES_MAX: usize = 64 * 1024;
const NUMBER_BYTES_MAX: usize = 32;
/// Of the arguments of a command, what is kept room for before they are there.
const ARGUMENTS_AT_ONCE: usize = 16;

/// How much one request may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestLimits {
    pub(super) arguments_max: usize,
    /// Of one argument.
    pub(super) argument_bytes_max: usize,
    /// Of a whole request.
    pub(super) request_bytes_max: usize,
}

/// Why the rest of a connection cannot be understood; in the words of redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProtocolError(pub(super) String);

fn broken<T>(text: impl Into<String>) -> Result<T, ProtocolError> {
    Err(ProtocolError(text.into()))
}

/// Where the arguments of a request are in its bytes.
#[derive(Debug)]
pub(super) struct Request {
    /// Of the input, all of the request.
    pub(super) len: usize,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Ranges(Vec<Range<usize>>),
    /// An inline command may have quoted arguments, which are not in the input as they are.
    Inline(Vec<Vec<u8>>),
}

impl Request {
    /// The arguments, the first of which is the name of the command. It may have none at all.
    pub(super) fn arguments<'a>(&'a self, input: &'a [u8]) -> Vec<&'a [u8]> {
        match &self.place {
            Place::Ranges(ranges) => ranges.iter().map(|range| &input[range.clone()]).collect(),
            Place::Inline(arguments) => arguments.iter().map(Vec::as_slice).collect(),
        }
    }
}

/// Reads requests. What has been read of one that is not complete is not read again, so a request
/// of many pieces costs no more than one of a single piece.
#[derive(Debug)]
pub(super) struct Parser {
    limits: RequestLimits,
    /// The arguments of this request that are complete.
    ranges: Vec<Range<usize>>,
    /// Further ones, once the first line has been read.
    left: Option<usize>,
    /// The length of the argument whose first line has been read.
    argument_len: Option<usize>,
    /// What has been read of the input.
    at: usize,
}

impl Parser {
    pub(super) fn new(limits: RequestLimits) -> Self {
        Self {
            limits,
            ranges: Vec::new(),
            left: None,
            argument_len: None,
            at: 0,
        }
    }

    /// The memory that the incomplete request takes here, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.ranges.capacity() * size_of::<Range<usize>>()
    }

    /// The next request, if all of it is there. The input begins with what followed the last one.
    pub(super) fn next(&mut self, input: &[u8]) -> Result<Option<Request>, ProtocolError> {
        let Some(left) = self.left else {
            return self.first_line(input);
        };
        let mut left = left;
        while left > 0 {
            let Some(range) = self.argument(input)? else {
                self.left = Some(left);
                return Ok(None);
            };
            self.ranges.push(range);
            left -= 1;
        }
        self.left = None;
        let ranges = std::mem::take(&mut self.ranges);
        Ok(Some(self.complete(Place::Ranges(ranges))))
    }

    fn complete(&mut self, place: Place) -> Request {
        let len = std::mem::take(&mut self.at);
        Request { len, place }
    }

    fn first_line(&mut self, input: &[u8]) -> Result<Option<Request>, ProtocolError> {
        if input.first() != Some(&b'*') {
            let Some(line) = self.line(input, LINE_BYTES_MAX, "too big inline request")? else {
                return Ok(None);
            };
            let Some(arguments) = split_line(line) else {
                return broken("unbalanced quotes in request");
            };
            return Ok(Some(self.complete(Place::Inline(arguments))));
        }
        let Some(line) = self.line(input, NUMBER_BYTES_MAX, "too big mbulk count string")? else {
            return Ok(None);
        };
        let count = match number(&line[1..]) {
            Some(count) if count <= 0 => 0,
            Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
            None => return broken("invalid multibulk length"),
        };
        if count > self.limits.arguments_max {
            return broken("invalid multibulk length");
        }
        self.ranges.reserve(count.min(ARGUMENTS_AT_ONCE));
        self.left = Some(count);
        self.next(input)
    }

    fn argument(&mut self, input: &[u8]) -> Result<Option<Range<usize>>, ProtocolError> {
        let len = match self.argument_len {
            Some(len) => len,
            None => {
                let Some(line) = self.line(input, NUMBER_BYTES_MAX, "too big bulk count string")?
                else {
                    return Ok(None);
                };
                let Some(b'$') = line.first() else {
                    let byte = line.first().copied().unwrap_or(b'\r');
                    return broken(format!("expected '$', got '{}'", byte.escape_ascii()));
                };
                let len = number(&line[1..]).and_then(|len| usize::try_from(len).ok());
                let Some(len) = len.filter(|&len| len <= self.limits.argument_bytes_max) else {
                    return broken("invalid bulk length");
                };
                if self.at + len > self.limits.request_bytes_max {
                    return broken("too big request");
                }
                *self.argument_len.insert(len)
            }
        };
        let range = self.at..self.at + len;
        match input.get(range.end..range.end + 2) {
            None => Ok(None),
            Some(b"\r\n") => {
                self.argument_len = None;
                self.at = range.end + 2;
                Ok(Some(range))
            }
            Some(_) => broken("expected CR and LF after an argument"),
        }
    }

    /// A line without its end, if it is there. It may end with LF alone.
    fn line<'a>(
        &mut self,
        input: &'a [u8],
        bytes_max: usize,
        too_big: &str,
    ) -> Result<Option<&'a [u8]>, ProtocolError> {
        let rest = &input[self.at..];
        let within = &rest[..rest.len().min(bytes_max)];
        let Some(len) = within.iter().position(|&byte| byte == b'\n') else {
            return if within.len() == bytes_max {
                broken(too_big)
            } else {
                Ok(None)
            };
        };
        self.at += len + 1;
        let line = &within[..len];
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }
}

/// A number as redis writes them: no sign but `-`, no spaces, no zeros in front.
pub(super) fn number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        b"0" => text.len() == 1,
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    std::str::from_utf8(text)
        .ok()
        .filter(|_| canonical)?
        .parse()
        .ok()
}

/// The words of an inline command. In `"..."` there may be escapes, in `'...'` only `\'`.
/// `None` if a quote is not closed, or something follows it directly.
fn split_line(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut bytes = line.iter().copied().peekable();
    let mut words = Vec::new();
    loop {
        while bytes.next_if(u8::is_ascii_whitespace).is_some() {}
        let Some(&first) = bytes.peek() else {
            return Some(words);
        };
        let mut word = Vec::new();
        if first == b'"' || first == b'\'' {
            bytes.next();
            while let Some(byte) = bytes.next_if(|&byte| byte != first) {
                word.push(match (byte, first) {
                    (b'\\', b'"') => escaped(&mut bytes)?,
                    (b'\\', _) => bytes.next_if_eq(&b'\'').unwrap_or(b'\\'),
                    _ => byte,
                });
            }
            bytes.next()?;
            if bytes.peek().is_some_and(|byte| !byte.is_ascii_whitespace()) {
                return None;
            }
        } else {
            while let Some(byte) = bytes.next_if(|byte| !byte.is_ascii_whitespace()) {
                word.push(byte);
            }
        }
        words.push(word);
    }
}

/// What follows a backslash.
fn escaped(bytes: &mut (impl Iterator<Item = u8> + Clone)) -> Option<u8> {
    Some(match bytes.next()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        b'x' => {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let mut ahead = bytes.clone();
            match (digit(ahead.next()), digit(ahead.next())) {
                (Some(high), Some(low)) => {
                    *bytes = ahead;
                    u8::try_from(high * 16 + low).ok()?
                }
                _ => b'x',
            }
        }
        other => other,
    })
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Status(&'static str),
    /// With its code: `ERR syntax error`.
    Error(String),
    Integer(i64),
    Bulk(Bytes),
    Nil,
    List(Vec<Reply>),
}

impl Reply {
    pub(super) const OK: Self = Self::Status("OK");

    pub(super) fn error(text: impl Into<String>) -> Self {
        Self::Error(text.into())
    }

    pub(super) fn text(text: &'static str) -> Self {
        Self::Bulk(Bytes::from_static(text.as_bytes()))
    }

    pub(super) fn optional(value: Option<Bytes>) -> Self {
        value.map_or(Self::Nil, Self::Bulk)
    }

    pub(super) fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Appends the beginning of the reply to `out`: of a list, its length; of a bulk of more than
    /// `bulk_bytes_max`, the same; of all else, everything.
    pub(super) fn write_head(&self, bulk_bytes_max: usize, out: &mut Vec<u8>) {
        match self {
            Self::Status(text) => line(out, format_args!("+{text}")),
            Self::Error(text) => {
                // Text of the client's must not end the line.
                let text = text.replace(['\r', '\n'], " ");
                line(out, format_args!("-{text}"));
            }
            Self::Integer(number) => line(out, format_args!(":{number}")),
            Self::Bulk(value) => {
                line(out, format_args!("${}", value.len()));
                if value.len() <= bulk_bytes_max {
                    out.extend_from_slice(value);
                    out.extend_from_slice(b"\r\n");
                }
            }
            Self::Nil => out.extend_from_slice(b"$-1\r\n"),
            Self::List(members) => line(out, format_args!("*{}", members.len())),
        }
    }

    /// Appends all of the reply to `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.write_head(usize::MAX, out);
        if let Self::List(members) = self {
            members.iter().for_each(|member| member.write(out));
        }
    }
}

fn line(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    struct Utf8<'a>(&'a mut Vec<u8>);
    impl std::fmt::Write for Utf8<'_> {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    let written = Utf8(out).write_fmt(text);
    written.expect("a vector takes everything");
    out.extend_from_slice(b"\r\n");
}
