//! Waiting on conditions instead of on the clock.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// Far above what anything takes on a busy machine: only a defect reaches it.
pub const DEADLINE: Duration = Duration::from_secs(90);
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
pub async fn eventually<O: Outcome>(what: &str, probe: impl AsyncFnMut() -> O) -> O::Value {
    eventually_within(DEADLINE, what, probe).await
}

/// As [`eventually`], for what takes long by design.
///
/// # Panics
/// As [`eventually`], after `limit`.
pub async fn eventually_within<O: Outcome>(
    limit: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> O,
) -> O::Value {
    let deadline = Instant::now() + limit;
    let mut last = "the probe never came back".to_owned();
    // A probe that is ready at once never sees the time-out: the loop looks at the clock too.
    while Instant::now() < deadline {
        match tokio::time::timeout_at(deadline, probe()).await.map(Outcome::outcome) {
            Ok(Ok(value)) => return value,
            Ok(Err(reason)) => last = reason,
            Err(_elapsed) => break,
        }
        tokio::time::sleep(INTERVAL).await;
    }
    panic!("not reached within {limit:?}: {what}: {last}");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "not reached within 90s: the impossible: the condition is false")]
async fn a_condition_that_never_comes_true_is_named() {
    eventually("the impossible", async || false).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "not reached within 90s: an answer: the probe never came back")]
async fn a_probe_that_hangs_is_named() {
    eventually("an answer", async || std::future::pending::<bool>().await).await;
}
