//! The queue: login, topology, rights.

use super::{Area, Check, Found, Subject};
use crate::{
    config::{Config, Role, model::BrokerKind},
    event::Lane,
    queue::{Queue, QueueError, rabbitmq::RabbitMq},
};

const AWAY: &str = "check broker.url, name resolution and firewalls, and that the server runs";

pub(super) async fn checks(config: &Config, role: Role) -> Found {
    if config.broker.kind == BrokerKind::Embedded {
        return (vec![Subject(Area::Broker, "login").skip("the queue is a file")], None);
    }
    (of_rabbitmq(config, role).await, None)
}

async fn of_rabbitmq(config: &Config, role: Role) -> Vec<Check> {
    let login = Subject(Area::Broker, "login");
    let broker = match RabbitMq::new(&config.broker) {
        Ok(broker) => broker,
        Err(error) => return vec![login.failed(error, "correct broker.url and its files")],
    };
    let mut reads = Vec::new();
    if role.watches() {
        reads.push(Queue::Refresh);
        reads.extend(config.journal.is_kept().then_some(Queue::Outcomes));
    }
    if role.applies() {
        reads.extend(Lane::ALL.map(Queue::Lane));
    }
    let found = broker.examine(&reads).await;
    let row = |name, result: Option<Result<String, QueueError>>| {
        let subject = Subject(Area::Broker, name);
        match result {
            Some(Ok(told)) => subject.pass(told),
            Some(Err(error)) => subject.failed(error, AWAY),
            None => subject.skip("not tried: what it needs is not there"),
        }
    };
    vec![
        row("login", Some(found.login)),
        row("topology", found.topology),
        row("right to publish", found.writes),
        row("right to receive", found.reads),
    ]
}
