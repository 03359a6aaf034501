//! Waiting on conditions instead of on the clock.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Far above what anything takes on a busy machine: only a defect reaches it.
const DEADLINE: Duration = Duration::from_secs(90);
const INTERVAL: Duration = Duration::from_millis(20);

/// What a probe found: the value waited for, or why it is not there yet.
pub trait Outcome {
    /// What [`eventually`] returns in the end.
    type Value;

    /// Splits the outcome into the value and the reason to try again.
    fn outcome(self) -> Result<Self::Value, String>;
}

impl Outcome for bool {
    type Value = ();

    fn outcome(self) -> Result<(), String> {
        self.then_some(()).ok_or_else(|| "the condition is false".to_owned())
    }
}

impl<T> Outcome for Option<T> {
    type Value = T;

    fn outcome(self) -> Result<T, String> {
        self.ok_or_else(|| "there is nothing yet".to_owned())
    }
}

impl<T, E: Display> Outcome for Result<T, E> {
    type Value = T;

    fn outcome(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}

/// Asks `probe` again and again until it has its value.
///
/// # Panics
/// When the deadline passes first; the message names `what` and the last reason.
pub async fn eventually<O: Outcome>(what: &str, mut probe: impl AsyncFnMut() -> O) -> O::Value {
    let start = Instant::now();
    let mut last = "the probe never came back".to_owned();
    loop {
        let left = DEADLINE.saturating_sub(start.elapsed());
        match tokio::time::timeout(left, probe()).await.map(Outcome::outcome) {
            Ok(Ok(value)) => return value,
            Ok(Err(reason)) => last = reason,
            Err(_elapsed) => panic!("not reached within {DEADLINE:?}: {what}: {last}"),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
