//! What the watcher did about a batch, as spans: `event.time` → compared → outbox → confirmed by the
//! queue → committed.

use jiff::Timestamp;

use crate::{
    event::{Event, Lane, TraceParent},
    ops::traces::{Span, SpanKind, Traces},
    queue::Message,
};

/// From when to when.
type Period = (Timestamp, Timestamp);

/// When a batch took its steps.
#[derive(Debug)]
pub(super) struct Steps {
    /// Writing it into the outbox; none where an earlier run did.
    staged: Option<Period>,
    /// Publishing until all is confirmed, by lane.
    published: [Option<Period>; 2],
}

impl Steps {
    pub(super) fn after(staged: Option<Period>) -> Steps {
        Steps { staged, published: [None; 2] }
    }

    /// The messages of a lane were confirmed.
    pub(super) fn published(&mut self, lane: Lane, since: Timestamp) {
        self.published[lane as usize] = Some((since, Timestamp::now()));
    }

    /// Tells of each message what was done, once all is committed since `confirmed`.
    pub(super) fn tell(&self, traces: &Traces, messages: &[Message], confirmed: Timestamp) {
        if !traces.are_made() {
            return;
        }
        let committed = (confirmed, Timestamp::now());
        for message in messages {
            if let Ok(event) = Event::from_json(&message.body) {
                self.tell_of(traces, &event, committed);
            }
        }
    }

    fn tell_of(&self, traces: &Traces, event: &Event, committed: Period) {
        let Some(trace) = traces.follow(event.trace) else { return };
        let lane = event.kind().lane();
        let kind = event.kind().as_str();
        // What is told again stands below what was observed first.
        let whole = match trace == TraceParent::of_event(event.id) {
            true => Span::first(trace, kind),
            false => Span::below_remote(trace, format!("{kind} again")),
        };
        let whole = whole
            .kind(SpanKind::Producer)
            .lasting(event.time, committed.1)
            .with("messaging.message.id", event.id.to_string())
            .with("relay.event.kind", kind)
            .with("relay.event.lane", lane.as_str())
            .with_some("relay.event.round", event.waiting.map(|it| i64::from(it.attempt)));
        let place = whole.place();
        let compared = self.staged.map(|(since, _)| (event.time, since));
        let steps = [
            ("compare", compared),
            ("write to outbox", self.staged),
            ("publish", self.published[lane as usize]),
            ("commit", Some(committed)),
        ];
        for (name, period) in steps {
            if let Some((start, end)) = period {
                traces.hand_in(Span::below(place, name).lasting(start, end));
            }
        }
        traces.hand_in(whole);
    }
}
