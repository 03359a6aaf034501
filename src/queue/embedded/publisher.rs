//! Publishes into the file.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::OwnedMutexGuard;

use super::{Core, store::Write};
use crate::queue::{Message, Publisher, Queue, QueueError, Role};

/// A publisher; as the watcher's, it holds the right to publish from its first use to its end.
#[derive(Debug)]
pub(super) struct EmbeddedPublisher {
    core: Arc<Core>,
    role: Role,
    right: Mutex<Option<OwnedMutexGuard<()>>>,
}

impl EmbeddedPublisher {
    pub(super) fn new(core: Arc<Core>, role: Role) -> EmbeddedPublisher {
        EmbeddedPublisher { core, role, right: Mutex::default() }
    }

    fn take_right(&self) -> Result<(), QueueError> {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if self.role == Role::Watcher && right.is_none() {
            let watcher = self.core.watcher.clone();
            *right = Some(watcher.try_lock_owned().map_err(|_| QueueError::Standby)?);
        }
        Ok(())
    }
}

#[async_trait]
impl Publisher for EmbeddedPublisher {
    async fn publish(&self, queue: Queue, messages: &[Message]) -> Result<(), QueueError> {
        self.take_right()?;
        if messages.is_empty() {
            return Ok(());
        }
        self.core.thread.write(Write::Publish(queue, messages.to_vec())).await?;
        if let Queue::Lane(_) = queue
            && self.core.copies.receiver_count() > 0
        {
            for message in messages {
                // Who followed has gone just now.
                let _nobody_follows = self.core.copies.send(message.clone());
            }
        }
        Ok(())
    }

    async fn ready(&self) -> Result<(), QueueError> {
        self.take_right()
    }
}
