//! Publishes with confirms, so that success means: on disk, on a majority, in a queue.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, future::join_all};
use lapin::{Channel, Confirmation, Consumer, options::BasicPublishOptions};
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, warn};

use super::{
    connection::{Connector, Link},
    fault::{Fault, within},
    topology,
    waves::waves,
    wire,
};
use crate::queue::{Message, Publisher, Queue, QueueError, Role, names::name_for};

/// The longest wait for the confirms of one wave.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

/// A publisher with a connection of its own.
pub(super) struct RabbitPublisher {
    connector: Arc<Connector>,
    role: Role,
    session: Mutex<Option<Session>>,
}

/// A connection that is ready to publish.
struct Session {
    link: Link,
    channel: Channel,
    /// Of the watcher: finished when the right to publish is lost.
    held: Option<AbortOnDropHandle<()>>,
}

/// Why a batch was not published to its end.
enum Failure {
    /// No queue took a message with this routing key.
    Unroutable(String),
    /// The server does not take messages now; the connection is sound.
    Refused(String),
    /// The connection is of no further use.
    Broken(QueueError),
}

impl RabbitPublisher {
    /// Connects when first used.
    pub(super) fn new(connector: Arc<Connector>, role: Role) -> RabbitPublisher {
        RabbitPublisher { connector, role, session: Mutex::default() }
    }

    /// The session in use, or a new one.
    async fn session(&self, old: Option<Session>) -> Result<Session, QueueError> {
        if let Some(session) = old {
            if session.is_up() {
                return Ok(session);
            }
            if session.is_lost() && session.link.is_up() {
                warn!(queue = topology::WATCHER, "the queue was deleted, taking it again");
            }
        }
        let purpose = match self.role {
            Role::Watcher => "watcher",
            Role::Other => "publisher",
        };
        let link = self.connector.connect(purpose).await?;
        let channel = link.channel().await?;
        let held = match self.role {
            Role::Watcher => Some(follow(topology::hold_watcher(&channel).await?)),
            Role::Other => None,
        };
        let confirms = channel.confirm_select(Default::default());
        within("confirm.select", confirms).await?;
        Ok(Session { link, channel, held })
    }
}

/// Finishes when the consumer ends, which is when its queue or its connection does.
fn follow(mut consumer: Consumer) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(
        async move { while let Some(Ok(_)) = consumer.next().await {} },
    ))
}

#[async_trait]
impl Publisher for RabbitPublisher {
    async fn publish(&self, queue: Queue, messages: &[Message]) -> Result<(), QueueError> {
        let partitions = self.connector.partitions();
        let mut slot = self.session.lock().await;
        let mut declared_again = false;
        loop {
            // Out of its place while in use: a fault, or a caller who goes away, ends it, so that
            // no late answer is taken for one to the next batch.
            let session = self.session(slot.take()).await?;
            match session.publish(queue, partitions, messages).await {
                Ok(()) => {
                    *slot = Some(session);
                    return Ok(());
                }
                Err(Failure::Refused(reason)) => {
                    *slot = Some(session);
                    return Err(QueueError::Refused(reason));
                }
                Err(Failure::Broken(error)) => return Err(error),
                Err(Failure::Unroutable(key)) if declared_again => {
                    return Err(QueueError::Setup(format!(
                        "the broker has no queue {key} bound to the exchange {}, although it was \
                         declared just now; look at the bindings and the user's permissions",
                        topology::EXCHANGE
                    )));
                }
                Err(Failure::Unroutable(key)) => {
                    error!(
                        queue = key,
                        "a queue is gone, with what was in it; it is declared again"
                    );
                    declared_again = true;
                }
            }
        }
    }

    async fn ready(&self) -> Result<(), QueueError> {
        let mut slot = self.session.lock().await;
        let session = self.session(slot.take()).await?;
        *slot = Some(session);
        Ok(())
    }
}

impl Session {
    fn is_up(&self) -> bool {
        self.link.is_up() && self.channel.status().connected() && !self.is_lost()
    }

    /// Whether somebody took the right to publish away, by deleting the queue that stands for it.
    fn is_lost(&self) -> bool {
        self.held.as_ref().is_some_and(AbortOnDropHandle::is_finished)
    }

    async fn publish(
        &self,
        queue: Queue,
        partitions: u16,
        messages: &[Message],
    ) -> Result<(), Failure> {
        for wave in waves(messages) {
            if self.is_lost() {
                let lost = format!("the queue {} was deleted", topology::WATCHER);
                return Err(Failure::Broken(QueueError::Unavailable(lost)));
            }
            if let Some(reason) = self.link.alarm() {
                return Err(Failure::Refused(reason));
            }
            let sent = wave
                .iter()
                .map(|message| self.send(name_for(queue, message.object, partitions), message));
            tokio::select! {
                outcomes = join_all(sent) => outcomes.into_iter().collect::<Result<(), _>>()?,
                reason = self.link.blocked() => return Err(Failure::Refused(reason)),
                () = tokio::time::sleep(CONFIRM_TIMEOUT) => {
                    return Err(Failure::Broken(Fault::Silence("basic.publish").into()));
                }
            }
        }
        Ok(())
    }

    /// Sends one message and waits for its confirm. A message that no queue takes is confirmed
    /// too: only `mandatory` reveals it.
    async fn send(&self, key: String, message: &Message) -> Result<(), Failure> {
        let broken = |error| Failure::Broken(Fault::Error(error).into());
        let properties = wire::properties(message).map_err(Failure::Broken)?;
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let exchange = topology::EXCHANGE.into();
        let confirmation = self
            .channel
            .basic_publish(exchange, key.as_str().into(), options, &message.body, properties)
            .await
            .map_err(broken)?
            .await
            .map_err(broken)?;
        match confirmation {
            Confirmation::Ack(None) => Ok(()),
            // The client may attach a returned message to another one's confirm: believe its key.
            Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
                Err(Failure::Unroutable(returned.routing_key.to_string()))
            }
            Confirmation::Nack(None) => {
                Err(Failure::Refused(format!("the queue {key} rejected a message")))
            }
            Confirmation::NotRequested => {
                Err(Failure::Broken(QueueError::Unavailable("the channel does not confirm".into())))
            }
        }
    }
}
