//! What a lane has received and not settled: for how long the oldest has been in hand.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::{
    event::Lane,
    ops::metrics::METRICS,
    queue::{Delivery, QueueError, Receipt},
};

/// The deliveries of a lane that are in hand, the oldest first.
#[derive(Clone)]
pub struct InHand {
    lane: Lane,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    next: u64,
    since: BTreeMap<u64, Instant>,
}

/// Stands for something in hand, until it is dropped.
pub struct Hold {
    place: InHand,
    number: u64,
}

impl InHand {
    /// Nothing is in hand.
    pub fn new(lane: Lane) -> InHand {
        InHand { lane, held: Arc::default() }
    }

    /// Takes a delivery in hand; it counts until it is settled or dropped.
    pub fn take(&self, delivery: Delivery) -> Delivery {
        let Delivery { receipt, .. } = delivery;
        let receipt = Box::new(Counted { receipt, hold: self.hold(Instant::now()) });
        Delivery { receipt, ..delivery }
    }

    /// Counts something as in hand since then.
    pub fn hold(&self, since: Instant) -> Hold {
        let mut held = self.held();
        let number = held.next;
        held.next += 1;
        held.since.insert(number, since);
        self.tell(&held);
        drop(held);
        Hold { place: self.clone(), number }
    }

    /// Since when the oldest is in hand.
    pub fn oldest(&self) -> Option<Instant> {
        self.held().oldest()
    }

    fn tell(&self, held: &Held) {
        let oldest = held.oldest().map(Instant::into_std);
        METRICS.in_hand(self.lane, held.since.len(), oldest);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn oldest(&self) -> Option<Instant> {
        self.since.values().next().copied()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.place.held();
        held.since.remove(&self.number);
        self.place.tell(&held);
    }
}

struct Counted {
    receipt: Box<dyn Receipt>,
    hold: Hold,
}

#[async_trait]
impl Receipt for Counted {
    async fn ack(self: Box<Self>) -> Result<(), QueueError> {
        let Counted { receipt, hold } = *self;
        let done = receipt.ack().await;
        drop(hold);
        done
    }

    async fn release(self: Box<Self>) -> Result<(), QueueError> {
        let Counted { receipt, hold } = *self;
        let done = receipt.release().await;
        drop(hold);
        done
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_is_what_was_taken_first_and_is_still_held() {
        let hand = InHand::new(Lane::Urgent);
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let first = hand.hold(now);
        let second = hand.hold(now + second);
        assert_eq!(hand.oldest(), Some(now));
        drop(first);
        assert_eq!(hand.oldest(), Some(now + Duration::from_secs(1)));
        drop(second);
        assert_eq!(hand.oldest(), None);
    }
}
