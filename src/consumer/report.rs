//! Reports what became of each event, for the journal that the watcher keeps.
//!
//! A report must never hold up what it is about: it goes into a bounded buffer, and from there, many
//! together, into a queue. While that queue is away the buffer fills, and what has no room is
//! dropped and counted.

use std::{convert::Infallible, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tracing::warn;

use super::pace::Pace;
use crate::{
    event::{Detail, Event, Reason},
    graph,
    net::backoff::Backoff,
    ops::metrics::METRICS,
    queue::{
        Publisher, Queue,
        dead_letter::Cause,
        journal::{self, Entry, Exchange, What},
    },
};

/// Reports that wait to be sent.
const BUFFER: usize = 8192;

/// Requests in one report: the last ones, for these decided.
const REQUESTS: usize = 16;

/// How long others are waited for that can travel along.
const LINGER: Duration = Duration::from_millis(200);

/// How long the last reports may take at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where reports are made. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reporter(Option<mpsc::Sender<Entry>>);

/// What sends them.
pub struct Reports {
    receiver: mpsc::Receiver<Entry>,
    batch: Vec<Entry>,
    publisher: Arc<dyn Publisher>,
    pace: Pace,
}

impl Reporter {
    /// A reporter, and what sends its reports. Where no journal is kept, nothing is reported.
    pub fn new(wanted: bool, publisher: Arc<dyn Publisher>, pace: Pace) -> (Reporter, Reports) {
        let (sender, receiver) = mpsc::channel(BUFFER);
        let reports = Reports { receiver, batch: Vec::new(), publisher, pace };
        (Reporter(wanted.then_some(sender)), reports)
    }

    /// Reports, if there is room.
    pub fn report(&self, entry: Entry) {
        if let Some(sender) = &self.0
            && sender.try_send(entry).is_err()
        {
            METRICS.journal.dropped(1);
        }
    }
}

impl Reports {
    /// Sends reports as they come, through every outage of the queue.
    pub async fn send_all(&mut self) -> Infallible {
        loop {
            self.gather().await;
            let mut backoff = Backoff::new(self.pace.queue.0, self.pace.queue.1);
            while let Err(error) = self.send().await {
                warn!(%error, "reports for the journal cannot be sent yet");
                backoff.wait().await;
            }
        }
    }

    /// Sends what is left, if that does not take long.
    pub async fn finish(mut self) {
        let rest = async {
            loop {
                self.fill();
                if self.batch.is_empty() || self.send().await.is_err() {
                    return;
                }
            }
        };
        let _took_too_long = timeout(FAREWELL, rest).await;
        METRICS.journal.dropped(self.batch.len() + self.receiver.len());
    }

    /// Waits for reports, and a little longer for others.
    async fn gather(&mut self) {
        if self.batch.is_empty() {
            match self.receiver.recv().await {
                Some(entry) => self.batch.push(entry),
                // Nobody reports any more.
                None => std::future::pending().await,
            }
        }
        sleep(LINGER).await;
        self.fill();
    }

    fn fill(&mut self) {
        while self.batch.len() < journal::MOST
            && let Ok(entry) = self.receiver.try_recv()
        {
            self.batch.push(entry);
        }
    }

    /// Cut off, it keeps the batch: to be sent twice does no harm.
    async fn send(&mut self) -> Result<(), crate::queue::QueueError> {
        let message = journal::to_message(&self.batch);
        self.publisher.publish(Queue::Outcomes, &[message]).await?;
        self.batch.clear();
        Ok(())
    }
}

/// What became of an event.
pub fn entry(event: &Event, what: What, sent: &[graph::Exchange]) -> Entry {
    let now = Timestamp::now();
    let latency = now.duration_since(event.time).as_millis();
    Entry {
        event: Some(event.id),
        kind: Some(event.kind().as_str().to_owned()),
        rule: Some(rule(&event.detail).to_owned()),
        requests: exchanges(sent),
        latency_ms: Some(u64::try_from(latency).unwrap_or_default()),
        ..Entry::new(now, event.object, what)
    }
}

/// Adds why an event could not be applied. Its sentence is left out: Graph's own words are in it,
/// and may quote a value.
pub fn because(cause: &Cause, entry: Entry) -> Entry {
    Entry {
        reason: Some(cause.reason.as_str().to_owned()),
        remedy: Some(cause.remedy.clone()),
        ..entry
    }
}

/// The writes and the failures, the last ones.
fn exchanges(sent: &[graph::Exchange]) -> Vec<Exchange> {
    let notable: Vec<_> = sent.iter().filter(|exchange| !exchange.is_read).collect();
    let first = notable.len().saturating_sub(REQUESTS);
    notable[first..].iter().map(|it| exchange(it)).collect()
}

fn exchange(exchange: &graph::Exchange) -> Exchange {
    Exchange {
        operation: exchange.operation.as_str().to_owned(),
        status: exchange.status,
        code: exchange.code.clone(),
        request_id: exchange.request_id.clone(),
    }
}

/// The key of the configuration that says what is done about it.
fn rule(detail: &Detail) -> &'static str {
    match detail {
        Detail::AccountDisabled { reason: Reason::Deleted } | Detail::UserDeleted => {
            "apply.on_deleted"
        }
        Detail::AccountDisabled { reason: Reason::ScopeLeft } => "apply.on_scope_left",
        Detail::AccountDisabled { .. } => "apply.on_disabled",
        Detail::AccountEnabled { .. } => "apply.on_enabled",
        Detail::PasswordChanged { .. } => "apply.on_password_changed",
        Detail::PasswordSet(_) => "passwords",
        Detail::UserCreated { .. } => "apply.create",
        Detail::MembershipChanged { .. } => "apply.groups",
        Detail::Canary { .. } => "canary",
        Detail::UserRenamed { .. } | Detail::AttributesModified { .. } => "apply.attributes",
    }
}
