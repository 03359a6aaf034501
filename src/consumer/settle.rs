//! Settles deliveries: acknowledged once applied, or once what stands for them is safe elsewhere.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    apply::{Applier, Verdict},
    cause::user_name,
    mailbox::{Batch, Parcel},
    pace::REMEMBERED,
    parking,
    plan::{Action, Skip},
    recent::Recent,
    report::{self, Reporter, because},
    send::Sender,
    spans::{Applying, noting_plan},
};
use crate::{
    config::model::Parking,
    event::{Detail, Event, Kind, Lane, MAX_BODY},
    graph::{Exchange, traced},
    ops::{
        metrics::{METRICS, Outcome},
        status::RECENT,
        traces::Traces,
    },
    queue::{
        Delivery, Queue,
        canary::Echo,
        dead_letter::{Cause, DeadLetter, DeadReason},
        journal::{Entry, What},
        refresh::Why,
    },
};

/// Settles what the lanes receive. One for both lanes.
pub struct Settler {
    applier: Applier,
    sender: Sender,
    parking: Parking,
    reporter: Reporter,
    /// Sequence of the deletion that was applied to a user.
    deleted: Mutex<Recent<Uuid, u64>>,
    traces: Traces,
}

/// How often, and since when, something was tried.
#[derive(Debug, Clone, Copy)]
struct Tries {
    number: u32,
    since: Timestamp,
}

impl Settler {
    /// Settles by this applier, and sends elsewhere what it cannot apply.
    pub fn new(
        applier: Applier,
        sender: Sender,
        parking: Parking,
        reporter: Reporter,
        traces: Traces,
    ) -> Settler {
        let deleted = Mutex::new(Recent::new(REMEMBERED));
        Settler { applier, sender, parking, reporter, deleted, traces }
    }

    /// A lane was lost, and others may serve it from now on.
    pub fn lost(&self, lane: Lane) {
        self.applier.lost(lane);
    }

    /// Applies a batch and settles each of its deliveries.
    pub async fn settle(&self, batch: Batch<Delivery>) {
        self.apply(batch, false).await;
    }

    /// Applies a batch and returns it, for it is to be applied once more; settles it where it
    /// could not be applied.
    pub async fn secure(&self, batch: Batch<Delivery>) -> Option<Batch<Delivery>> {
        self.apply(batch, true).await
    }

    async fn apply(&self, batch: Batch<Delivery>, again: bool) -> Option<Batch<Delivery>> {
        if self.is_superseded(&batch.event) {
            self.supersede(batch).await;
            return None;
        }
        let Batch { event, parcels } = batch;
        let mut applying = Applying::begin(&self.traces, &event, &parcels);
        let since = Timestamp::now();
        let began = Instant::now();
        let work = noting_plan(self.applier.apply(&event));
        let (((verdict, number), planned), sent) = traced(work).await;
        applying.done((&verdict, number), planned, &sent);
        if let Detail::Canary { flight } = event.detail {
            self.echo(flight, event.object, &verdict, began.elapsed()).await;
            self.finish(parcels, Outcome::Skipped).await;
            return None;
        }
        let tries = Tries { number, since };
        let entry = |what| report::entry(&event, what, &sent);
        match verdict {
            Verdict::Applied { user, actions, request_id } => {
                log_applied(&event, parcels.len(), &user, request_id.as_deref());
                self.remember_deletion(&event);
                if again {
                    return Some(Batch { event, parcels });
                }
                let (user, actions) = (Some(user), words(&actions));
                self.report(&parcels, Entry { user, actions, ..entry(What::Applied) });
                self.accept(parcels).await;
            }
            Verdict::Skipped(skip) => {
                if skip == Skip::Unchanged {
                    self.remember_deletion(&event);
                }
                self.skip(parcels, skip).await;
            }
            Verdict::Observed { user, actions } => {
                let (words, user) = (words(&actions), Some(user));
                let actions = words.join(", ");
                let (kind, object) = (event.kind().as_str(), event.object);
                info!(event = %event.id, %object, kind, user, actions, "would apply");
                let observed = Entry { user, actions: words, ..entry(What::Observed) };
                self.report(&parcels, observed);
                self.finish(parcels, Outcome::Skipped).await;
            }
            Verdict::Missing(cause) | Verdict::GivenUp(cause) if self.applier.observes() => {
                self.report(&parcels, because(&cause, entry(What::Observed)));
                let (reason, object) = (cause.reason.as_str(), event.object);
                let Cause { sentence, remedy, .. } = cause;
                info!(event = %event.id, %object, reason, sentence, remedy, "would not apply");
                self.finish(parcels, Outcome::Skipped).await;
            }
            Verdict::TooOld if self.applier.observes() => {
                info!(event = %event.id, object = %event.object, "would ask for the state now");
                let reason = Some(Why::TooOld.as_str().to_owned());
                self.report(&parcels, Entry { reason, ..entry(What::Observed) });
                self.finish(parcels, Outcome::Skipped).await;
            }
            Verdict::Missing(cause) => self.park(parcels, cause, tries, &sent).await,
            Verdict::TooOld => self.refresh(parcels).await,
            Verdict::GivenUp(cause) => {
                for Parcel { event, receipt } in parcels {
                    self.bury(receipt, Some(&event), cause.clone(), tries, &sent).await;
                }
            }
        }
        None
    }

