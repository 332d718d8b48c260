//! Errors, as JSON.

use std::error::Error;

use axum::extract::Json;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::json;

use crate::http::Refusal;

/// An answer other than the one that was asked for.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    text: String,
    header: Option<(HeaderName, &'static str)>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            header: None,
        }
    }

    pub(super) fn with(self, name: HeaderName, value: &'static str) -> Self {
        Self {
            header: Some((name, value)),
            ..self
        }
    }

    /// What the client can do nothing about, and need not know.
    pub(super) fn inside(error: impl Error) -> Self {
        eprintln!("a request has failed: {error}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "something is broken here",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Json(json!({"error": self.text}));
        let mut response = (self.status, body).into_response();
        if let Some((name, value)) = self.header {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (status, text, header) = refusal.into_parts();
        Self {
            header,
            ..Self::new(status, text)
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            // All connections to the database are in use.
            sqlx::Error::PoolTimedOut => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests, try again",
            )
            .with(hyper::header::RETRY_AFTER, "1"),
            error => Self::inside(error),
        }
    }
}
