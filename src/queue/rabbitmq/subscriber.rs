//! Receives from all partitions of a queue as from one.

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    future::ready,
    stream::{BoxStream, SelectAll, once},
};
use lapin::{
    Acker, Channel, message,
    options::{BasicNackOptions, BasicQosOptions, QueueDeclareOptions},
};
use tokio::runtime::Handle;
use tracing::debug;

use super::{
    connection::{Connector, Link},
    fault::{Fault, within},
    topology, wire,
};
use crate::queue::{Claim, Delivery, QueueError, Receipt, Subscriber, partition_of};

/// Copies that are on the way to a reader.
const TAIL_PREFETCH: u16 = 256;

/// A subscription with a connection of its own, until its first fault. Dropped, it closes the
/// connection, and the broker takes back what is unsettled.
pub(super) struct RabbitSubscriber(Option<Open>);

struct Open {
    partitions: u16,
    streams: SelectAll<BoxStream<'static, Incoming>>,
    /// Closes with the last handle to it.
    channel: Channel,
    link: Link,
}

/// A delivery, and the partition it came from.
type Incoming = Result<(u16, message::Delivery), QueueError>;

impl RabbitSubscriber {
    /// Subscribes to the queues named `names`.
    pub(super) async fn start(
        connector: &Connector,
        names: Vec<String>,
        prefetch: u16,
    ) -> Result<RabbitSubscriber, QueueError> {
        let link = connector.connect("consumer").await?;
        let channel = link.channel().await?;
        RabbitSubscriber::consume(link, channel, names, prefetch).await
    }

    /// Subscribes to one queue as the only one who claims, and tells how many messages are in it.
    pub(super) async fn claim(
        connector: &Connector,
        name: &str,
    ) -> Result<(u64, RabbitSubscriber), QueueError> {
        let link = connector.connect("reader").await?;
        let channel = topology::hold_reader(&link).await?;
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let declared = channel.queue_declare(name.into(), passive, Default::default());
        let waiting = within("queue.declare", declared).await?.message_count();
        let names = vec![name.to_owned()];
        let subscriber = RabbitSubscriber::consume(link, channel, names, Claim::MOST).await?;
        Ok((waiting.into(), subscriber))
    }

    /// Receives copies of what goes into the lanes from now on.
    pub(super) async fn tail(connector: &Connector) -> Result<RabbitSubscriber, QueueError> {
        let link = connector.connect("tail").await?;
        let channel = link.channel().await?;
        let name = topology::declare_tail(&channel, connector.partitions()).await?;
        RabbitSubscriber::consume(link, channel, vec![name], TAIL_PREFETCH).await
    }

    async fn consume(
        link: Link,
        channel: Channel,
        names: Vec<String>,
        prefetch: u16,
    ) -> Result<RabbitSubscriber, QueueError> {
        // RabbitMQ counts for each consumer of the channel; zero would mean no limit.
        let limit = channel.basic_qos(prefetch.max(1), BasicQosOptions { global: false });
        within("basic.qos", limit).await?;
        // From here on it must end by its own rules, also when this is cancelled.
        let partitions = u16::try_from(names.len()).unwrap_or(u16::MAX);
        let streams = SelectAll::new();
        let open = Open { partitions, streams, channel: channel.clone(), link };
        let mut subscriber = RabbitSubscriber(Some(open));
        for (partition, name) in (0..partitions).zip(names) {
            let (tag, none) = ("".into(), Default::default());
            let consumer =
                channel.basic_consume(name.as_str().into(), tag, Default::default(), none);
            let consumer = within("basic.consume", consumer).await?;
            let received = consumer.map(move |item| match item {
                Ok(delivery) => Ok((partition, delivery)),
                Err(error) => Err(Fault::Error(error).into()),
            });
            // A queue that is deleted, or moves to another node, ends its stream and no more.
            let end = QueueError::Unavailable(format!("the broker ended the delivery from {name}"));
            let stream = received.chain(once(ready(Err(end)))).boxed();
            if let Some(open) = &mut subscriber.0 {
                open.streams.push(stream);
            }
        }
        Ok(subscriber)
    }

    fn end(&mut self) {
        // Outside of a runtime nothing can be sent any more; the broker sees the socket close.
        if let (Some(open), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(open.close());
        }
    }
}

impl Open {
    /// Closes the connection before the streams go. The client cancels a consumer whose stream is
    /// dropped, and RabbitMQ puts what it then has on the way to that consumer ahead of what was
    /// delivered earlier: the order of an object would be lost.
    async fn close(self) {
        let Open { streams, channel, link, .. } = self;
        if let Err(fault) = link.close().await {
            debug!(%fault, "the connection did not close in order");
        }
        drop((streams, channel));
    }
}

#[async_trait]
impl Subscriber for RabbitSubscriber {
    async fn receive(&mut self) -> Result<Delivery, QueueError> {
        let ended = || QueueError::Unavailable("the subscription has ended".into());
        let open = self.0.as_mut().ok_or_else(ended)?;
        match open.streams.next().await.unwrap_or_else(|| Err(ended())) {
            Ok((partition, mut delivery)) => {
                let message = wire::message(&mut delivery);
                Ok(Delivery {
                    redelivered: wire::is_redelivered(&delivery),
                    in_place: partition_of(message.object, open.partitions) == partition,
                    message,
                    receipt: Box::new(RabbitReceipt(delivery.acker)),
                })
            }
            Err(error) => {
                self.end();
                Err(error)
            }
        }
    }
}

impl Drop for RabbitSubscriber {
    fn drop(&mut self) {
        self.end();
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
