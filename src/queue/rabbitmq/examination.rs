//! What would keep a process from working with this broker, found without changing anything.

use lapin::{
    BasicProperties, Confirmation, ExchangeKind,
    options::{BasicPublishOptions, BasicQosOptions, ExchangeDeclareOptions, QueueDeclareOptions},
    types::FieldTable,
};

use super::{
    connection::{Connector, Link},
    fault::{code, within},
    partitions::{self, look_at},
    topology::{self, EXCHANGE},
};
use crate::queue::{
    Queue, QueueError,
    names::{all_queues, names_of},
};

/// A name that nothing is bound to: who may declare it may declare everything of the relay.
const NOTHING: &str = "relay.check";

/// What was found, in words. Each part is none where it could not be tried.
#[derive(Debug)]
pub struct Examination {
    /// Whether the broker lets us in.
    pub login: Result<String, QueueError>,
    /// Whether exchange and queues are there as they should be, or can be declared.
    pub topology: Option<Result<String, QueueError>>,
    /// Whether the user may publish.
    pub writes: Option<Result<String, QueueError>>,
    /// Whether the user may receive.
    pub reads: Option<Result<String, QueueError>>,
}

impl Examination {
    pub(super) async fn of(connector: &Connector, reads: &[Queue]) -> Examination {
        let link = match connector.open("check").await {
            Ok(link) => link,
            Err(error) => {
                return Examination {
                    login: Err(error),
                    topology: None,
                    writes: None,
                    reads: None,
                };
            }
        };
        let mut found = Examination {
            login: Ok(connector.address().to_string()),
            topology: None,
            writes: None,
            reads: None,
        };
        let partitions = connector.partitions();
        let there = topology_of(&link, partitions).await;
        if there.is_ok() && exchange_exists(&link).await.is_ok_and(|exists| exists) {
            found.writes = Some(may_write(&link).await);
            found.reads = Some(may_read(&link, partitions, reads).await);
        }
        found.topology = Some(there);
        if let Err(fault) = link.close().await {
            tracing::debug!(%fault, "the connection did not close in order");
        }
        found
    }
}

/// What exists must have the right arguments; what is missing must be the user's to declare.
async fn topology_of(link: &Link, partitions: u16) -> Result<String, QueueError> {
    partitions::would_agree(link, partitions).await?;
    let mut missing = Vec::new();
    if !exchange_exists(link).await? {
        missing.push(EXCHANGE.to_owned());
    }
    let mut count = 1_usize;
    for queue in all_queues() {
        for name in names_of(queue, partitions) {
            count += 1;
            match look_at(link, &name).await {
                // To declare what is there in the same way changes nothing, and compares it.
                Ok(_) => compare(link, &name, topology::arguments(queue)).await?,
                Err(fault) if fault.code() == Some(code::NOT_FOUND) => missing.push(name),
                Err(fault) => return Err(fault.into()),
            }
        }
    }
    let Some(name) = missing.first() else {
        return Ok(format!("the exchange and {} queues are there", count - 1));
    };
    // Exclusive: it goes with this channel's connection.
    match topology::hold(&link.channel().await?, NOTHING).await {
        Ok(_) => Ok(format!(
            "{} of {count} objects are missing and are declared by the first process that starts",
            missing.len()
        )),
        Err(fault) if fault.code() == Some(code::ACCESS_REFUSED) => {
            Err(topology::not_declarable(name, &fault))
        }
        Err(fault) => Err(fault.into()),
    }
}

async fn compare(link: &Link, name: &str, arguments: FieldTable) -> Result<(), QueueError> {
    let channel = link.channel().await?;
    let declared = channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments);
    match within("queue.declare", declared).await {
        Ok(_) => Ok(()),
        // Who may not declare takes it as the administrator made it.
        Err(refused) if refused.code() == Some(code::ACCESS_REFUSED) => Ok(()),
        Err(fault) => Err(topology::conflict("queue", name, fault)),
    }
}

async fn exchange_exists(link: &Link) -> Result<bool, QueueError> {
    let channel = link.channel().await?;
    let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
    let none = FieldTable::default();
    let found = channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Direct, passive, none);
    match within("exchange.declare", found).await {
        Ok(()) => Ok(true),
        Err(fault) if fault.code() == Some(code::NOT_FOUND) => Ok(false),
        Err(fault) => Err(fault.into()),
    }
}

/// Publishes to nobody: the broker looks at the right first, and then sends the message back.
async fn may_write(link: &Link) -> Result<String, QueueError> {
    let channel = link.channel().await?;
    within("confirm.select", channel.confirm_select(Default::default())).await?;
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let (exchange, properties) = (EXCHANGE.into(), BasicProperties::default());
    let publish = async {
        channel.basic_publish(exchange, NOTHING.into(), options, b"", properties).await?.await
    };
    match within("basic.publish", publish).await? {
        Confirmation::Ack(_) | Confirmation::Nack(_) => {
            Ok(format!("may publish to the exchange {EXCHANGE}"))
        }
        Confirmation::NotRequested => {
            Err(QueueError::Unavailable("the channel does not confirm".into()))
        }
    }
}

/// Receives for a moment, where nothing can come: a queue that is empty, or whose messages go to
/// somebody else.
async fn may_read(link: &Link, partitions: u16, queues: &[Queue]) -> Result<String, QueueError> {
    let (mut may, mut passed_over) = (0_usize, Vec::new());
    for name in queues.iter().flat_map(|queue| names_of(*queue, partitions)) {
        let (messages, consumers) = match look_at(link, &name).await {
            Ok(counts) => counts,
            Err(fault) if fault.code() == Some(code::NOT_FOUND) => continue,
            Err(fault) => return Err(fault.into()),
        };
        if messages > 0 && consumers == 0 {
            passed_over.push(name);
            continue;
        }
        let channel = link.channel().await?;
        let limit = channel.basic_qos(1, BasicQosOptions { global: false });
        within("basic.qos", limit).await?;
        let none = FieldTable::default();
        let consumer = channel.basic_consume(name.into(), "".into(), Default::default(), none);
        let _consumer = within("basic.consume", consumer).await?;
        within("channel.close", channel.close(200, "checked".into())).await?;
        may += 1;
    }
    Ok(match passed_over.as_slice() {
        [] => format!("may receive from {may} queues"),
        names => format!(
            "may receive from {may} queues; not tried where messages wait: {}",
            names.join(", ")
        ),
    })
}
