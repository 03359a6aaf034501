//! A day's changes at the speed that Graph allows. The clock is the test's, the limits are those
//! that Microsoft documents, and the sandbox counts as Graph does.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::*;

/// 3,000 writes in 150 s for an app in a tenant.
const LIMIT_PER_PERIOD: (u32, Duration) = (3000, Duration::from_secs(150));

const EDITS: u128 = 19_000;
const BLOCKS: u128 = 1_000;

/// A tenant with everybody in it, and their changes in the queue.
async fn at_work(edits: u128) -> World {
    let log_limit = 200_000;
    let limit = Some(LIMIT_PER_PERIOD);
    let options = Options { write_limit: limit, log_limit, ..Options::default() };
    let world = World::timeless(options).await;
    for object in 0..edits {
        world.user(object);
        world.publish(&event(object, 1, attributes(&[("title", "Clerk")])));
    }
    world
}

/// Lets virtual time pass until nothing is left in the queue.
pub(super) async fn until_drained(world: &World) {
    let lanes = Lane::ALL.map(Queue::Lane);
    while lanes.iter().any(|queue| world.queue.len(*queue) > 0) {
        sleep(Duration::from_secs(10)).await;
    }
}

fn times(writes: &[LoggedRequest]) -> Vec<Instant> {
    writes.iter().map(|write| write.at).collect()
}

/// The most that happened within any such period.
fn most_within(times: &[Instant], period: Duration) -> usize {
    let mut first = 0;
    let counts = times.iter().enumerate().map(|(last, at)| {
        while *at - times[first] > period {
            first += 1;
        }
        last + 1 - first
    });
    counts.max().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_day_of_changes_keeps_the_limit_and_a_disable_overtakes_it() {
    let mut world = at_work(EDITS).await;
    world.start();
    let started = tokio::time::Instant::now();
    // While the bulk of it goes on, people are disabled in bursts.
    for burst in 0..10 {
        sleep(Duration::from_secs(60)).await;
        let people = (0..BLOCKS / 10).map(|one| EDITS + burst * (BLOCKS / 10) + one);
        let published = Instant::from(tokio::time::Instant::now());
        let people: Vec<_> = people.map(|object| (object, world.user(object))).collect();
        for (object, _) in &people {
            world.publish(&event(*object, 1, DISABLED));
        }
        let blocked = |graph: &SandboxGraph| {
            people.iter().all(|(_, user)| !graph.user(*user).expect("user").account_enabled())
        };
        world.until(blocked).await;
        let took = Instant::from(tokio::time::Instant::now()) - published;
        assert!(took < Duration::from_secs(5), "a hundred disables took {took:?}");
    }
    until_drained(&world).await;
    let took = started.elapsed();
    let (log, writes) = (world.graph.log(), world.writes());
    let refused = log.iter().filter(|request| request.status == Some(429)).count();
    let changes = EDITS + BLOCKS;
    let needed = EDITS + 2 * BLOCKS;
    let most = most_within(&times(&writes), LIMIT_PER_PERIOD.1);
    println!(
        "{changes} changes in {:.0} s of Graph's time: {} requests ({:.2} a change), {} writes \
         ({:.2} a change), at most {most} in 150 s, {refused} times 429",
        took.as_secs_f64(),
        log.len(),
        log.len() as f64 / changes as f64,
        writes.len(),
        writes.len() as f64 / changes as f64,
    );
    assert_eq!(refused, 0);
    assert_eq!(writes.len() as u128, needed, "nothing is lost, nothing done twice");
    assert!(world.dead_letters().is_empty());
    // A full bucket and what flows in within the period.
    assert!(most <= 2 * LIMIT_PER_PERIOD.0 as usize, "{most}");
    // No faster way exists, one request at a time or many in a batch: each write counts.
    let least = (needed - 3000) as f64 / 20.0;
    assert!(took.as_secs_f64() < least + 60.0, "{took:?}, at least {least} s are needed");
}

#[tokio::test(start_paused = true)]
async fn a_restart_does_not_start_over_with_graphs_patience() {
    let mut world = at_work(4_000).await;
    world.start();
    sleep(Duration::from_secs(30)).await;
    world.stop().await;
    world.shutdown = CancellationToken::new();
    world.start();
    until_drained(&world).await;
    let refused = world.graph.log().iter().filter(|r| r.status == Some(429)).count();
    assert!(refused <= 1, "{refused} times 429");
    assert_eq!(world.writes().len(), 4_000);
}

#[tokio::test(start_paused = true)]
async fn many_changes_of_one_user_are_one_write() {
    let mut world = World::timeless(Options::default()).await;
    world.user(1);
    for sequence in 1..=100 {
        let title = format!("Clerk {sequence}");
        world.publish(&event(1, sequence, attributes(&[("title", &title)])));
    }
    world.start();
    until_drained(&world).await;
    assert!(world.writes().len() <= 2, "what waits together is one: {}", world.writes().len());
}
