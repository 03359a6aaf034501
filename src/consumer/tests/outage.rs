//! An hour without Graph, in which the token ends. The clock is the test's.

use std::time::Instant;

use tokio::time::sleep;

use super::{quota::until_drained, *};

#[tokio::test(start_paused = true)]
async fn an_hour_without_graph_takes_one_new_token_and_loses_nothing() {
    let mut world = World::timeless(Options::default()).await;
    let users: Vec<_> = (0..200).map(|object| world.user(object)).collect();
    world.start();
    let now = || Instant::from(tokio::time::Instant::now());
    for object in 0..100 {
        world.publish(&event(object, 1, DISABLED));
    }
    until_drained(&world).await;
    sleep(Duration::from_secs(600)).await;

    world.graph.faults().set(|faults| faults.down = true);
    let (began, last) = (now(), world.graph.last_order());
    for object in 100..200 {
        world.publish(&event(object, 1, DISABLED));
        world.publish(&event(object, 2, attributes(&[("title", "Former clerk")])));
    }
    for object in 0..100 {
        world.publish(&event(object, 2, ENABLED));
    }
    sleep(Duration::from_secs(3600)).await;
    let during = world.graph.log_since(last);
    world.graph.faults().clear();
    until_drained(&world).await;

    let is_token = |request: &LoggedRequest| request.path.ends_with("/token");
    let tokens: Vec<_> = world.graph.log().into_iter().filter(is_token).collect();
    assert_eq!(tokens.len(), 2, "one at the start, one when it ended");
    let age = tokens[1].at - began;
    assert!(age > Duration::from_secs(60) && age < Duration::from_secs(3500), "{age:?}");

    // Those under way find out together; from then on one asks at a time.
    let minute = Duration::from_secs(60);
    let at_first = during.iter().filter(|request| request.at - began < minute).count();
    let later = during.len() - at_first;
    println!("an hour of outage: {at_first} requests in the first minute, {later} in the other 59");
    assert!(at_first <= 160, "{at_first}");
    assert!(later <= 59 * 8, "{later} requests in 59 minutes");

    assert!(world.dead_letters().is_empty());
    for (object, user) in users.iter().enumerate() {
        assert_eq!(world.is_enabled(*user), object < 100, "user {object}");
    }
    let told = |user| world.graph.user(user).expect("user").get("jobTitle");
    assert!(users[100..].iter().all(|user| told(*user) == "Former clerk"));
}
