//! Puts into other queues what cannot be settled by acknowledging alone.

use std::sync::Arc;

use tracing::warn;

use super::pace::Pace;
use crate::{
    net::backoff::Backoff,
    queue::{Message, Publisher, Queue},
};

/// Publishes, however long it takes.
pub struct Sender {
    publisher: Arc<dyn Publisher>,
    pace: Pace,
}

impl Sender {
    /// Sends through this publisher.
    pub fn new(publisher: Arc<dyn Publisher>, pace: Pace) -> Sender {
        Sender { publisher, pace }
    }

    /// Returns once every message is safe in the queue.
    pub async fn send(&self, queue: Queue, messages: &[Message]) {
        let mut backoff = Backoff::new(self.pace.queue.0, self.pace.queue.1);
        while let Err(error) = self.publisher.publish(queue, messages).await {
            let object = messages.first().map(|message| message.object.to_string());
            warn!(object, ?queue, %error, "a message could not be published yet");
            backoff.wait().await;
        }
    }
}
