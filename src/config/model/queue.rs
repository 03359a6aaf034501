//! `broker:`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Tls;
use crate::config::secret::Secret;

/// Which queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerKind {
    /// A RabbitMQ server.
    Rabbitmq,
    /// A file, for watcher and consumer in one process.
    Embedded,
}

/// `broker:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// Which queue.
    pub kind: BrokerKind,
    /// AMQP URL with user and virtual host, without password.
    pub url: String,
    /// The password itself; the file is the better place.
    pub password: Option<Secret>,
    /// A file that holds the password.
    pub password_file: Option<PathBuf>,
    /// Trust.
    pub tls: Tls,
    /// Lets `amqp://` to other hosts through without TLS.
    pub allow_plaintext: bool,
    /// Partitions of each lane.
    pub partitions: u16,
    /// The embedded queue's file.
    pub path: PathBuf,
}

impl Default for Broker {
    fn default() -> Self {
        Broker {
            kind: BrokerKind::Rabbitmq,
            url: String::new(),
            password: None,
            password_file: None,
            tls: Tls::default(),
            allow_plaintext: false,
            partitions: 4,
            path: "data/queue.redb".into(),
        }
    }
}
