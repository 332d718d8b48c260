//! Requests and responses: what hyper leaves to its user.

use std::time::Duration;

use evenkeel::time::timeout;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

/// Of a refused request, what is read to be thrown away.
const DISCARD_BYTES_MAX: u64 = 32 << 20;
const DISCARD_TIME_MAX: Duration = Duration::from_secs(5);

/// An answer other than the one that was asked for, as the error of a handler.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    text: &'static str,
    header: Option<(HeaderName, &'static str)>,
}

impl Refusal {
    /// A refusal, with a line of text for a person to read.
    pub fn new(status: StatusCode, text: &'static str) -> Self {
        Self {
            status,
            text,
            header: None,
        }
    }

    /// Adds a header.
    #[must_use = "the header is added to the value that is returned"]
    pub fn with(self, name: HeaderName, value: &'static str) -> Self {
        Self {
            header: Some((name, value)),
            ..self
        }
    }

    /// Its status, text and header, for an answer of another form.
    pub fn into_parts(self) -> (StatusCode, &'static str, Option<(HeaderName, &'static str)>) {
        (self.status, self.text, self.header)
    }

    /// The response to send, after the rest of the request's `body` has been read and thrown away:
    /// a connection that is closed while the client still sends is reset, and then many clients
    /// never see the answer.
    pub async fn into_response(self, head: &Parts, body: Incoming) -> Response<Full<Bytes>> {
        // A client that sends `Expect` waits for a word before it sends the body; another one is
        // just stuck.
        let comes = !head.headers.contains_key(header::EXPECT)
            && self.status != StatusCode::REQUEST_TIMEOUT
            && body.size_hint().lower() <= DISCARD_BYTES_MAX;
        if comes {
            let _ = timeout(DISCARD_TIME_MAX, discard(body)).await;
        }
        let mut response = text(self.status, format!("{}\n", self.text));
        if let Some((name, value)) = self.header {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

async fn discard(mut body: Incoming) {
    let mut seen = 0;
    while seen <= DISCARD_BYTES_MAX
        && let Some(Ok(frame)) = body.frame().await
    {
        seen += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
}

/// A response of plain text.
pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// Checks the method of a request for a path that exists. `allowed` is as in the `Allow` header:
/// `"GET, HEAD"`.
///
/// # Errors
///
/// 405 with `Allow`.
pub fn require_method(method: &Method, allowed: &'static str) -> Result<(), Refusal> {
    if allowed
        .split(", ")
        .any(|allowed| allowed == method.as_str())
    {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path has no such method",
    )
    .with(header::ALLOW, allowed))
}

/// Reads the whole body of a request.
///
/// # Errors
///
/// 413 if it is longer than `bytes_max`, 408 if it takes longer than `time_max`, 400 if it breaks
/// off.
pub async fn read_body(
    body: &mut Incoming,
    bytes_max: usize,
    time_max: Duration,
) -> Result<Bytes, Refusal> {
    let too_large = || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    match timeout(time_max, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Refusal::new(StatusCode::BAD_REQUEST, "a broken body")),
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not come in time",
        )),
    }
}
