//! What cannot be applied, and what its dead letter says.

use super::*;
use crate::{
    event::{MAX_BODY, Waiting},
    graph::stub::{Stub, grant},
    queue::dead_letter::DeadReason,
    sandbox::graph::DirectoryRole,
};
use serde_json::json;

/// Publishes an event and returns the dead letter that comes of it.
async fn dead_letter(world: &mut World, event: &Event) -> DeadLetter {
    world.start();
    world.publish(event);
    world.drained().await;
    let mut letters = world.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
    let letter = letters.remove(0);
    assert_eq!(letter.original.message(), Some(Message::from_event(event)), "byte for byte");
    assert!(!letter.cause.remedy.is_empty());
    world.stop().await;
    letter
}

#[tokio::test]
async fn a_user_that_entra_does_not_have() {
    let mut world = World::new().await;
    let mut disable = event(1, 1, DISABLED);
    let since = Timestamp::UNIX_EPOCH;
    disable.waiting = Some(Waiting { since, attempt: 7 });
    let letter = dead_letter(&mut world, &disable).await;
    assert_eq!(letter.cause.reason, DeadReason::UserNotFound);
    assert_eq!(letter.user.as_deref(), Some("user1@contoso.com"));
    assert_eq!((letter.attempts, letter.first_tried), (8, since));
}

#[tokio::test]
async fn a_namesake_that_belongs_to_another_object() {
    let mut world = World::new().await;
    let namesake = world.graph.add_user(new_user(1).immutable_id(&link(2)));
    let letter = dead_letter(&mut world, &event(1, 1, DISABLED)).await;
    assert_eq!(letter.cause.reason, DeadReason::AmbiguousMatch);
    assert!(world.is_enabled(namesake));
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let mut world = World::new().await;
    world.user(1);
    world.graph.set_app_roles(["User.Read.All"]);
    let letter = dead_letter(&mut world, &event(1, 1, DISABLED)).await;
    assert_eq!(letter.cause.reason, DeadReason::PermissionDenied);
    assert_eq!(letter.cause.graph_status, Some(403));
    assert_eq!(letter.cause.graph_code.as_deref(), Some("Authorization_RequestDenied"));
    assert!(letter.cause.request_id.is_some());
    assert!(letter.cause.remedy.contains("User.EnableDisableAccount.All"));
}

#[tokio::test]
async fn an_administrator_needs_a_directory_role() {
    let mut world = World::new().await;
    let admin = new_user(1).immutable_id(&link(1)).role(DirectoryRole::GlobalAdministrator);
    let admin = world.graph.add_user(admin);
    let letter = dead_letter(&mut world, &event(1, 1, DISABLED)).await;
    assert_eq!(letter.cause.reason, DeadReason::PermissionDenied);
    assert!(letter.cause.remedy.contains("Privileged Authentication Administrator"));
    assert!(world.is_enabled(admin));
}

#[tokio::test]
async fn a_value_that_graph_would_not_take_does_not_hold_back_the_others() {
    let mut world = World::new().await;
    let user = world.user(1);
    let long = "x".repeat(200);
    let modified = event(1, 1, attributes(&[("title", &long), ("l", "Bonn")]));
    let letter = dead_letter(&mut world, &modified).await;
    assert_eq!(letter.cause.reason, DeadReason::ValueRefused);
    assert!(letter.cause.sentence.contains("jobTitle takes 128 characters"));
    assert_eq!(world.graph.user(user).expect("user").get("city"), "Bonn");
}

#[tokio::test]
async fn a_value_that_graph_refuses() {
    let mut world = World::new().await;
    world.user(1);
    let letter = dead_letter(&mut world, &event(1, 1, attributes(&[("c", "de")]))).await;
    assert_eq!(letter.cause.reason, DeadReason::ValueRefused);
    assert_eq!(letter.cause.graph_status, Some(400));
    assert!(letter.cause.sentence.contains("usageLocation"), "{}", letter.cause.sentence);
}

