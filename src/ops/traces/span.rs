//! One step of a change, with its beginning and its end.

use std::borrow::Cow;

use jiff::Timestamp;
use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{Event, Link, SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::event::TraceParent;

/// A span in the making. Its attributes are ids, kinds and numbers: never a name or a value.
#[derive(Debug)]
pub struct Span(pub(crate) SpanData);

impl Span {
    /// The first span of a trace.
    pub fn first(trace: TraceParent, name: impl Into<Cow<'static, str>>) -> Span {
        Span::new(trace, SpanId::INVALID, name)
    }

    /// A span of the process that has made the one above it.
    pub fn below(parent: TraceParent, name: impl Into<Cow<'static, str>>) -> Span {
        // A UUID's version is in its first half: that one is never zero.
        let span = (uuid::Uuid::new_v4().as_u128() >> 64) as u64;
        Span::new(TraceParent { span, ..parent }, SpanId::from(parent.span), name)
    }

    /// A span of what another process has begun.
    pub fn below_remote(parent: TraceParent, name: impl Into<Cow<'static, str>>) -> Span {
        let Span(data) = Span::below(parent, name);
        Span(SpanData { parent_span_is_remote: true, ..data })
    }

    fn new(place: TraceParent, parent: SpanId, name: impl Into<Cow<'static, str>>) -> Span {
        let now = Timestamp::now().into();
        Span(SpanData {
            span_context: context(place),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: now,
            end_time: now,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        })
    }

    /// Its own place, for what stands below it.
    pub fn place(&self) -> TraceParent {
        let context = &self.0.span_context;
        let trace = u128::from_be_bytes(context.trace_id().to_bytes());
        TraceParent { trace, span: u64::from_be_bytes(context.span_id().to_bytes()) }
    }

    /// Of what kind of work it is; else internal.
    pub fn kind(mut self, kind: SpanKind) -> Span {
        self.0.span_kind = kind;
        self
    }

    /// When it began and ended; else now.
    pub fn lasting(mut self, start: Timestamp, end: Timestamp) -> Span {
        self.0.start_time = start.into();
        self.0.end_time = end.max(start).into();
        self
    }

    /// Adds an attribute.
    pub fn with(mut self, name: &'static str, value: impl Into<opentelemetry::Value>) -> Span {
        self.0.attributes.push(KeyValue::new(name, value));
        self
    }

    /// Adds an attribute, if there is a value.
    pub fn with_some(
        self,
        name: &'static str,
        value: Option<impl Into<opentelemetry::Value>>,
    ) -> Span {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds something that happened at a point of time.
    pub fn with_moment(mut self, name: &'static str, at: Timestamp) -> Span {
        self.0.events.events.push(Event::new(name, at.into(), Vec::new(), 0));
        self
    }

    /// Points to a span of another trace.
    pub fn with_link(mut self, to: TraceParent) -> Span {
        self.0.links.links.push(Link::with_context(context(to)));
        self
    }

    /// It did not succeed.
    pub fn failed(mut self) -> Span {
        // What went wrong is in the attributes: a sentence may quote a value.
        self.0.status = Status::error("");
        self
    }
}

fn context(place: TraceParent) -> SpanContext {
    let (trace, span) = (TraceId::from(place.trace), SpanId::from(place.span));
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn spans_stand_below_each_other() {
        let trace = TraceParent::of_event(Uuid::new_v4());
        let first = Span::first(trace, "a");
        assert_eq!((first.place(), first.0.parent_span_id), (trace, SpanId::INVALID));
        let second = Span::below(first.place(), "b");
        let third = Span::below_remote(second.place(), "c");
        assert_eq!(second.place().trace, trace.trace);
        assert_eq!(third.0.parent_span_id, second.0.span_context.span_id());
        assert!(third.0.parent_span_is_remote && !second.0.parent_span_is_remote);
        let (early, late) = (Timestamp::UNIX_EPOCH, Timestamp::now());
        let backwards = third.lasting(late, early);
        assert_eq!(backwards.0.start_time, backwards.0.end_time, "a clock that was set back");
    }
}
