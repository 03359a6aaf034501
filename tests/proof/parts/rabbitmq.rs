//! The broker.

use std::time::Duration;

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};

use crate::support::rabbit::{Rabbit, Vhost};
use crate::support::wait::eventually;

const QUEUE: &str = "kept";

#[tokio::test]
async fn every_test_has_a_virtual_host_of_its_own() {
    let rabbit = Rabbit::shared().await;
    let (one, other) = (rabbit.vhost(), rabbit.vhost());
    assert_ne!(one.name, other.name);

    declare(&channel(&one).await).await;
    let queues = rabbit.ctl(&["list_queues", "--vhost", &one.name, "name", "type"]).await;
    assert!(queues.contains(QUEUE) && queues.contains("quorum"), "{queues}");
    let queues = rabbit.ctl(&["list_queues", "--vhost", &other.name, "name"]).await;
    assert!(!queues.contains(QUEUE), "{queues}");
}

#[tokio::test]
async fn a_confirmed_message_survives_a_kill() {
    let mut rabbit = Rabbit::start().await;
    let vhost = rabbit.vhost();
    let publisher = channel(&vhost).await;
    declare(&publisher).await;
    publish(&publisher, b"first").await;
    rabbit.flush().await;

    rabbit.kill();
    assert!(vhost.connect().await.is_err(), "a killed node accepts a connection");
    rabbit.restart().await;
    assert_eq!(get(&vhost).await, b"first");

    rabbit.freeze();
    let connect = tokio::time::timeout(Duration::from_secs(1), vhost.connect()).await;
    assert!(connect.is_err(), "a frozen node accepts a connection");
    rabbit.thaw();

    rabbit.stop().await;
    assert!(vhost.connect().await.is_err(), "a stopped node accepts a connection");
}

async fn channel(vhost: &Vhost) -> Channel {
    let connection = vhost.connect().await.unwrap();
    connection.create_channel().await.unwrap()
}

async fn declare(channel: &Channel) {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(QUEUE.into(), options, arguments).await.unwrap();
}

async fn publish(channel: &Channel, body: &[u8]) {
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirm = channel
        .basic_publish("".into(), QUEUE.into(), options, body, BasicProperties::default())
        .await
        .unwrap();
    assert_eq!(confirm.await.unwrap(), Confirmation::Ack(None));
}

/// Reads the message and leaves it in the queue: it is not acknowledged. A node that has just
/// started may need a moment to elect the queue's leader.
async fn get(vhost: &Vhost) -> Vec<u8> {
    eventually("the message is there", async || {
        let channel = channel(vhost).await;
        let message = channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await.ok()?;
        message.map(|message| message.delivery.data.to_vec())
    })
    .await
}
