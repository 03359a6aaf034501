//! What a consumer did about an event, as spans below the one with which the watcher began: one of
//! receiving it, one of applying it with those of its requests to Graph.

use std::{borrow::Cow, cell::Cell};

use jiff::Timestamp;

use super::{apply::Verdict, mailbox::Parcel};
use crate::{
    event::{Event, TraceParent},
    graph::Exchange,
    ops::traces::{Span, SpanKind, Traces},
    queue::Delivery,
};

tokio::task_local! {
    static PLANNED: Cell<Option<Timestamp>>;
}

/// It is settled what is to be done about the event in hand.
pub fn planned() {
    // Outside of an application nobody asks.
    let _not_applying = PLANNED.try_with(|planned| planned.set(Some(Timestamp::now())));
}

/// Does the work, and tells when it was planned last.
pub async fn noting_plan<T>(work: impl Future<Output = T>) -> (T, Option<Timestamp>) {
    let noted = async {
        let done = work.await;
        (done, PLANNED.with(Cell::get))
    };
    PLANNED.scope(Cell::default(), noted).await
}

/// An event was received, recognized and taken in.
pub fn received(traces: &Traces, event: &Event, redelivered: bool, since: Timestamp) {
    if let Some(parent) = traces.follow(event.trace) {
        let span = Span::below_remote(parent, "receive and verify")
            .kind(SpanKind::Consumer)
            .lasting(since, Timestamp::now());
        traces.hand_in(of_event(span, event).with("relay.redelivered", redelivered));
    }
}

/// An application that goes on, to its end or to where it is cut off.
pub struct Applying {
    traces: Traces,
    began: Timestamp,
    /// The event that is applied; none where nobody follows it.
    span: Option<Span>,
    /// Those that it stands for, besides itself.
    older: Vec<TraceParent>,
}

impl Applying {
    /// Begins with the event that stands for the parcels.
    pub fn begin(traces: &Traces, event: &Event, parcels: &[Parcel<Delivery>]) -> Applying {
        let followed = |event: &Event| traces.follow(event.trace);
        let older: Vec<_> = parcels
            .iter()
            .filter(|parcel| parcel.event.id != event.id)
            .filter_map(|parcel| followed(&parcel.event))
            .collect();
        let span = followed(event).map(|parent| {
            let span = Span::below_remote(parent, "apply").kind(SpanKind::Consumer);
            let span = older.iter().fold(span, |span, older| span.with_link(*older));
            of_event(span, event)
        });
        Applying { traces: traces.clone(), began: Timestamp::now(), span, older }
    }

    /// Graph was asked, so often and with these requests; from now on it is settled.
    pub fn done(
        &mut self,
        (verdict, tries): (&Verdict, u32),
        planned: Option<Timestamp>,
        sent: &[Exchange],
    ) {
        let Some(mut span) = self.span.take() else { return };
        for exchange in sent {
            self.traces.hand_in(request(span.place(), exchange));
        }
        if let Some(at) = planned {
            span = span.with_moment("planned", at);
        }
        let (outcome, reason) = words(verdict);
        span = span
            .with_moment("settling", Timestamp::now())
            .with("relay.attempt", i64::from(tries))
            .with("relay.outcome", outcome)
            .with_some("relay.reason", reason);
        if matches!(verdict, Verdict::GivenUp(_)) {
            span = span.failed();
        }
        self.span = Some(span);
    }
}

impl Drop for Applying {
    fn drop(&mut self) {
        let Some(span) = self.span.take() else { return };
        let span = span.lasting(self.began, Timestamp::now());
        for older in &self.older {
            let coalesced = Span::below_remote(*older, "applied with a newer one");
            let coalesced = coalesced.kind(SpanKind::Consumer).with_link(span.place());
            self.traces.hand_in(coalesced.lasting(self.began, Timestamp::now()));
        }
        self.traces.hand_in(span);
    }
}

fn of_event(span: Span, event: &Event) -> Span {
    span.with("messaging.message.id", event.id.to_string())
        .with("relay.event.kind", event.kind().as_str())
        .with("relay.event.lane", event.kind().lane().as_str())
        .with_some("relay.event.round", event.waiting.map(|waiting| i64::from(waiting.attempt)))
}

/// A request to Graph and its answer. The address is left out, for it names the user.
fn request(parent: TraceParent, exchange: &Exchange) -> Span {
    let Exchange { operation, status, code, request_id, began, ended, .. } = exchange;
    let span = Span::below(parent, format!("graph {}", operation.as_str()))
        .kind(SpanKind::Client)
        .lasting(*began, *ended)
        .with("relay.graph.operation", operation.as_str())
        .with_some("http.response.status_code", status.map(i64::from))
        .with_some("error.type", code.clone())
        .with_some("relay.graph.request_id", request_id.clone());
    match status {
        Some(..400) => span,
        _ => span.failed(),
    }
}

/// What became of it, and why.
fn words(verdict: &Verdict) -> (&'static str, Option<Cow<'static, str>>) {
    match verdict {
        Verdict::Applied { .. } => ("applied", None),
        Verdict::Skipped(skip) => ("skipped", Some(skip.as_str().into())),
        Verdict::Observed { .. } => ("observed", None),
        Verdict::Missing(cause) => ("missing", Some(cause.reason.as_str().into())),
        Verdict::TooOld => ("too_old", None),
        Verdict::GivenUp(cause) => ("given_up", Some(cause.reason.as_str().into())),
    }
}
