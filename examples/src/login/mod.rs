//! Logins against argon2 hashes, a health check, and a folder of files.
//!
//! Hashing a password is meant to be expensive: some 20 ms and 19 MiB each. Here it happens on the
//! compute lane, so that `/healthz` and the files answer during a flood of logins as they do
//! without one, and behind a [`Gate`], so that the flood does not take all the memory.

mod files;
mod users;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{Either, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, header};
use serde::Deserialize;

use crate::gate::Gate;
use crate::http::{Refusal, read_body, require_method, text};

pub use files::FileBody;
pub use users::{Users, UsersError};

/// More than any form needs.
const LOGIN_BYTES_MAX: usize = 8 * 1024;

/// The body of a response: a text, or a file.
pub type Body = Either<Full<Bytes>, FileBody>;

/// What a [`Login`] is made of.
#[derive(Debug)]
pub struct Config {
    /// Who may log in.
    pub users: Users,
    /// The folder of the files, all of which are public.
    pub dir: PathBuf,
    /// Passwords that are hashed at the same time.
    pub hashes_max: usize,
    /// Logins that wait for their hash; further ones are refused.
    pub waiting_max: usize,
    /// How long the body of a request may take.
    pub body_time_max: Duration,
}

impl Config {
    /// The defaults: a hash for each thread of the compute lane, and a second's worth of logins
    /// that wait.
    pub fn new(users: Users, dir: impl Into<PathBuf>) -> Self {
        Self {
            users,
            dir: dir.into(),
            hashes_max: evenkeel::runtime::Handle::current().compute_threads(),
            waiting_max: 50,
            body_time_max: Duration::from_secs(10),
        }
    }
}

/// The service.
#[derive(Debug)]
pub struct Login {
    users: Arc<Users>,
    dir: Arc<PathBuf>,
    gate: Gate,
    body_time_max: Duration,
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

impl Login {
    /// The service for [`server::serve`](crate::server::serve).
    ///
    /// # Errors
    ///
    /// If the folder is not there.
    pub fn new(config: Config) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            users: Arc::new(config.users),
            dir: Arc::new(config.dir.canonicalize()?),
            gate: Gate::new(config.hashes_max, config.waiting_max),
            body_time_max: config.body_time_max,
        }))
    }

    /// Answers a request.
    pub async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        let mut response = match self.route(&head, &mut body).await {
            Ok(response) => response,
            Err(refusal) => refusal.into_response(&head, body).await.map(Either::Left),
        };
        if head.method == Method::HEAD {
            if let Some(len) = response.body().size_hint().exact() {
                response
                    .headers_mut()
                    .insert(header::CONTENT_LENGTH, len.into());
            }
            *response.body_mut() = Either::Left(Full::default());
        }
        response
    }

    async fn route(&self, head: &Parts, body: &mut Incoming) -> Result<Response<Body>, Refusal> {
        match head.uri.path() {
            "/login" => {
                require_method(&head.method, "POST")?;
                self.login(head, body).await
            }
            "/healthz" => {
                require_method(&head.method, "GET, HEAD")?;
                Ok(text(StatusCode::OK, "ok").map(Either::Left))
            }
            path => {
                let Some(name) = path.strip_prefix("/files/") else {
                    return Err(Refusal::new(StatusCode::NOT_FOUND, "no such path"));
                };
                require_method(&head.method, "GET, HEAD")?;
                Ok(files::get(self.dir.clone(), name).await?.map(Either::Right))
            }
        }
    }

    async fn login(&self, head: &Parts, body: &mut Incoming) -> Result<Response<Body>, Refusal> {
        // A form of another site cannot send this type without asking first.
        if !is_json(head) {
            let text = "send application/json";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        let body = read_body(body, LOGIN_BYTES_MAX, self.body_time_max).await?;
        let Credentials { user, password } = serde_json::from_slice(&body).map_err(|_| {
            let text = r#"send {"user": "...", "password": "..."}"#;
            Refusal::new(StatusCode::BAD_REQUEST, text)
        })?;
        let users = self.users.clone();
        let verify = move || users.verify(&user, &password).then_some(user);
        match self.gate.try_enter()?.compute(verify).await? {
            Some(user) => Ok(text(StatusCode::OK, format!("welcome, {user}\n")).map(Either::Left)),
            // HTTP wants a challenge with this status; browsers do nothing about a scheme they do
            // not know.
            None => Err(
                Refusal::new(StatusCode::UNAUTHORIZED, "wrong user or password")
                    .with(header::WWW_AUTHENTICATE, "Json realm=\"login\""),
            ),
        }
    }
}

fn is_json(head: &Parts) -> bool {
    let content_type = head.headers.get(header::CONTENT_TYPE);
    content_type
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            let media_type = value.split(';').next().unwrap_or_default();
            media_type.trim().eq_ignore_ascii_case("application/json")
        })
}
