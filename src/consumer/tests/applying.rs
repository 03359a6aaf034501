//! What each kind of event does to a user, and in which order.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{
    config::model::{Mode, OnDeleted},
    event::SealedPassword,
    graph::stub::{Stub, grant},
};

#[tokio::test]
async fn a_disable_blocks_and_ends_sessions_and_an_enable_allows_again() {
    let mut world = World::new().await;
    let user = world.user(1);
    world.start();
    let before = world.graph.user(user).expect("user").sessions_valid_from();
    world.publish(&event(1, 1, DISABLED));
    world.drained().await;
    assert!(!world.is_enabled(user));
    assert_ne!(world.graph.user(user).expect("user").sessions_valid_from(), before);
    world.publish(&event(1, 2, ENABLED));
    world.drained().await;
    assert!(world.is_enabled(user));
    assert!(world.dead_letters().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn a_password_change_ends_sessions_and_blocks_nobody() {
    let mut world = World::new().await;
    let user = world.user(1);
    world.start();
    let before = world.graph.user(user).expect("user").sessions_valid_from();
    world.publish(&event(1, 1, Detail::PasswordChanged { must_change: false }));
    world.drained().await;
    assert_ne!(world.graph.user(user).expect("user").sessions_valid_from(), before);
    assert!(world.is_enabled(user));
    world.stop().await;
}

#[tokio::test]
async fn attributes_are_written_where_they_differ_and_ceded_where_another_tool_syncs() {
    let mut world = World::new().await;
    let user = world.graph.add_user(
        new_user(1).immutable_id(&link(1)).with("city", "Bonn").with("jobTitle", "Clerk"),
    );
    let synced = world.graph.add_user(new_user(2).immutable_id(&link(2)).synced());
    world.start();
    world.publish(&event(1, 1, attributes(&[("title", ""), ("l", "Bonn")])));
    world.publish(&event(2, 2, attributes(&[("title", "Boss")])));
    world.drained().await;
    assert_eq!(world.graph.user(user).expect("user").get("jobTitle"), Value::Null);
    let writes = world.writes();
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].body.json(), Some(&json!({ "jobTitle": null })));
    world.publish(&event(2, 3, DISABLED));
    world.drained().await;
    assert!(!world.is_enabled(synced));
    assert!(world.dead_letters().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn a_deletion_blocks_or_deletes_but_never_deletes_whom_another_tool_syncs() {
    let mut world = World::new().await;
    world.rules.on_deleted = OnDeleted::Delete;
    let user = world.user(1);
    let synced = world.graph.add_user(new_user(2).immutable_id(&link(2)).synced());
    world.start();
    world.publish(&event(1, 1, Detail::UserDeleted));
    world.publish(&event(2, 2, Detail::UserDeleted));
    world.drained().await;
    assert!(world.graph.user(user).is_none());
    assert_eq!(world.graph.deleted_users().len(), 1);
    assert!(!world.is_enabled(synced));
    // Older than the deletion, although it comes later: the lanes do not wait for each other.
    world.publish(&event(1, 0, attributes(&[("title", "Boss")])));
    world.drained().await;
    assert!(world.dead_letters().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn users_are_matched_by_name_unless_they_belong_to_somebody_else() {
    let mut world = World::new().await;
    world.rules.upn_suffixes.insert("corp.local".into(), "contoso.com".into());
    let unlinked = world.graph.add_user(new_user(1));
    world.start();
    let mut disable = event(1, 1, DISABLED);
    disable.identity.user_principal_name = Some("user1@corp.local".into());
    world.publish(&disable);
    world.drained().await;
    assert!(!world.is_enabled(unlinked));
    // The match is kept, so the second event searches nobody.
    let searches = |world: &World| {
        world.graph.log().iter().filter(|request| request.path.contains("filter=")).count()
    };
    let before = searches(&world);
    world.publish(&event(1, 2, ENABLED));
    world.drained().await;
    assert_eq!(searches(&world), before);
    assert!(world.is_enabled(unlinked));
    world.stop().await;
}

#[tokio::test]
async fn events_of_one_user_are_applied_in_order_and_old_ones_not_at_all() {
    let mut world = World::new().await;
    let user = world.user(1);
    for sequence in 1..=20 {
        let detail = if sequence % 2 == 0 { ENABLED } else { DISABLED };
        world.publish(&event(1, sequence, detail));
    }
    world.start();
    world.drained().await;
    let expected: Vec<_> = (1..=20).map(|sequence| sequence % 2 == 0).collect();
    assert_eq!(world.states(), expected);
    world.publish(&event(1, 19, DISABLED));
    world.drained().await;
    assert!(world.is_enabled(user));
    world.stop().await;
}

#[tokio::test]
async fn attribute_events_that_wait_become_one_request() {
    let mut world = World::new().await;
    let user = world.user(1);
    world.graph.faults().set(|set| set.hang = true);
    world.start();
    for sequence in 1..=6 {
        let title = format!("title {sequence}");
        let city = if sequence == 3 { "Berlin" } else { "Bonn" };
        let values = [("title", title.as_str()), ("l", city)];
        // The last ones say nothing of the city.
        let values = if sequence > 3 { &values[..1] } else { &values };
        world.publish(&event(1, sequence, attributes(values)));
    }
    // One is at work and hangs, five wait.
    let bulk = Queue::Lane(Lane::Bulk);
    world.queue.wait(bulk, |ready, unsettled| (ready, unsettled) == (0, 6)).await;
    world.graph.faults().clear();
    world.drained().await;
    let user = world.graph.user(user).expect("user");
    assert_eq!(user.get("jobTitle"), "title 6");
    assert_eq!(user.get("city"), "Berlin");
    assert_eq!(world.writes().len(), 2);
    world.stop().await;
}

#[tokio::test]
async fn who_only_observes_writes_nothing() {
    let mut world = World::new().await;
    world.rules.mode = Mode::Observe;
    let user = world.user(1);
    world.start();
    world.publish(&event(1, 1, DISABLED));
    world.publish(&event(2, 2, DISABLED));
    world.publish(&event(1, 3, attributes(&[("title", "Boss")])));
    world.drained().await;
    assert!(world.is_enabled(user));
    assert!(world.writes().is_empty() && world.dead_letters().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn every_kind_of_event_is_settled() {
    let mut world = World::new().await;
    world.user(1);
    world.start();
    let previous = Box::new(Identity::default());
    let details = [
        Detail::UserCreated { enabled: true },
        DISABLED,
        ENABLED,
        Detail::PasswordChanged { must_change: true },
        Detail::UserRenamed { previous },
        attributes(&[("title", "Boss")]),
        Detail::MembershipChanged { group: "CN=Sales,DC=corp,DC=example".into(), member: true },
        Detail::PasswordSet(Box::new(SealedPassword {
            key_id: "unknown".into(),
            candidate: Uuid::nil(),
            account: "user1".into(),
            sealed: "AAAA".into(),
            must_change: false,
            never_expires: false,
            expires: Timestamp::now(),
        })),
        Detail::Canary { flight: Uuid::nil() },
        Detail::UserDeleted,
    ];
    assert_eq!(details.len(), Kind::ALL.len());
    for (sequence, detail) in (1..).zip(details) {
        world.publish(&event(1, sequence, detail));
    }
    world.drained().await;
    let letters = world.dead_letters();
    let reasons: Vec<_> = letters.iter().map(|letter| letter.cause.reason).collect();
    assert_eq!(reasons, [DeadReason::PasswordExpired]);
    world.stop().await;
}

#[tokio::test]
async fn a_deletion_that_succeeded_without_saying_so_is_done() {
    let gone = AtomicBool::new(false);
    let stub = Stub::start(move |seen, _| match (seen.is_token(), seen.method.as_str()) {
        (true, _) => grant("t", 3600),
        (_, "DELETE") => {
            gone.store(true, Relaxed);
            (500, Value::Null)
        }
        (_, "GET") if seen.target.contains("organization") => (200, json!({ "value": [] })),
        (_, "GET") if gone.load(Relaxed) => (404, Value::Null),
        _ => (200, json!({ "value": [{ "id": "u", "onPremisesImmutableId": link(1) }] })),
    })
    .await;
    let mut world = World::new().await;
    world.rules.on_deleted = OnDeleted::Delete;
    world.start_with(&stub.config);
    world.publish(&event(1, 1, Detail::UserDeleted));
    world.drained().await;
    assert!(world.dead_letters().is_empty());
    assert!(stub.seen().iter().any(|seen| seen.method == "DELETE"));
    world.stop().await;
}