    /// Tells the watcher that its canary has come through, or what kept it from Graph.
    async fn echo(&self, flight: Uuid, object: Uuid, verdict: &Verdict, graph: Duration) {
        let refusal = match verdict {
            Verdict::Missing(cause) | Verdict::GivenUp(cause) => Some(cause.sentence.clone()),
            Verdict::Skipped(Skip::Protected) => Some("the user is protected".to_owned()),
            _ => None,
        };
        let echo = Echo { flight, object, graph, refusal };
        self.sender.send(Queue::Refresh, &[echo.to_message()]).await;
    }

    /// Sends back to the watcher, after a while, what waits for its user; what has waited for the
    /// whole horizon is given up.
    async fn park(
        &self,
        parcels: Vec<Parcel<Delivery>>,
        cause: Cause,
        tries: Tries,
        sent: &[Exchange],
    ) {
        let now = tries.since;
        let (over, waiting): (Vec<_>, Vec<_>) =
            parcels.into_iter().partition(|it| parking::is_over(&self.parking, &it.event, now));
        for Parcel { event, receipt } in over {
            let tries = event.waiting.map_or(tries, |waiting| Tries {
                number: waiting.attempt.saturating_add(tries.number),
                since: waiting.since,
            });
            self.bury(receipt, Some(&event), cause.clone(), tries, sent).await;
        }
        let Some(Parcel { event, .. }) = waiting.first() else { return };
        let round = parking::next_round(&waiting, now);
        let delay = parking::delay(&self.parking, round.attempt);
        let (object, attempt) = (event.object, round.attempt);
        info!(%object, since = %round.since, attempt, delay = delay.as_str(), "parked: the user is not in entra");
        let requests = parking::requests(&waiting, Why::Parked, round);
        self.sender.send(Queue::Parked(delay), &requests).await;
        for Parcel { event, .. } in &waiting {
            let detail = Some(format!("told again in {}, for the {attempt}. time", delay.as_str()));
            let entry = report::entry(event, What::Parked, sent);
            self.reporter.report(Entry { detail, ..because(&cause, entry) });
        }
        self.finish(waiting, Outcome::Parked).await;
    }

    /// Asks the watcher for the state of now instead of applying an old one; at once, but not
    /// where this was done before: then a clock is wrong, and haste would mend nothing.
    async fn refresh(&self, parcels: Vec<Parcel<Delivery>>) {
        let Some(Parcel { event, .. }) = parcels.first() else { return };
        let round = parking::next_round(&parcels, Timestamp::now());
        let queue = match event.waiting {
            None => Queue::Refresh,
            Some(_) => Queue::Parked(parking::delay(&self.parking, round.attempt)),
        };
        let (id, object, told) = (event.id, event.object, event.time);
        let remedy = "if this repeats, compare the clocks of watcher and consumer";
        warn!(event = %id, %object, %told, remedy, "too old to enable anybody, asking for the state now");
        let requests = parking::requests(&parcels, Why::TooOld, round);
        self.sender.send(queue, &requests).await;
        for Parcel { event, .. } in &parcels {
            self.reporter.report(report::entry(event, What::Refreshed, &[]));
        }
        self.finish(parcels, Outcome::Refreshed).await;
    }

