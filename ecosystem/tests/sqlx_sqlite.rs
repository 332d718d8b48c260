//! works: sqlx (SQLite)
//! by: tokio-rt
//! tested: files and memory, pool, transactions and their rollback, concurrent writers, streamed
//! rows, idle connections that are closed, a pool that is full, the end of the runtime with
//! connections in use
//! threads: queries on one that sqlx makes for each connection; the pool's own tasks on the thread
//! of the small runtime
//!
//! The thread of a connection is made where the connection is, and inherits what that thread has:
//! see `a_connection_made_on_the_compute_lane_has_a_thread_of_the_lowest_priority`.

mod support;

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use sqlx::{Connection, Error, SqliteConnection};
use std::time::Duration;
use support::{everywhere, run, runtime, until, watchdog};
use tempfile::TempDir;
use tokio::runtime::Handle;

/// A new file with a table of counters, of which there is one.
async fn counters(folder: &TempDir, options: SqlitePoolOptions) -> SqlitePool {
    let file = SqliteConnectOptions::new()
        .filename(folder.path().join("test.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(60));
    let pool = options.connect_with(file).await.unwrap();
    for statement in [
        "CREATE TABLE IF NOT EXISTS counters (id INTEGER PRIMARY KEY, value INTEGER)",
        "INSERT OR IGNORE INTO counters VALUES (1, 0)",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    pool
}

async fn count_up(pool: &SqlitePool) -> Result<(), Error> {
    // Immediate: a transaction that first reads and then writes could not wait for another.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let value: i64 = sqlx::query_scalar("SELECT value FROM counters WHERE id = ?")
        .bind(1)
        .fetch_one(&mut *transaction)
        .await?;
    sqlx::query("UPDATE counters SET value = ? WHERE id = 1")
        .bind(value + 1)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

async fn value(pool: &SqlitePool) -> i64 {
    let value = sqlx::query_scalar("SELECT value FROM counters WHERE id = 1");
    value.fetch_one(pool).await.unwrap()
}

#[evenkeel::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_of_a_database_in_memory_is_answered() {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let query = sqlx::query_as("SELECT 1 + 1, 'x' || ?").bind("y");
    let row: (i64, String) = query.fetch_one(&mut connection).await.unwrap();
    assert_eq!(row, (2, "xy".to_owned()));
    connection.close().await.unwrap();
}

/// A pool by itself has tokio's context spawn that, whose thread then wakes whoever waits for a
/// connection.
#[evenkeel::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_of_ours_gives_a_connection_back() {
    let folder = tempfile::tempdir().unwrap();
    let pool = counters(&folder, SqlitePoolOptions::new().max_connections(1)).await;
    let mut connection = pool.acquire().await.unwrap();
    let tasks_of_tokio = || Handle::current().metrics().num_alive_tasks();
    let before = tasks_of_tokio();
    let returning = evenkeel::spawn(connection.return_to_pool());
    drop(connection);
    assert!(tasks_of_tokio() <= before);
    returning.await.unwrap();
    assert_eq!(pool.num_idle(), 1);
    assert_eq!(value(&pool).await, 0);
    pool.close().await;
}

#[test]
fn transactions_are_committed_wherever_they_are_made() {
    let folder = tempfile::tempdir().unwrap();
    run(move || async move {
        let pool = counters(&folder, SqlitePoolOptions::new()).await;
        let before = value(&pool).await;
        let shared = pool.clone();
        everywhere(move || {
            let pool = shared.clone();
            async move { count_up(&pool).await.unwrap() }
        })
        .await;
        assert_eq!(value(&pool).await - before, 7);
        pool.close().await;
    });
}

#[test]
fn writers_in_many_tasks_do_not_lose_anything() {
    let folder = tempfile::tempdir().unwrap();
    run(move || async move {
        let pool = counters(&folder, SqlitePoolOptions::new().max_connections(4)).await;
        let tasks: Vec<_> = (0..32)
            .map(|_| {
                let pool = pool.clone();
                evenkeel::spawn(async move {
                    for _ in 0..10 {
                        count_up(&pool).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(value(&pool).await, 320);
        pool.close().await;
    });
}

#[test]
fn a_transaction_that_is_dropped_or_aborted_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    run(move || async move {
        let pool = counters(&folder, SqlitePoolOptions::new().max_connections(1)).await;
        let change = "UPDATE counters SET value = 7";
        let mut transaction = pool.begin().await.unwrap();
        sqlx::query(change)
            .execute(&mut *transaction)
            .await
            .unwrap();
        drop(transaction);
        assert_eq!(value(&pool).await, 0);

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
        // The only connection is there again, and has rolled back.
        assert_eq!(value(&pool).await, 0);
    });
}

#[test]
fn rows_are_streamed() {
    run(|| async {
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect("sqlite::memory:");
        let pool = pool.await.unwrap();
        let query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) \
             SELECT i FROM n";
        let mut rows = sqlx::query_scalar::<_, i64>(query).fetch(&pool);
        let mut sum = 0;
        while let Some(row) = rows.try_next().await.unwrap() {
            sum += row;
        }
        drop(rows);
        assert_eq!(sum, 200_010_000);
        // One of which only a part is read.
        let mut rows = sqlx::query_scalar::<_, i64>(query).fetch(&pool);
        assert_eq!(rows.try_next().await.unwrap(), Some(1));
        drop(rows);
        let one: i64 = sqlx::query_scalar("SELECT 1")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(one, 1);
    });
}

#[test]
fn a_pool_that_is_full_times_out_and_goes_on() {
    run(|| async {
        let options = SqlitePoolOptions::new().max_connections(1);
        let options = options.acquire_timeout(Duration::from_millis(50));
        let pool = options.connect("sqlite::memory:").await.unwrap();
        let held = pool.acquire().await.unwrap();
        assert!(matches!(pool.acquire().await, Err(Error::PoolTimedOut)));
        drop(held);
        until(|| async { pool.acquire().await.is_ok() }).await;
    });
}

/// By a task that the pool has spawned.
#[test]
fn idle_connections_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    run(move || async move {
        let options = SqlitePoolOptions::new().idle_timeout(Duration::from_millis(20));
        let pool = counters(&folder, options).await;
        assert!(pool.size() >= 1);
        until(|| async { pool.size() == 0 }).await;
        assert_eq!(value(&pool).await, 0);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_connection_made_on_the_compute_lane_has_a_thread_of_the_lowest_priority() {
    /// 0 is normal, 5 is SCHED_IDLE; `None` as long as there is no such thread.
    fn policy_of(name: &str) -> Option<String> {
        let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let stats =
            threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
        let mut stats = stats.filter_map(|stat| {
            let (head, fields) = stat.rsplit_once(") ")?;
            // The third field is the first of these.
            head.ends_with(name)
                .then(|| fields.split(' ').nth(41 - 3).map(str::to_owned))?
        });
        stats.next()
    }
    async fn policy_of_connection(name: &'static str) -> String {
        let options = SqliteConnectOptions::new()
            .in_memory(true)
            .thread_name(move |_| name.into());
        let connection = SqliteConnection::connect_with(&options).await.unwrap();
        let policy = policy_of(name).unwrap();
        connection.close().await.unwrap();
        policy
    }
    run(|| async {
        let lowest = evenkeel::spawn_compute(|| {
            std::fs::read_to_string("/proc/thread-self/stat")
                .unwrap()
                .rsplit_once(") ")
                .unwrap()
                .1
                .to_owned()
        });
        let lowest = lowest
            .await
            .unwrap()
            .split(' ')
            .nth(41 - 3)
            .unwrap()
            .to_owned();
        let there = evenkeel::compute::spawn(policy_of_connection("there"));
        assert_eq!(there.await.unwrap(), lowest);
        // The remedy.
        let here = tokio::spawn(policy_of_connection("here"));
        assert_eq!(here.await.unwrap(), "0");
    });
}

#[test]
fn a_connection_goes_back_to_its_pool_from_any_thread_that_has_entered_the_runtime() {
    run(|| async {
        let options = SqlitePoolOptions::new().max_connections(1);
        let pool = options.connect("sqlite::memory:").await.unwrap();
        let handle = evenkeel::runtime::Handle::current();
        let connection = pool.acquire().await.unwrap();
        let dropped = std::thread::spawn(move || {
            let _entered = handle.enter();
            drop(connection);
        });
        let dropped = evenkeel::spawn_blocking(|| dropped.join().is_ok());
        assert!(dropped.await.unwrap());
        let connection = pool.acquire().await.unwrap();
        evenkeel::spawn_compute(|| drop(connection)).await.unwrap();
        let connection = pool.acquire().await.unwrap();
        evenkeel::spawn_blocking(|| drop(connection)).await.unwrap();
        pool.acquire().await.unwrap();
    });
}

#[test]
fn a_runtime_ends_with_connections_in_use() {
    watchdog(|| {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let runtime = runtime();
            let pool = runtime.block_on(async {
                let pool = counters(&folder, SqlitePoolOptions::new()).await;
                let [one, two] = [pool.clone(), pool.clone()];
                evenkeel::spawn(async move {
                    let _connection = one.begin().await.unwrap();
                    std::future::pending::<()>().await;
                });
                evenkeel::spawn(async move {
                    loop {
                        count_up(&two).await.unwrap();
                    }
                });
                until(|| async { value(&pool).await > 3 }).await;
                pool
            });
            drop(runtime);
            drop(pool);
        }
    });
}
