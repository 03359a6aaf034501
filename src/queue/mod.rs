//! The queue between the watcher and the consumers, and the only place where they meet.
//!
//! One contract, two implementations: [`rabbitmq`] and [`embedded`]. Both keep what is published
//! until it is settled, deliver the messages of one object in the order in which they were
//! published, and give a partition to a single consumer at a time.

pub mod canary;
pub mod carried;
#[cfg(test)]
mod contract;
pub mod dead_letter;
pub mod embedded;
pub mod journal;
pub mod letters;
mod names;
mod presence;
pub mod rabbitmq;
pub mod refresh;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use thiserror::Error;
use uuid::Uuid;

use crate::{
    config::model,
    event::{Event, Lane},
};

/// The longest wait for one's turn at a queue.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(30);

/// A named queue. The two lanes are partitioned by object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Queue {
    /// Change events.
    Lane(Lane),
    /// Requests to the watcher to tell the state of an object now.
    Refresh,
    /// Waits for the delay, then arrives in [`Queue::Refresh`].
    Parked(ParkingDelay),
    /// What a retry cannot mend.
    DeadLetters,
    /// What became of events, for the watcher's journal. The oldest go where nobody reads.
    Outcomes,
}

/// How long a parked message waits: one queue each, for a time-to-live ends at the head only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParkingDelay {
    /// 15 seconds.
    Seconds15,
    /// 1 minute.
    Minute1,
    /// 5 minutes.
    Minutes5,
    /// 30 minutes.
    Minutes30,
}

impl ParkingDelay {
    /// Every delay, the shortest first.
    pub const ALL: [ParkingDelay; 4] =
        [Self::Seconds15, Self::Minute1, Self::Minutes5, Self::Minutes30];

    /// The time to wait.
    pub fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Self::Seconds15 => 15,
            Self::Minute1 => 60,
            Self::Minutes5 => 5 * 60,
            Self::Minutes30 => 30 * 60,
        })
    }

    /// The suffix of the queue's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seconds15 => "15s",
            Self::Minute1 => "1m",
            Self::Minutes5 => "5m",
            Self::Minutes30 => "30m",
        }
    }
}

/// What travels: opaque bytes, with what the queue needs to place them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The event's id, or one of its own. Equal when the same message is published again.
    pub id: Uuid,
    /// CloudEvents `type`, or what else the body is.
    pub kind: String,
    /// Decides the partition.
    pub object: Uuid,
    /// MIME type of the body.
    pub content_type: String,
    /// Further headers, such as the signature.
    pub headers: BTreeMap<String, String>,
    /// The exact bytes.
    pub body: Bytes,
}

impl Message {
    /// The message that carries an event.
    pub fn from_event(event: &Event) -> Message {
        Message {
            id: event.id,
            kind: event.kind().type_name().to_owned(),
            object: event.object,
            content_type: crate::event::CONTENT_TYPE.to_owned(),
            headers: BTreeMap::new(),
            body: event.to_json().into(),
        }
    }

    /// A message of its own, whose body is this as JSON. `body` must be of what always serializes:
    /// strings, numbers, lists.
    fn json(kind: &str, content_type: &str, object: Uuid, body: &impl Serialize) -> Message {
        Message {
            id: Uuid::new_v4(),
            kind: kind.to_owned(),
            object,
            content_type: content_type.to_owned(),
            headers: BTreeMap::new(),
            body: serde_json::to_vec(body).expect("strings and numbers always serialize").into(),
        }
    }
}

/// The partition of an object: FNV-1a over the 16 bytes, modulo the number of partitions. It is
/// part of the contract: watchers and consumers of different versions must agree on it.
pub fn partition_of(object: Uuid, partitions: u16) -> u16 {
    let hash = object.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash % u64::from(partitions.max(1))) as u16
}

/// Why the queue could not do as asked.
#[derive(Debug, Error)]
pub enum QueueError {
    /// Not reachable, or the connection broke: wait and try again.
    #[error("the queue is not available: {0}")]
    Unavailable(String),
    /// The broker refused to take the message now (alarm, length limit): wait and try again.
    #[error("the broker does not accept messages now: {0}")]
    Refused(String),
    /// Another watcher holds the right to publish: wait as standby.
    #[error("another watcher is active on this queue")]
    Standby,
    /// Set up in a way that no retry mends; the text says what to do.
    #[error("{0}")]
    Setup(String),
}

