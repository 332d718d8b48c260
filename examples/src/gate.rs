//! A bound on the computations that are in flight.

use std::sync::Arc;

use hyper::{StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::Refusal;

/// Lets a limited number of requests in, and a smaller number of them compute at the same time.
///
/// The compute lane itself takes any number of closures. What each of them needs (a hash: 19 MiB,
/// an image: all its pixels) is what runs out first, and a client that waits behind a thousand
/// others has long left.
#[derive(Debug)]
pub struct Gate {
    places: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Gate {
    /// A gate for `running_max` computations at the same time, with `waiting_max` requests waiting
    /// for them.
    pub fn new(running_max: usize, waiting_max: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(running_max + waiting_max)),
            running: Arc::new(Semaphore::new(running_max)),
        }
    }

    /// Takes a place.
    ///
    /// # Errors
    ///
    /// 503 with `Retry-After` if all places are taken.
    pub fn try_enter(&self) -> Result<Place, Refusal> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests, try again",
            )
            .with(header::RETRY_AFTER, "1")
        })?;
        Ok(Place {
            place,
            running: self.running.clone(),
        })
    }
}

/// A place at a [`Gate`], given back when it is dropped or its computation has ended.
#[derive(Debug)]
pub struct Place {
    place: OwnedSemaphorePermit,
    running: Arc<Semaphore>,
}

impl Place {
    /// Runs `f` on the compute lane once it is this request's turn.
    ///
    /// # Errors
    ///
    /// 500 if `f` panics; 503 if the runtime shuts down.
    pub async fn compute<F, R>(self, f: F) -> Result<R, Refusal>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let turn = self
            .running
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let place = self.place;
        // The permits go with the closure: it runs to its end even if the client leaves and this
        // future is dropped, and until then it has its memory.
        let result = evenkeel::spawn_compute(move || {
            let _held = (place, turn);
            f()
        });
        result.await.map_err(|error| {
            if error.is_panic() {
                Refusal::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "this request cannot be processed",
                )
            } else {
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "shutting down")
            }
        })
    }
}
