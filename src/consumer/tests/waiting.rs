//! Outages of Graph and of the queue: nothing is lost, nothing is given up.

use super::*;
use crate::sandbox::graph::FaultSet;

/// Disables users while something is wrong, and again after it is mended.
async fn outlasts(fault: impl FnOnce(&mut FaultSet), noticed: impl Fn(&LoggedRequest) -> bool) {
    let mut world = World::new().await;
    let users: Vec<_> = (1..=100).map(|object| world.user(object)).collect();
    world.graph.faults().set(fault);
    for object in 1..=100 {
        world.publish(&event(object, 1, DISABLED));
        world.publish(&event(object, 2, attributes(&[("title", "Boss")])));
    }
    world.start();
    world.until(|graph| graph.log().iter().filter(|r| noticed(r)).count() > 12).await;
    let urgent = world.queue.messages(Queue::Lane(Lane::Urgent));
    assert_eq!((urgent.len(), world.dead_letters().len()), (100, 0));
    world.graph.faults().clear();
    world.drained().await;
    assert!(world.dead_letters().is_empty());
    assert!(users.iter().all(|user| !world.is_enabled(*user)));
    world.stop().await;
}

fn is_probe(request: &LoggedRequest) -> bool {
    request.path.contains("/organization")
}

#[tokio::test]
async fn graph_down() {
    outlasts(|set| set.down = true, is_probe).await;
}

#[tokio::test]
async fn connections_cut() {
    outlasts(|set| set.reset = true, is_probe).await;
}

#[tokio::test]
async fn the_token_endpoint_down() {
    outlasts(|set| set.token_down = true, |request| request.path.contains("token")).await;
}

#[tokio::test]
async fn graph_throttling() {
    outlasts(|set| set.throttle = Some(0), |request| request.status == Some(429)).await;
}

#[tokio::test]
async fn answers_lost_on_the_way() {
    // Everything is done, but nobody hears of it: the writes are repeated, to the same effect.
    outlasts(|set| set.lose_answer = true, is_probe).await;
}

#[tokio::test]
async fn failures_now_and_then() {
    let mut world = World::new().await;
    let users: Vec<_> = (1..=50).map(|object| world.user(object)).collect();
    world.graph.faults().set(|set| set.flaky = Some(7));
    for object in 1..=50 {
        world.publish(&event(object, 1, DISABLED));
    }
    world.start();
    world.drained().await;
    assert!(users.iter().all(|user| !world.is_enabled(*user)));
    assert!(world.dead_letters().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn a_secret_that_is_refused_gives_nothing_up() {
    let mut world = World::new().await;
    world.user(1);
    let dir = tempfile::tempdir().expect("tempdir");
    let file = dir.path().join("secret");
    std::fs::write(&file, "wrong").expect("write");
    let mut config = world.config();
    config.client_secret_file = Some(file.clone());
    world.start_with(&config);
    world.publish(&event(1, 1, DISABLED));
    let refused = |request: &LoggedRequest| request.path.contains("token");
    world.until(|graph| graph.log().iter().filter(|r| refused(r)).count() > 3).await;
    assert!(world.dead_letters().is_empty());
    std::fs::write(&file, &world.graph.options().client_secret).expect("write");
    world.drained().await;
    assert!(world.dead_letters().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn a_lost_subscription_drops_what_is_at_work_and_starts_again() {
    let mut world = World::new().await;
    let user = world.user(1);
    world.graph.faults().set(|set| set.hang = true);
    world.start();
    world.publish(&event(1, 1, DISABLED));
    world.publish(&event(1, 2, ENABLED));
    let urgent = Queue::Lane(Lane::Urgent);
    world.queue.wait(urgent, |ready, unsettled| (ready, unsettled) == (0, 2)).await;
    world.queue.break_connections();
    world.queue.wait(urgent, |ready, unsettled| (ready, unsettled) == (0, 2)).await;
    world.graph.faults().clear();
    world.drained().await;
    assert!(world.is_enabled(user));
    assert_eq!(world.states(), [false, true], "what was dropped was never sent");
    world.stop().await;
}

#[tokio::test]
async fn shutdown_finishes_what_is_at_work_and_leaves_the_rest() {
    let mut world = World::new().await;
    let user = world.user(1);
    world.graph.faults().set(|set| set.hang = true);
    world.start();
    world.publish(&event(1, 1, DISABLED));
    world.publish(&event(1, 2, ENABLED));
    let urgent = Queue::Lane(Lane::Urgent);
    world.queue.wait(urgent, |ready, unsettled| (ready, unsettled) == (0, 2)).await;
    world.shutdown.cancel();
    world.graph.faults().clear();
    world.stop().await;
    assert!(!world.is_enabled(user));
    assert_eq!(world.queue.messages(urgent).len(), 1);
}

#[tokio::test]
async fn in_a_long_outage_nothing_is_kept_in_hand() {
    let mut world = World::new().await;
    world.pace.paused = Duration::from_millis(20);
    let users: Vec<_> = (1..=100).map(|object| world.user(object)).collect();
    world.graph.faults().set(|set| set.down = true);
    for object in 1..=100 {
        world.publish(&event(object, 1, DISABLED));
        world.publish(&event(object, 2, attributes(&[("title", "Boss")])));
    }
    world.start();
    let (urgent, bulk) = (Queue::Lane(Lane::Urgent), Queue::Lane(Lane::Bulk));
    world.until(|graph| graph.log().iter().filter(|request| is_probe(request)).count() > 3).await;
    for lane in [urgent, bulk] {
        world.queue.wait(lane, |ready, unsettled| (ready, unsettled) == (100, 0)).await;
    }
    let (ready, parts) = world.health.report();
    assert!(ready, "{parts:?}");
    for part in super::super::PARTS {
        assert!(parts[part].detail.starts_with("waiting for Graph since 2"), "{parts:?}");
    }
    // Somebody still asks.
    let before = world.graph.last_order();
    world.until(|graph| graph.log_since(before).iter().any(is_probe)).await;
    world.graph.faults().clear();
    world.drained().await;
    assert!(users.iter().all(|user| !world.is_enabled(*user)));
    assert!(world.dead_letters().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn a_pause_that_graph_asks_for_is_told() {
    let mut world = World::new().await;
    world.user(1);
    world.graph.faults().set(|set| set.throttle = Some(3));
    world.start();
    world.publish(&event(1, 1, DISABLED));
    world.told(|detail| detail.starts_with("waiting for Graph since")).await;
    world.graph.faults().clear();
    world.drained().await;
    world.told(str::is_empty).await;
    world.stop().await;
}

#[tokio::test]
async fn after_an_outage_requests_begin_one_by_one() {
    let mut world = World::new().await;
    for object in 1..=64 {
        world.user(object);
        world.publish(&event(object, 1, attributes(&[("title", "Boss")])));
    }
    world.graph.faults().set(|set| set.down = true);
    world.start();
    world
        .queue
        .wait(Queue::Lane(Lane::Bulk), |ready, unsettled| (ready, unsettled) == (0, 64))
        .await;
    world.until(|graph| graph.log().iter().filter(|request| is_probe(request)).count() > 3).await;
    let before = world.graph.last_order();
    world.graph.faults().clear();
    world.drained().await;
    let first = |write: &LoggedRequest| write.method == "PATCH";
    let log = world.graph.log_since(before);
    let until_first: Vec<_> = log.iter().take_while(|request| !first(request)).collect();
    let searches = until_first.iter().filter(|request| request.path.contains("filter=")).count();
    assert_eq!(searches, 1, "{until_first:?}");
    world.stop().await;
}
