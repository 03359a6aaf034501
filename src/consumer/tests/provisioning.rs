//! Users that are created, linked, restored or renamed.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use serde_json::{Value, json};

use super::*;
use crate::{
    config::model::OnDeleted,
    graph::stub::{Stub, grant},
    queue::dead_letter::DeadReason,
};

fn created(object: u128, sequence: u64, enabled: bool) -> Event {
    event(object, sequence, Detail::UserCreated { enabled })
}

#[tokio::test]
async fn a_missing_user_is_created_linked_and_in_the_state_of_the_directory() {
    let mut world = World::new().await;
    world.rules.create = true;
    world.rules.attributes.insert("usageLocation".into(), "{{ 'DE' }}".into());
    world.start();
    world.publish(&created(1, 1, false));
    world.drained().await;
    let user = world.graph.user_by_upn("user1@contoso.com").expect("created");
    assert!(!user.account_enabled());
    assert_eq!(user.immutable_id(), Some(link(1)));
    assert_eq!(user.get("displayName"), "user1");
    assert_eq!(user.get("mailNickname"), "user1");
    assert_eq!(user.get("usageLocation"), "DE");
    assert!(user.password().is_some_and(|password| password.len() == 40));
    world.publish(&created(2, 2, true));
    world.publish(&event(2, 3, attributes(&[("title", "Clerk")])));
    world.until(|graph| graph.user_by_upn("user2@contoso.com").is_some()).await;
    world.stop().await;
}

#[tokio::test]
async fn nobody_is_created_unless_asked_for_and_nobody_twice() {
    let mut world = World::new().await;
    world.start();
    world.publish(&created(1, 1, true));
    world.drained().await;
    assert_eq!(world.graph.user_count(), 0);
    world.stop().await;

    let mut world = World::new().await;
    world.rules.create = true;
    world.user(1);
    world.graph.add_user(new_user(2).immutable_id("c29tZWJvZHkgZWxzZQ=="));
    world.start();
    world.publish(&created(1, 1, true));
    world.publish(&created(2, 2, true));
    world.queue.wait(Queue::DeadLetters, |ready, _| ready == 1).await;
    assert_eq!(world.dead_letters()[0].cause.reason, DeadReason::AmbiguousMatch);
    assert_eq!(world.graph.user_count(), 2);
    world.stop().await;
}

#[tokio::test]
async fn a_new_user_that_graph_does_not_show_yet_is_waited_for_in_place() {
    let mut world = World::new().await;
    world.rules.create = true;
    world.start();
    world.graph.faults().set(|set| set.create_lag = Duration::from_secs(3600));
    world.publish(&created(1, 1, true));
    world.publish(&event(1, 2, DISABLED));
    let urgent = Queue::Lane(Lane::Urgent);
    world.queue.wait(urgent, |ready, unsettled| ready + unsettled == 1).await;
    world.graph.faults().clear();
    world.drained().await;
    let user = world.graph.user_by_upn("user1@contoso.com").expect("created");
    assert!(!user.account_enabled());
    assert!(world.dead_letters().is_empty());
    assert!(ParkingDelay::ALL.iter().all(|delay| world.requests(Queue::Parked(*delay)).is_empty()));
    world.stop().await;
}

#[tokio::test]
async fn a_user_that_another_process_creates_meanwhile_is_taken() {
    let searches = AtomicU32::new(0);
    let stub = Stub::start(move |seen, _| match (seen.is_token(), seen.method.as_str()) {
        (true, _) => grant("t", 3600),
        (_, "POST") => (
            400,
            json!({ "error": { "code": "Request_BadRequest", "message": "Another object ...",
                "details": [{ "code": "ObjectConflict", "target": "userPrincipalName" }] } }),
        ),
        // Two keys are searched before the user is there.
        _ if searches.fetch_add(1, Relaxed) < 2 => (200, json!({ "value": [] })),
        _ => (200, json!({ "value": [{ "id": "u", "onPremisesImmutableId": link(1) }] })),
    })
    .await;
    let mut world = World::new().await;
    world.rules.create = true;
    world.start_with(&stub.config);
    world.publish(&created(1, 1, true));
    world.drained().await;
    assert!(world.dead_letters().is_empty());
    assert_eq!(stub.seen().iter().filter(|seen| seen.method == "POST").count(), 2, "and a token");
    world.stop().await;
}

