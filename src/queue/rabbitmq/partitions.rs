//! How many partitions the lanes of a virtual host have.
//!
//! Everybody must place an object's messages alike, so the number is kept at the broker: as the
//! name of an exchange that nothing goes through. AMQP has no listing, but whether a name exists
//! can be asked by everybody. Another number moves objects to other partitions, which is safe only
//! while nothing waits in the old ones and nobody works by the old number.

use lapin::{
    ExchangeKind,
    options::{ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeclareOptions},
    types::FieldTable,
};
use tracing::warn;

use super::{
    connection::Link,
    fault::{Fault, code, within},
    topology,
};
use crate::{
    event::Lane,
    queue::{Queue, QueueError, names::names_of},
};

/// The largest number that a configuration may ask for.
const MOST: u16 = 64;

/// Makes sure that `partitions` is everybody's number.
pub(super) async fn agree(link: &Link, partitions: u16) -> Result<(), QueueError> {
    if exists(link, partitions).await? {
        return Ok(());
    }
    for before in 1..=MOST {
        if before != partitions && exists(link, before).await? {
            if let Some(obstacle) = obstacle(link, before).await? {
                return Err(refusal(partitions, before, &obstacle));
            }
            warn!(before, partitions, "the lanes are empty and get another number of partitions");
            forget(link, before).await?;
        }
    }
    remember(link, partitions).await
}

/// Whether [`agree`] would succeed. Changes nothing.
pub(super) async fn would_agree(link: &Link, partitions: u16) -> Result<(), QueueError> {
    if exists(link, partitions).await? {
        return Ok(());
    }
    for before in 1..=MOST {
        if exists(link, before).await?
            && let Some(obstacle) = obstacle(link, before).await?
        {
            return Err(refusal(partitions, before, &obstacle));
        }
    }
    Ok(())
}

fn refusal(partitions: u16, before: u16, obstacle: &str) -> QueueError {
    QueueError::Setup(format!(
        "broker.partitions is {partitions}, but the queues were made for {before} and {obstacle}; \
         set it back to {before}, or to change it, stop every watcher, let the consumers empty the \
         lanes, stop them too, and start all with the new number"
    ))
}

/// What speaks against giving up this number, in words.
async fn obstacle(link: &Link, partitions: u16) -> Result<Option<String>, QueueError> {
    if let Err(fault) = look_at(link, topology::WATCHER).await {
        match fault.code() {
            Some(code::NOT_FOUND) => {}
            Some(code::RESOURCE_LOCKED) => return Ok(Some("a watcher is running".into())),
            _ => return Err(fault.into()),
        }
    }
    for name in Lane::ALL.into_iter().flat_map(|lane| names_of(Queue::Lane(lane), partitions)) {
        match look_at(link, &name).await {
            Ok((0, 0)) => {}
            Ok((0, _)) => return Ok(Some(format!("a consumer receives from {name}"))),
            Ok((messages, _)) => return Ok(Some(format!("{name} holds {messages} messages"))),
            Err(fault) if fault.code() == Some(code::NOT_FOUND) => {}
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(None)
}

/// How many messages wait in a queue, and how many consumers it has.
pub(super) async fn look_at(link: &Link, name: &str) -> Result<(u32, u32), Fault> {
    // A refusal closes the channel.
    let channel = link.channel().await?;
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let declared = channel.queue_declare(name.into(), passive, FieldTable::default());
    let queue = within("queue.declare", declared).await?;
    Ok((queue.message_count(), queue.consumer_count()))
}

fn exchange(partitions: u16) -> String {
    format!("relay.partitions.{partitions}")
}

async fn exists(link: &Link, partitions: u16) -> Result<bool, QueueError> {
    match declare(link, partitions, true).await {
        Ok(()) => Ok(true),
        Err(fault) if fault.code() == Some(code::NOT_FOUND) => Ok(false),
        Err(fault) => Err(fault.into()),
    }
}

async fn remember(link: &Link, partitions: u16) -> Result<(), QueueError> {
    Ok(declare(link, partitions, false).await?)
}

async fn declare(link: &Link, partitions: u16, passive: bool) -> Result<(), Fault> {
    let channel = link.channel().await?;
    let options = ExchangeDeclareOptions { durable: true, passive, ..Default::default() };
    let (name, none) = (exchange(partitions).into(), FieldTable::default());
    let declared = channel.exchange_declare(name, ExchangeKind::Fanout, options, none);
    within("exchange.declare", declared).await
}

async fn forget(link: &Link, partitions: u16) -> Result<(), QueueError> {
    let channel = link.channel().await?;
    let options = ExchangeDeleteOptions { if_unused: true, ..Default::default() };
    let deleted = channel.exchange_delete(exchange(partitions).into(), options);
    Ok(within("exchange.delete", deleted).await?)
}
