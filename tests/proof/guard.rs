//! What would hurt is stopped before it does: a mass change is held, approved in part and rejected
//! for the rest, while one real disable goes through.

use entra_relay::sandbox::Sandbox;
use entra_relay::sandbox::administrator::Administrator;
use entra_relay::sandbox::directory::UserSnapshot;
use serde_json::json;

use crate::support::relay::Setup;
use crate::support::twins::{name, people};
use crate::support::wait::eventually;

#[tokio::test]
async fn four_hundred_of_five_hundred_are_held_and_one_real_disable_is_not() {
    let sandbox = Sandbox::start(500).await.unwrap();
    let setup = Setup::new().sandbox(&sandbox);
    let enabled = |user: &UserSnapshot| {
        sandbox.graph.user(sandbox.twins[&user.guid]).unwrap().account_enabled()
    };
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    relay.terminate().await;
    let people = people(&sandbox);
    let mut administrator = Administrator::connect(&sandbox.directory).await.unwrap();
    for person in &people[..400] {
        administrator.set_enabled(&person.dn, false).await.unwrap();
    }
    let before = sandbox.graph.last_order();
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    eventually("the mistake is held", async || {
        relay.metric("relay_guard_held").await == Some(400.0)
    })
    .await;
    let writes = sandbox.graph.log_since(before);
    assert!(writes.iter().all(|request| request.user.is_none() || request.method == "GET"));

    administrator.set_enabled(&people[410].dn, false).await.unwrap();
    eventually("one real disable goes through", async || !enabled(&people[410])).await;
    assert!(people[..400].iter().all(enabled), "nobody else is blocked");

    let held = &setup.json(&["held", "list"], 3).await[0]["batches"];
    assert_eq!(held.as_array().unwrap().len(), 1, "{held}");
    assert_eq!(
        (&held[0]["users"], &held[0]["by_change"]),
        (&json!(400), &json!({"disabled": 400}))
    );
    let batch = held[0]["batch"].to_string();
    let some: Vec<_> = people[..3].iter().flat_map(|user| ["--user", name(user)]).collect();
    let words = [&["held", "approve", &batch, "--yes"], &some[..]].concat();
    assert_eq!(setup.json(&words, 0).await[0]["users"], 3);
    eventually("the approved part goes through", async || !people[..3].iter().any(enabled)).await;
    let refused = setup.run(&["held", "reject", &batch]).await;
    assert_eq!(refused.status.code(), Some(2), "it asks, and nobody is there");
    assert_eq!(setup.json(&["held", "reject", &batch, "--yes"], 0).await[0]["users"], 397);
    assert_eq!(setup.json(&["held", "list"], 0).await[0]["batches"], json!([]));
    assert!(people[3..400].iter().all(enabled), "the rest is left as it was");
    relay.logged("held approve").await;
    relay.logged("held reject").await;

    assert!(setup.run(&["pause"]).await.status.success());
    relay.logged("paused by command").await;
    administrator.set_enabled(&people[411].dn, false).await.unwrap();
    eventually("the event waits", async || {
        let (_, metrics) = relay.get("/metrics").await.unwrap();
        metrics.contains("relay_queue_messages{lane=\"urgent\"} 1").then_some(()).ok_or(metrics)
    })
    .await;
    relay.terminate().await;
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    assert_eq!(relay.metric("relay_paused").await, Some(1.0), "also over a restart");
    assert!(enabled(&people[411]));
    assert!(setup.run(&["resume"]).await.status.success());
    eventually("it goes on", async || !enabled(&people[411])).await;
}

#[tokio::test]
async fn who_falls_out_of_the_scope_by_configuration_is_held() {
    let sandbox = Sandbox::start(500).await.unwrap();
    let enabled = |user: &UserSnapshot| {
        sandbox.graph.user(sandbox.twins[&user.guid]).unwrap().account_enabled()
    };
    let setup = Setup::new().sandbox(&sandbox);
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    relay.terminate().await;
    let office = |city: &str| format!("OU={city},OU=Staff,{}", sandbox.directory.base_dn());
    let (inside, outside): (Vec<_>, Vec<_>) =
        people(&sandbox).into_iter().partition(|user| user.dn.ends_with(&office("Berlin")));
    assert!(outside.len() > 350, "{}", outside.len());

    let before = sandbox.graph.last_order();
    let setup = setup.set("scope.organizational_units", [office("Berlin")]);
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    let everybody = outside.len() as f64;
    eventually("the scope edit is held", async || {
        relay.metric("relay_guard_held").await == Some(everybody)
    })
    .await;
    let mut administrator = Administrator::connect(&sandbox.directory).await.unwrap();
    administrator.set_enabled(&inside[0].dn, false).await.unwrap();
    eventually("one real disable goes through", async || !enabled(&inside[0])).await;
    let one = Some(sandbox.twins[&inside[0].guid]);
    let mut writes = sandbox.graph.log_since(before);
    writes.retain(|request| request.method != "GET" && !request.path.ends_with("/token"));
    assert!(writes.iter().all(|request| request.user == one), "nobody else is written");

    let held = &setup.json(&["held", "list"], 3).await[0]["batches"];
    assert_eq!(held[0]["by_change"], json!({ "scope_left": outside.len() }), "{held}");
    let approved = setup.json(&["held", "approve", "--ou", &office("Lyon"), "--yes"], 0).await;
    let (gone, kept): (Vec<_>, Vec<_>) =
        outside.iter().partition(|user| user.dn.ends_with(&office("Lyon")));
    assert_eq!(approved[0]["users"], gone.len());
    eventually("who was approved is blocked", async || !gone.iter().any(|user| enabled(user)))
        .await;
    assert_eq!(setup.json(&["held", "reject", "--yes"], 0).await[0]["users"], kept.len());
    assert_eq!(setup.json(&["held", "list"], 0).await[0]["batches"], json!([]));
    assert!(kept.iter().all(|user| enabled(user)), "the rest is left as it was");
}
