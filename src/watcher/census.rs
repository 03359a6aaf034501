//! How many users are in scope. Counting reads the whole ledger, so it is done rarely.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::{
    record::Part,
    store::{Store, StoreError},
};

/// How long a count is good for.
const GOOD_FOR: SignedDuration = SignedDuration::from_mins(10);

/// The last count, and when it was taken.
#[derive(Debug, Default)]
pub struct Census(Mutex<Option<(Timestamp, u64)>>);

impl Census {
    /// How many users are alive and in scope, or were some minutes ago: that was before a mass
    /// change began, so its first pages do not make the rest of it look larger.
    pub fn users(&self, store: &Store, now: Timestamp) -> Result<u64, StoreError> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((taken, users)) = *last
            && now.duration_since(taken).abs() < GOOD_FOR
        {
            return Ok(users);
        }
        let users = store.count(|record| !record.deleted && record.part == Part::Inside)?;
        *last = Some((now, users));
        Ok(users)
    }
}
