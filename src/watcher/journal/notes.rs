//! What the watcher's own steps come to in the journal. Names only, never values. Pure.

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    event::{Event, Waiting},
    ops::metrics::RefreshOutcome,
    queue::{
        Message,
        journal::{Entry, What},
        refresh::Why,
    },
    watcher::guard::{Held, Holdings, Loss},
};

/// An event was sent, and confirmed by the queue. It counts as told when it was sent, for a consumer
/// may be done with it before the confirm.
pub fn told(message: &Message, sent: Timestamp, confirmed: Timestamp) -> Option<Entry> {
    let event = Event::from_json(&message.body).ok()?;
    let took = confirmed.duration_since(event.time).as_millis();
    let (reason, detail) = event.detail.words();
    let again = event.waiting.map(|Waiting { since, attempt }| {
        format!("told again for the {attempt}. time, waits since {since:.0}")
    });
    let detail: Vec<_> = detail.into_iter().chain(again).collect();
    Some(Entry {
        event: Some(event.id),
        kind: Some(event.kind().as_str().to_owned()),
        reason: reason.map(str::to_owned),
        detail: (!detail.is_empty()).then(|| detail.join("; ")),
        latency_ms: Some(u64::try_from(took).unwrap_or_default()),
        ..Entry::new(sent, event.object, What::Told)
    })
}

/// What the guard holds of a user, one entry for each kind. Made again, it is the same entry.
pub fn held(object: Uuid, holdings: &Holdings) -> impl Iterator<Item = Entry> {
    holdings.iter().map(move |(loss, held)| of_held(object, *loss, held, held.since, What::Held))
}

/// What was held of a user was rejected.
pub fn rejected(object: Uuid, holdings: &Holdings, now: Timestamp) -> impl Iterator<Item = Entry> {
    holdings.iter().map(move |(loss, held)| of_held(object, *loss, held, now, What::Rejected))
}

fn of_held(object: Uuid, loss: Loss, held: &Held, time: Timestamp, what: What) -> Entry {
    let names = held.names.iter().cloned();
    let detail: Vec<_> = [format!("batch {}", held.batch)].into_iter().chain(names).collect();
    Entry {
        reason: Some(loss.as_str().to_owned()),
        detail: Some(detail.join(", ")),
        rule: Some("guard".into()),
        ..Entry::new(time, object, what)
    }
}

/// Something that gives access waits until then.
pub fn postponed(object: Uuid, until: Timestamp, now: Timestamp) -> Entry {
    Entry {
        detail: Some(format!("gives access: read again at {until:.0}")),
        rule: Some("directory.failover_settle".into()),
        ..Entry::new(now, object, What::Postponed)
    }
}

/// Somebody asked for the user to be told again.
pub fn asked(object: Uuid, whys: &[Why], outcome: RefreshOutcome, now: Timestamp) -> Vec<Entry> {
    let entry = |why: &Why| Entry {
        reason: Some(why.as_str().to_owned()),
        detail: Some(outcome.as_str().to_owned()),
        ..Entry::new(now, object, What::Asked)
    };
    whys.iter().map(entry).collect()
}
