//! After a partition changed hands: for how long its former holder may still be heard at Graph.

use std::time::Duration;

use tokio::time::Instant;

/// Watches for the sign of a take-over. AMQP tells nobody who was active before, but what the
/// former holder had in hand comes again, and says so. Where nothing comes again, nothing of his
/// is under way either: a delivery is settled only after Graph's answer.
#[derive(Debug)]
pub struct TakeOver {
    lasts: Duration,
    until: Option<Instant>,
}

impl TakeOver {
    /// None so far; each lasts as long as a request to Graph can be under way.
    pub fn new(lasts: Duration) -> TakeOver {
        TakeOver { lasts, until: None }
    }

    /// A delivery came.
    pub fn received(&mut self, redelivered: bool, now: Instant) {
        if redelivered {
            self.until = Some(now + self.lasts);
        }
    }

    /// When the former holder has certainly ended, if that is still to come.
    pub fn ends(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_with_what_comes_again_and_ends_by_itself() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut take_over = TakeOver::new(2 * second);
        take_over.received(false, now);
        assert_eq!(take_over.ends(now), None);
        take_over.received(true, now);
        take_over.received(true, now + second);
        take_over.received(false, now + 2 * second);
        assert_eq!(take_over.ends(now + 2 * second), Some(now + 3 * second));
        assert_eq!(take_over.ends(now + 3 * second), None);
    }
}
