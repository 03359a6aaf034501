//! The contract of the queue, on a real RabbitMQ: the same tests that the unit tests run on the
//! embedded queue.

use entra_relay::config::{Secret, model};
use entra_relay::event::Lane;
use entra_relay::queue::{
    Broker, Delivery, Message, ParkingDelay, Publisher, Queue, QueueError, Role, Subscriber,
    journal, open,
};

use crate::support::rabbit::{PASSWORD, Rabbit};

#[path = "../../src/queue/contract.rs"]
mod contract;

use contract::{Bench, contract_tests};

async fn bench() -> Bench {
    let vhost = Rabbit::shared().await.vhost();
    let config = model::Broker {
        kind: model::BrokerKind::Rabbitmq,
        url: vhost.url(),
        password: Some(Secret::new(PASSWORD.into())),
        ..Default::default()
    };
    Bench::new(config, vhost)
}

contract_tests!(bench);