#[tokio::test]
async fn a_user_matched_by_name_is_linked_once_and_only_where_asked_for() {
    for asked_for in [true, false] {
        let mut world = World::new().await;
        world.rules.link = asked_for;
        let user = world.graph.add_user(new_user(1));
        world.start();
        world.publish(&event(1, 1, DISABLED));
        world.drained().await;
        world.publish(&event(1, 2, ENABLED));
        world.drained().await;
        assert!(world.dead_letters().is_empty());
        let linked = asked_for.then(|| link(1));
        assert_eq!(world.graph.user(user).expect("user").immutable_id(), linked);
        let links = world.writes().into_iter().filter(|write| {
            write.body.json().is_some_and(|body| body.get("onPremisesImmutableId").is_some())
        });
        assert_eq!(links.count(), usize::from(asked_for));
        world.stop().await;
    }
}

#[tokio::test]
async fn a_deleted_user_comes_back_with_its_account() {
    let mut world = World::new().await;
    world.rules.on_deleted = OnDeleted::Delete;
    let user = world.user(1);
    world.graph.add_user(new_user(2).immutable_id(&link(2)));
    world.start();
    world.publish(&event(1, 1, Detail::UserDeleted));
    world.publish(&event(2, 2, Detail::UserDeleted));
    world.drained().await;
    assert_eq!(world.graph.user_count(), 0);
    world.publish(&event(1, 3, Detail::AccountEnabled { ended: Reason::Deleted }));
    world.drained().await;
    assert!(world.is_enabled(user));
    assert_eq!(world.graph.user_count(), 1, "nobody else is restored");
    assert!(world.dead_letters().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn a_name_follows_the_directory_even_of_an_unlinked_user() {
    let mut world = World::new().await;
    world.rules.attributes.insert("userPrincipalName".into(), "userPrincipalName".into());
    world.rules.upn_suffixes.insert("corp.local".into(), "contoso.com".into());
    let user = world.graph.add_user(new_user(1));
    world.start();
    let previous = Box::new(event(1, 1, DISABLED).identity);
    let mut renamed = event(1, 2, Detail::UserRenamed { previous });
    renamed.identity.user_principal_name = Some("ada@corp.local".into());
    world.publish(&renamed);
    world.drained().await;
    assert_eq!(world.graph.user(user).expect("user").user_principal_name(), "ada@contoso.com");
    assert_eq!(world.writes().len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn templates_and_the_manager_are_written_where_they_differ() {
    let mut world = World::new().await;
    world.rules.attributes = [
        ("displayName", "{{ sn|upper }}, {{ givenName|first }}."),
        ("employeeOrgData.costCenter", "departmentNumber"),
        ("manager", "manager"),
    ]
    .map(|(property, rule)| (property.to_owned(), rule.to_owned()))
    .into();
    let (user, boss) = (world.user(1), world.user(2));
    world.start();
    let modified = |sequence, manager: Option<u128>| {
        let Detail::AttributesModified { attributes, .. } =
            attributes(&[("sn", "Lovelace"), ("givenName", "Ada"), ("departmentNumber", "7")])
        else {
            unreachable!("it says so")
        };
        let reference = manager.map(|object| {
            let boss = event(object, 1, DISABLED);
            Reference { object: boss.object, identity: boss.identity }
        });
        let references = [("manager".to_owned(), reference)].into();
        event(1, sequence, Detail::AttributesModified { attributes, references })
    };
    world.publish(&modified(1, Some(2)));
    world.drained().await;
    let shown = world.graph.user(user).expect("user");
    assert_eq!(shown.get("displayName"), "LOVELACE, A.");
    assert_eq!(shown.get("employeeOrgData")["costCenter"], "7");
    assert_eq!(shown.manager(), Some(boss));
    assert_eq!(world.writes().len(), 2, "one for all properties, one for the manager");
    world.stop().await;

    // A consumer that has written nothing lately trusts what it reads, and writes nothing again.
    let mut again = World::new().await;
    again.rules = world.rules.clone();
    again.graph = world.graph.clone();
    again.start();
    again.publish(&modified(2, Some(2)));
    again.drained().await;
    assert_eq!(again.writes().len(), 2);
    again.publish(&modified(3, None));
    again.drained().await;
    assert_eq!(again.graph.user(user).expect("user").manager(), None);
    again.publish(&modified(4, Some(9)));
    let parked = Queue::Parked(ParkingDelay::ALL[0]);
    again.queue.wait(parked, |ready, _| ready == 1).await;
    assert!(again.dead_letters().is_empty(), "the manager may yet come");
    assert_eq!(again.graph.user(user).expect("user").get("jobTitle"), Value::Null);
    again.stop().await;
}
