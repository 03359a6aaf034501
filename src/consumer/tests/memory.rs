//! A queue in memory, whose connection can be broken.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use tokio::{sync::watch, time::timeout};

use super::LIMIT;

use crate::queue::{
    Broker, Claim, Delivery, Message, Publisher, Queue, QueueError, Receipt, Role, Subscriber,
};

#[derive(Clone)]
pub(super) struct Memory(Arc<Inner>);

struct Inner {
    queues: Mutex<HashMap<Queue, Waiting>>,
    /// Changes with every change of a queue; the number counts broken connections.
    changes: watch::Sender<u64>,
    refuses: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    ready: VecDeque<(u64, Message)>,
    unsettled: BTreeMap<u64, Message>,
    next: u64,
}

fn unavailable() -> QueueError {
    QueueError::Unavailable("broken by the test".into())
}

impl Memory {
    pub(super) fn new() -> Memory {
        let queues = Mutex::default();
        let changes = watch::Sender::new(0);
        Memory(Arc::new(Inner { queues, changes, refuses: AtomicBool::new(false) }))
    }

    pub(super) fn put(&self, queue: Queue, message: Message) {
        let mut queues = self.queues();
        let waiting = queues.entry(queue).or_default();
        waiting.next += 1;
        waiting.ready.push_back((waiting.next, message));
        drop(queues);
        self.0.changes.send_modify(|_| {});
    }

    /// Ends all subscriptions: what is unsettled goes back to its place.
    pub(super) fn break_connections(&self) {
        for waiting in self.queues().values_mut() {
            for (place, message) in std::mem::take(&mut waiting.unsettled).into_iter().rev() {
                waiting.ready.push_front((place, message));
            }
        }
        self.0.changes.send_modify(|connection| *connection += 1);
    }

    /// Whether publishing fails.
    pub(super) fn refuse(&self, refuses: bool) {
        self.0.refuses.store(refuses, SeqCst);
    }

    /// What waits in a queue, unsettled ones included.
    pub(super) fn messages(&self, queue: Queue) -> Vec<Message> {
        let queues = self.queues();
        let Some(waiting) = queues.get(&queue) else { return Vec::new() };
        let ready = waiting.ready.iter().map(|(_, message)| message);
        waiting.unsettled.values().chain(ready).cloned().collect()
    }

    /// Waits until a queue is as the test wants it: ready messages, and unsettled ones.
    pub(super) async fn wait(&self, queue: Queue, condition: impl Fn(usize, usize) -> bool) {
        let mut changes = self.0.changes.subscribe();
        loop {
            let counts = self
                .queues()
                .get(&queue)
                .map_or((0, 0), |waiting| (waiting.ready.len(), waiting.unsettled.len()));
            if condition(counts.0, counts.1) {
                return;
            }
            let changed = timeout(LIMIT, changes.changed()).await;
            changed.expect("the queue still moves").expect("the sender lives");
        }
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<Queue, Waiting>> {
        self.0.queues.lock().expect("queues")
    }
}

#[async_trait]
impl Broker for Memory {
    async fn declare(&self) -> Result<(), QueueError> {
        Ok(())
    }

    fn publisher(&self, _role: Role) -> Arc<dyn Publisher> {
        Arc::new(self.clone())
    }

    async fn subscribe(
        &self,
        queue: Queue,
        _prefetch: u16,
    ) -> Result<Box<dyn Subscriber>, QueueError> {
        let connection = *self.0.changes.borrow();
        Ok(Box::new(Subscription { memory: self.clone(), queue, connection }))
    }

    async fn claim(&self, queue: Queue) -> Result<Claim, QueueError> {
        let waiting = self.depth(queue).await?;
        Ok(Claim { waiting, subscriber: self.subscribe(queue, Claim::MOST).await? })
    }

    async fn depth(&self, queue: Queue) -> Result<u64, QueueError> {
        Ok(self.messages(queue).len() as u64)
    }
}

#[async_trait]
impl Publisher for Memory {
    async fn publish(&self, queue: Queue, messages: &[Message]) -> Result<(), QueueError> {
        if self.0.refuses.load(SeqCst) {
            return Err(unavailable());
        }
        messages.iter().for_each(|message| self.put(queue, message.clone()));
        Ok(())
    }

    async fn ready(&self) -> Result<(), QueueError> {
        Ok(())
    }
}

struct Subscription {
    memory: Memory,
    queue: Queue,
    connection: u64,
}

#[async_trait]
impl Subscriber for Subscription {
    async fn receive(&mut self) -> Result<Delivery, QueueError> {
        let mut changes = self.memory.0.changes.subscribe();
        loop {
            if *changes.borrow_and_update() != self.connection {
                return Err(unavailable());
            }
            if let Some(waiting) = self.memory.queues().get_mut(&self.queue)
                && let Some((place, message)) = waiting.ready.pop_front()
            {
                waiting.unsettled.insert(place, message.clone());
                let (memory, queue, connection) =
                    (self.memory.clone(), self.queue, self.connection);
                let receipt = Box::new(Ticket { memory, queue, connection, place });
                self.memory.0.changes.send_modify(|_| {});
                return Ok(Delivery { message, redelivered: false, receipt });
            }
            changes.changed().await.expect("the sender lives");
        }
    }
}

struct Ticket {
    memory: Memory,
    queue: Queue,
    connection: u64,
    place: u64,
}

#[async_trait]
impl Receipt for Ticket {
    async fn ack(self: Box<Self>) -> Result<(), QueueError> {
        if *self.memory.0.changes.borrow() != self.connection {
            return Err(unavailable());
        }
        self.memory.queues().entry(self.queue).or_default().unsettled.remove(&self.place);
        self.memory.0.changes.send_modify(|_| {});
        Ok(())
    }

    async fn release(self: Box<Self>) -> Result<(), QueueError> {
        Err(unavailable())
    }
}
