//! Accounts and sessions, with the libraries that such services are made of: axum, sqlx, reqwest.
//!
//! It shows other people's libraries side by side on this runtime. axum's router is called by the
//! server of these examples, so every handler runs on Evenkeel's workers. sqlx and reqwest need a
//! runtime of tokio's, and find the small one that stands behind Evenkeel's; what they spawn
//! themselves runs there. Passwords are hashed with argon2 on the compute lane, behind a
//! [`Gate`], so a flood of logins delays nobody but those who log in.
//!
//! | request | what it needs | answer |
//! |---|---|---|
//! | `POST /users` | `{"name": .., "password": ..}` | 201; 409: taken, 422: leaked |
//! | `POST /sessions` | the same | 201 with `{"token": .., "expires_in_s": ..}`; 401 |
//! | `GET /me` | `Authorization: Bearer TOKEN` | 200 with `{"name": ..}`; 401 |
//! | `DELETE /sessions` | the same | 204; 401 |
//! | `GET /healthz` | | 200 |
//!
//! Whatever goes wrong, the answer is `{"error": ..}`.

mod error;
mod leaked;
mod store;

use std::sync::Arc;
use std::time::Duration;

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Json, Request, State};
use axum::routing::{get, post};
use axum::{Router, body::Body};
use evenkeel::net::TcpListener;
use evenkeel::time::timeout;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tower_service::Service as _;

use crate::gate::Gate;
use crate::server::{self, Limits};
use error::ApiError;
use leaked::Leaked;
use store::{Store, Token};

const BODY_BYTES_MAX: usize = 8 * 1024;
const NAME_CHARS_MAX: usize = 32;
const PASSWORD_CHARS_MIN: usize = 8;

/// What a [`Server`] is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// The database of SQLite, which is made if it is not there.
    pub database: String,
    /// The service that knows which passwords have leaked, if there is one:
    /// `http://host/range/` and five hexadecimal digits of a password's SHA-1 give the others of
    /// all that begin with them. (For `https`, give reqwest one of its features for it.)
    pub leaked_url: Option<String>,
    /// How long that service may take.
    pub leaked_time_max: Duration,
    /// How long a session lasts.
    pub session_time: Duration,
    /// How passwords are hashed.
    pub argon2: Argon2<'static>,
    /// Passwords that are hashed at the same time.
    pub hashes_max: usize,
    /// Requests that wait for that; further ones are refused.
    pub waiting_max: usize,
    /// How long the body of a request may take.
    pub body_time_max: Duration,
}

impl Config {
    /// The defaults: a hash for each thread of the compute lane, a second's worth of requests that
    /// wait, sessions of a day, no service for leaked passwords.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn new(database: impl Into<String>) -> Self {
        Self {
            database: database.into(),
            leaked_url: None,
            leaked_time_max: Duration::from_secs(3),
            session_time: Duration::from_secs(24 * 60 * 60),
            argon2: Argon2::default(),
            hashes_max: evenkeel::runtime::Handle::current().compute_threads(),
            waiting_max: 50,
            body_time_max: Duration::from_secs(10),
        }
    }
}

/// What all requests share.
struct Api {
    store: Store,
    leaked: Option<Leaked>,
    gate: Gate,
    argon2: Argon2<'static>,
    /// Verified in place of the hash of a user who does not exist: an answer that comes at once
    /// would tell who has an account.
    nobody: String,
    body_time_max: Duration,
}

type Shared = State<Arc<Api>>;

/// A server whose database is open.
pub struct Server {
    api: Arc<Api>,
}

impl Server {
    /// Opens the database.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or there is a URL that is none.
    pub async fn open(config: Config) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let leaked = match &config.leaked_url {
            Some(url) => Some(Leaked::new(url, config.leaked_time_max)?),
            None => None,
        };
        let argon2 = config.argon2.clone();
        let nobody = evenkeel::spawn_compute(move || hash(&argon2, "")).await??;
        let api = Api {
            store: Store::open(&config.database, config.session_time).await?,
            leaked,
            gate: Gate::new(config.hashes_max, config.waiting_max),
            argon2: config.argon2,
            nobody,
            body_time_max: config.body_time_max,
        };
        Ok(Self { api: Arc::new(api) })
    }

    /// Serves on `listener` until `stop` completes, and then finishes the requests in flight and
    /// closes the database.
    pub async fn serve(
        self,
        listener: TcpListener,
        limits: Limits,
        stop: impl Future<Output = ()> + Send + 'static,
    ) {
        let router = router(self.api.clone());
        let handler = move |request: hyper::Request<Incoming>| {
            let mut router = router.clone();
            async move {
                let response: Result<Response<Body>, _> = router.call(request).await;
                response.unwrap_or_else(|never| match never {})
            }
        };
        server::serve(listener, limits, handler, stop).await;
        self.api.store.close().await;
    }
}

