//! Settles deliveries: acknowledged once applied, or once their dead letter is safe.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    apply::{Applier, Verdict},
    cause::user_name,
    mailbox::{Batch, Parcel},
    pace::{Pace, REMEMBERED},
    plan::Skip,
    recent::Recent,
};
use crate::{
    event::{Detail, Event, Kind, Lane},
    net::backoff::Backoff,
    ops::metrics::{METRICS, Outcome},
    queue::{
        Delivery, Publisher, Queue,
        dead_letter::{Cause, DeadLetter},
    },
};

/// Settles what the lanes receive. One for both lanes.
pub struct Settler {
    applier: Applier,
    publisher: Arc<dyn Publisher>,
    /// Sequence of the deletion that was applied to a user.
    deleted: Mutex<Recent<Uuid, u64>>,
    pace: Pace,
}

/// How often, and since when, something was tried.
#[derive(Debug, Clone, Copy)]
struct Tries {
    number: u32,
    since: Timestamp,
}

impl Settler {
    /// Settles by this applier, with dead letters for this publisher.
    pub fn new(applier: Applier, publisher: Arc<dyn Publisher>, pace: Pace) -> Settler {
        Settler { applier, publisher, deleted: Mutex::new(Recent::new(REMEMBERED)), pace }
    }

    /// Applies a batch and settles each of its deliveries.
    pub async fn settle(&self, batch: Batch<Delivery>) {
        let Batch { event, parcels } = batch;
        if self.is_superseded(&event) {
            return self.skip(parcels, Skip::Superseded).await;
        }
        let since = Timestamp::now();
        let (verdict, number) = self.applier.apply(&event).await;
        match verdict {
            Verdict::Applied { user, request_id } => {
                log_applied(&event, parcels.len(), &user, request_id.as_deref());
                self.remember_deletion(&event);
                self.accept(parcels).await;
            }
            Verdict::Skipped(skip) => {
                if skip == Skip::Unchanged {
                    self.remember_deletion(&event);
                }
                self.skip(parcels, skip).await;
            }
            Verdict::Observed { user, actions } => {
                let actions: Vec<_> = actions.iter().map(ToString::to_string).collect();
                let actions = actions.join(", ");
                let (kind, object) = (event.kind().as_str(), event.object);
                info!(event = %event.id, %object, kind, user, actions, "would apply");
                self.finish(parcels, Outcome::Skipped).await;
            }
            Verdict::GivenUp(cause) if self.applier.observes() => {
                let (reason, object) = (cause.reason.as_str(), event.object);
                let Cause { sentence, remedy, .. } = cause;
                info!(event = %event.id, %object, reason, sentence, remedy, "would give up");
                self.finish(parcels, Outcome::Skipped).await;
            }
            Verdict::GivenUp(cause) => {
                for Parcel { event, receipt } in parcels {
                    let tries = Tries { number, since };
                    self.bury(receipt, Some(&event), cause.clone(), tries).await;
                }
            }
        }
    }

    /// Settles deliveries for which nothing is to be done.
    pub async fn skip(&self, parcels: Vec<Parcel<Delivery>>, skip: Skip) {
        for Parcel { event, .. } in &parcels {
            let (kind, object) = (event.kind().as_str(), event.object);
            info!(event = %event.id, %object, kind, why = skip.as_str(), "skipped");
        }
        let outcome = if skip == Skip::Unchanged { Outcome::Applied } else { Outcome::Skipped };
        self.finish(parcels, outcome).await;
    }

    /// Gives up a delivery that was never tried.
    pub async fn reject(&self, delivery: Delivery, event: Option<&Event>, cause: Cause) {
        let tries = Tries { number: 0, since: Timestamp::now() };
        self.bury(delivery, event, cause, tries).await;
    }

    async fn accept(&self, parcels: Vec<Parcel<Delivery>>) {
        for Parcel { event, .. } in &parcels {
            METRICS.propagated(event.kind(), event.time);
        }
        self.finish(parcels, Outcome::Applied).await;
    }

    /// Acknowledges all; those that another one stood for count as coalesced.
    async fn finish(&self, parcels: Vec<Parcel<Delivery>>, outcome: Outcome) {
        let newest = parcels.len().saturating_sub(1);
        for (index, Parcel { event, receipt }) in parcels.into_iter().enumerate() {
            let absorbed = index < newest && outcome == Outcome::Applied;
            let outcome = if absorbed { Outcome::Coalesced } else { outcome };
            METRICS.settled(Some(event.kind()), outcome);
            acknowledge(receipt).await;
        }
    }

    /// Publishes the dead letter and acknowledges only then.
    async fn bury(&self, delivery: Delivery, event: Option<&Event>, cause: Cause, tries: Tries) {
        let (id, object) = (delivery.message.id, delivery.message.object);
        let kind = event.map(Event::kind);
        let (reason, sentence, remedy) = (cause.reason, &cause.sentence, &cause.remedy);
        let name = kind.map_or("unknown", Kind::as_str);
        warn!(event = %id, %object, kind = name, reason = reason.as_str(), sentence, remedy, "gave up");
        let user = event.and_then(user_name).map(str::to_owned);
        let now = Timestamp::now();
        let letter =
            DeadLetter::new(&delivery.message, user, cause, tries.number, tries.since, now);
        let message = letter.to_message();
        let mut backoff = Backoff::new(self.pace.queue.0, self.pace.queue.1);
        while let Err(error) =
            self.publisher.publish(Queue::DeadLetters, std::slice::from_ref(&message)).await
        {
            warn!(event = %id, %error, "the dead letter could not be published yet");
            backoff.wait().await;
        }
        METRICS.dead_lettered(reason);
        METRICS.settled(kind, Outcome::DeadLettered);
        acknowledge(delivery).await;
    }

    /// Whether a bulk event is older than a deletion that was applied; the lanes do not wait for
    /// each other.
    fn is_superseded(&self, event: &Event) -> bool {
        event.kind().lane() == Lane::Bulk && {
            let mut deleted = self.deleted.lock().unwrap_or_else(PoisonError::into_inner);
            deleted.get(event.object).is_some_and(|sequence| event.sequence < *sequence)
        }
    }

    fn remember_deletion(&self, event: &Event) {
        if event.detail == Detail::UserDeleted {
            let mut deleted = self.deleted.lock().unwrap_or_else(PoisonError::into_inner);
            deleted.insert(event.object, event.sequence);
        }
    }
}

/// An error is no loss: the message comes again, and is then known as done.
async fn acknowledge(delivery: Delivery) {
    let id = delivery.message.id;
    if let Err(error) = delivery.receipt.ack().await {
        warn!(event = %id, %error, "could not acknowledge, the message will come again");
    }
}

fn log_applied(event: &Event, deliveries: usize, user: &str, request_id: Option<&str>) {
    let latency_ms = Timestamp::now().duration_since(event.time).as_millis();
    info!(
        event = %event.id,
        object = %event.object,
        kind = event.kind().as_str(),
        deliveries,
        user,
        request_id,
        latency_ms = i64::try_from(latency_ms).unwrap_or(i64::MAX),
        "applied"
    );
}
