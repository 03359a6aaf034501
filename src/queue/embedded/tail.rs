//! Copies of what is published, for one who follows it.

use async_trait::async_trait;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::queue::{Delivery, Message, QueueError, Receipt, Subscriber};

/// Receives copies. One who is slow misses the oldest.
pub(super) struct Tail(Receiver<Message>);

impl Tail {
    pub(super) fn new(copies: Receiver<Message>) -> Tail {
        Tail(copies)
    }
}

#[async_trait]
impl Subscriber for Tail {
    async fn receive(&mut self) -> Result<Delivery, QueueError> {
        loop {
            match self.0.recv().await {
                Ok(message) => {
                    let receipt = Box::new(Copied);
                    return Ok(Delivery { message, redelivered: false, in_place: true, receipt });
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => {
                    return Err(QueueError::Unavailable("the queue is closed".into()));
                }
            }
        }
    }
}

/// A copy is nobody's to settle.
struct Copied;

#[async_trait]
impl Receipt for Copied {
    async fn ack(self: Box<Self>) -> Result<(), QueueError> {
        Ok(())
    }

    async fn release(self: Box<Self>) -> Result<(), QueueError> {
        Ok(())
    }
}
