//! How long to wait before the next try.
//!
//! The one place that knows the `backoff` crate.

use std::time::Duration;

use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff as _};

/// Delays that double up to a ceiling, each spread by half of itself to either side, without end.
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
            .with_randomization_factor(0.5)
            .with_max_elapsed_time(None)
            .build();
        Backoff { inner, ceiling }
    }

    /// For a server that may be away: from half a second to ten, for a disable waits for it.
    pub fn reconnect() -> Backoff {
        Backoff::new(Duration::from_millis(500), Duration::from_secs(10))
    }

    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        self.inner.next_backoff().unwrap_or(self.ceiling).min(self.ceiling)
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
        assert!(delays[0] >= first / 2 && delays[0] <= first * 3 / 2);
        assert!(delays.iter().all(|delay| *delay <= ceiling));
        assert!(delays[20..].iter().all(|delay| *delay >= ceiling / 2));
        backoff.reset();
        assert!(backoff.next_delay() <= first * 3 / 2);
    }
}
