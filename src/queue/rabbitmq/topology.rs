//! Exchange and queues. Whoever comes first declares them; what exists is never changed.

use std::time::Duration;

use lapin::{
    Channel, Consumer, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use tokio::time::{Instant, sleep};
use tracing::warn;
use uuid::Uuid;

use super::{
    connection::Link,
    fault::{Fault, code, within},
    partitions,
};
use crate::event::Lane;
use crate::queue::{
    CLAIM_TIMEOUT, Queue, QueueError, journal,
    names::{all_queues, names_of},
};

/// The direct exchange through which everything goes. A queue's binding key is its name.
pub(super) const EXCHANGE: &str = "relay.events";

/// The queue that a watcher must hold to publish.
pub(super) const WATCHER: &str = "relay.watcher";

/// The queue that one must hold to take the dead letters in hand: who looks at them sees all.
const READER: &str = "relay.reader";

/// What the names of queues for copies begin with.
const TAIL: &str = "relay.tail.";

/// The most copies that wait for a reader.
const MOST_COPIES: i32 = 10_000;

/// How often one who waits for [`READER`] tries again.
const READER_INTERVAL: Duration = Duration::from_millis(100);

/// Redeliveries before the broker gives a message up. The relay's own attempts decide, so this
/// must never be reached; but without any limit RabbitMQ before 4.0 puts a returned message at
/// the end of the queue instead of its place, and from 4.0 on the default is 20.
const DELIVERY_LIMIT: i32 = 1_000_000_000;

/// Declares what is missing. Tells whether the user may do so: if not, everything is there.
pub(super) async fn declare(link: &Link, partitions: u16) -> Result<bool, QueueError> {
    partitions::agree(link, partitions).await?;
    let Some(mut channel) = declare_exchange(link).await? else {
        verify(link, partitions).await?;
        return Ok(false);
    };
    for queue in all_queues() {
        for name in names_of(queue, partitions) {
            channel = declare_queue(link, channel, &name, arguments(queue)).await?;
        }
    }
    Ok(true)
}

/// Sees that everything is there, which needs no rights. Arguments and bindings are then the
/// administrator's.
pub(super) async fn verify(link: &Link, partitions: u16) -> Result<(), QueueError> {
    partitions::agree(link, partitions).await?;
    let channel = link.channel().await?;
    let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
    let none = FieldTable::default;
    let found = channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Direct, passive, none());
    within("exchange.declare", found).await.map_err(|fault| missing(EXCHANGE, fault))?;
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    for name in all_queues().flat_map(|queue| names_of(queue, partitions)) {
        let found = channel.queue_declare(name.as_str().into(), passive, none());
        within("queue.declare", found).await.map_err(|fault| missing(&name, fault))?;
    }
    Ok(())
}

/// Something is not there, and the user may not declare it.
fn missing(name: &str, fault: Fault) -> QueueError {
    if fault.code() != Some(code::NOT_FOUND) {
        return fault.into();
    }
    not_declarable(name, &fault)
}

/// What to do about it.
pub(super) fn not_declarable(name: &str, fault: &Fault) -> QueueError {
    QueueError::Setup(format!(
        "{name} does not exist, and the user may not declare it: {fault}; import the definitions \
         again (deploy/rabbitmq/README.md), or give the user configure permission on ^relay\\."
    ))
}

/// Takes the right to publish for as long as the connection lasts. The consumer ends when the
/// right is lost before: somebody deleted the queue.
pub(super) async fn hold_watcher(channel: &Channel) -> Result<Consumer, QueueError> {
    if !hold(channel, WATCHER).await? {
        return Err(QueueError::Standby);
    }
    let none = FieldTable::default();
    let consumer = channel.basic_consume(WATCHER.into(), "".into(), Default::default(), none);
    Ok(within("basic.consume", consumer).await?)
}

/// Waits for the right to take the dead letters in hand, on a channel of its own.
pub(super) async fn hold_reader(link: &Link) -> Result<Channel, QueueError> {
    let deadline = Instant::now() + CLAIM_TIMEOUT;
    loop {
        let channel = link.channel().await?;
        if hold(&channel, READER).await? {
            return Ok(channel);
        }
        if Instant::now() > deadline {
            let text = format!("another process has the dead letters in hand (queue {READER})");
            return Err(QueueError::Unavailable(text));
        }
        sleep(READER_INTERVAL).await;
    }
}

/// Declares a queue for copies of what goes into the lanes, and tells its name. It is gone with its
/// reader, and holds little for one that is slow.
pub(super) async fn declare_tail(channel: &Channel, partitions: u16) -> Result<String, QueueError> {
    let name = format!("{TAIL}{}", Uuid::new_v4());
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(MOST_COPIES));
    arguments.insert("x-overflow".into(), text("drop-head"));
    let declared = channel.queue_declare(name.as_str().into(), options, arguments);
    within("queue.declare", declared).await.map_err(may_not_tail)?;
    for key in Lane::ALL.into_iter().flat_map(|lane| names_of(Queue::Lane(lane), partitions)) {
        let (queue, exchange, none) =
            (name.as_str().into(), EXCHANGE.into(), FieldTable::default());
        let bound = channel.queue_bind(queue, exchange, key.into(), Default::default(), none);
        within("queue.bind", bound).await.map_err(may_not_tail)?;
    }
    Ok(name)
}

