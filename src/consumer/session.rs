//! What a lane does with one subscription: takes in, works on many users at once and on each in
//! order.

use std::collections::BTreeSet;

use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream::FuturesUnordered,
};
use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, interval_at, sleep_until},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    cause,
    in_hand::InHand,
    lane::Lane,
    mailbox::Batch,
    pace::{BEAT, USERS_AT_ONCE},
    recent::Recent,
    schedule::{Schedule, Work},
    spans,
    take_over::TakeOver,
};
use crate::{
    event::Event,
    net::backoff::Backoff,
    queue::{Delivery, QueueError, Subscriber, dead_letter::Cause, partition_of},
};

/// Why a session ended.
pub(super) enum End {
    /// By shutdown, with nothing left at work.
    Shutdown,
    /// The queue was lost.
    Lost(QueueError),
    /// What came in then has been in hand for too long.
    Overdue(Instant),
}

/// What a subscription has in hand. Dropping it drops the requests in flight and leaves the
/// deliveries unsettled, so that they come again to whoever serves them then.
pub(super) struct Session<'a> {
    lane: &'a Lane,
    in_hand: &'a InHand,
    schedule: Schedule<Delivery>,
    take_over: TakeOver,
    /// The partitions that something came from: those that are served here.
    partitions: BTreeSet<u16>,
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
    /// Nothing is in hand yet; `settled` outlives the session.
    pub(super) fn new(
        lane: &'a Lane,
        in_hand: &'a InHand,
        settled: &'a mut Recent<Uuid, u64>,
    ) -> Session<'a> {
        Session {
            lane,
            in_hand,
            schedule: Schedule::new(),
            take_over: TakeOver::new(lane.pace.take_over),
            partitions: BTreeSet::new(),
            settled,
            working: FuturesUnordered::new(),
        }
    }

    /// Receives and works until shutdown; then finishes what is at work.
    pub(super) async fn serve(
        mut self,
        mut subscriber: Box<dyn Subscriber>,
        shutdown: &CancellationToken,
        backoff: &mut Backoff,
    ) -> End {
        let mut beat = interval_at(Instant::now() + BEAT, BEAT);
        let mut paused = self.lane.outage.paused();
        paused.mark_changed();
        loop {
            if shutdown.is_cancelled() {
                break;
            }
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
        let since = Timestamp::now();
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
        self.claim_quota(event.object);
        self.take_over.received(delivery.redelivered, Instant::now());
        spans::received(&self.lane.traces, &event, delivery.redelivered, since);
        self.schedule.push(event, delivery);
    }

    /// The process has that part of the quota whose partitions it serves. Nobody says which these
    /// are, but what comes from one is sent to its only consumer.
    fn claim_quota(&mut self, object: Uuid) {
        let Lane { lane, graph, partitions, .. } = self.lane;
        if self.partitions.insert(partition_of(object, *partitions)) {
            let share = self.partitions.len() as f64 / f64::from(*partitions);
            graph.quota().serves(*lane, share);
        }
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
                    settler.supersede(batch).await;
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
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
