//! A queue in memory, whose connection can be broken.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
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
    /// Changes with every change of a queue.
    changes: watch::Sender<()>,
    refuses: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    ready: VecDeque<(u64, Message)>,
    unsettled: BTreeMap<u64, Message>,
    /// What was delivered before.
    seen: BTreeSet<u64>,
    next: u64,
    /// Counts subscriptions that have ended.
    ended: u64,
}

impl Waiting {
    /// Ends the subscription: what is unsettled goes back to its place.
    fn end(&mut self) {
        self.ended += 1;
        for (place, message) in std::mem::take(&mut self.unsettled).into_iter().rev() {
            self.ready.push_front((place, message));
        }
    }
}

fn unavailable() -> QueueError {
    QueueError::Unavailable("broken by the test".into())
}

impl Memory {
    pub(super) fn new() -> Memory {
        let queues = Mutex::default();
        let changes = watch::Sender::new(());
        Memory(Arc::new(Inner { queues, changes, refuses: AtomicBool::new(false) }))
    }

    pub(super) fn put(&self, queue: Queue, message: Message) {
        let mut queues = self.queues();
        let waiting = queues.entry(queue).or_default();
        waiting.next += 1;
        waiting.ready.push_back((waiting.next, message));
        drop(queues);
        self.0.changes.send_replace(());
    }

    /// Ends all subscriptions.
    pub(super) fn break_connections(&self) {
        self.queues().values_mut().for_each(Waiting::end);
        self.0.changes.send_replace(());
    }

    /// Receives what is ready and goes away without settling it; returns how much it was.
    pub(super) async fn take_and_drop(&self, queue: Queue) -> usize {
        let mut subscription = self.subscribe(queue, 0).await.expect("subscription");
        let ready = self.messages(queue).len();
        for _ in 0..ready {
            subscription.receive().await.expect("a delivery");
        }
        ready
    }

    /// Whether publishing fails.
    pub(super) fn refuse(&self, refuses: bool) {
        self.0.refuses.store(refuses, SeqCst);
    }

    /// How much waits in a queue, unsettled messages included.
    pub(super) fn len(&self, queue: Queue) -> usize {
        let queues = self.queues();
        queues.get(&queue).map_or(0, |waiting| waiting.ready.len() + waiting.unsettled.len())
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
        let number = self.queues().entry(queue).or_default().ended;
        Ok(Box::new(Subscription { memory: self.clone(), queue, number }))
    }

    async fn claim(&self, queue: Queue) -> Result<Claim, QueueError> {
        let waiting = self.depth(queue).await?;
        Ok(Claim { waiting, subscriber: self.subscribe(queue, Claim::MOST).await? })
    }

    async fn tail(&self) -> Result<Box<dyn Subscriber>, QueueError> {
        Err(unavailable())
    }

    async fn depth(&self, queue: Queue) -> Result<u64, QueueError> {
        Ok(self.len(queue) as u64)
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
    number: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut queues = self.memory.queues();
        let waiting = queues.entry(self.queue).or_default();
        if waiting.ended == self.number {
            waiting.end();
        }
        drop(queues);
        self.memory.0.changes.send_replace(());
    }
}

#[async_trait]
impl Subscriber for Subscription {
    async fn receive(&mut self) -> Result<Delivery, QueueError> {
        let mut changes = self.memory.0.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let mut delivery = None;
            {
                let mut queues = self.memory.queues();
                let waiting = queues.entry(self.queue).or_default();
                if waiting.ended != self.number {
                    return Err(unavailable());
                }
                if let Some((place, message)) = waiting.ready.pop_front() {
                    waiting.unsettled.insert(place, message.clone());
                    let redelivered = !waiting.seen.insert(place);
                    let (memory, queue, number) = (self.memory.clone(), self.queue, self.number);
                    let receipt = Box::new(Ticket { memory, queue, number, place });
                    delivery = Some(Delivery { message, redelivered, in_place: true, receipt });
                }
            }
            if let Some(delivery) = delivery {
                self.memory.0.changes.send_replace(());
                return Ok(delivery);
            }
            changes.changed().await.expect("the sender lives");
        }
    }
}

struct Ticket {
    memory: Memory,
    queue: Queue,
    number: u64,
    place: u64,
}

#[async_trait]
impl Receipt for Ticket {
    async fn ack(self: Box<Self>) -> Result<(), QueueError> {
        let mut queues = self.memory.queues();
        let waiting = queues.entry(self.queue).or_default();
        if waiting.ended != self.number {
            return Err(unavailable());
        }
        waiting.unsettled.remove(&self.place);
        drop(queues);
        self.memory.0.changes.send_replace(());
        Ok(())
    }

    async fn release(self: Box<Self>) -> Result<(), QueueError> {
        Err(unavailable())
    }
}
