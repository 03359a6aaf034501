//! A queue in memory, with faults.

use async_trait::async_trait;
use uuid::Uuid;

use super::{Fate, Shared, fate};
use crate::queue::{Message, Publisher, Queue, QueueError, Receipt};

pub(in super::super) struct FakePublisher(pub(in super::super) Shared);

#[async_trait]
impl Publisher for FakePublisher {
    async fn publish(&self, queue: Queue, messages: &[Message]) -> Result<(), QueueError> {
        if messages.is_empty() {
            return Ok(());
        }
        let next = fate(&self.0).await;
        let kept = match next {
            Fate::Refuses => 0,
            Fate::Half => messages.len() / 2,
            _ => messages.len(),
        };
        {
            let mut world = self.0.lock().expect("lock");
            let queue = match queue {
                Queue::Parked(_) => &mut world.requests,
                _ => &mut world.told,
            };
            queue.extend_from_slice(&messages[..kept]);
        }
        match next {
            Fate::DiesAfter => std::future::pending().await,
            Fate::Works | Fate::DiesBefore => Ok(()),
            Fate::Refuses => Err(QueueError::Refused("the test says so".into())),
            Fate::Lost | Fate::Half => Err(QueueError::Unavailable("the test says so".into())),
        }
    }

    async fn ready(&self) -> Result<(), QueueError> {
        Ok(())
    }
}

pub(in super::super) struct FakeReceipt(pub(in super::super) Shared, pub(in super::super) Uuid);

#[async_trait]
impl Receipt for FakeReceipt {
    async fn ack(self: Box<Self>) -> Result<(), QueueError> {
        let next = fate(&self.0).await;
        if matches!(next, Fate::Refuses | Fate::Lost | Fate::Half) {
            return Err(QueueError::Unavailable("the test says so".into()));
        }
        self.0.lock().expect("lock").requests.retain(|message| message.id != self.1);
        if matches!(next, Fate::DiesAfter) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn release(self: Box<Self>) -> Result<(), QueueError> {
        Ok(())
    }
}