    /// Settles a batch that a later event has made void.
    pub async fn supersede(&self, batch: Batch<Delivery>) {
        let Batch { event, parcels } = batch;
        let mut applying = Applying::begin(&self.traces, &event, &parcels);
        applying.done((&Verdict::Skipped(Skip::Superseded), 0), None, &[]);
        self.skip(parcels, Skip::Superseded).await;
    }

    /// Settles deliveries for which nothing is to be done.
    async fn skip(&self, parcels: Vec<Parcel<Delivery>>, skip: Skip) {
        for Parcel { event, .. } in &parcels {
            let (kind, object) = (event.kind().as_str(), event.object);
            info!(event = %event.id, %object, kind, why = skip.as_str(), "skipped");
            let what = if skip == Skip::Unchanged { What::Applied } else { What::Skipped };
            let reason = Some(skip.as_str().to_owned());
            self.reporter.report(Entry { reason, ..report::entry(event, what, &[]) });
        }
        let outcome = if skip == Skip::Unchanged { Outcome::Applied } else { Outcome::Skipped };
        self.finish(parcels, outcome).await;
    }

    /// Gives up a delivery that was never tried.
    pub async fn reject(&self, delivery: Delivery, event: Option<&Event>, cause: Cause) {
        let tries = Tries { number: 0, since: Timestamp::now() };
        self.bury(delivery, event, cause, tries, &[]).await;
    }

    /// Reports what became of a batch: the newest event stood for the others.
    fn report(&self, parcels: &[Parcel<Delivery>], entry: Entry) {
        if let [older @ .., _newest] = parcels {
            for Parcel { event, .. } in older {
                self.reporter.report(report::entry(event, What::Coalesced, &[]));
            }
        }
        self.reporter.report(entry);
    }

    async fn accept(&self, parcels: Vec<Parcel<Delivery>>) {
        for Parcel { event, .. } in &parcels {
            METRICS.propagated(event.kind(), event.time);
            RECENT.reached(event.time);
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
            RECENT.settled(&event, outcome, None);
            acknowledge(receipt).await;
        }
    }

    /// Publishes the dead letter and acknowledges only then.
    async fn bury(
        &self,
        delivery: Delivery,
        event: Option<&Event>,
        mut cause: Cause,
        tries: Tries,
        sent: &[Exchange],
    ) {
        // What is no event of the watcher's is about nobody.
        if let Some(event) = event {
            let entry = report::entry(event, What::DeadLettered, sent);
            self.reporter.report(because(&cause, entry));
        }
        let mut kept = delivery.message.clone();
        if kept.body.len() > MAX_BODY {
            let size = kept.body.len();
            kept.body.truncate(MAX_BODY);
            cause.sentence += &format!("; of its {size} bytes the first {MAX_BODY} are kept");
        }
        if matches!(cause.reason, DeadReason::PasswordExpired | DeadReason::PasswordNotOpened) {
            // Sealed as it is, nobody has a use for it any more.
            kept.body.clear();
        }
        let (id, object) = (kept.id, kept.object);
        let kind = event.map(Event::kind);
        let (reason, sentence, remedy) = (cause.reason, &cause.sentence, &cause.remedy);
        let name = kind.map_or("unknown", Kind::as_str);
        warn!(event = %id, %object, kind = name, reason = reason.as_str(), sentence, remedy, "gave up");
        let user = event.and_then(user_name).map(str::to_owned);
        let now = Timestamp::now();
        let letter = DeadLetter::new(&kept, user, cause, tries.number, tries.since, now);
        self.sender.send(Queue::DeadLetters, &[letter.to_message()]).await;
        METRICS.dead_lettered(reason);
        METRICS.settled(kind, Outcome::DeadLettered);
        if let Some(event) = event {
            RECENT.settled(event, Outcome::DeadLettered, Some(reason.as_str()));
        }
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

fn words(actions: &[Action]) -> Vec<String> {
    actions.iter().map(ToString::to_string).collect()
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
