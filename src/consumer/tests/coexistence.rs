//! Beside other tools that write to the same users.

use serde_json::json;

use super::*;
use crate::{queue::dead_letter::DeadReason, sandbox::graph::Rules as Tenant};

#[tokio::test]
async fn a_synced_user_is_blocked_and_its_attributes_are_left_to_its_own_tool() {
    let mut world = World::new().await;
    let synced = world.graph.add_user(new_user(1).immutable_id(&link(1)).synced());
    world.start();
    world.publish(&event(1, 1, DISABLED));
    world.publish(&event(1, 2, attributes(&[("title", "Boss"), ("c", "DE")])));
    world.drained().await;
    assert!(!world.is_enabled(synced));
    let writes = world.writes();
    // Which no tool masters.
    let update = json!({ "usageLocation": "DE" });
    assert!(writes.iter().any(|write| write.body.json() == Some(&update)));
    assert_eq!(writes.len(), 3, "block, revoke, update");
    assert!(world.dead_letters().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn sessions_end_even_where_the_sync_tool_masters_the_account_state() {
    let tenant = Tenant { synced_account_enabled: false, ..Tenant::default() };
    let mut world = World::with(Options { rules: tenant, ..Options::default() }).await;
    let synced = world.graph.add_user(new_user(1).immutable_id(&link(1)).synced());
    world.start();
    world.publish(&event(1, 1, DISABLED));
    world.queue.wait(Queue::DeadLetters, |ready, _| ready == 1).await;
    let letter = world.dead_letters().remove(0);
    assert_eq!(letter.cause.reason, DeadReason::ValueRefused);
    assert!(letter.cause.remedy.contains("next cycle"), "{}", letter.cause.remedy);
    assert!(world.is_enabled(synced));
    let revoked = world.writes().iter().any(|write| write.path.ends_with("revokeSignInSessions"));
    assert!(revoked);
    world.stop().await;
}

#[tokio::test]
async fn a_refused_property_is_found_out_once_and_the_others_are_written() {
    let mut world = World::new().await;
    let bag = "onPremisesExtensionAttributes.extensionAttribute1";
    world.rules.attributes.insert(bag.into(), "info".into());
    // Once synced: Exchange keeps the extension attributes.
    let user = new_user(1).immutable_id(&link(1)).with("onPremisesSyncEnabled", false);
    let user = world.graph.add_user(user);
    world.start();
    world.publish(&event(1, 1, attributes(&[("info", "x"), ("l", "Bonn"), ("title", "Clerk")])));
    world.drained().await;
    let shown = world.graph.user(user).expect("user");
    assert_eq!((shown.get("city"), shown.get("jobTitle")), (json!("Bonn"), json!("Clerk")));
    let patches = |world: &World| {
        world.graph.log().iter().filter(|request| request.method == "PATCH").count()
    };
    assert_eq!(patches(&world), 4, "all together, then each alone");
    world.publish(&event(1, 2, attributes(&[("info", "y"), ("l", "Berlin")])));
    world.publish(&event(1, 3, attributes(&[("info", "z")])));
    world.drained().await;
    assert_eq!(world.graph.user(user).expect("user").get("city"), "Berlin");
    assert!(patches(&world) <= 5, "what was refused is not tried again");
    assert!(world.dead_letters().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn who_is_enabled_by_something_else_is_blocked_again_but_not_for_ever() {
    let mut world = World::new().await;
    world.pace.read_lag = Duration::ZERO;
    world.rules.max_reblocks = 2;
    let user = world.user(1);
    world.start();
    world.publish(&event(1, 1, DISABLED));
    world.drained().await;
    let password = Detail::PasswordChanged { must_change: false };
    for round in 1..=2 {
        world.graph.set(user, "accountEnabled", true);
        world.publish(&event(1, 10 + round, attributes(&[("title", "Clerk")])));
        world.drained().await;
        assert!(world.is_enabled(user), "the bulk lane cannot know whether it is right");
        world.publish(&event(1, 1 + round, password.clone()));
        world.drained().await;
        assert!(!world.is_enabled(user), "round {round}");
    }
    world.graph.set(user, "accountEnabled", true);
    world.publish(&event(1, 4, password));
    world.drained().await;
    assert!(world.is_enabled(user), "the fight is given up");
    assert!(world.dead_letters().is_empty(), "nothing is wrong with the password");
    // Where the directory tells it anew, somebody has to look at it.
    world.publish(&event(1, 5, DISABLED));
    world.queue.wait(Queue::DeadLetters, |ready, _| ready == 1).await;
    let letter = world.dead_letters().remove(0);
    assert_eq!(letter.cause.reason, DeadReason::NotVerified);
    assert!(letter.cause.sentence.contains("something else enabled"), "{}", letter.cause.sentence);
    world.publish(&event(1, 6, ENABLED));
    world.drained().await;
    world.publish(&event(1, 7, DISABLED));
    world.drained().await;
    assert!(!world.is_enabled(user), "after the directory enabled it, it is no fight");
    world.stop().await;
}

#[tokio::test]
async fn who_lost_the_lane_knows_of_no_fight() {
    let mut world = World::new().await;
    world.pace.read_lag = Duration::ZERO;
    let user = world.user(1);
    world.start();
    world.publish(&event(1, 1, DISABLED));
    world.drained().await;
    world.queue.break_connections();
    world.graph.set(user, "accountEnabled", true);
    // Another process may have applied an enable meanwhile.
    world.publish(&event(1, 3, Detail::PasswordChanged { must_change: false }));
    world.drained().await;
    assert!(world.is_enabled(user));
    world.stop().await;
}
