//! A mass change is held, approved in part and rejected for the rest, while one real disable goes
//! through; directory and Entra are compared, and made to agree.

use entra_relay::config::{Secret, model};
use entra_relay::graph::GraphClient;
use entra_relay::sandbox::administrator::Administrator;
use entra_relay::sandbox::directory::UserSnapshot;
use entra_relay::sandbox::graph::NewUser;
use entra_relay::sandbox::{Sandbox, value};
use serde_json::{Value, json};
use uuid::Uuid;

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

/// How many users are compared: PROOF_USERS, or few enough for every run.
fn users() -> usize {
    std::env::var("PROOF_USERS").ok().and_then(|users| users.parse().ok()).unwrap_or(1000)
}

/// Differences of each kind.
const EACH: usize = 6;

#[tokio::test]
async fn sixty_differences_of_ten_kinds_are_found_and_mended() {
    let sandbox = Sandbox::start(users()).await.unwrap();
    let setup = Setup::new().sandbox(&sandbox);
    let mut options = model::Graph::default();
    sandbox.configure_graph(&mut options);
    options.client_secret = Some(Secret::new(sandbox.graph.options().client_secret.clone()));
    let graph = GraphClient::new(&options).unwrap();
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    assert_eq!(relay.metric("relay_unreconciled").await, Some(1.0));
    let first = setup.json(&["reconcile"], 0).await;
    assert_eq!(first[0]["summary"]["differences"], json!({}), "twins agree: {first:?}");
    eventually("it is reconciled", async || relay.metric("relay_unreconciled").await == Some(0.0))
        .await;

    let people = people(&sandbox);
    let twin = |user: &UserSnapshot| sandbox.twins[&user.guid].to_string();
    let linked = |user: &&UserSnapshot| {
        sandbox.graph.user(sandbox.twins[&user.guid]).unwrap().immutable_id().is_some()
    };
    let with_department = |user: &&UserSnapshot| value(user, "department").is_some();
    let mut rest: Vec<_> = people.iter().collect();
    let mut pick = |fits: &dyn Fn(&&UserSnapshot) -> bool| -> Vec<UserSnapshot> {
        let (mut picked, others): (Vec<_>, Vec<_>) = rest.drain(..).partition(|user| fits(user));
        rest = others;
        rest.extend(picked.split_off(EACH));
        picked.into_iter().cloned().collect()
    };
    let groups = [
        pick(&linked),
        pick(&linked),
        pick(&linked),
        pick(&linked),
        pick(&with_department),
        pick(&with_department),
        pick(&|user| !linked(user)),
        pick(&linked),
        pick(&|_| true),
        pick(&|user| value(user, "title").is_some()),
    ];
    let [
        disabled,
        expired,
        deleted,
        enabled,
        differs,
        lacking,
        foreign,
        ambiguous,
        missing,
        cleared,
    ] = &groups;
    let mut administrator = Administrator::connect(&sandbox.directory).await.unwrap();
    for person in disabled {
        administrator.set_enabled(&person.dn, false).await.unwrap();
    }
    for person in expired {
        administrator.set(&person.dn, "accountExpires", "132000000000000000").await.unwrap();
    }
    for person in deleted {
        administrator.delete(&person.dn).await.unwrap();
    }
    for person in cleared {
        administrator.clear(&person.dn, "title").await.unwrap();
    }
    let blocked = [disabled, expired, deleted].map(|group| group.iter()).into_iter().flatten();
    let blocked: Vec<_> = blocked.collect();
    let user = |person: &UserSnapshot| sandbox.graph.user(sandbox.twins[&person.guid]).unwrap();
    eventually("the relay has applied what is true", async || {
        blocked.iter().all(|person| !user(person).account_enabled())
            && cleared.iter().all(|person| user(person).get("jobTitle").is_null())
    })
    .await;
    // And now somebody works in the portal.
    for person in &blocked {
        graph.set_enabled(&twin(person), true).await.unwrap();
    }
    let update = async |person: &UserSnapshot, name: &str, value: Value| {
        let body = json!({ name: value }).as_object().unwrap().clone();
        graph.update_user(&twin(person), &body).await.unwrap();
    };
    for group in 0..EACH {
        graph.set_enabled(&twin(&enabled[group]), false).await.unwrap();
        update(&differs[group], "department", json!("Elsewhere")).await;
        update(&lacking[group], "department", Value::Null).await;
        update(&cleared[group], "jobTitle", json!("Emperor")).await;
        let another = Uuid::from_u128(group as u128).to_string();
        update(&foreign[group], "onPremisesImmutableId", json!(another)).await;
        // Else its owner, who is not in the directory, would be found as well.
        graph.set_enabled(&twin(&foreign[group]), false).await.unwrap();
        let link = user(&ambiguous[group]).immutable_id().unwrap();
        let second = NewUser::new(&format!("second{group}@contoso.com")).immutable_id(&link);
        sandbox.graph.add_user(second);
        graph.delete_user(&twin(&missing[group])).await.unwrap();
    }

    let found = setup.json(&["reconcile"], 3).await;
    let summary = &found.last().unwrap()["summary"];
    let kinds = [
        "disabled",
        "expired",
        "deleted",
        "enabled",
        "differs",
        "lacking",
        "cleared",
        "foreign",
        "ambiguous",
        "missing",
    ];
    let expected: serde_json::Map<_, _> =
        kinds.iter().map(|kind| ((*kind).to_owned(), json!(EACH))).collect();
    assert_eq!(summary["differences"], Value::Object(expected), "{found:?}");

    setup.json(&["reconcile", "--apply", "--include", "enable"], 3).await;
    eventually("only what a person must mend is left", async || {
        let found = setup.json(&["reconcile"], 3).await;
        let left = &found.last().unwrap()["summary"]["differences"];
        let only = ["foreign", "ambiguous", "missing"];
        let done = left.as_object().unwrap().keys().all(|kind| only.contains(&kind.as_str()));
        done.then_some(()).ok_or_else(|| left.to_string())
    })
    .await;
    // `sync` tells the outcome.
    graph.set_enabled(&twin(&disabled[0]), true).await.unwrap();
    let synced = setup.json(&["sync", name(&disabled[0])], 0).await;
    assert_eq!(synced[0]["differences"], json!([]));
    assert!(!user(&disabled[0]).account_enabled());
}
