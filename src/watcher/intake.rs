//! Where refresh requests come in.
//!
//! They are received beside the watcher's work and wait for it: its one writer handles them
//! between two reads of the directory, so that what they tell has its place in the order.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    future::pending,
};

use futures_util::future::join_all;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    diff::Arrival,
    draft::Draft,
    guard::Reading,
    journal::notes,
    pipeline::{Pipeline, WatchError},
    refresh::Again,
};
use crate::{
    directory::{Directory, DirectoryError, Entry},
    event::Event,
    net::backoff::Backoff,
    ops::metrics::{METRICS, RefreshOutcome},
    queue::{
        Broker, Delivery, Message, ParkingDelay, Queue,
        canary::Echo,
        refresh::{RefreshRequest, Why},
    },
};

/// The most requests that are handled in one batch.
const PREFETCH: u16 = 256;

/// The requests that wait for the watcher.
pub struct Intake {
    receiver: mpsc::Receiver<Delivery>,
    first: Option<Delivery>,
}

impl Intake {
    /// An intake, and where [`receive`] puts what it receives.
    pub fn new() -> (mpsc::Sender<Delivery>, Intake) {
        let (sender, receiver) = mpsc::channel(PREFETCH.into());
        (sender, Intake { receiver, first: None })
    }

    /// Waits until there is a request. Cancel-safe.
    pub async fn ring(&mut self) {
        if self.first.is_none() {
            self.first = self.receiver.recv().await;
        }
        if self.first.is_none() {
            pending().await
        }
    }

    /// The requests that wait.
    pub fn take(&mut self) -> Vec<Delivery> {
        let mut taken: Vec<_> = self.first.take().into_iter().collect();
        while taken.len() < PREFETCH.into()
            && let Ok(delivery) = self.receiver.try_recv()
        {
            taken.push(delivery);
        }
        taken
    }
}

/// Receives requests, through every outage of the queue.
pub async fn receive(broker: &dyn Broker, sender: mpsc::Sender<Delivery>) -> Infallible {
    let mut backoff = Backoff::reconnect();
    loop {
        let received = async {
            broker.declare().await?;
            let mut subscriber = broker.subscribe(Queue::Refresh, PREFETCH).await?;
            loop {
                let delivery = subscriber.receive().await?;
                backoff.reset();
                if sender.send(delivery).await.is_err() {
                    // The watcher is about to drop this as well.
                    pending().await
                }
            }
        };
        let Err::<Infallible, crate::queue::QueueError>(error) = received.await;
        tracing::warn!(%error, "refresh requests are not received, subscribing again");
        backoff.wait().await;
    }
}

/// What is asked for of one user.
#[derive(Default)]
struct Asked {
    requests: Vec<RefreshRequest>,
    again: Again,
}

impl Pipeline {
    /// Handles requests: what they ask for is told, then they are acknowledged. A fault of the
    /// directory leaves them to be delivered again.
    pub async fn refresh(
        &self,
        directory: &mut dyn Directory,
        deliveries: Vec<Delivery>,
    ) -> Result<(), WatchError> {
        let started = (self.clock)();
        let mut entries = Vec::new();
        let mut users: BTreeMap<Uuid, Asked> = BTreeMap::new();
        let mut receipts = Vec::new();
        for Delivery { message, receipt, .. } in deliveries {
            receipts.push(receipt);
            if let Some(echo) = Echo::from_message(&message) {
                self.canary.landed(echo);
                continue;
            }
            if let Some((request, originals)) = self.admit(&message) {
                let asked = users.entry(request.object).or_default();
                asked.again.add(originals, request.waiting);
                asked.requests.push(request);
            }
        }
        let mut draft = Draft::new(self)?;
        let settling = self.store.footing()?.and_then(|f| f.settling((self.clock)())).is_some();
        let mut done = BTreeMap::new();
        let mut postponed = Vec::new();
        for (object, Asked { requests, mut again }) in users {
            let whys: Vec<_> = requests.iter().map(|request| request.why).collect();
            let look = match self.look(directory, object).await? {
                // A server that lags would let in who was shut out meanwhile.
                Look::Found(_) if settling && again.gives_access() => Look::Later,
                look => look,
            };
            match look {
                Look::Found(entry) => {
                    again.read(&self.rules, &entry);
                    draft.retell(directory, &entry, again).await?;
                    done.insert(object, whys);
                }
                Look::Unknown => {
                    tracing::warn!(%object, "a refresh of an unknown object is dropped");
                    count(&whys, RefreshOutcome::Unknown);
                    entries.extend(notes::asked(object, &whys, RefreshOutcome::Unknown, started));
                }
                Look::Later => {
                    postponed.extend(requests.iter().map(RefreshRequest::to_message));
                    count(&whys, RefreshOutcome::Postponed);
                    entries.extend(notes::asked(object, &whys, RefreshOutcome::Postponed, started));
                }
            }
        }
        let batch = self.tell(draft, &mut Reading::default()).await?;
        let told: BTreeSet<_> = batch.messages.iter().map(|message| message.object).collect();
        for (object, whys) in done {
            let is_told = told.contains(&object);
            let outcome = if is_told { RefreshOutcome::Told } else { RefreshOutcome::Nothing };
            count(&whys, outcome);
            entries.extend(notes::asked(object, &whys, outcome, started));
        }
        self.journal.note(entries);
        if !postponed.is_empty() {
            self.publish(Queue::Parked(ParkingDelay::Minute1), &postponed).await?;
        }
        for result in join_all(receipts.into_iter().map(|receipt| receipt.ack())).await {
            if let Err(error) = result {
                tracing::debug!(%error, "a refresh request is done and will come again");
            }
        }
        Ok(())
    }

