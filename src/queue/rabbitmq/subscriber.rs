//! Receives from all partitions of a queue as from one.

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    future::ready,
    stream::{BoxStream, SelectAll, once},
};
use lapin::{
    Acker, Channel, message,
    options::{BasicNackOptions, BasicQosOptions},
};

use super::{
    connection::{Connector, Link},
    fault::{Fault, within},
    wire,
};
use crate::queue::{Delivery, QueueError, Receipt, Subscriber};

type Incoming = Result<message::Delivery, QueueError>;

/// A subscription with a connection of its own. Dropped, it closes the connection, and the broker
/// takes back at once what is unsettled.
pub(super) struct RabbitSubscriber {
    /// None once it has failed.
    streams: Option<SelectAll<BoxStream<'static, Incoming>>>,
    _channel: Channel,
    _link: Link,
}

impl RabbitSubscriber {
    /// Subscribes to the queues named `names`.
    pub(super) async fn start(
        connector: &Connector,
        names: Vec<String>,
        prefetch: u16,
    ) -> Result<RabbitSubscriber, QueueError> {
        let link = connector.connect("consumer").await?;
        let channel = link.channel().await?;
        // RabbitMQ counts for each consumer of the channel; zero would mean no limit.
        let limit = channel.basic_qos(prefetch.max(1), BasicQosOptions { global: false });
        within("basic.qos", limit).await?;
        let mut streams = SelectAll::new();
        for name in names {
            let consumer = channel.basic_consume(
                name.as_str().into(),
                "".into(),
                Default::default(),
                Default::default(),
            );
            let consumer = within("basic.consume", consumer).await?;
            let received = consumer.map(|item| item.map_err(|error| Fault::Error(error).into()));
            // A queue that is deleted, or moves to another node, ends its stream and no more.
            let end = QueueError::Unavailable(format!("the broker ended the delivery from {name}"));
            streams.push(received.chain(once(ready(Err(end)))).boxed());
        }
        Ok(RabbitSubscriber { streams: Some(streams), _channel: channel, _link: link })
    }
}

#[async_trait]
impl Subscriber for RabbitSubscriber {
    async fn receive(&mut self) -> Result<Delivery, QueueError> {
        let ended = || QueueError::Unavailable("the subscription has ended".into());
        let streams = self.streams.as_mut().ok_or_else(ended)?;
        match streams.next().await.unwrap_or_else(|| Err(ended())) {
            Ok(mut delivery) => Ok(Delivery {
                redelivered: wire::is_redelivered(&delivery),
                message: wire::message(&mut delivery),
                receipt: Box::new(RabbitReceipt(delivery.acker)),
            }),
            Err(error) => {
                self.streams = None;
                Err(error)
            }
        }
    }
}

struct RabbitReceipt(Acker);

/// The client answers `false` where the delivery belongs to a channel that is gone.
fn settled(result: Result<bool, Fault>) -> Result<(), QueueError> {
    match result {
        Ok(true) => Ok(()),
        Ok(false) => Err(QueueError::Unavailable("the delivery's channel is closed".into())),
        Err(fault) => Err(QueueError::Unavailable(fault.text())),
    }
}

#[async_trait]
impl Receipt for RabbitReceipt {
    async fn ack(self: Box<Self>) -> Result<(), QueueError> {
        settled(within("basic.ack", self.0.ack(Default::default())).await)
    }

    async fn release(self: Box<Self>) -> Result<(), QueueError> {
        // Nack, not reject: from RabbitMQ 4.3 on it does not count towards the delivery limit.
        let back = BasicNackOptions { requeue: true, multiple: false };
        settled(within("basic.nack", self.0.nack(back)).await)
    }
}
