//! Requests and responses: what hyper leaves to its user.

use std::time::Duration;

use evenkeel::time::timeout;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

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

    /// The response to send.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = text(self.status, format!("{}\n", self.text));
        if let Some((name, value)) = self.header {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
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

/// Checks the method of a request for a path that exists. `allowed` is as in the `Allow` header: `"GET, HEAD"`.
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

/// A body longer than this many times its limit is not even read to be thrown away.
const DISCARD_FACTOR: usize = 4;

/// Reads the whole body of a request.
///
/// # Errors
///
/// 413 if it is longer than `bytes_max`, 408 if it takes longer than `time_max`, 400 if it breaks off.
pub async fn read_body(
    request: Request<Incoming>,
    bytes_max: usize,
    time_max: Duration,
) -> Result<Bytes, Refusal> {
    let announced = usize::try_from(request.body().size_hint().lower()).unwrap_or(usize::MAX);
    // A client that sends `Expect` waits for a word before it sends the body.
    let discard_max = if request.headers().contains_key(header::EXPECT) {
        bytes_max
    } else {
        bytes_max.saturating_mul(DISCARD_FACTOR)
    };
    if announced > discard_max {
        return Err(too_large());
    }
    timeout(
        time_max,
        collect(request.into_body(), bytes_max, discard_max),
    )
    .await
    .unwrap_or_else(|_| {
        Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body has not arrived in time",
        ))
    })
}

/// Keeps up to `bytes_max` bytes, and reads up to `discard_max`: a connection that is closed while the client
/// still sends is reset, and then many clients never see the answer.
async fn collect(
    mut body: Incoming,
    bytes_max: usize,
    discard_max: usize,
) -> Result<Bytes, Refusal> {
    let mut bytes = Vec::new();
    let mut seen: usize = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "a broken body"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        seen += data.len();
        if seen <= bytes_max {
            bytes.extend_from_slice(&data);
        } else if seen > discard_max {
            break;
        } else {
            bytes = Vec::new();
        }
    }
    if seen > bytes_max {
        Err(too_large())
    } else {
        Ok(bytes.into())
    }
}

fn too_large() -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
}
