//! How long to wait before the next try.
//!
//! The one place that knows the `backoff` crate.

use std::time::Duration;

use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff as _};

/// Delays that double up to a ceiling, without end; each is anywhere between nothing and its full
/// length ("full jitter"), so that those who failed together do not come back together.
#[derive(Debug)]
pub struct Backoff {
    inner: ExponentialBackoff,
    ceiling: Duration,
}

impl Backoff {
    /// Starts at `first` and never waits longer than `ceiling`.
    pub fn new(first: Duration, ceiling: Duration) -> Backoff {
        let inner = ExponentialBackoffBuilder::new()
            .with_initial_interval(first)
            .with_max_interval(ceiling)
            .with_multiplier(2.0)
            .with_randomization_factor(0.0)
            .with_max_elapsed_time(None)
            .build();
        Backoff { inner, ceiling }
    }

    /// For a server that may be away: half a second to ten at most, for a disable waits for it.
    pub fn reconnect() -> Backoff {
        Backoff::new(Duration::from_millis(500), Duration::from_secs(10))
    }

    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        let full = self.inner.next_backoff().unwrap_or(self.ceiling).min(self.ceiling);
        full.mul_f64(rand::random_range(0.0..=1.0))
    }

    /// Waits for the next delay.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_delay()).await;
    }

    /// Starts again from the first delay: call it after a success.
    pub fn reset(&mut self) {
        self.inner.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_ceiling_and_never_ends() {
        let (first, ceiling) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut backoff = Backoff::new(first, ceiling);
        let delays: Vec<_> = (0..50).map(|_| backoff.next_delay()).collect();
        assert!(delays[0] <= first && delays[1] <= first * 2);
        assert!(delays.iter().all(|delay| *delay <= ceiling));
        let long = delays[20..].iter().filter(|delay| **delay > ceiling / 2).count();
        assert!((1..30).contains(&long), "spread over the whole length: {long} of 30");
        backoff.reset();
        assert!(backoff.next_delay() <= first);
    }
}
