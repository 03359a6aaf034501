//! Members of mapped groups.

use super::*;
use crate::{queue::dead_letter::DeadReason, sandbox::graph::GroupKind};

const SALES: &str = "CN=Sales,OU=Groups,DC=corp,DC=example";

fn member(object: u128, sequence: u64, member: bool) -> Event {
    let detail = Detail::MembershipChanged { group: SALES.to_lowercase(), member };
    event(object, sequence, detail)
}

#[tokio::test]
async fn members_follow_in_order_and_no_user_is_harmed() {
    let mut world = World::new().await;
    let group = world.graph.add_group(GroupKind::Assigned);
    world.rules.groups.insert(SALES.into(), group.to_string());
    let (one, two) = (world.user(1), world.user(2));
    world.start();
    let told = [(1, true), (1, true), (1, false), (1, true), (2, true), (2, false), (2, false)];
    for (sequence, (object, joins)) in (1..).zip(told) {
        world.publish(&member(object, sequence, joins));
    }
    world.drained().await;
    assert_eq!(world.graph.members(group).expect("group"), [one].into());
    assert!(world.graph.user(two).is_some(), "only the membership ended");
    assert!(world.dead_letters().is_empty(), "what is so already is no failure");
    let is_member_call = |request: &&LoggedRequest| request.path.contains("/members");
    let log = world.graph.log();
    assert!(log.iter().filter(is_member_call).all(|request| request.path.ends_with("/$ref")));
    let asked = log.iter().filter(|request| request.path.contains(&format!("{group}?")));
    assert!(asked.count() <= 2, "a group's kind is asked once, or twice at the same time");
    world.stop().await;
}

#[tokio::test]
async fn groups_that_others_manage_are_refused_with_a_remedy() {
    for (kind, what) in [
        (GroupKind::Dynamic, "dynamic membership"),
        (GroupKind::Synced, "synced"),
        (GroupKind::RoleAssignable, "directory roles"),
        (GroupKind::MailEnabled, "Exchange"),
    ] {
        let mut world = World::new().await;
        let group = world.graph.add_group(kind);
        world.rules.groups.insert(SALES.into(), group.to_string());
        world.user(1);
        world.start();
        world.publish(&member(1, 1, true));
        world.queue.wait(Queue::DeadLetters, |ready, _| ready == 1).await;
        let letter = world.dead_letters().remove(0);
        assert_eq!(letter.cause.reason, DeadReason::ValueRefused);
        assert!(letter.cause.sentence.contains(what), "{}", letter.cause.sentence);
        assert!(letter.cause.remedy.contains("apply.groups"), "{}", letter.cause.remedy);
        assert!(world.writes().is_empty());
        world.stop().await;
    }
}

#[tokio::test]
async fn a_group_that_entra_does_not_have_is_told_and_an_unmapped_one_is_nothing_to_us() {
    let mut world = World::new().await;
    world.rules.groups.insert(SALES.into(), Uuid::nil().to_string());
    world.user(1);
    world.start();
    let other = Detail::MembershipChanged { group: "CN=Other,DC=x".into(), member: true };
    world.publish(&event(1, 1, other));
    world.publish(&member(1, 2, true));
    world.queue.wait(Queue::DeadLetters, |ready, _| ready == 1).await;
    world.drained().await;
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].cause.sentence.contains("no group"), "{}", letters[0].cause.sentence);
    world.stop().await;
}
