//! works: redis
//! by: tokio-rt
//! tested: commands, pipelines, transactions, 64 tasks on one connection, values of a megabyte,
//! publish and subscribe, a blocking command beside others, a server that comes back
//! (`ConnectionManager`), the end of the runtime with open connections
//! threads: commands where they are awaited; connections on the thread of the small runtime
//!
//! The server is a Redis of the test's own.

mod support;

use futures_util::StreamExt;
use redis::aio::ConnectionManagerConfig;
use redis::{AsyncCommands, Client};
use std::time::Duration;
use support::process::{Server, find, free_port, skip};
use support::{everywhere, run, runtime, until, watchdog};
use tempfile::TempDir;

struct Redis {
    // Ended before its folder goes.
    _server: Server,
    _folder: TempDir,
    port: u16,
}

impl Redis {
    fn start() -> Option<Redis> {
        Redis::start_at(free_port())
    }

    /// `None`, and a word about it, if Redis is not installed.
    fn start_at(port: u16) -> Option<Redis> {
        let Some(program) = find("redis-server", []) else {
            skip("no redis-server here");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let command = [
            program.display().to_string(),
            "--save".into(),
            String::new(),
        ];
        let port_and_address = [
            "--port".into(),
            port.to_string(),
            "--bind".into(),
            "127.0.0.1".into(),
        ];
        let command: Vec<String> = command.into_iter().chain(port_and_address).collect();
        let server = Server::start(folder.path(), &command).expect("redis-server");
        Some(Redis {
            _server: server,
            _folder: folder,
            port,
        })
    }

    fn client(&self) -> Client {
        Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap()
    }
}

#[evenkeel::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_is_found_again() {
    let Some(server) = Redis::start() else { return };
    let mut connection = server
        .client()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    connection.set::<_, _, ()>("key", "value").await.unwrap();
    assert_eq!(connection.get::<_, String>("key").await.unwrap(), "value");
    assert_eq!(
        connection.get::<_, Option<String>>("other").await.unwrap(),
        None
    );
}

#[test]
fn pipelines_and_transactions_are_answered_wherever_they_are_made() {
    let Some(server) = Redis::start() else { return };
    run(move || async move {
        let client = server.client();
        let shared = client.clone();
        everywhere(move || {
            let client = shared.clone();
            async move {
                let mut connection = client.get_multiplexed_async_connection().await.unwrap();
                let mut pipeline = redis::pipe();
                pipeline
                    .atomic()
                    .incr("count", 1)
                    .incr("count", 1)
                    .ignore()
                    .ping();
                let (_, pong): (i64, String) = pipeline.query_async(&mut connection).await.unwrap();
                assert_eq!(pong, "PONG");
            }
        })
        .await;
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        assert_eq!(connection.get::<_, i64>("count").await.unwrap(), 14);
    });
}

#[test]
fn many_tasks_share_a_connection() {
    let Some(server) = Redis::start() else { return };
    run(move || async move {
        let connection = server
            .client()
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        let tasks: Vec<_> = (0..64)
            .map(|number| {
                let mut connection = connection.clone();
                evenkeel::spawn(async move {
                    for round in 0..20 {
                        let value = format!("{number} {round}");
                        connection.set::<_, _, ()>(number, &value).await.unwrap();
                        assert_eq!(connection.get::<_, String>(number).await.unwrap(), value);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn a_large_value_comes_back_whole() {
    let Some(server) = Redis::start() else { return };
    run(move || async move {
        let mut connection = server
            .client()
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        let value: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
        connection.set::<_, _, ()>("large", &value).await.unwrap();
        assert!(connection.get::<_, Vec<u8>>("large").await.unwrap() == value);
    });
}

#[test]
fn messages_are_heard_by_all_who_have_subscribed() {
    let Some(server) = Redis::start() else { return };
    run(move || async move {
        let mut hearing = Vec::new();
        for _ in 0..4 {
            let mut subscriber = server.client().get_async_pubsub().await.unwrap();
            subscriber.subscribe("news").await.unwrap();
            hearing.push(evenkeel::spawn(async move {
                let messages = subscriber.on_message().take(20);
                let payloads = messages.map(|message| message.get_payload::<u32>().unwrap());
                payloads.collect::<Vec<_>>().await
            }));
        }
        let mut connection = server
            .client()
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        for number in 0..20 {
            assert_eq!(
                connection
                    .publish::<_, _, usize>("news", number)
                    .await
                    .unwrap(),
                4
            );
        }
        for heard in hearing {
            assert!(heard.await.unwrap().into_iter().eq(0..20));
        }
    });
}

#[test]
fn a_command_that_waits_is_answered_by_another_connection() {
    let Some(server) = Redis::start() else { return };
    run(move || async move {
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let waiting = server
            .client()
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        let mut waiting = waiting.unwrap();
        let popped = evenkeel::spawn(async move {
            waiting
                .blpop::<_, (String, String)>("queue", 0.0)
                .await
                .unwrap()
        });
        let mut connection = server
            .client()
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        connection.rpush::<_, _, ()>("queue", "job").await.unwrap();
        assert_eq!(
            popped.await.unwrap(),
            ("queue".to_owned(), "job".to_owned())
        );
    });
}

#[test]
fn a_manager_finds_a_server_that_comes_back() {
    let Some(server) = Redis::start() else { return };
    run(move || async move {
        let config = ConnectionManagerConfig::new().set_min_delay(Duration::from_millis(1));
        let config = config.set_max_delay(Duration::from_millis(20));
        let manager = server
            .client()
            .get_connection_manager_with_config(config)
            .await
            .unwrap();
        manager.clone().set::<_, _, ()>("key", 1).await.unwrap();
        let port = server.port;
        let restart = move || {
            drop(server);
            Redis::start_at(port)
        };
        let _server = evenkeel::spawn_blocking(restart).await.unwrap();
        until(|| {
            let mut manager = manager.clone();
            async move { manager.set::<_, _, ()>("key", 2).await.is_ok() }
        })
        .await;
    });
}

#[test]
fn a_runtime_ends_with_open_connections() {
    let Some(server) = Redis::start() else { return };
    watchdog(move || {
        for _ in 0..20 {
            let runtime = runtime();
            let client = server.client();
            let kept = runtime.block_on(async {
                let connection = client.get_multiplexed_async_connection().await.unwrap();
                let mut busy = connection.clone();
                let (begun, wait) = evenkeel::sync::oneshot::channel();
                evenkeel::spawn(async move {
                    let mut begun = Some(begun);
                    while busy.incr::<_, _, i64>("count", 1).await.is_ok() {
                        begun
                            .take()
                            .into_iter()
                            .for_each(|begun| begun.send(()).unwrap());
                    }
                });
                let mut subscriber = client.get_async_pubsub().await.unwrap();
                subscriber.subscribe("news").await.unwrap();
                wait.await.unwrap();
                (
                    connection,
                    subscriber,
                    client.get_connection_manager().await.unwrap(),
                )
            });
            drop(runtime);
            drop(kept);
        }
    });
}
