//! One lane: receives, and works on many users at once until the queue is lost or Graph is away
//! for long.

use std::{sync::Arc, time::Instant};

use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream::FuturesUnordered,
};
use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{interval, interval_at, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    PARTS, cause,
    in_hand::InHand,
    mailbox::Batch,
    outage::Outage,
    pace::{BEAT, PREFETCH, Pace, REMEMBERED, USERS_AT_ONCE},
    plan::Skip,
    recent::Recent,
    schedule::{Schedule, Work},
    settle::Settler,
    take_over::TakeOver,
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
    /// Whether Graph is there.
    pub outage: Arc<Outage>,
    /// The directory whose events are applied.
    pub source: String,
    /// Recognizes the events of the watcher.
    pub verifier: Arc<Verifier>,
    /// Where the lane tells that it works.
    pub health: Health,
    /// Waits.
    pub pace: Pace,
}

/// Why a session ended.
enum End {
    /// By shutdown, with nothing left at work.
    Shutdown,
    /// The queue was lost.
    Lost(QueueError),
    /// What came in then has been in hand for too long.
    Overdue(Instant),
}

impl Lane {
    /// Serves the lane until shutdown, through every loss of the queue.
    pub async fn run(&self, shutdown: &CancellationToken) {
        let lane = self.lane.as_str();
        let in_hand = InHand::new(self.lane);
        let mut settled = Recent::new(REMEMBERED);
        let mut backoff = Backoff::new(self.pace.queue.0, self.pace.queue.1);
        while let Some(subscribed) = shutdown.run_until_cancelled(self.subscribe()).await {
            let end = match subscribed {
                Ok(subscriber) => {
                    info!(lane, "receiving");
                    self.health.ready(self.part());
                    Session::new(self, &in_hand, &mut settled)
                        .serve(subscriber, shutdown, &mut backoff)
                        .await
                }
                Err(error) => End::Lost(error),
            };
            let wait = async {
                match end {
                    End::Shutdown => shutdown.cancelled().await,
                    End::Lost(error) => {
                        warn!(lane, %error, "the subscription ended, subscribing again");
                        self.health.beat(self.part());
                        backoff.wait().await;
                    }
                    End::Overdue(since) => {
                        info!(lane, "what is in hand goes back to the queue, it was held for long");
                        // It still waits for us, so the metric goes on.
                        let _held = in_hand.hold(since);
                        self.wait_for_graph().await;
                    }
                }
            };
            if shutdown.run_until_cancelled(wait).await.is_none() {
                return;
            }
        }
    }

    async fn wait_for_graph(&self) {
        let mut beat = interval(BEAT);
        let passed = self.outage.passed();
        tokio::pin!(passed);
        loop {
            tokio::select! {
                () = &mut passed => return,
                _ = beat.tick() => self.health.beat(self.part()),
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
    in_hand: &'a InHand,
    schedule: Schedule<Delivery>,
    take_over: TakeOver,
    /// The last sequence that was settled, by user; over all sessions.
    settled: &'a mut Recent<Uuid, u64>,
    working: FuturesUnordered<BoxFuture<'a, Done>>,
}

/// The end of a piece of work.
enum Done {
    /// Of no user's.
    Rejected,
    /// The user's events are settled up to this sequence.
    Settled(Uuid, u64),
    /// It is to be done once more.
    Again(Box<Batch<Delivery>>),
}

impl<'a> Session<'a> {
    fn new(lane: &'a Lane, in_hand: &'a InHand, settled: &'a mut Recent<Uuid, u64>) -> Session<'a> {
        Session {
            lane,
            in_hand,
            schedule: Schedule::new(),
            take_over: TakeOver::new(lane.pace.take_over),
            settled,
            working: FuturesUnordered::new(),
        }
    }

    /// Receives and works until shutdown; then finishes what is at work.
    async fn serve(
        mut self,
        mut subscriber: Box<dyn Subscriber>,
        shutdown: &CancellationToken,
        backoff: &mut Backoff,
    ) -> End {
        let mut beat = interval_at((Instant::now() + BEAT).into(), BEAT);
        let mut paused = self.lane.outage.paused();
        paused.mark_changed();
        loop {
            self.start_work();
            let (overdue, wakes_at) = (self.overdue_at(&paused), self.schedule.wakes_at());
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = beat.tick() => {
                    self.lane.health.beat(self.lane.part());
                    // A subscription that has lasted is a good one, also where nothing came.
                    backoff.reset();
                }
                Some(done) = self.working.next() => self.end_work(done),
                _ = paused.changed() => self.tell_pause(*paused.borrow_and_update()),
                () = until(wakes_at) => self.schedule.wake(Instant::now()),
                () = until(overdue) => {
                    return End::Overdue(self.in_hand.oldest().unwrap_or_else(Instant::now));
                }
                delivery = subscriber.receive() => match delivery {
                    Ok(delivery) => {
                        self.take_in(delivery);
                        backoff.reset();
                    }
                    Err(error) => return End::Lost(error),
                }
            }
        }
        while self.working.next().await.is_some() {}
        End::Shutdown
    }

    fn take_in(&mut self, delivery: Delivery) {
        let delivery = self.in_hand.take(delivery);
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
        // A copy of an old event must not slip past the sequences that another one remembers.
        let in_place = delivery.in_place && delivery.message.object == event.object;
        if event.kind().lane() != self.lane.lane || !in_place {
            let cause = cause::misplaced(&event, self.lane.lane);
            return self.reject(delivery, Some(event), cause);
        }
        self.take_over.received(delivery.redelivered, Instant::now());
        self.schedule.push(event, delivery);
    }

    fn reject(&mut self, delivery: Delivery, event: Option<Event>, cause: Cause) {
        let settler = &self.lane.settler;
        let reject = async move {
            settler.reject(delivery, event.as_ref(), cause).await;
            Done::Rejected
        };
        self.working.push(reject.boxed());
    }

    fn start_work(&mut self) {
        while self.working.len() < USERS_AT_ONCE
            && let Some((batch, work)) = self.schedule.next(self.take_over.ends(Instant::now()))
        {
            let settler = &self.lane.settler;
            let (object, sequence) = (batch.event.object, batch.event.sequence);
            let last = self.settled.get(object).copied().unwrap_or_default();
            let work = async move {
                if sequence <= last || work == Work::Supersede {
                    settler.skip(batch.parcels, Skip::Superseded).await;
                } else if work == Work::Secure {
                    if let Some(batch) = settler.secure(batch).await {
                        return Done::Again(Box::new(batch));
                    }
                } else {
                    settler.settle(batch).await;
                }
                Done::Settled(object, sequence.max(last))
            };
            self.working.push(work.boxed());
        }
    }

    fn end_work(&mut self, done: Done) {
        match done {
            Done::Rejected => {}
            Done::Settled(object, sequence) => {
                self.settled.insert(object, sequence);
                self.schedule.end(object);
            }
            Done::Again(batch) => {
                self.schedule.again(*batch, self.take_over.ends(Instant::now()));
            }
        }
    }

    /// When something will have been in hand for too long.
    fn overdue_at(&self, paused: &watch::Receiver<Option<Timestamp>>) -> Option<Instant> {
        let pace = &self.lane.pace;
        let limit = if paused.borrow().is_some() { pace.paused } else { pace.held };
        Some(self.in_hand.oldest()? + limit)
    }

    fn tell_pause(&self, since: Option<Timestamp>) {
        let detail = since.map(|since| format!("waiting for Graph since {since:.0}"));
        self.lane.health.detail(self.lane.part(), &detail.unwrap_or_default());
    }
}

/// Returns at this time; without one, never.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
