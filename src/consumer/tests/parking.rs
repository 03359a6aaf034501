//! Users that Entra does not have yet, and events that are too old.

use jiff::ToSpan;

use super::*;
use crate::{
    event::Waiting,
    queue::{ParkingDelay, refresh::Why},
};

const FIRST: Queue = Queue::Parked(ParkingDelay::Seconds15);

#[tokio::test]
async fn a_missing_user_is_parked_with_the_exact_bytes() {
    let mut world = World::new().await;
    world.start();
    let disable = event(1, 1, DISABLED);
    let before = Timestamp::now();
    world.publish(&disable);
    world.drained().await;
    assert!(world.dead_letters().is_empty());
    let requests = world.requests(FIRST);
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].object, requests[0].why), (disable.object, Why::Parked));
    let originals: Vec<_> = requests[0].originals.iter().map(|one| one.message()).collect();
    assert_eq!(originals, [Some(Message::from_event(&disable))]);
    let waiting = requests[0].waiting.expect("a round");
    assert_eq!(waiting.attempt, 1);
    assert!((before..=Timestamp::now()).contains(&waiting.since));
    world.stop().await;
}

#[tokio::test]
async fn every_round_waits_longer_and_counts_from_the_first() {
    let mut world = World::new().await;
    world.start();
    let since = Timestamp::now() - 1.hour();
    let mut disable = event(1, 1, DISABLED);
    disable.waiting = Some(Waiting { since, attempt: 2 });
    world.publish(&disable);
    world.drained().await;
    let requests = world.requests(Queue::Parked(ParkingDelay::Minutes5));
    let waiting = requests[0].waiting.expect("a round");
    assert_eq!((waiting.since, waiting.attempt), (since, 3));
    world.stop().await;
}

#[tokio::test]
async fn later_events_of_a_parked_user_are_neither_blocked_nor_lost() {
    let mut world = World::new().await;
    world.start();
    world.publish(&event(1, 1, DISABLED));
    world.drained().await;
    let user = world.user(1);
    world.publish(&event(1, 2, attributes(&[("title", "Boss")])));
    world.publish(&event(1, 3, DISABLED));
    world.drained().await;
    assert!(!world.is_enabled(user));
    assert_eq!(world.graph.user(user).expect("user").get("jobTitle"), "Boss");
    assert_eq!(world.requests(FIRST).len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn what_changes_somebody_is_parked_and_a_deletion_is_not() {
    let mut world = World::new().await;
    world.start();
    let changed = Detail::PasswordChanged { must_change: false };
    let previous = Box::new(Identity::default());
    let details = [
        DISABLED,
        ENABLED,
        changed,
        attributes(&[("title", "Boss")]),
        Detail::UserDeleted,
        Detail::UserCreated { enabled: true },
        Detail::UserRenamed { previous },
    ];
    for (number, detail) in (1..).zip(details) {
        world.publish(&event(number, 1, detail));
    }
    world.drained().await;
    let mut parked: Vec<_> =
        world.requests(FIRST).iter().map(|request| request.object.as_u128()).collect();
    parked.sort_unstable();
    assert_eq!(parked, [1, 2, 3, 4]);
    assert!(world.dead_letters().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn a_user_that_goes_while_it_is_written_to_is_parked_too() {
    let mut world = World::new().await;
    let user = world.user(1);
    world.graph.faults().fail_user(user, Some(404));
    world.start();
    world.publish(&event(1, 1, DISABLED));
    world.drained().await;
    assert_eq!(world.requests(FIRST).len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn a_delivery_is_kept_until_its_request_is_safe() {
    let mut world = World::new().await;
    world.queue.refuse(true);
    world.publish(&event(1, 1, DISABLED));
    world.start();
    world.until(|graph| graph.log().iter().any(|request| request.path.contains("user1%40"))).await;
    assert_eq!(world.queue.messages(Queue::Lane(Lane::Urgent)).len(), 1);
    world.queue.refuse(false);
    world.drained().await;
    assert_eq!(world.requests(FIRST).len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn an_old_enable_is_told_anew_and_an_old_disable_is_applied() {
    let mut world = World::new().await;
    let (enabled, disabled) = (world.user(1), world.user(2));
    world.publish(&event(1, 1, DISABLED));
    world.start();
    world.drained().await;
    let old = |mut event: Event| {
        event.time = Timestamp::now() - 16.minutes();
        event
    };
    let enable = old(event(1, 2, ENABLED));
    world.publish(&enable);
    world.publish(&old(event(2, 3, DISABLED)));
    world.drained().await;
    assert!(!world.is_enabled(enabled) && !world.is_enabled(disabled));
    let requests = world.requests(Queue::Refresh);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].why, Why::TooOld);
    assert_eq!(requests[0].originals[0].message(), Some(Message::from_event(&enable)));
    // Told anew and still too old: a clock is wrong, so it does not go round at full speed.
    let mut again = old(event(1, 4, ENABLED));
    again.waiting = requests[0].waiting;
    world.publish(&again);
    world.drained().await;
    assert_eq!(world.requests(Queue::Refresh).len(), 1);
    assert_eq!(world.requests(Queue::Parked(ParkingDelay::Minute1)).len(), 1);
    world.publish(&event(1, 5, ENABLED));
    world.drained().await;
    assert!(world.is_enabled(enabled));
    world.stop().await;
}
