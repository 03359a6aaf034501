//! A former holder's late request never has the last word.

use super::*;

const URGENT: Queue = Queue::Lane(Lane::Urgent);

/// A world in which these events were in somebody's hands before, and where a take-over lasts so
/// long.
async fn taken_over(lasts: Duration, events: &[Event]) -> (World, Uuid) {
    let mut world = World::new().await;
    world.pace.take_over = lasts;
    let user = world.user(1);
    events.iter().for_each(|event| world.publish(event));
    let former = world.queue.take_and_drop(URGENT).await;
    assert_eq!(former, events.len());
    (world, user)
}

#[tokio::test]
async fn an_enable_waits_and_a_disable_does_not() {
    let lasts = Duration::from_secs(3600);
    let (mut world, user) = taken_over(lasts, &[event(1, 1, ENABLED)]).await;
    let other = world.user(2);
    world.start();
    world.publish(&event(2, 2, DISABLED));
    world.until(|graph| !graph.user(other).expect("user").account_enabled()).await;
    assert!(world.states().iter().all(|enabled| !enabled), "nobody was enabled");
    // The disable of the same user does not wait behind the enable, which is done with.
    world.publish(&event(1, 3, DISABLED));
    world.until(|graph| !graph.user(user).expect("user").account_enabled()).await;
    world.queue.wait(URGENT, |ready, unsettled| (ready, unsettled) == (0, 2)).await;
    assert_eq!(world.states(), [false, false]);
}

#[tokio::test]
async fn a_late_enable_of_the_former_holder_is_undone() {
    let (mut world, user) = taken_over(Duration::from_millis(300), &[event(1, 1, DISABLED)]).await;
    world.start();
    world.until(|graph| !graph.user(user).expect("user").account_enabled()).await;
    // What the former holder had sent takes effect only now.
    let client = GraphClient::new(&world.config()).expect("client");
    client.set_enabled(&user.to_string(), true).await.expect("enabled");
    world.drained().await;
    assert!(!world.is_enabled(user));
    assert_eq!(world.states().last(), Some(&false));
    assert!(world.dead_letters().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn an_enable_is_applied_when_the_take_over_has_ended() {
    let lasts = Duration::from_millis(50);
    let events = [event(1, 1, DISABLED), event(1, 2, ENABLED)];
    let (mut world, user) = taken_over(lasts, &events).await;
    world.start();
    world.drained().await;
    assert!(world.is_enabled(user));
    assert_eq!(world.states(), [false, false, true]);
    world.stop().await;
}
