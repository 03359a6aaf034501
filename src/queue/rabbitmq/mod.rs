//! The queue on a RabbitMQ server, 3.10 or newer, over AMQP 0-9-1.
//!
//! The client's own recovery is off: it can leave a consumer waiting for ever without an error.
//! Instead every connection here is used until its first fault and then thrown away; the next
//! call connects anew, declares what is missing and goes on. Whoever calls does the waiting.
//!
//! Publishing, consuming and asking have connections of their own, for an alarm on the server
//! blocks a publishing connection as a whole, and acknowledgements must get through then.

mod address;
mod connection;
mod examination;
mod fault;
mod partitions;
mod publisher;
mod subscriber;
mod topology;
mod waves;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use lapin::options::QueueDeclareOptions;
use tokio::sync::Mutex;
use uuid::Uuid;

pub use self::examination::Examination;
use self::{
    connection::{Connector, Link},
    fault::within,
    publisher::RabbitPublisher,
    subscriber::RabbitSubscriber,
};
use super::{
    Broker, Claim, Publisher, Queue, QueueError, Role, Subscriber,
    names::{name_for, names_of},
};
use crate::config::model;

/// A RabbitMQ server.
#[derive(Debug)]
pub struct RabbitMq {
    connector: Arc<Connector>,
    /// For questions. Kept while it works.
    control: Mutex<Option<Link>>,
}

impl RabbitMq {
    /// Checks the settings and reads the secrets; it does not connect yet.
    pub fn new(config: &model::Broker) -> Result<RabbitMq, QueueError> {
        let connector = Arc::new(Connector::new(config)?);
        Ok(RabbitMq { connector, control: Mutex::default() })
    }

    /// Finds out what would keep a process from working that receives from `reads`. Nothing is
    /// declared, published or taken.
    pub async fn examine(&self, reads: &[Queue]) -> Examination {
        Examination::of(&self.connector, reads).await
    }

    /// How many messages of the queue wait, over all its partitions.
    async fn count(&self, link: &Link, queue: Queue) -> Result<u64, QueueError> {
        let channel = link.channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let mut messages = 0;
        for name in names_of(queue, self.connector.partitions()) {
            let declared = channel.queue_declare(name.into(), passive, Default::default());
            messages += u64::from(within("queue.declare", declared).await?.message_count());
        }
        Ok(messages)
    }
}

#[async_trait]
impl Broker for RabbitMq {
    async fn declare(&self) -> Result<(), QueueError> {
        let mut control = self.control.lock().await;
        *control = None;
        *control = Some(self.connector.connect("control").await?);
        Ok(())
    }

    fn publisher(&self, role: Role) -> Arc<dyn Publisher> {
        Arc::new(RabbitPublisher::new(self.connector.clone(), role))
    }

    async fn subscribe(
        &self,
        queue: Queue,
        prefetch: u16,
    ) -> Result<Box<dyn Subscriber>, QueueError> {
        if let Queue::Parked(_) = queue {
            return Err(QueueError::Setup("parked messages are received from refresh".into()));
        }
        let names = names_of(queue, self.connector.partitions());
        Ok(Box::new(RabbitSubscriber::start(&self.connector, names, prefetch).await?))
    }

    async fn claim(&self, queue: Queue) -> Result<Claim, QueueError> {
        let (waiting, subscriber) =
            RabbitSubscriber::claim(&self.connector, &name_for(queue, Uuid::nil(), 1)).await?;
        Ok(Claim { waiting, subscriber: Box::new(subscriber) })
    }

    async fn tail(&self) -> Result<Box<dyn Subscriber>, QueueError> {
        Ok(Box::new(RabbitSubscriber::tail(&self.connector).await?))
    }

    async fn depth(&self, queue: Queue) -> Result<u64, QueueError> {
        let mut control = self.control.lock().await;
        // Out of its place while in use: a fault, or a caller who goes away, ends it.
        let link = match control.take() {
            Some(link) if link.is_up() => link,
            _ => self.connector.connect("control").await?,
        };
        let messages = self.count(&link, queue).await?;
        *control = Some(link);
        Ok(messages)
    }
}
