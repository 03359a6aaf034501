//! The queue in one file, for a watcher and consumers that share a process.
//!
//! The same contract as on RabbitMQ, by other means. One thread owns the file and serves requests
//! in the order in which they come; those that wait together share a transaction and its fsync.
//! A queue has one active subscriber at a time: a second one waits until the first is dropped,
//! which is what single active consumer means on RabbitMQ. Who is delivered what is kept in memory
//! only, so after a crash everything that was not acknowledged comes again.

mod file;
mod publisher;
mod rows;
mod store;
mod subscriber;
mod tail;
mod thread;
mod window;

use std::{collections::HashMap, path::Path, sync::Arc};

use async_trait::async_trait;
use tokio::sync::{Mutex, Notify, broadcast};

use self::{
    publisher::EmbeddedPublisher, store::Store, subscriber::EmbeddedSubscriber, tail::Tail,
    thread::Thread,
};
use super::{
    Broker, CLAIM_TIMEOUT, Claim, Message, Publisher, Queue, QueueError, Role, Subscriber,
    names::all_queues, presence::Presence,
};

/// The most copies that wait for a reader.
const MOST_COPIES: usize = 1024;

/// The embedded queue.
#[derive(Debug)]
pub struct Embedded {
    core: Arc<Core>,
}

/// What the publishers and subscribers of one file share. The file is closed with the last of
/// them.
#[derive(Debug)]
struct Core {
    thread: Thread,
    queues: Queues,
    partitions: u16,
    /// Held by the publisher that is the watcher's.
    watcher: Arc<Mutex<()>>,
    /// Copies of events, for those who follow them.
    copies: broadcast::Sender<Message>,
    _presence: Presence,
}

type Queues = Arc<HashMap<Queue, Waiting>>;

/// Those who wait at a queue.
#[derive(Debug, Default)]
struct Waiting {
    /// Held by the active subscriber.
    turn: Arc<Mutex<()>>,
    /// Something to deliver, or room for it. It has one listener at a time: whoever has the turn.
    wake: Notify,
}

impl Embedded {
    /// Opens the file and makes it, with its folder, if it is missing.
    pub fn open(path: &Path, partitions: u16) -> Result<Embedded, QueueError> {
        let partitions = partitions.max(1);
        let store = Store::open(path, partitions)?;
        let queues: Queues = Arc::new(all_queues().map(|q| (q, Waiting::default())).collect());
        let core = Core {
            thread: Thread::start(store, queues.clone())?,
            queues,
            partitions,
            watcher: Arc::default(),
            copies: broadcast::Sender::new(MOST_COPIES),
            _presence: Presence::new(),
        };
        Ok(Embedded { core: Arc::new(core) })
    }
}

#[async_trait]
impl Broker for Embedded {
    async fn declare(&self) -> Result<(), QueueError> {
        Ok(())
    }

    fn publisher(&self, role: Role) -> Arc<dyn Publisher> {
        Arc::new(EmbeddedPublisher::new(self.core.clone(), role))
    }

    async fn subscribe(
        &self,
        queue: Queue,
        prefetch: u16,
    ) -> Result<Box<dyn Subscriber>, QueueError> {
        if let Queue::Parked(_) = queue {
            return Err(QueueError::Setup("parked messages are received from refresh".into()));
        }
        Ok(Box::new(EmbeddedSubscriber::new(self.core.clone(), queue, prefetch)))
    }

    async fn claim(&self, queue: Queue) -> Result<Claim, QueueError> {
        let mut subscriber = EmbeddedSubscriber::new(self.core.clone(), queue, Claim::MOST);
        let turn = tokio::time::timeout(CLAIM_TIMEOUT, subscriber.take_turn());
        turn.await.map_err(|_| QueueError::Unavailable("somebody else receives from it".into()))?;
        let waiting = self.depth(queue).await?;
        Ok(Claim { waiting, subscriber: Box::new(subscriber) })
    }

    async fn tail(&self) -> Result<Box<dyn Subscriber>, QueueError> {
        Ok(Box::new(Tail::new(self.core.copies.subscribe())))
    }

    async fn depth(&self, queue: Queue) -> Result<u64, QueueError> {
        self.core.thread.depth(queue).await
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        config::model,
        queue::contract::{self, Bench, contract_tests},
    };

    async fn bench() -> Bench {
        let folder = tempfile::tempdir().expect("tempdir");
        let config = model::Broker {
            kind: model::BrokerKind::Embedded,
            path: folder.path().join("queue.redb"),
            ..Default::default()
        };
        Bench::new(config, folder)
    }

    contract_tests!(bench);
}