#[tokio::test]
async fn a_user_whose_requests_always_fail_stops_nobody_else() {
    let mut world = World::new().await;
    let failing = world.user(1);
    world.graph.faults().fail_user(failing, Some(500));
    let others: Vec<_> = (2..100).map(|object| world.user(object)).collect();
    for object in 1..100 {
        world.publish(&event(object, 1, DISABLED));
        world.publish(&event(object, 2, attributes(&[("title", "Boss")])));
    }
    world.start();
    world.drained().await;
    assert!(others.iter().all(|user| !world.is_enabled(*user)));
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 2, "{letters:?}");
    for letter in letters {
        assert_eq!(letter.cause.reason, DeadReason::GraphError);
        assert_eq!(letter.original.object, Uuid::from_u128(1));
        assert_eq!(letter.attempts, crate::graph::retry::ATTEMPTS);
    }
    world.stop().await;
}

#[tokio::test]
async fn a_huge_body_is_kept_in_part() {
    let mut world = World::new().await;
    let mut poison = Message::from_event(&event(1, 1, DISABLED));
    poison.body = vec![b'x'; 3 * MAX_BODY].into();
    world.queue.put(Queue::Lane(Lane::Urgent), poison);
    world.start();
    world.drained().await;
    let letters = world.dead_letters();
    let kept = letters[0].original.message().expect("base64");
    assert_eq!(kept.body.len(), MAX_BODY);
    assert!(letters[0].cause.sentence.contains("3145728 bytes"), "{}", letters[0].cause.sentence);
    world.stop().await;
}

#[tokio::test]
async fn what_is_no_event_of_this_directory_keeps_its_bytes() {
    let mut world = World::new().await;
    let user = world.user(1);
    let urgent = Queue::Lane(Lane::Urgent);
    let mut poison = Message::from_event(&event(1, 1, DISABLED));
    poison.body = vec![0xff, 0, b'{'].into();
    let (object, identity) = (Uuid::from_u128(1), Identity::default());
    let elsewhere = Event::new("ldap:///dc=other", object, 2, Timestamp::now(), identity, DISABLED);
    world.queue.put(urgent, poison.clone());
    world.publish(&elsewhere);
    world.start();
    world.drained().await;
    let mut letters = world.dead_letters();
    letters.sort_by_key(|letter| letter.cause.reason);
    let reasons: Vec<_> = letters.iter().map(|letter| letter.cause.reason).collect();
    assert_eq!(reasons, [DeadReason::Malformed, DeadReason::ForeignDirectory]);
    assert_eq!(letters[0].original.message(), Some(poison));
    assert!(world.is_enabled(user));
    world.stop().await;
}

#[tokio::test]
async fn a_delivery_is_kept_until_its_dead_letter_is_safe() {
    let mut world = World::new().await;
    world.parking.horizon = Duration::ZERO;
    world.queue.refuse(true);
    world.publish(&event(1, 1, DISABLED));
    world.publish(&event(2, 2, ENABLED));
    let searched = |graph: &SandboxGraph, object: u128| {
        let name = format!("user{object}%40");
        graph.log().iter().any(|request| request.path.contains(&name))
    };
    world.start();
    world.until(|graph| searched(graph, 1) && searched(graph, 2)).await;
    assert_eq!(world.queue.messages(Queue::Lane(Lane::Urgent)).len(), 2);
    world.queue.refuse(false);
    world.drained().await;
    assert_eq!(world.dead_letters().len(), 2);
    world.stop().await;
}

#[tokio::test]
async fn a_block_that_does_not_show_is_told() {
    let stub = Stub::start(|seen, _| match (seen.is_token(), seen.method.as_str()) {
        (true, _) => grant("t", 3600),
        (_, "GET") if seen.target.contains("filter") => {
            let user = json!({ "id": "u", "onPremisesImmutableId": link(1) });
            (200, json!({ "value": [user] }))
        }
        (_, "GET") => (200, json!({ "id": "u", "accountEnabled": true })),
        _ => (204, serde_json::Value::Null),
    })
    .await;
    let mut world = World::new().await;
    world.start_with(&stub.config);
    world.publish(&event(1, 1, DISABLED));
    world.drained().await;
    let letters = world.dead_letters();
    assert_eq!(letters[0].cause.reason, DeadReason::NotVerified);
    world.stop().await;
}
