//! The trace of a change begins with it and stays the same.

use opentelemetry::trace::SpanId;
use tokio::sync::mpsc;

use super::bench::*;
use crate::{
    config::model,
    event::TraceParent,
    ops::traces::{Span, Traces},
    queue::{
        Message,
        refresh::{RefreshRequest, Why},
    },
};

fn spans(receiver: &mut mpsc::Receiver<Span>) -> Vec<Span> {
    std::iter::from_fn(|| receiver.try_recv().ok()).collect()
}

fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|span| &*span.0.name).collect()
}

#[test]
fn what_is_told_again_stays_in_its_trace() {
    let (sender, mut receiver) = mpsc::channel(64);
    let mut bench = Bench::with_users(1, model::Guard::default());
    bench.traces = Traces::to(sender, 100);
    bench.set(0, "title", Some("a"));
    assert!(bench.run());
    let [first] = &bench.told()[..] else { panic!("one event") };
    assert_eq!(first.trace, Some(TraceParent::of_event(first.id)));
    let told = spans(&mut receiver);
    let steps = ["compare", "write to outbox", "publish", "commit"];
    assert_eq!(names(&told), [&steps[..], &["attributes.modified"]].concat());
    let (whole, steps) = told.split_last().expect("spans");
    assert_eq!((Some(whole.place()), whole.0.parent_span_id), (first.trace, SpanId::INVALID));
    assert!(steps.iter().all(|step| step.0.parent_span_id == whole.0.span_context.span_id()));

    let mut original = Message::from_event(first);
    bench.keys.sign(&mut original);
    let (object, why, originals) = (first.object, Why::Parked, vec![(&original).into()]);
    let request = RefreshRequest { object, why, originals, waiting: None };
    bench.lock().requests.push(request.to_message());
    assert!(bench.run());
    let [again] = &bench.told()[..] else { panic!("one event") };
    assert_ne!(again.id, first.id);
    assert_eq!(again.trace, first.trace);
    let told = spans(&mut receiver);
    let whole = told.last().expect("spans");
    assert_eq!(whole.0.name, "attributes.modified again");
    assert_eq!(whole.0.parent_span_id, SpanId::from(first.trace.expect("traced").span));
    assert_ne!(Some(whole.place()), first.trace);
}

#[test]
fn who_makes_no_traces_begins_none() {
    let bench = Bench::with_users(1, model::Guard::default());
    bench.set(0, "title", Some("a"));
    assert!(bench.run());
    assert_eq!(bench.told()[0].trace, None);
}