fn router(api: Arc<Api>) -> Router {
    let nothing = || async { ApiError::new(StatusCode::NOT_FOUND, "no such path") };
    let not_so = || async {
        let text = "this path has no such method";
        ApiError::new(StatusCode::METHOD_NOT_ALLOWED, text)
    };
    Router::new()
        .route("/healthz", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/users", post(register))
        .route("/sessions", post(log_in).delete(log_out))
        .route("/me", get(me))
        .fallback(nothing)
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(api)
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

/// The body of a request, as JSON, within its limits.
struct Input<T>(T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Input<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, ApiError> {
        let read = Json::<T>::from_request(request, api);
        let late = |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
        let Json(input) = timeout(api.body_time_max, read).await.map_err(late)??;
        Ok(Self(input))
    }
}

/// Whoever has a session that lasts.
struct Session {
    token: Token,
    name: String,
}

impl FromRequestParts<Arc<Api>> for Session {
    type Rejection = ApiError;

    async fn from_request_parts(head: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        let none = || {
            ApiError::new(StatusCode::UNAUTHORIZED, "no such session")
                .with(header::WWW_AUTHENTICATE, "Bearer")
        };
        let value = head.headers.get(header::AUTHORIZATION);
        let value = value.and_then(|value| value.to_str().ok());
        let (scheme, token) = value
            .and_then(|value| value.split_once(' '))
            .ok_or_else(none)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(none());
        }
        let token = Token::parse(token).ok_or_else(none)?;
        let name = api.store.session(&token).await?.ok_or_else(none)?;
        Ok(Self { token, name })
    }
}

async fn register(
    State(api): Shared,
    Input(Credentials { name, password }): Input<Credentials>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    check_form(&name, &password)?;
    // The place comes first: whoever is refused need not be asked about.
    let place = api.gate.try_enter()?;
    if let Some(leaked) = &api.leaked
        && leaked.contains(&password).await?
    {
        let text = "this password has leaked; choose another one";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    let argon2 = api.argon2.clone();
    let hashed = place.compute(move || hash(&argon2, &password)).await?;
    let hashed = hashed.map_err(ApiError::inside)?;
    if !api.store.add_user(&name, &hashed).await? {
        return Err(ApiError::new(StatusCode::CONFLICT, "this name is taken"));
    }
    Ok((StatusCode::CREATED, Json(json!({"name": name}))))
}

async fn log_in(
    State(api): Shared,
    Input(Credentials { name, password }): Input<Credentials>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let place = api.gate.try_enter()?;
    let user = api.store.user(&name).await?;
    let (id, hashed) = match user {
        Some((id, hashed)) => (Some(id), hashed),
        None => (None, api.nobody.clone()),
    };
    let argon2 = api.argon2.clone();
    // The parameters are those of the hash, if they have been others once.
    let verify = move || {
        argon2
            .verify_password(password.as_bytes(), hashed.as_str())
            .is_ok()
    };
    let (true, Some(id)) = (place.compute(verify).await?, id) else {
        let wrong = ApiError::new(StatusCode::UNAUTHORIZED, "wrong name or password");
        return Err(wrong.with(header::WWW_AUTHENTICATE, "Bearer"));
    };
    let token = Token::random().map_err(ApiError::inside)?;
    let expires_in = api.store.add_session(&token, id).await?;
    let answer = json!({"token": token.to_string(), "expires_in_s": expires_in.as_secs()});
    Ok((StatusCode::CREATED, Json(answer)))
}

async fn me(session: Session) -> Json<Value> {
    Json(json!({"name": session.name}))
}

async fn log_out(State(api): Shared, session: Session) -> Result<StatusCode, ApiError> {
    api.store.remove_session(&session.token).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn check_form(name: &str, password: &str) -> Result<(), ApiError> {
    let chars = name.chars();
    let text = if !(1..=NAME_CHARS_MAX).contains(&chars.clone().count()) {
        "a name has 1 to 32 characters"
    } else if chars.clone().any(char::is_control) || name.trim() != name {
        "a name has no control characters, and no spaces around it"
    } else if password.chars().count() < PASSWORD_CHARS_MIN {
        "a password has 8 characters or more"
    } else {
        return Ok(());
    };
    Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, text))
}

/// Computes for some 20 ms with the default parameters: for the compute lane.
fn hash(argon2: &Argon2<'_>, password: &str) -> Result<String, argon2::password_hash::Error> {
    Ok(argon2.hash_password(password.as_bytes())?.to_string())
}
