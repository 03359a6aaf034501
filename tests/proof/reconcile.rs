//! Directory and Entra are compared, and made to agree.

use std::collections::BTreeSet;

use entra_relay::config::{Secret, model};
use entra_relay::graph::GraphClient;
use entra_relay::sandbox::administrator::Administrator;
use entra_relay::sandbox::directory::UserSnapshot;
use entra_relay::sandbox::graph::{GroupKind, NewUser};
use entra_relay::sandbox::{Sandbox, value};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::relay::Setup;
use crate::support::twins::{name, people};
use crate::support::wait::eventually;

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

/// What `reconcile` finds, by kind.
async fn differences(setup: &Setup, words: &[&str], code: i32) -> Value {
    let found = setup.json(&[&["reconcile"], words].concat(), code).await;
    found.last().unwrap()["summary"]["differences"].clone()
}

#[tokio::test]
async fn groups_decide_who_takes_part_and_who_is_in_the_groups_of_entra() {
    let sandbox = Sandbox::start(40).await.unwrap();
    let (directory, graph) = (&sandbox.directory, &sandbox.graph);
    let mut administrator = Administrator::connect(directory).await.unwrap();
    let group = |name: &str| format!("CN={name},OU=Groups,{}", directory.base_dn());
    let (cloud, legal) = (group("Sales"), group("Legal"));
    // Some of the invented people are in these groups already.
    for group in [&cloud, &legal] {
        administrator.clear(group, "member").await.unwrap();
    }
    let everybody = people(&sandbox);
    let twin = |user: &UserSnapshot| sandbox.twins[&user.guid];
    let (lawyers, others) = (&everybody[..6], &everybody[6..20]);
    for (group, members) in [(&legal, lawyers), (&cloud, others)] {
        for member in members {
            administrator.add(group, "member", &member.dn).await.unwrap();
        }
    }
    administrator.add(&cloud, "member", &legal).await.unwrap();
    let followers = graph.add_group(GroupKind::Assigned);
    let setup = Setup::new()
        .sandbox(&sandbox)
        .set("scope.groups", [&cloud])
        .set("apply.groups", json!({ &legal: followers }))
        .set("guard.max_member_removals", 2)
        .set("guard.max_percent", 100);
    let mut relay = setup.start(&["--log-format", "json", "run"]);
    relay.ready().await;
    let found = setup.json(&["reconcile"], 3).await;
    let summary = &found.last().unwrap()["summary"];
    assert_eq!(summary["users"], 20, "the members, those of the nested group too");
    assert_eq!(summary["differences"], json!({ "not_member": 6 }));
    assert_eq!(found[0]["group"], legal.as_str(), "{found:?}");

    let reconciled = async |what: &str| {
        eventually(what, async || {
            let found = setup.run(&["--output", "json", "reconcile"]).await;
            let text = String::from_utf8_lossy(&found.stdout).into_owned();
            found.status.success().then_some(()).ok_or(text)
        })
        .await;
    };
    setup.json(&["reconcile", "--apply"], 0).await;
    reconciled("the group of Entra is filled").await;
    let members = || graph.members(followers).unwrap();
    assert_eq!(members(), lawyers.iter().map(twin).collect::<BTreeSet<_>>());
    graph.set_member(followers, twin(&others[0]), true);
    graph.set_member(followers, twin(&lawyers[0]), false);
    assert_eq!(differences(&setup, &[], 3).await, json!({ "member": 1, "not_member": 1 }));
    setup.json(&["reconcile", "--apply"], 0).await;
    reconciled("the group of Entra is corrected").await;

    // Who leaves the scope is blocked, and found where somebody lets him in again.
    administrator.remove(&cloud, "member", &others[1].dn).await.unwrap();
    let is_enabled = |user: &UserSnapshot| graph.user(twin(user)).unwrap().account_enabled();
    eventually("who left is blocked", async || !is_enabled(&others[1])).await;
    graph.set(twin(&others[1]), "accountEnabled", true);
    let link = entra_relay::event::Identity::default().immutable_ids(others[1].guid).remove(0);
    graph.set(twin(&others[1]), "onPremisesImmutableId", link);
    assert_eq!(differences(&setup, &[], 3).await, json!({ "blocked": 1 }));
    let outsiders = differences(&setup, &["--include", "outsiders"], 3).await;
    assert_eq!(outsiders, json!({ "blocked": 1, "outsider": 10 }), "every other one is linked");
    setup.json(&["reconcile", "--apply"], 0).await;
    eventually("he is blocked again", async || !is_enabled(&others[1])).await;

    // A group or a container is synced as a whole.
    let stray = |user: &UserSnapshot| graph.set(twin(user), "jobTitle", "Stray");
    lawyers.iter().for_each(stray);
    let synced = setup.json(&["sync", &legal], 0).await;
    let names = |found: &[Value]| -> BTreeSet<String> {
        found.iter().map(|user| user["user"].as_str().unwrap().to_owned()).collect()
    };
    let expected: BTreeSet<_> = lawyers.iter().map(|user| name(user).to_owned()).collect();
    assert_eq!(names(&synced), expected);
    assert!(lawyers.iter().all(|user| graph.user(twin(user)).unwrap().get("jobTitle") != "Stray"));
    let berlin = format!("OU=Berlin,OU=Staff,{}", directory.base_dn());
    let below = || everybody.iter().filter(|user| user.dn.ends_with(&berlin));
    let inside = |user: &&UserSnapshot| everybody[..20].contains(*user) && **user != others[1];
    below().filter(inside).for_each(stray);
    let synced = setup.json(&["sync", &berlin], 3).await;
    assert_eq!(synced.len(), below().count());
    let agree = synced.iter().filter(|user| user["differences"] == json!([])).count();
    assert!(agree >= below().filter(inside).count() && agree < synced.len(), "{synced:?}");

    // A group that is emptied by mistake empties no group of Entra.
    administrator.remove(&cloud, "member", &legal).await.unwrap();
    for lawyer in lawyers {
        administrator.add(&cloud, "member", &lawyer.dn).await.unwrap();
    }
    administrator.clear(&legal, "member").await.unwrap();
    eventually("the removals are held", async || {
        relay.metric("relay_guard_held").await == Some(6.0)
    })
    .await;
    assert_eq!(members().len(), 6);
    let held = &setup.json(&["held", "list"], 3).await[0]["batches"][0];
    assert_eq!((&held["kind"], &held["users"]), (&json!("remove_member"), &json!(6)));
    let one = name(&lawyers[0]);
    setup.json(&["held", "approve", "--user", one, "--yes"], 0).await;
    eventually("one is removed", async || members().len() == 5).await;
    setup.json(&["held", "reject", "--yes"], 0).await;
    assert_eq!((members().len(), relay.metric("relay_guard_held").await), (5, Some(0.0)));
    assert_eq!(differences(&setup, &[], 3).await, json!({ "member": 5 }), "what was rejected");

    for switch in ["pause", "resume"] {
        assert!(setup.run(&[switch]).await.status.success());
    }
    let lines = relay.output();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let audit: Vec<_> = lines.filter(|line| line["target"] == "audit").collect();
    let done: BTreeSet<_> = audit.iter().map(|line| line["what"].as_str().unwrap()).collect();
    let all = ["held approve", "held reject", "pause", "reconcile", "reconcile members"];
    assert_eq!(done, all.into_iter().chain(["refresh", "resume"]).collect(), "{audit:?}");
    let is_whole = |line: &Value| {
        let outcome = line["outcome"].as_str().unwrap();
        outcome.starts_with("done") && !line["who"].as_str().unwrap().is_empty()
    };
    assert!(audit.iter().all(is_whole), "{audit:?}");
}
