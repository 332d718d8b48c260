//! works: sqlx (PostgreSQL)
//! by: tokio-rt
//! tested: TCP and Unix sockets, pool, transactions, prepared statements, concurrent writers,
//! streamed rows, `LISTEN`, queries that are dropped, a backend that goes away, the end of the
//! runtime with connections in use
//! threads: queries where they are awaited; events of the sockets and the pool's own tasks on the
//! thread of the small runtime
//!
//! The server is a PostgreSQL of the test's own, in a temporary folder.

mod support;

use futures_util::TryStreamExt;
use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};
use sqlx::{Connection, Error, PgConnection};
use std::future::Future;
use std::time::Duration;
use support::postgres::Postgres;
use support::{everywhere, run, runtime, until, watchdog};

/// Runs a test with the address of a server, if there is one.
fn with_server<F: Future<Output = ()>>(body: impl FnOnce(String) -> F + Send + 'static) {
    if let Some(server) = Postgres::shared() {
        let url = server.url();
        run(move || body(url));
        drop(server);
    }
}

async fn pool(url: &str, connections: u32) -> PgPool {
    let options = PgPoolOptions::new().max_connections(connections);
    options.connect(url).await.unwrap()
}

/// A table of this name with one counter.
async fn counter(pool: &PgPool, table: &str) {
    let make = format!("CREATE TABLE {table} (value BIGINT); INSERT INTO {table} VALUES (0)");
    sqlx::raw_sql(&make).execute(pool).await.unwrap();
}

