//! How messages lie in the file: one table for each queue and partition, under the names of the
//! RabbitMQ queues. A table maps a growing number to a message.

use jiff::Timestamp;
use redb::TableDefinition;
use uuid::Uuid;

use crate::queue::{Message, ParkingDelay, Queue, names::names_of};

/// id, object, kind, content type, headers, body.
pub(super) type Row<'a> = (u128, u128, &'a str, &'a str, Vec<(&'a str, &'a str)>, &'a [u8]);

/// The table of a queue whose messages can be delivered.
pub(super) fn table(name: &str) -> TableDefinition<'_, u64, Row<'static>> {
    TableDefinition::new(name)
}

/// The table of a queue whose messages wait: the instant at which they are due comes first.
pub(super) fn parked_table(name: &str) -> TableDefinition<'_, (u64, u64), Row<'static>> {
    TableDefinition::new(name)
}

/// The names of the tables of parked messages.
pub(super) fn parked_names() -> impl Iterator<Item = String> {
    ParkingDelay::ALL.into_iter().flat_map(|delay| names_of(Queue::Parked(delay), 1))
}

/// A message as it is stored.
pub(super) fn row(message: &Message) -> Row<'_> {
    let headers = message.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let (id, object) = (message.id.as_u128(), message.object.as_u128());
    (id, object, &message.kind, &message.content_type, headers.collect(), &message.body)
}

/// The stored message.
pub(super) fn message((id, object, kind, content_type, headers, body): Row<'_>) -> Message {
    Message {
        id: Uuid::from_u128(id),
        kind: kind.to_owned(),
        object: Uuid::from_u128(object),
        content_type: content_type.to_owned(),
        headers: headers.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        body: body.to_vec().into(),
    }
}

/// An instant as a key: milliseconds since 1970.
pub(super) fn to_key(instant: Timestamp) -> u64 {
    u64::try_from(instant.as_millisecond()).unwrap_or(0)
}

/// The instant of a key.
pub(super) fn from_key(milliseconds: u64) -> Timestamp {
    let milliseconds = i64::try_from(milliseconds).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
}
