//! Traces for OpenTelemetry: what became of a change, from the directory to Graph, over both
//! halves of the relay.
//!
//! A span is made once what it tells of is over, and handed to a bounded buffer: nothing ever waits
//! for a trace. Where none are configured, none are made.

mod export;
mod span;

use std::sync::Arc;

use tokio::sync::mpsc;
use uuid::Uuid;

pub use export::{Exporter, TracesError, open};
pub use opentelemetry::trace::SpanKind;
pub use span::Span;

use super::metrics::METRICS;
use crate::event::TraceParent;

/// Spans that wait to be sent.
const BUFFER: usize = 4096;

/// W3C Trace Context Level 2 has the rightmost 7 bytes of a trace id be random: they decide what is
/// sampled.
const RANDOM_BITS: u32 = 56;

/// Where spans are handed in. Cheap to clone; the default makes none.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    sender: mpsc::Sender<Span>,
    /// How many of a hundred changes.
    percent: u8,
}

impl Traces {
    pub(crate) fn to(sender: mpsc::Sender<Span>, percent: u8) -> Traces {
        Traces(Some(Arc::new(Inner { sender, percent })))
    }

    /// Begins the trace of an event, if it is to have one.
    pub fn begin(&self, event: Uuid) -> Option<TraceParent> {
        let percent = self.0.as_ref()?.percent;
        let random = event.as_u128() & ((1 << RANDOM_BITS) - 1);
        let is_sampled = random * 100 >= u128::from(100 - percent.min(100)) << RANDOM_BITS;
        is_sampled.then(|| TraceParent::of_event(event))
    }

    /// Where spans of this event go, if any are to be made.
    pub fn follow(&self, parent: Option<TraceParent>) -> Option<TraceParent> {
        parent.filter(|_| self.are_made())
    }

    /// Whether any spans are made.
    pub fn are_made(&self) -> bool {
        self.0.is_some()
    }

    /// Hands a span in, if there is room.
    pub fn hand_in(&self, span: Span) {
        if let Some(inner) = &self.0
            && inner.sender.try_send(span).is_err()
        {
            METRICS.traces.dropped(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(percent: u8) -> (Traces, mpsc::Receiver<Span>) {
        let (sender, receiver) = mpsc::channel(1);
        (Traces::to(sender, percent), receiver)
    }

    #[test]
    fn a_part_of_the_changes_is_traced_and_always_the_same() {
        let ids = |n: u32| Uuid::new_v5(&Uuid::NAMESPACE_OID, &n.to_be_bytes());
        let sampled = |percent| {
            let (traces, _) = traces(percent);
            (0..1000).filter(|n| traces.begin(ids(*n)).is_some()).collect::<Vec<_>>()
        };
        assert_eq!((sampled(0).len(), sampled(100).len()), (0, 1000));
        let quarter = sampled(25);
        assert!((180..320).contains(&quarter.len()), "{}", quarter.len());
        let half = sampled(50);
        assert!(quarter.iter().all(|n| half.contains(n)), "a larger part holds the smaller one");
        assert_eq!(Traces::default().begin(ids(0)), None);
        assert_eq!(Traces::default().follow(Some(TraceParent::of_event(ids(0)))), None);
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        let (traces, mut receiver) = traces(100);
        let parent = TraceParent::of_event(Uuid::from_u128(7 << 64));
        for name in ["first", "second"] {
            traces.hand_in(Span::below(parent, name));
        }
        assert!(receiver.try_recv().is_ok() && receiver.try_recv().is_err());
    }
}
