//! One lane: receives, keeps each user's order, and works on many users at once.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream::FuturesUnordered,
};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    PARTS, cause,
    mailbox::Mailbox,
    pace::{BEAT, PREFETCH, Pace, REMEMBERED, USERS_AT_ONCE},
    plan::Skip,
    recent::Recent,
    settle::Settler,
};
use crate::{
    event::{self, Event},
    net::backoff::Backoff,
    ops::health::Health,
    queue::{Broker, Delivery, Queue, QueueError, Subscriber, dead_letter::Cause},
    signing::Verifier,
};

/// A lane of the queue and what serves it.
pub struct Lane {
    /// Which one.
    pub lane: event::Lane,
    /// The queue.
    pub broker: Arc<dyn Broker>,
    /// What is done with what is received.
    pub settler: Arc<Settler>,
    /// The directory whose events are applied.
    pub source: String,
    /// Recognizes the events of the watcher.
    pub verifier: Arc<Verifier>,
    /// Where the lane tells that it works.
    pub health: Health,
    /// Waits.
    pub pace: Pace,
}

impl Lane {
    /// Serves the lane until shutdown, through every loss of the queue.
    pub async fn run(&self, shutdown: &CancellationToken) {
        let lane = self.lane.as_str();
        let mut backoff = Backoff::new(self.pace.queue.0, self.pace.queue.1);
        while let Some(subscribed) = shutdown.run_until_cancelled(self.subscribe()).await {
            let error = match subscribed {
                Ok(subscriber) => {
                    info!(lane, "receiving");
                    self.health.ready(self.part());
                    match Session::new(self).serve(subscriber, shutdown, &mut backoff).await {
                        Ok(()) => return,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            warn!(lane, %error, "the subscription ended, subscribing again");
            self.health.beat(self.part());
            if shutdown.run_until_cancelled(backoff.wait()).await.is_none() {
                return;
            }
        }
    }

    /// The lane's name in the health report.
    fn part(&self) -> &'static str {
        match self.lane {
            event::Lane::Urgent => PARTS[0],
            event::Lane::Bulk => PARTS[1],
        }
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscriber>, QueueError> {
        self.broker.declare().await?;
        self.broker.subscribe(Queue::Lane(self.lane), PREFETCH).await
    }
}

/// What a subscription has in hand. Dropping it drops the requests in flight and leaves the
/// deliveries unsettled, so that they come again to whoever serves them then.
struct Session<'a> {
    lane: &'a Lane,
    /// Users with something waiting or at work.
    mailboxes: HashMap<Uuid, Mailbox<Delivery>>,
    /// Users with something waiting and nothing at work, in the order in which they came.
    ready: VecDeque<Uuid>,
    /// The last sequence that was settled, by user.
    settled: Recent<Uuid, u64>,
    working: FuturesUnordered<BoxFuture<'a, Done>>,
}

/// The end of a piece of work: of which user and up to which sequence, unless it was nobody's.
type Done = Option<(Uuid, u64)>;

impl<'a> Session<'a> {
    fn new(lane: &'a Lane) -> Session<'a> {
        Session {
            lane,
            mailboxes: HashMap::new(),
            ready: VecDeque::new(),
            settled: Recent::new(REMEMBERED),
            working: FuturesUnordered::new(),
        }
    }

    /// Receives and works until shutdown; then finishes what is at work.
    async fn serve(
        mut self,
        mut subscriber: Box<dyn Subscriber>,
        shutdown: &CancellationToken,
        backoff: &mut Backoff,
    ) -> Result<(), QueueError> {
        let mut beat = interval(BEAT);
        loop {
            self.start_work();
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = beat.tick() => self.lane.health.beat(self.lane.part()),
                Some(done) = self.working.next() => self.end_work(done),
                delivery = subscriber.receive() => {
                    self.take_in(delivery?);
                    backoff.reset();
                }
            }
        }
        while self.working.next().await.is_some() {}
        Ok(())
    }

    fn take_in(&mut self, delivery: Delivery) {
        if let Err(error) = self.lane.verifier.verify(&delivery.message) {
            return self.reject(delivery, None, cause::bad_signature(&error));
        }
        let event = match Event::from_json(&delivery.message.body) {
            Ok(event) => event,
            Err(error) => return self.reject(delivery, None, cause::malformed(&error)),
        };
        if event.source != self.lane.source {
            let cause = cause::foreign_directory(&event, &self.lane.source);
            return self.reject(delivery, Some(event), cause);
        }
        // A copy of an old event must not slip past the sequences that the other lane remembers.
        if event.kind().lane() != self.lane.lane {
            let cause = cause::misplaced(&event, self.lane.lane);
            return self.reject(delivery, Some(event), cause);
        }
        let object = event.object;
        let mailbox = self.mailboxes.entry(object).or_insert_with(|| {
            self.ready.push_back(object);
            Mailbox::new()
        });
        mailbox.push(event, delivery);
    }

    fn reject(&mut self, delivery: Delivery, event: Option<Event>, cause: Cause) {
        let settler = &self.lane.settler;
        let reject = async move {
            settler.reject(delivery, event.as_ref(), cause).await;
            None
        };
        self.working.push(reject.boxed());
    }

    fn start_work(&mut self) {
        while self.working.len() < USERS_AT_ONCE
            && let Some(object) = self.ready.pop_front()
        {
            let batch = self.mailboxes.get_mut(&object).and_then(Mailbox::next);
            let Some(batch) = batch else { continue };
            let settler = &self.lane.settler;
            let sequence = batch.event.sequence;
            let last = self.settled.get(object).copied().unwrap_or_default();
            let work = async move {
                if sequence <= last {
                    settler.skip(batch.parcels, Skip::Superseded).await;
                } else {
                    settler.settle(batch).await;
                }
                Some((object, sequence.max(last)))
            };
            self.working.push(work.boxed());
        }
    }

    /// The user's turn is over: whoever else waits comes first.
    fn end_work(&mut self, done: Done) {
        let Some((object, sequence)) = done else { return };
        self.settled.insert(object, sequence);
        match self.mailboxes.get(&object) {
            Some(mailbox) if !mailbox.is_empty() => self.ready.push_back(object),
            _ => drop(self.mailboxes.remove(&object)),
        }
    }
}
