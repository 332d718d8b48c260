//! The subscribers of the key-value store.

mod kv_support;
mod support;

use std::thread;

use evenkeel_examples::kv::Config;
use kv_support::{Client, request, start, start_with};
use support::watchdog;

#[test]
fn subscribers_hear_what_is_published() {
    watchdog(|| {
        let server = start();
        let mut publisher = Client::new(&server);
        let mut listeners = [(); 2].map(|()| Client::new(&server));
        for listener in &mut listeners {
            assert_eq!(
                listener.ask("SUBSCRIBE news sport"),
                "*3|$9|subscribe|$4|news|:1|"
            );
            assert_eq!(listener.reply(), "*3|$9|subscribe|$5|sport|:2|");
        }
        for i in 10..99 {
            assert_eq!(publisher.ask(&format!("PUBLISH news {i}")), ":2|");
        }
        for listener in &mut listeners {
            for i in 10..99 {
                assert_eq!(listener.reply(), format!("*3|$7|message|$4|news|$2|{i}|"));
            }
            assert_eq!(listener.ask("PING"), "*2|$4|pong|$0||");
            assert!(
                listener
                    .ask("GET a")
                    .starts_with("-ERR Can't execute 'get'")
            );
        }
        let [first, second] = &mut listeners;
        assert_eq!(
            first.ask("UNSUBSCRIBE news"),
            "*3|$11|unsubscribe|$4|news|:1|"
        );
        assert_eq!(publisher.ask("PUBLISH news x"), ":1|");
        assert_eq!(first.ask("UNSUBSCRIBE"), "*3|$11|unsubscribe|$5|sport|:0|");
        assert_eq!(first.ask("GET a"), "$-1|");
        // A message of many segments, beside a request.
        let large = "x".repeat(300_000);
        publisher.send(request(&[b"PUBLISH", b"sport", large.as_bytes()]));
        assert_eq!(publisher.reply(), ":1|");
        assert_eq!(second.reply(), "*3|$7|message|$4|news|$1|x|");
        assert!(second.reply() == format!("*3|$7|message|$5|sport|$300000|{large}|"));
        // One who leaves is forgotten.
        drop(listeners);
        while publisher.ask("PUBLISH sport x") != ":0|" {
            thread::yield_now();
        }
    });
}

#[test]
fn a_subscriber_that_does_not_keep_up_is_disconnected() {
    watchdog(|| {
        let server = start_with(Config {
            messages_bytes_max: 200_000,
            ..Config::default()
        });
        let mut slow = Client::new(&server);
        assert!(slow.ask("SUBSCRIBE news").starts_with("*3|$9|subscribe|"));
        let mut publisher = Client::new(&server);
        let message = "x".repeat(10_000);
        // The publisher is never held up: once the kernel's buffers and the bound are full, there
        // is no subscriber any more.
        while publisher.ask(&format!("PUBLISH news {message}")) != ":0|" {}
        let heard = slow.until_closed();
        assert!(heard.starts_with("*3|$7|message|$4|news|$10000|xxx"));
        let limit = "-ERR too many channels, or a name that is too long|";
        let mut client = Client::new(&server);
        assert_eq!(
            client.ask(&format!("SUBSCRIBE {}", "x".repeat(2000))),
            limit
        );
    });
}

#[test]
fn a_subscriber_that_waits_is_disconnected_when_a_message_is_too_large() {
    watchdog(|| {
        let server = start_with(Config {
            messages_bytes_max: 200_000,
            ..Config::default()
        });
        let mut listener = Client::new(&server);
        assert!(
            listener
                .ask("SUBSCRIBE news")
                .starts_with("*3|$9|subscribe|")
        );
        let mut publisher = Client::new(&server);
        let message = [b'x'; 300_000];
        publisher.send(request(&[b"PUBLISH", b"news", &message]));
        assert_eq!(publisher.reply(), ":0|");
        assert_eq!(listener.until_closed(), "");
    });
}