fn may_not_tail(fault: Fault) -> QueueError {
    if fault.code() != Some(code::ACCESS_REFUSED) {
        return fault.into();
    }
    QueueError::Setup(format!(
        "the user may not have a queue of its own for copies: {fault}; it needs configure, write and \
         read permission on ^relay\\.tail\\. and read permission on {EXCHANGE}"
    ))
}

/// Declares an exclusive queue, which lasts as long as the connection; false if another one's
/// does, and then the channel is closed.
pub(super) async fn hold(channel: &Channel, name: &str) -> Result<bool, Fault> {
    let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let declared = channel.queue_declare(name.into(), options, FieldTable::default());
    match within("queue.declare", declared).await {
        Ok(_) => Ok(true),
        Err(fault) if fault.code() == Some(code::RESOURCE_LOCKED) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// The channel to go on with; none if the user may not declare.
async fn declare_exchange(link: &Link) -> Result<Option<Channel>, QueueError> {
    let channel = link.channel().await?;
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let (kind, none) = (ExchangeKind::Direct, FieldTable::default());
    let declared = channel.exchange_declare(EXCHANGE.into(), kind, options, none);
    match within("exchange.declare", declared).await {
        Ok(()) => Ok(Some(channel)),
        Err(refused) if refused.code() == Some(code::ACCESS_REFUSED) => Ok(None),
        Err(fault) => Err(conflict("exchange", EXCHANGE, fault)),
    }
}

/// Declares a queue and binds it. A user with the right to the exchange but not to this queue is
/// content with a queue that is there.
async fn declare_queue(
    link: &Link,
    channel: Channel,
    name: &str,
    arguments: FieldTable,
) -> Result<Channel, QueueError> {
    let declared = channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments);
    match within("queue.declare", declared).await {
        Ok(_) => {
            let (key, none) = (name.into(), FieldTable::default());
            let bound =
                channel.queue_bind(name.into(), EXCHANGE.into(), key, Default::default(), none);
            within("queue.bind", bound).await?;
            Ok(channel)
        }
        Err(refused) if refused.code() == Some(code::ACCESS_REFUSED) => {
            let channel = link.channel().await?;
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            let found = channel.queue_declare(name.into(), passive, FieldTable::default());
            within("queue.declare", found).await.map_err(|_| QueueError::from(refused))?;
            Ok(channel)
        }
        Err(fault) => Err(conflict("queue", name, fault)),
    }
}

/// What exists differs from what is needed: told, never mended.
pub(super) fn conflict(what: &str, name: &str, fault: Fault) -> QueueError {
    if fault.code() != Some(code::PRECONDITION_FAILED) {
        return fault.into();
    }
    warn!(name, %fault, "the broker holds something else under this name");
    QueueError::Setup(format!(
        "the {what} {name} exists with other properties than entra-relay needs: {fault}; it is \
         never deleted by entra-relay: let it run empty and delete it (rabbitmqctl delete_queue, \
         or the management page), or use a virtual host of its own"
    ))
}

/// The arguments of a queue. All are quorum queues, whose confirms mean a copy on a majority.
pub(super) fn arguments(queue: Queue) -> FieldTable {
    let mut arguments = FieldTable::default();
    let mut set = |key: &str, value| {
        arguments.insert(key.into(), value);
    };
    set("x-queue-type", text("quorum"));
    set("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT));
    match queue {
        Queue::Lane(_) => set("x-single-active-consumer", AMQPValue::Boolean(true)),
        Queue::Parked(delay) => {
            set("x-message-ttl", milliseconds(delay.duration()));
            set("x-dead-letter-exchange", text(EXCHANGE));
            for name in names_of(Queue::Refresh, 1) {
                set("x-dead-letter-routing-key", text(&name));
            }
            // At-least-once is given together with reject-publish only; else it silently is not.
            set("x-dead-letter-strategy", text("at-least-once"));
            set("x-overflow", text("reject-publish"));
        }
        Queue::Outcomes => {
            let number = |limit: u32| AMQPValue::LongInt(i32::try_from(limit).unwrap_or(i32::MAX));
            set("x-max-length", number(journal::QUEUE_MESSAGES));
            set("x-max-length-bytes", number(journal::QUEUE_BYTES));
            set("x-message-ttl", milliseconds(journal::QUEUE_AGE));
            set("x-overflow", text("drop-head"));
        }
        Queue::Refresh | Queue::DeadLetters => {}
    }
    arguments
}

fn milliseconds(length: Duration) -> AMQPValue {
    AMQPValue::LongInt(i32::try_from(length.as_millis()).unwrap_or(i32::MAX))
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::ParkingDelay;

    #[test]
    fn lanes_have_one_active_consumer_and_parked_messages_go_on_to_refresh() {
        let lane = arguments(Queue::Lane(Lane::Urgent));
        assert_eq!(lane.inner().get("x-single-active-consumer"), Some(&AMQPValue::Boolean(true)));
        let parked = arguments(Queue::Parked(ParkingDelay::Minutes30));
        assert_eq!(parked.inner().get("x-message-ttl"), Some(&AMQPValue::LongInt(1_800_000)));
        assert_eq!(parked.inner().get("x-dead-letter-routing-key"), Some(&text("relay.refresh")));
        assert_eq!(parked.inner().get("x-single-active-consumer"), None);
    }
}