async fn count_up(pool: &PgPool, table: &str) -> Result<(), Error> {
    let mut transaction = pool.begin().await?;
    let read = format!("SELECT value FROM {table} FOR UPDATE");
    let value: i64 = sqlx::query_scalar(&read)
        .fetch_one(&mut *transaction)
        .await?;
    let write = format!("UPDATE {table} SET value = $1");
    sqlx::query(&write)
        .bind(value + 1)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

async fn value(pool: &PgPool, table: &str) -> i64 {
    let read = format!("SELECT value FROM {table}");
    sqlx::query_scalar(&read).fetch_one(pool).await.unwrap()
}

#[test]
fn queries_are_answered_over_tcp_and_over_a_unix_socket() {
    let Some(server) = Postgres::shared() else {
        return;
    };
    let urls = [server.url(), server.url_of_socket()];
    run(|| async {
        for url in urls {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            let query = sqlx::query_as("SELECT $1 + 1, 'x' || $2")
                .bind(1_i64)
                .bind("y");
            let row: (i64, String) = query.fetch_one(&mut connection).await.unwrap();
            assert_eq!(row, (2, "xy".to_owned()));
            connection.close().await.unwrap();
        }
    });
    drop(server);
}

#[test]
fn transactions_are_committed_wherever_they_are_made() {
    with_server(|url| async move {
        let pool = pool(&url, 4).await;
        counter(&pool, "everywhere").await;
        let shared = pool.clone();
        everywhere(move || {
            let pool = shared.clone();
            async move { count_up(&pool, "everywhere").await.unwrap() }
        })
        .await;
        assert_eq!(value(&pool, "everywhere").await, 6);
        pool.close().await;
    });
}

#[test]
fn writers_in_many_tasks_do_not_lose_anything() {
    with_server(|url| async move {
        let pool = pool(&url, 8).await;
        counter(&pool, "writers").await;
        let tasks: Vec<_> = (0..32)
            .map(|_| {
                let pool = pool.clone();
                evenkeel::spawn(async move {
                    for _ in 0..10 {
                        count_up(&pool, "writers").await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(value(&pool, "writers").await, 320);
        pool.close().await;
    });
}

#[test]
fn a_transaction_that_is_dropped_or_aborted_leaves_nothing() {
    with_server(|url| async move {
        let pool = pool(&url, 1).await;
        counter(&pool, "rollback").await;
        let change = "UPDATE rollback SET value = 7";
        let mut transaction = pool.begin().await.unwrap();
        sqlx::query(change)
            .execute(&mut *transaction)
            .await
            .unwrap();
        drop(transaction);
        assert_eq!(value(&pool, "rollback").await, 0);

        let (changed, wait) = evenkeel::sync::oneshot::channel();
        let shared = pool.clone();
        let task = evenkeel::spawn(async move {
            let mut transaction = shared.begin().await.unwrap();
            sqlx::query(change)
                .execute(&mut *transaction)
                .await
                .unwrap();
            changed.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        wait.await.unwrap();
        task.abort();
        assert_eq!(value(&pool, "rollback").await, 0);
    });
}

#[test]
fn rows_are_streamed() {
    with_server(|url| async move {
        let pool = pool(&url, 1).await;
        let query = "SELECT i FROM generate_series(1::bigint, 50000) AS i";
        let mut rows = sqlx::query_scalar::<_, i64>(query).fetch(&pool);
        let mut sum = 0;
        while let Some(row) = rows.try_next().await.unwrap() {
            sum += row;
        }
        drop(rows);
        assert_eq!(sum, 1_250_025_000);
        // One of which only a part is read.
        let mut rows = sqlx::query_scalar::<_, i64>(query).fetch(&pool);
        assert_eq!(rows.try_next().await.unwrap(), Some(1));
        drop(rows);
        let one: i64 = sqlx::query_scalar("SELECT 1::bigint")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(one, 1);
    });
}

#[test]
fn notifications_are_heard() {
    with_server(|url| async move {
        let mut listener = PgListener::connect(&url).await.unwrap();
        listener.listen("news").await.unwrap();
        let hearing = evenkeel::spawn(async move {
            let mut heard = Vec::new();
            while heard.len() < 20 {
                heard.push(listener.recv().await.unwrap().payload().to_owned());
            }
            heard
        });
        let pool = pool(&url, 1).await;
        let told: Vec<_> = (0..20).map(|number| number.to_string()).collect();
        for number in &told {
            let notify = sqlx::query("SELECT pg_notify('news', $1)").bind(number);
            notify.execute(&pool).await.unwrap();
        }
        assert_eq!(hearing.await.unwrap(), told);
    });
}

#[test]
fn a_query_that_is_dropped_costs_its_pool_nothing() {
    with_server(|url| async move {
        let pool = pool(&url, 1).await;
        let query = sqlx::query("SELECT pg_sleep(0.3)").execute(&pool);
        let late = evenkeel::time::timeout(Duration::from_millis(20), query);
        assert!(late.await.is_err());
        // The connection is used again once its answer is read, or another in its place.
        let two: i32 = sqlx::query_scalar("SELECT 2")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(two, 2);
    });
}

#[test]
fn a_backend_that_goes_away_is_an_error_and_the_pool_goes_on() {
    with_server(|url| async move {
        let (one, other) = (pool(&url, 1).await, pool(&url, 1).await);
        let mut connection = one.acquire().await.unwrap();
        let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        let query = evenkeel::spawn(async move {
            sqlx::query("SELECT pg_sleep(600)")
                .execute(&mut *connection)
                .await
                .map(drop)
        });
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND query LIKE '%600%'";
        until(|| async {
            let waiting = sqlx::query_scalar::<_, i64>(waits).bind(backend);
            waiting.fetch_one(&other).await.unwrap() == 1
        })
        .await;
        let end = sqlx::query("SELECT pg_terminate_backend($1)").bind(backend);
        end.execute(&other).await.unwrap();
        assert!(query.await.unwrap().is_err());
        let next: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&one)
            .await
            .unwrap();
        assert_ne!(next, backend);
    });
}

#[test]
fn a_pool_that_is_full_times_out_and_goes_on() {
    with_server(|url| async move {
        let options = PgPoolOptions::new().max_connections(1);
        let options = options.acquire_timeout(Duration::from_millis(300));
        let pool = options.connect(&url).await.unwrap();
        let held = pool.acquire().await.unwrap();
        assert!(matches!(pool.acquire().await, Err(Error::PoolTimedOut)));
        drop(held);
        until(|| async { pool.acquire().await.is_ok() }).await;
    });
}

#[test]
fn a_runtime_ends_with_connections_in_use() {
    let Some(server) = Postgres::shared() else {
        return;
    };
    let url = server.url();
    watchdog(move || {
        for _ in 0..10 {
            let runtime = runtime();
            let pool = runtime.block_on(async {
                let pool = pool(&url, 3).await;
                let [one, two] = [pool.clone(), pool.clone()];
                let (begun, wait) = evenkeel::sync::oneshot::channel();
                evenkeel::spawn(async move {
                    let _transaction = one.begin().await.unwrap();
                    begun.send(()).unwrap();
                    std::future::pending::<()>().await;
                });
                evenkeel::spawn(async move {
                    sqlx::query("SELECT pg_sleep(600)")
                        .execute(&two)
                        .await
                        .unwrap();
                });
                wait.await.unwrap();
                // The third connection: all are in use, or idle.
                sqlx::query("SELECT 1").execute(&pool).await.unwrap();
                pool
            });
            drop(runtime);
            drop(pool);
        }
    });
    drop(server);
}
