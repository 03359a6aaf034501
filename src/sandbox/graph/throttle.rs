//! Quotas as token buckets.
//!
//! Source: "Microsoft Graph service-specific throttling limits", identity and access, on
//! learn.microsoft.com.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket that fills evenly; a refused take counts against it too, as Graph counts throttled
/// calls, down to one capacity below empty.
#[derive(Debug)]
pub(super) struct Bucket {
    capacity: f64,
    per: Duration,
    level: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket of `capacity` tokens that takes `per` to fill.
    pub(super) fn new(capacity: u32, per: Duration, now: Instant) -> Self {
        let capacity = f64::from(capacity.max(1));
        Self { capacity, per, level: capacity, at: now }
    }

    /// Takes tokens, or tells how long to wait.
    pub(super) fn take(&mut self, tokens: u32, now: Instant) -> Result<(), Duration> {
        let tokens = f64::from(tokens);
        let rate = self.capacity / self.per.as_secs_f64().max(f64::MIN_POSITIVE);
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        self.level = (self.level + gained).min(self.capacity);
        self.at = now;
        let enough = self.level >= tokens;
        self.level = (self.level - tokens).max(-self.capacity);
        if enough { Ok(()) } else { Err(Duration::from_secs_f64((tokens - self.level) / rate)) }
    }

    /// The share in use: above 1 when calls were refused.
    pub(super) fn used(&self) -> f64 {
        (self.capacity - self.level) / self.capacity
    }
}

/// Why a call was throttled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Throttled {
    /// Whole seconds to wait, at least one.
    pub(super) retry_after: u64,
    /// For `x-ms-throttle-information`.
    pub(super) reason: &'static str,
    /// For `x-ms-throttle-scope`: which kind of calls.
    pub(super) kind: &'static str,
}

/// The quota of one application in one tenant.
#[derive(Debug)]
pub(super) struct Quota {
    writes: Bucket,
    units: Bucket,
}

impl Quota {
    /// A quota of that many writes; resource units go by the size of the tenant.
    pub(super) fn new((writes, per): (u32, Duration), users: usize, now: Instant) -> Self {
        let units = match users {
            0..50 => 3500,
            50..=500 => 5000,
            _ => 8000,
        };
        Self {
            writes: Bucket::new(writes, per, now),
            units: Bucket::new(units, Duration::from_secs(10), now),
        }
    }

    /// Counts a call.
    pub(super) fn take(&mut self, units: u32, write: bool, now: Instant) -> Result<(), Throttled> {
        let throttled = |wait: Duration, reason, kind| Throttled {
            retry_after: wait.as_secs_f64().ceil().max(1.0) as u64,
            reason,
            kind,
        };
        if write {
            self.writes
                .take(1, now)
                .map_err(|wait| throttled(wait, "WriteLimitExceeded", "Write"))?;
        }
        self.units
            .take(units, now)
            .map_err(|wait| throttled(wait, "ResourceUnitLimitExceeded", "ReadWrite"))
    }

    /// The share in use of the scarcer of the two, where it is above 0.8.
    pub(super) fn percentage(&self) -> Option<f64> {
        Some(self.writes.used().max(self.units.used()).min(1.8)).filter(|used| *used > 0.8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_bucket_empties_and_fills() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, SECOND * 10, start);
        for _ in 0..10 {
            assert_eq!(bucket.take(1, start), Ok(()));
        }
        assert!((bucket.used() - 1.0).abs() < 1e-9);
        assert_eq!(bucket.take(1, start), Err(SECOND * 2), "the refused call counts");
        assert_eq!(bucket.take(1, start + SECOND * 2), Ok(()));
    }

    #[test]
    fn a_quota_tells_what_ran_out() {
        let start = Instant::now();
        let mut quota = Quota::new((2, SECOND * 10), 10, start);
        assert_eq!(quota.take(1, true, start), Ok(()));
        assert_eq!(quota.percentage(), None);
        assert_eq!(quota.take(1, true, start), Ok(()));
        let refused = quota.take(1, true, start).expect_err("two writes were all");
        assert_eq!((refused.reason, refused.retry_after), ("WriteLimitExceeded", 10));
        assert_eq!(quota.percentage(), Some(1.5));
        assert_eq!(quota.take(1, false, start), Ok(()), "reads go on");
    }
}
