//! What a consumer did about an event is told below the span that the event names.

use opentelemetry::{SpanId, trace::Status};
use tokio::sync::mpsc;

use super::*;
use crate::{event::TraceParent, ops::traces::Span};

fn traced(object: u128, sequence: u64, detail: Detail) -> (Event, SpanId) {
    let mut event = event(object, sequence, detail);
    let parent = TraceParent::of_event(event.id);
    event.trace = Some(parent);
    (event, SpanId::from(parent.span))
}

async fn next(receiver: &mut mpsc::Receiver<Span>) -> Span {
    timeout(LIMIT, receiver.recv()).await.expect("in time").expect("a span")
}

#[tokio::test]
async fn requests_stand_below_the_application_and_name_nobody() {
    let (sender, mut receiver) = mpsc::channel(64);
    let mut world = World::new().await;
    world.traces = Traces::to(sender, 0);
    let user = world.user(1);
    world.start();
    world.publish(&event(2, 1, DISABLED));
    let (disabled, parent) = traced(1, 2, DISABLED);
    world.publish(&disabled);
    world.until(|graph| !graph.user(user).expect("user").account_enabled()).await;
    world.drained().await;
    world.stop().await;
    world.traces = Traces::default();

    let mut spans = Vec::new();
    loop {
        let span = next(&mut receiver).await;
        let ends = span.0.name == "apply";
        spans.push(span.0);
        if ends {
            break;
        }
    }
    let trace = spans[0].span_context.trace_id();
    assert!(spans.iter().all(|span| span.span_context.trace_id() == trace), "no other is traced");
    let apply = spans.last().expect("spans");
    assert_eq!((spans[0].name.as_ref(), spans[0].parent_span_id), ("receive and verify", parent));
    assert_eq!((apply.parent_span_id, apply.parent_span_is_remote), (parent, true));
    let requests = &spans[1..spans.len() - 1];
    assert!(requests.iter().all(|it| it.parent_span_id == apply.span_context.span_id()));
    assert!(requests.iter().all(|it| it.start_time >= apply.start_time));
    for name in ["graph find_users", "graph set_enabled", "graph revoke_sessions"] {
        assert!(requests.iter().any(|it| it.name == name), "{name}: {requests:?}");
    }
    let moments: Vec<_> = apply.events.iter().map(|event| &*event.name).collect();
    assert_eq!(moments, ["planned", "settling"]);
    let shown = format!("{spans:?}");
    assert!(shown.contains("request_id") && shown.contains("\"applied\""), "{shown}");
    for hidden in ["contoso", &user.to_string(), &Uuid::from_u128(1).to_string()] {
        assert!(!shown.contains(hidden), "{hidden}: {shown}");
    }
}

#[tokio::test]
async fn a_failure_and_what_one_event_stands_for_are_told() {
    let (sender, mut receiver) = mpsc::channel(64);
    let mut world = World::new().await;
    world.traces = Traces::to(sender, 0);
    let user = world.user(1);
    world.graph.faults().fail_user(user, Some(403));
    let title = |sequence, title: &str| {
        traced(1, sequence, Detail::modified([("title".into(), vec![title.into()])].into()))
    };
    let (mut first, _) = title(1, "secret");
    first.trace = None;
    let ((older, older_parent), (newer, parent)) = (title(2, "secret a"), title(3, "secret b"));
    world.graph.faults().set(|set| set.hang = true);
    world.start();
    for event in [&first, &older, &newer] {
        world.publish(event);
    }
    // One is at work and hangs, two wait.
    let bulk = Queue::Lane(Lane::Bulk);
    world.queue.wait(bulk, |ready, unsettled| (ready, unsettled) == (0, 3)).await;
    world.graph.faults().set(|set| set.hang = false);
    world.drained().await;
    world.stop().await;
    world.traces = Traces::default();
    let mut spans = Vec::new();
    // Until nobody can hand in any more.
    while let Some(span) = receiver.recv().await {
        spans.push(span.0);
    }
    let find = |name: &str| spans.iter().find(|span| span.name == name).expect(name);
    let (apply, absorbed) = (find("apply"), find("applied with a newer one"));
    assert_eq!((apply.parent_span_id, absorbed.parent_span_id), (parent, older_parent));
    assert!(matches!(apply.status, Status::Error { .. }));
    assert_eq!(absorbed.links[0].span_context, apply.span_context);
    assert_eq!(apply.links[0].span_context.span_id(), older_parent);
    let shown = format!("{spans:?}");
    assert!(shown.contains("permission_denied") && !shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn what_came_too_late_ends_in_its_trace_too() {
    let (sender, mut receiver) = mpsc::channel(64);
    let mut world = World::new().await;
    world.traces = Traces::to(sender, 0);
    world.user(1);
    world.start();
    world.publish(&event(1, 2, DISABLED));
    world.drained().await;
    let (late, parent) = traced(1, 1, ENABLED);
    world.publish(&late);
    world.drained().await;
    world.stop().await;
    for name in ["receive and verify", "apply"] {
        let span = next(&mut receiver).await;
        assert_eq!((&*span.0.name, span.0.parent_span_id), (name, parent));
        assert_eq!(format!("{span:?}").contains("superseded"), name == "apply", "{span:?}");
    }
}
