//! Users and sessions in SQLite.

use std::fmt;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};

use super::leaked::hex;

const CONNECTIONS_MAX: u32 = 4;
/// How long a request may wait for a connection, and a connection for the lock of the database.
const WAITING_TIME_MAX: Duration = Duration::from_secs(5);
/// The latest ones are kept.
const SESSIONS_PER_USER_MAX: u32 = 10;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS users (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        hash TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS sessions (
        token_hash TEXT PRIMARY KEY,
        user_id INTEGER NOT NULL REFERENCES users (id),
        expires_at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS sessions_of_users ON sessions (user_id, expires_at_ms);
";

/// What a client shows to be known again.
pub(super) struct Token([u8; 32]);

impl Token {
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..][..2], 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// What is kept of it: whoever reads the database cannot use it.
    fn hash(&self) -> String {
        hex(&Sha256::digest(self.0))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

pub(super) struct Store {
    pool: SqlitePool,
    session_time: Duration,
}

impl Store {
    pub(super) async fn open(database: &str, session_time: Duration) -> sqlx::Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(database)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .foreign_keys(true)
            .busy_timeout(WAITING_TIME_MAX);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            // Opened now, on this thread: each has a thread of sqlx's, and one that a worker starts
            // would stay on that worker's CPU.
            .min_connections(CONNECTIONS_MAX)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(WAITING_TIME_MAX)
            .connect_with(options)
            .await?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        Ok(Self { pool, session_time })
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// False if there is one of this name.
    pub(super) async fn add_user(&self, name: &str, hash: &str) -> sqlx::Result<bool> {
        let query = "INSERT INTO users (name, hash) VALUES (?, ?) ON CONFLICT DO NOTHING";
        let query = sqlx::query(query).bind(name).bind(hash);
        Ok(query.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// The number of a user, and the hash of its password.
    pub(super) async fn user(&self, name: &str) -> sqlx::Result<Option<(i64, String)>> {
        let query = sqlx::query_as("SELECT id, hash FROM users WHERE name = ?");
        query.bind(name).fetch_optional(&self.pool).await
    }

    /// Begins a session, says how long it lasts, and removes old ones.
    pub(super) async fn add_session(&self, token: &Token, user: i64) -> sqlx::Result<Duration> {
        let now_ms = now_ms();
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let query = "INSERT INTO sessions (token_hash, user_id, expires_at_ms) VALUES (?, ?, ?)";
        sqlx::query(query)
            .bind(token.hash())
            .bind(user)
            .bind(now_ms.saturating_add(in_ms(self.session_time)))
            .execute(&mut *transaction)
            .await?;
        let query = "DELETE FROM sessions WHERE expires_at_ms <= ?1 OR token_hash IN (
            SELECT token_hash FROM sessions WHERE user_id = ?2
            ORDER BY expires_at_ms DESC, rowid DESC LIMIT -1 OFFSET ?3)";
        sqlx::query(query)
            .bind(now_ms)
            .bind(user)
            .bind(SESSIONS_PER_USER_MAX)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(self.session_time)
    }

    /// The name of the user whose session it is, as long as it lasts.
    pub(super) async fn session(&self, token: &Token) -> sqlx::Result<Option<String>> {
        let query = "SELECT name FROM sessions JOIN users ON users.id = user_id
            WHERE token_hash = ? AND expires_at_ms > ?";
        let query = sqlx::query_scalar(query).bind(token.hash()).bind(now_ms());
        query.fetch_optional(&self.pool).await
    }

    pub(super) async fn remove_session(&self, token: &Token) -> sqlx::Result<()> {
        let query = sqlx::query("DELETE FROM sessions WHERE token_hash = ?");
        query.bind(token.hash()).execute(&self.pool).await?;
        Ok(())
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    in_ms(since.unwrap_or_default())
}

fn in_ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
