//! Delivers from the file.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::OwnedMutexGuard;

use super::{
    Core, Waiting,
    store::{Found, Position, Write},
    window::Window,
};
use crate::queue::{
    Delivery, Queue, QueueError, Receipt, Subscriber,
    names::{name_for, names_of},
};

/// A subscription. It delivers while it has the turn, and keeps the turn until it is dropped.
pub(super) struct EmbeddedSubscriber {
    shared: Arc<Shared>,
    turn: Option<OwnedMutexGuard<()>>,
    ready: VecDeque<Delivery>,
}

/// What a subscription shares with its deliveries.
struct Shared {
    core: Arc<Core>,
    queue: Queue,
    /// None once the subscription has ended.
    window: Mutex<Option<Window>>,
}

impl EmbeddedSubscriber {
    pub(super) fn new(core: Arc<Core>, queue: Queue, prefetch: u16) -> EmbeddedSubscriber {
        let window = Window::new(names_of(queue, core.partitions), prefetch);
        let shared = Shared { core, queue, window: Mutex::new(Some(window)) };
        EmbeddedSubscriber { shared: Arc::new(shared), turn: None, ready: VecDeque::new() }
    }

    /// Waits until the others who receive from the queue have gone.
    pub(super) async fn take_turn(&mut self) {
        if self.turn.is_none() {
            let turn = self.shared.waiting().turn.clone();
            self.turn = Some(turn.lock_owned().await);
        }
    }

    /// Reads what there is room for.
    async fn fill(&mut self) -> Result<(), QueueError> {
        let wanted = self.shared.window().as_ref().ok_or_else(ended)?.wanted();
        let found = self.shared.core.thread.read(wanted).await?;
        // From here on nothing waits: a caller who goes away loses nothing.
        self.shared.window().as_mut().ok_or_else(ended)?.take(&found);
        self.ready.extend(found.into_iter().map(|found| delivery(&self.shared, found)));
        Ok(())
    }
}

#[async_trait]
impl Subscriber for EmbeddedSubscriber {
    async fn receive(&mut self) -> Result<Delivery, QueueError> {
        let shared = self.shared.clone();
        self.take_turn().await;
        let waiting = shared.waiting();
        loop {
            if let Some(delivery) = self.ready.pop_front() {
                return Ok(delivery);
            }
            let woken = waiting.wake.notified();
            if let Err(error) = self.fill().await {
                *shared.window() = None;
                return Err(error);
            }
            if self.ready.is_empty() {
                woken.await;
            }
        }
    }
}

impl Drop for EmbeddedSubscriber {
    fn drop(&mut self) {
        *self.shared.window() = None;
    }
}

impl Shared {
    fn window(&self) -> MutexGuard<'_, Option<Window>> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> &Waiting {
        self.core.queues.get(&self.queue).expect("every queue is in the map")
    }
}

fn ended() -> QueueError {
    QueueError::Unavailable("the subscription has ended".into())
}

fn delivery(shared: &Arc<Shared>, Found { position, seen, message }: Found) -> Delivery {
    let in_place = position.table == name_for(shared.queue, message.object, shared.core.partitions);
    let receipt = EmbeddedReceipt { shared: shared.clone(), position };
    Delivery { message, redelivered: seen, in_place, receipt: Box::new(receipt) }
}

struct EmbeddedReceipt {
    shared: Arc<Shared>,
    position: Position,
}

#[async_trait]
impl Receipt for EmbeddedReceipt {
    async fn ack(self: Box<Self>) -> Result<(), QueueError> {
        let removed = {
            // Asked for under the lock: what the next subscriber reads comes after it.
            let window = self.shared.window();
            window.as_ref().ok_or_else(ended)?;
            self.shared.core.thread.write(Write::Remove(self.position.clone()))
        };
        removed.await?;
        if let Some(window) = self.shared.window().as_mut() {
            window.settle(&self.position);
        }
        self.shared.waiting().wake.notify_one();
        Ok(())
    }

    async fn release(self: Box<Self>) -> Result<(), QueueError> {
        self.shared.window().as_mut().ok_or_else(ended)?.release(&self.position);
        self.shared.waiting().wake.notify_one();
        Ok(())
    }
}
