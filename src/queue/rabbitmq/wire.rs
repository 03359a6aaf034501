//! A message as AMQP properties and body, and back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};
use uuid::Uuid;

use crate::queue::{Message, QueueError};

const APP_ID: &str = "entra-relay";

/// The property `delivery-mode` of a message that is kept on disk (AMQP 0-9-1, class basic).
const PERSISTENT: u8 = 2;

/// The header that holds the object.
const OBJECT: &str = "relay-object";

/// Headers with this prefix are the broker's own: `x-death`, `x-delivery-count` and more.
const BROKERS_OWN: &str = "x-";

/// How often the broker has delivered the message before (quorum queues).
const DELIVERY_COUNT: &str = "x-delivery-count";

/// The properties of a message. A name or value too long for AMQP is a fault of the caller.
pub(super) fn properties(message: &Message) -> Result<BasicProperties, QueueError> {
    let mut headers = FieldTable::default();
    for (name, value) in &message.headers {
        headers.insert(short(name)?, AMQPValue::LongString(value.as_str().into()));
    }
    let object = AMQPValue::LongString(message.object.to_string().into());
    headers.insert(OBJECT.into(), object);
    Ok(BasicProperties::default()
        .with_message_id(message.id.to_string().into())
        .with_type(short(&message.kind)?)
        .with_content_type(short(&message.content_type)?)
        .with_timestamp(u64::try_from(Timestamp::now().as_second()).unwrap_or(0))
        .with_app_id(APP_ID.into())
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers))
}

fn short(text: &str) -> Result<ShortString, QueueError> {
    ShortString::try_new(text).map_err(|_| {
        let start: String = text.chars().take(40).collect();
        QueueError::Setup(format!("{start:?}... is too long for a property of an AMQP message"))
    })
}

/// The message in a delivery. Anybody may have sent it: what is missing or garbled becomes nil or
/// empty, and the body stays as it is, for a poisoned message must reach whoever judges it. Its
/// size is bounded by the broker (`max_message_size`, 16 to 128 MiB).
pub(super) fn message(delivery: &mut Delivery) -> Message {
    let properties = &delivery.properties;
    let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
    let mut headers: BTreeMap<_, _> = properties
        .headers()
        .iter()
        .flat_map(|table| table.inner())
        .filter(|(name, _)| !name.as_str().starts_with(BROKERS_OWN))
        .filter_map(|(name, value)| Some((name.to_string(), string(value)?)))
        .collect();
    let id = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(Uuid::nil());
    Message {
        id: id(text(properties.message_id())),
        kind: text(properties.kind()).unwrap_or_default(),
        object: id(headers.remove(OBJECT)),
        content_type: text(properties.content_type()).unwrap_or_default(),
        headers,
        body: std::mem::take(&mut delivery.data).into(),
    }
}

/// Whether the message may have been delivered before.
pub(super) fn is_redelivered(delivery: &Delivery) -> bool {
    let headers = delivery.properties.headers();
    let count = headers.as_ref().and_then(|table| table.inner().get(DELIVERY_COUNT));
    delivery.redelivered || count.and_then(AMQPValue::as_long_long_int).is_some_and(|n| n > 0)
}

fn string(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(properties: BasicProperties, data: &[u8]) -> Delivery {
        let mut delivery = Delivery::mock(1, "".into(), "".into(), false, data.to_vec());
        delivery.properties = properties;
        delivery
    }

    #[test]
    fn a_message_survives_the_wire() {
        let sent = Message {
            id: Uuid::from_u128(1),
            kind: "k".into(),
            object: Uuid::from_u128(2),
            content_type: "c".into(),
            headers: BTreeMap::from([("relay-signature".into(), "ü".into())]),
            body: vec![0, 255].into(),
        };
        let properties = properties(&sent).expect("properties");
        assert_eq!(message(&mut delivery(properties, &sent.body)), sent);
    }

    #[test]
    fn garbage_is_delivered() {
        let mut headers = FieldTable::default();
        headers.insert(OBJECT.into(), AMQPValue::LongString("no uuid".into()));
        headers.insert("number".into(), AMQPValue::LongInt(3));
        headers.insert("bytes".into(), AMQPValue::LongString(vec![0xff].into()));
        headers.insert(DELIVERY_COUNT.into(), AMQPValue::LongLongInt(1));
        let properties =
            BasicProperties::default().with_message_id("?".into()).with_headers(headers);
        let mut delivery = delivery(properties, b"x");
        assert!(is_redelivered(&delivery));
        let message = message(&mut delivery);
        assert_eq!((message.id, message.object), (Uuid::nil(), Uuid::nil()));
        assert!(message.headers.is_empty());
        assert_eq!(&message.body[..], b"x");
    }

    #[test]
    fn what_amqp_cannot_carry_is_refused() {
        let long = "k".repeat(256);
        let mut message = message(&mut delivery(BasicProperties::default(), b""));
        message.kind = long;
        assert!(properties(&message).is_err());
    }

    #[test]
    fn no_properties_make_it_panic() {
        let corpus = [Uuid::from_u128(7).to_string().into_bytes(), b"x-death".to_vec()];
        crate::fuzz::fuzz("properties of messages", &corpus, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let name = ShortString::try_new(text.chars().take(60).collect::<String>());
            let name = name.expect("short enough");
            let mut headers = FieldTable::default();
            for own in [OBJECT, DELIVERY_COUNT, "x-death", "relay-signature"] {
                headers.insert(own.into(), AMQPValue::LongString(bytes.to_vec().into()));
            }
            headers.insert(name.clone(), AMQPValue::ShortString(name.clone()));
            let properties = BasicProperties::default()
                .with_message_id(name.clone())
                .with_type(name.clone())
                .with_content_type(name)
                .with_headers(headers);
            let mut delivery = delivery(properties, bytes);
            is_redelivered(&delivery);
            let message = message(&mut delivery);
            assert_eq!(&message.body[..], bytes);
            assert!(!message.headers.keys().any(|name| name.starts_with(BROKERS_OWN)));
        });
    }
}
