//! What is reported for the journal.

use super::*;
use crate::queue::journal::{self, Entry, What};

async fn reported(world: &World, count: usize) -> Vec<Entry> {
    let entries = || -> Vec<Entry> {
        let messages = world.queue.messages(Queue::Outcomes);
        messages.iter().flat_map(|m| journal::from_message(m).expect("entries")).collect()
    };
    let all = async {
        while entries().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, all).await.expect("everything is reported");
    entries()
}

#[tokio::test]
async fn a_refusal_and_a_success_are_reported_with_every_request_id_and_no_value() {
    let mut world = World { journal: true, ..World::new().await };
    let user = world.user(1);
    world.graph.faults().fail_user(user, Some(403));
    world.start();
    world.publish(&event(1, 1, DISABLED));
    world.drained().await;
    world.graph.faults().fail_user(user, None);
    world.publish(&event(1, 2, DISABLED));
    world.publish(&event(1, 3, attributes(&[("title", "Secret title")])));
    world.publish(&event(9, 4, DISABLED));
    world.drained().await;
    let entries = reported(&world, 4).await;
    let of = |sequence: u64, detail: Detail| {
        let id = Some(event(if sequence == 4 { 9 } else { 1 }, sequence, detail).id);
        entries.iter().find(|entry| entry.event == id).expect("an entry")
    };
    let refused = of(1, DISABLED);
    assert_eq!(
        (refused.what, refused.reason.as_deref()),
        (What::DeadLettered, Some("permission_denied"))
    );
    let requests = &refused.requests;
    assert!(requests.iter().all(|sent| sent.status == Some(403) && sent.request_id.is_some()));
    let applied = of(2, DISABLED);
    assert_eq!(applied.what, What::Applied);
    assert_eq!(applied.user.as_deref(), Some(&user.to_string()[..]));
    assert_eq!(applied.actions, ["block sign-in", "revoke sessions", "verify"]);
    assert_eq!(applied.rule.as_deref(), Some("apply.on_disabled"));
    let operations: Vec<_> = applied.requests.iter().map(|sent| &sent.operation[..]).collect();
    assert_eq!(operations, ["set_enabled", "revoke_sessions"]);
    assert!(applied.requests.iter().all(|sent| sent.request_id.is_some()));
    assert_eq!(of(3, attributes(&[])).actions, ["update jobTitle"]);
    assert_eq!(of(4, DISABLED).what, What::Parked);
    let text = serde_json::to_string(&entries).expect("JSON");
    assert!(!text.contains("Secret title"), "{text}");
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_sent_holds_nothing_up_and_is_sent_later() {
    let mut world = World { journal: true, ..World::new().await };
    world.user(1);
    world.queue.refuse(true);
    world.start();
    world.publish(&event(1, 1, DISABLED));
    world.drained().await;
    assert_eq!(world.queue.len(Queue::Outcomes), 0);
    world.queue.refuse(false);
    let entries = reported(&world, 1).await;
    assert_eq!(entries[0].what, What::Applied);
    // The last ones are sent before the end.
    world.publish(&event(1, 2, ENABLED));
    world.drained().await;
    world.stop().await;
    assert_eq!(reported(&world, 2).await.len(), 2);
}