    /// Reads a request. None if it is to be dropped.
    fn admit(&self, message: &Message) -> Option<(RefreshRequest, Vec<Event>)> {
        let request = match RefreshRequest::from_message(message) {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(id = %message.id, %error, "a malformed refresh request is dropped");
                METRICS.refreshed(None, RefreshOutcome::Refused);
                return None;
            }
        };
        let ours = |message: &Message| {
            self.is_ours(message).filter(|event| event.object == request.object)
        };
        let originals: Option<Vec<_>> =
            request.originals.iter().map(|carried| ours(&carried.message()?)).collect();
        if originals.is_none() {
            tracing::warn!(object = %request.object, why = ?request.why,
                "a refresh request with an original that is not ours is dropped");
            METRICS.refreshed(Some(request.why), RefreshOutcome::Refused);
        }
        Some((request, originals?))
    }

    /// The event in a message, if this watcher told it.
    fn is_ours(&self, message: &Message) -> Option<Event> {
        self.keys.verifier.verify(message).ok()?;
        let event = Event::from_json(&message.body).ok()?;
        (event.source == self.source).then_some(event)
    }

    /// Reads the object of a request as it is now.
    async fn look(&self, directory: &mut dyn Directory, object: Uuid) -> Result<Look, WatchError> {
        let known = self.store.record(object)?;
        let read = match directory.read(object).await {
            // A request is no reason to stop, whatever the server makes of its object.
            Err(error @ DirectoryError::Failed { .. }) => {
                tracing::warn!(%object, %error, "an object cannot be refreshed now");
                return Ok(if known.is_some() { Look::Later } else { Look::Unknown });
            }
            read => read?,
        };
        Ok(match (read, known) {
            (Some(entry), _) => Look::Found(entry),
            (None, None) => Look::Unknown,
            (None, Some(known)) if known.deleted => Look::Found(Entry::deleted(object)),
            // Deleted just now, or not yet there on a server that lags: the changes will tell.
            (None, Some(_)) => Look::Later,
        })
    }
}

enum Look {
    Found(Entry),
    Unknown,
    Later,
}

impl Draft<'_> {
    async fn retell(
        &mut self,
        directory: &mut dyn Directory,
        entry: &Entry,
        mut again: Again,
    ) -> Result<(), WatchError> {
        if let Some(mut change) = self.compare(directory, entry, Arrival::Created).await? {
            if again.asked() && change.takes_part {
                change.tell_blocked();
            }
            for name in again.references(&self.pipeline.rules) {
                let named = change.record.references.get(&name.to_ascii_lowercase());
                let reference = match named.and_then(|referred| referred.object) {
                    Some(object) => self.reference(directory, object).await?,
                    None => None,
                };
                again.refer(name, reference);
            }
            change.again = Some(again);
            self.changes.push(change);
        }
        Ok(())
    }
}

fn count(whys: &[Why], outcome: RefreshOutcome) {
    for why in whys {
        METRICS.refreshed(Some(*why), outcome);
    }
}
