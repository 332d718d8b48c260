//! A handler of axum's that makes a large answer: about a millisecond of CPU in each poll, as
//! ordinary services have it.

use std::collections::BTreeMap;

use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::serve::{on_evenkeel, on_tokio};
use crate::closed_loop::{Protocol, generate_load};
use crate::harness::{Contender, Setup};
use crate::runtimes::{Evenkeel, Runtime, Tokio};
use crate::suites::http::Hello;

const CONNECTIONS: usize = 64;

/// So many are 118 KB of JSON.
const ITEMS: u32 = 1024;

pub(super) const CONTENDERS: &[Contender] = &[
    Contender::new(Evenkeel::NAME, |setup| on_evenkeel(setup, app)),
    Contender::new(Tokio::NAME, |setup| on_tokio(setup, app)),
];

#[derive(Serialize)]
struct Item {
    id: u32,
    name: String,
    tags: [String; 3],
    price: f64,
    stock: BTreeMap<String, u32>,
}

impl Item {
    fn new(id: u32) -> Self {
        Self {
            id,
            name: format!("article number {id}"),
            tags: [
                "red".to_owned(),
                "green".to_owned(),
                format!("t{}", id % 17),
            ],
            price: f64::from(id) * 1.25 + 0.1,
            stock: [("berlin".to_owned(), id * 7), ("paris".to_owned(), 3)].into(),
        }
    }
}

async fn items() -> Json<Vec<Item>> {
    Json((0..ITEMS).map(Item::new).collect())
}

async fn app() -> Router {
    Router::new().route("/", get(items))
}

struct Items;

impl Protocol for Items {
    fn request(&self) -> &[u8] {
        Hello.request()
    }

    fn answer_bytes(&self, start: &[u8]) -> Option<usize> {
        Hello.answer_bytes(start)
    }

    fn is_right(&self, answer: &[u8]) -> bool {
        answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b",\"paris\":3}}]")
    }
}

pub(super) fn load(setup: &Setup) -> Result<Vec<f64>, String> {
    generate_load(&Items, CONNECTIONS, setup.window).map(|found| found.by_request())
}
