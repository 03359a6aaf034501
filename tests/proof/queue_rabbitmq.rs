//! What the queue does about a RabbitMQ that is not as it should be.

use entra_relay::config::{Secret, model};
use entra_relay::event::Lane;
use entra_relay::queue::{Message, Queue, QueueError, Role, open};
use lapin::options::QueueDeclareOptions;
use lapin::{BasicProperties, Channel};
use uuid::Uuid;

use crate::support::rabbit::{PASSWORD, Rabbit, Vhost};

const URGENT: Queue = Queue::Lane(Lane::Urgent);

fn config(vhost: &Vhost) -> model::Broker {
    model::Broker {
        url: vhost.url(),
        password: Some(Secret::new(PASSWORD.into())),
        partitions: 2,
        ..Default::default()
    }
}

/// A channel of an administrator's, beside the relay.
async fn administrator(vhost: &Vhost) -> Channel {
    vhost.connect().await.unwrap().create_channel().await.unwrap()
}

fn message(number: u128) -> Message {
    Message {
        id: Uuid::from_u128(number),
        kind: "test".into(),
        object: Uuid::from_u128(7),
        content_type: "text/plain".into(),
        headers: Default::default(),
        body: Default::default(),
    }
}

#[tokio::test]
async fn a_refused_login_names_the_settings_and_not_the_password() {
    let vhost = Rabbit::shared().await.vhost();
    let mut config = config(&vhost);
    config.password = Some(Secret::new("hunter2".into()));
    let error = open(&config).unwrap().declare().await.unwrap_err();
    let text = error.to_string();
    assert!(!error.is_transient() && text.contains("broker.password_file"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_missing_virtual_host_says_how_to_make_it() {
    let vhost = Rabbit::shared().await.vhost();
    let mut config = config(&vhost);
    config.url = config.url.replace(&vhost.name, "missing");
    let error = open(&config).unwrap().declare().await.unwrap_err();
    let text = error.to_string();
    assert!(!error.is_transient() && text.contains("rabbitmqctl add_vhost"), "{text}");
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_reported_and_left_alone() {
    let vhost = Rabbit::shared().await.vhost();
    let administrator = administrator(&vhost).await;
    let durable = QueueDeclareOptions::durable();
    administrator
        .queue_declare("relay.urgent.1".into(), durable, Default::default())
        .await
        .unwrap();
    let error = open(&config(&vhost)).unwrap().declare().await.unwrap_err();
    let text = error.to_string();
    assert!(!error.is_transient(), "{text}");
    for part in ["relay.urgent.1", "inequivalent arg", "rabbitmqctl delete_queue"] {
        assert!(text.contains(part), "{text}");
    }
    administrator
        .queue_declare("relay.urgent.1".into(), durable, Default::default())
        .await
        .expect("the queue is as it was");
}

#[tokio::test]
async fn deleted_queues_end_the_subscription_and_are_made_again() {
    let vhost = Rabbit::shared().await.vhost();
    let administrator = administrator(&vhost).await;
    let broker = open(&config(&vhost)).unwrap();
    let publisher = broker.publisher(Role::Watcher);
    publisher.ready().await.unwrap();
    let mut subscriber = broker.subscribe(URGENT, 10).await.unwrap();
    for name in ["relay.urgent.0", "relay.urgent.1"] {
        administrator.queue_delete(name.into(), Default::default()).await.unwrap();
    }
    let error = subscriber.receive().await.unwrap_err();
    assert!(matches!(error, QueueError::Unavailable(_)), "{error}");
    publisher.publish(URGENT, &[message(1), message(2)]).await.expect("made again");
    let mut subscriber = broker.subscribe(URGENT, 10).await.unwrap();
    for number in [1, 2] {
        assert_eq!(subscriber.receive().await.unwrap().message, message(number));
    }
}

#[tokio::test]
async fn what_others_send_is_delivered_as_it_is() {
    let vhost = Rabbit::shared().await.vhost();
    let broker = open(&config(&vhost)).unwrap();
    let mut subscriber = broker.subscribe(Queue::Refresh, 10).await.unwrap();
    let properties = BasicProperties::default().with_message_id("no uuid".into());
    administrator(&vhost)
        .await
        .basic_publish("".into(), "relay.refresh".into(), Default::default(), b"junk", properties)
        .await
        .unwrap();
    let received = subscriber.receive().await.unwrap().message;
    assert_eq!((received.id, received.object), (Uuid::nil(), Uuid::nil()));
    assert_eq!(&received.body[..], b"junk");
}