impl QueueError {
    /// Whether waiting may help.
    pub fn is_transient(&self) -> bool {
        !matches!(self, QueueError::Setup(_))
    }
}

/// Who publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The watcher. At most one at a time can publish in this role.
    Watcher,
    /// Anyone else: consumers and the command line.
    Other,
}

/// The queue that the configuration asks for. RabbitMQ is connected to when it is first used; the
/// embedded queue's file is opened here.
pub fn open(config: &model::Broker) -> Result<Arc<dyn Broker>, QueueError> {
    Ok(match config.kind {
        model::BrokerKind::Rabbitmq => Arc::new(rabbitmq::RabbitMq::new(config)?),
        model::BrokerKind::Embedded => {
            Arc::new(embedded::Embedded::open(&config.path, config.partitions)?)
        }
    })
}

/// A queue server, or the file that stands for one.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Connects and declares everything that is missing. Idempotent.
    async fn declare(&self) -> Result<(), QueueError>;

    /// A publisher; it connects when first used and again whenever that is needed.
    fn publisher(&self, role: Role) -> Arc<dyn Publisher>;

    /// Starts to receive from a queue (all partitions, where it is partitioned), with at most
    /// `prefetch` unsettled deliveries per partition.
    async fn subscribe(
        &self,
        queue: Queue,
        prefetch: u16,
    ) -> Result<Box<dyn Subscriber>, QueueError>;

    /// Subscribes to a queue that has no partitions, as the only one of all processes that do so
    /// by this call, and tells how many messages are in it. Waits for its turn, but not for ever.
    async fn claim(&self, queue: Queue) -> Result<Claim, QueueError>;

    /// Copies of the events that are published from now on; the queues keep theirs. A copy is to be
    /// acknowledged like any delivery; where that takes long, the oldest are left out.
    async fn tail(&self) -> Result<Box<dyn Subscriber>, QueueError>;

    /// How many messages wait in a queue. The embedded queue includes unsettled ones; AMQP tells
    /// no client about them.
    async fn depth(&self, queue: Queue) -> Result<u64, QueueError>;
}

/// A queue in one's own hands.
pub struct Claim {
    /// How many messages were in it when the turn came.
    pub waiting: u64,
    /// Delivers them, [`Claim::MOST`] at once at most. Dropped unsettled, they go back.
    pub subscriber: Box<dyn Subscriber>,
}

impl Claim {
    /// The most unsettled messages: the largest prefetch of AMQP 0-9-1.
    pub const MOST: u16 = u16::MAX;
}

/// Puts messages into queues.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Publishes in order and returns once every message is durable. After an error some of them
    /// may be; publishing the same ones again is right, and the messages of one object never
    /// overtake each other.
    async fn publish(&self, queue: Queue, messages: &[Message]) -> Result<(), QueueError>;

    /// Connects if needed, and for [`Role::Watcher`] takes the right to publish.
    async fn ready(&self) -> Result<(), QueueError>;
}

/// Takes messages from a queue.
#[async_trait]
pub trait Subscriber: Send {
    /// The next message. An error ends the subscription: what is unsettled will be delivered
    /// again, to whoever subscribes then. Cancel-safe.
    async fn receive(&mut self) -> Result<Delivery, QueueError>;
}

/// A message in hand, to be settled exactly once. Dropped unsettled, it comes again at the latest
/// when the subscription ends.
pub struct Delivery {
    /// What was published; `id`, `kind` and `object` are the sender's claims.
    pub message: Message,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// Whether it came from where the messages of the object that it claims to be of belong. A
    /// copy elsewhere would escape the memory of the consumer that serves the object.
    pub in_place: bool,
    /// Settles it.
    pub receipt: Box<dyn Receipt>,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.message.id)
            .field("kind", &self.message.kind)
            .field("redelivered", &self.redelivered)
            .finish_non_exhaustive()
    }
}

/// The right to settle one delivery.
#[async_trait]
pub trait Receipt: Send + Sync {
    /// Done: the message leaves the queue. An error means that it will come again.
    async fn ack(self: Box<Self>) -> Result<(), QueueError>;

    /// Not done, and not the message's fault: it goes back to its place. That keeps the order of
    /// an object if all of its messages in hand are released, in the order in which they came, and
    /// nothing is acknowledged on this subscription until all that was released has come again:
    /// RabbitMQ applies acknowledgements before returns that wait together with them, and fills
    /// the room with later messages. Dropping the subscription has no such conditions.
    async fn release(self: Box<Self>) -> Result<(), QueueError>;
}
