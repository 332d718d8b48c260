//! Rows of SQLite's, each read through a pool of sqlx's.
//!
//! sqlx has a thread for each connection, and gives a connection back in a task that it spawns by
//! tokio's context. On Evenkeel that is the task of another thread. One contender spawns what gives
//! it back itself.

use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use axum::Router;
use axum::extract::State;
use axum::routing::{MethodRouter, get};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{SqliteExecutor, SqlitePool};

use super::serve::{on_evenkeel, on_tokio};
use crate::closed_loop::{Protocol, generate_load};
use crate::harness::{Contender, Setup};
use crate::runtimes::{Evenkeel, Runtime, Tokio};
use crate::suites::http::Hello;

const CONNECTIONS: usize = 64;

/// Of the pool.
const CONNECTIONS_TO_DATABASE: u32 = 8;

const ROWS: u32 = 10_000;

/// Each name is as long as all others, and so is each answer.
const FILL: &str = "
    create table item (id integer primary key, name text not null);
    insert into item
        with recursive ids (id) as (select 0 union all select id + 1 from ids where id < 9999)
        select id, printf('article number %05d', id) from ids;
";

pub(super) const CONTENDERS: &[Contender] = &[
    Contender::new(Evenkeel::NAME, |setup| on_evenkeel(setup, by_the_pool)),
    Contender::new("evenkeel+return_to_pool", |setup| {
        on_evenkeel(setup, by_our_task)
    }),
    Contender::new(Tokio::NAME, |setup| on_tokio(setup, by_the_pool)),
];

async fn by_the_pool() -> Router {
    app(get(async |State(pool): State<SqlitePool>| {
        name(&pool).await.expect("a row")
    }))
    .await
}

async fn by_our_task() -> Router {
    app(get(async |State(pool): State<SqlitePool>| {
        let mut connection = pool.acquire().await.expect("a connection");
        let name = name(&mut *connection).await.expect("a row");
        // Not in sqlx's documentation, but public.
        evenkeel::spawn(connection.return_to_pool());
        name
    }))
    .await
}

async fn app(read: MethodRouter<SqlitePool>) -> Router {
    // On Evenkeel, the threads that sqlx starts are so not kept to the CPU of a worker (see
    // docs/MIGRATING.md). On tokio it changes nothing.
    let opening = tokio::spawn(open()).await.expect("a task");
    let pool = opening.expect("a database");
    Router::new().route("/", read).with_state(pool)
}

/// A pool whose connections are all open. The file has no name any more, so that none is left
/// however the process ends.
async fn open() -> Result<SqlitePool, sqlx::Error> {
    let file = env::temp_dir().join(format!("evenkeel-bench-{}.sqlite", process::id()));
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true);
    // One that ended before it could take it away may have left it.
    let _ = fs::remove_file(&file);
    // None is opened anew: it would find another file.
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS_TO_DATABASE)
        .idle_timeout(None)
        .max_lifetime(None);
    let pool = pool.connect_with(options).await?;
    sqlx::raw_sql(FILL).execute(&pool).await?;
    let mut all = Vec::new();
    for _ in 0..CONNECTIONS_TO_DATABASE {
        all.push(pool.acquire().await?);
    }
    fs::remove_file(&file)?;
    Ok(pool)
}

/// Of the next row, in turn.
fn name<'a>(
    executor: impl SqliteExecutor<'a> + 'a,
) -> impl Future<Output = Result<String, sqlx::Error>> + Send + 'a {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed) % ROWS;
    let query = sqlx::query_scalar("select name from item where id = ?1").bind(id);
    async { query.fetch_one(executor).await }
}

struct Name;

impl Protocol for Name {
    fn request(&self) -> &[u8] {
        Hello.request()
    }

    fn answer_bytes(&self, start: &[u8]) -> Option<usize> {
        Hello.answer_bytes(start)
    }

    fn is_right(&self, answer: &[u8]) -> bool {
        let name = answer.len().checked_sub("article number 00000".len());
        let name = name.map_or(answer, |start| &answer[start..]);
        answer.starts_with(b"HTTP/1.1 200 OK\r\n") && name.starts_with(b"article number ")
    }
}

pub(super) fn load(setup: &Setup) -> Result<Vec<f64>, String> {
    generate_load(&Name, CONNECTIONS, setup.window).map(|found| found.by_request())
}
