//! How much is taken in, so that whoever may hand passwords over cannot fill the store with them.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// What may come at once.
const BURST: f64 = 1000.0;

/// What may come in a second, for long.
const RATE: f64 = 100.0;

/// A bucket that fills at a steady rate; each request takes a token out.
#[derive(Debug)]
pub struct Limit {
    bucket: Mutex<(f64, Instant)>,
}

impl Limit {
    /// A full bucket.
    pub fn new(now: Instant) -> Limit {
        Limit { bucket: Mutex::new((BURST, now)) }
    }

    /// Takes a token out, if there is one.
    pub fn take(&self, now: Instant) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, filled) = *bucket;
        let tokens = (tokens + RATE * now.duration_since(filled).as_secs_f64()).min(BURST);
        let taken = tokens >= 1.0;
        *bucket = (if taken { tokens - 1.0 } else { tokens }, now);
        taken
    }
}
