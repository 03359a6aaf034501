//! What was given up: listed, filtered, replayed, discarded.

use std::process::Output;

use entra_relay::config::{Secret, model};
use entra_relay::event::{Detail, Event, Identity, Kind, Lane, Reason, source_of};
use entra_relay::queue::dead_letter::{Cause, DeadLetter, DeadReason};
use entra_relay::queue::refresh::{RefreshRequest, Why};
use entra_relay::queue::{Broker, Message, Queue, Role, open};
use entra_relay::sandbox::graph::{NewUser, Options, SandboxGraph};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::rabbit::{PASSWORD, Rabbit, Vhost};
use crate::support::relay::Setup;
use crate::support::samba::{BASE_DN, Samba};
use crate::support::wait::eventually;

/// Letters of each of the five kinds.
const EACH: usize = 40;

fn broker(vhost: &Vhost) -> std::sync::Arc<dyn Broker> {
    let config = model::Broker {
        url: vhost.url(),
        password: Some(Secret::new(PASSWORD.into())),
        ..Default::default()
    };
    open(&config).unwrap()
}

/// The disable of a user, whose UPN is in the tenant.
fn event(source: &str, number: usize, sequence: u64) -> Event {
    let identity = Identity {
        sam_account_name: Some(format!("user{number}")),
        user_principal_name: Some(upn(number)),
        ..Identity::default()
    };
    let object = Uuid::from_u128(1000 + number as u128);
    let detail = Detail::AccountDisabled { reason: Reason::Disabled };
    Event::new(source, object, sequence, Timestamp::now(), identity, detail)
}

fn upn(number: usize) -> String {
    format!("user{number}@contoso.com")
}

fn not_found(message: &Message) -> Message {
    let cause = Cause {
        reason: DeadReason::UserNotFound,
        sentence: "no Entra user matches".into(),
        remedy: "create it".into(),
        graph_status: None,
        graph_code: None,
        request_id: None,
    };
    let at = Timestamp::now() - std::time::Duration::from_secs(3 * 3600);
    DeadLetter::new(message, None, cause, 7, at, at).to_message()
}

fn json(output: &Output) -> Value {
    let told = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
}

async fn listed(setup: &Setup, filters: &[&str]) -> Vec<Value> {
    let words = [&["--output", "json", "dead-letters", "list"], filters].concat();
    let output = setup.run(&words).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    json(&output).as_array().unwrap().clone()
}

#[tokio::test]
async fn two_hundred_of_five_kinds_are_listed_replayed_and_discarded() {
    let vhost = Rabbit::shared().await.vhost();
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    let setup = Setup::new().rabbit(&vhost).graph(&graph).set("directory.base_dn", BASE_DN);
    let broker = broker(&vhost);
    let publisher = broker.publisher(Role::Other);
    let ours = source_of(BASE_DN);
    // Two letters of each of 20 users that Entra did not have, from long ago.
    let letters: Vec<_> = (0..EACH)
        .map(|n| not_found(&Message::from_event(&event(&ours, n / 2, 100 - n as u64))))
        .collect();
    publisher.publish(Queue::DeadLetters, &letters).await.unwrap();

    let mut apply = setup.start(&["apply"]);
    apply.ready().await;
    eventually("the letters are counted", async || {
        let (_, metrics) = apply.get("/metrics").await.unwrap();
        let line = format!("relay_dead_letters{{reason=\"user_not_found\"}} {EACH}");
        metrics.contains(&line).then_some(()).ok_or(metrics)
    })
    .await;
    let mut events = Vec::new();
    for (first, status) in [(100, 403), (200, 400)] {
        for number in first..first + EACH {
            let twin = graph.add_user(NewUser::new(&upn(number)));
            graph.faults().fail_user(twin, Some(status));
            events.push(Message::from_event(&event(&ours, number, 1)));
        }
    }
    for number in 300..300 + EACH {
        events
            .push(Message { body: "junk".into(), ..Message::from_event(&event(&ours, number, 1)) });
        let foreign = event("ldap:///dc=elsewhere", number + 100, 1);
        events.push(Message::from_event(&foreign));
    }
    publisher.publish(Queue::Lane(Lane::Urgent), &events).await.unwrap();
    eventually("every event is given up", async || {
        let count = listed(&setup, &[]).await.len();
        (count == 5 * EACH).then_some(()).ok_or(format!("{count} letters"))
    })
    .await;

    for (filters, count) in [
        (&["--reason", "permission_denied"][..], EACH),
        (&["--reason", "value_refused"], EACH),
        (&["--reason", "malformed", "--reason", "foreign_directory"], 2 * EACH),
        (&["--since", "2h"], 4 * EACH),
        (&["--type", Kind::AccountDisabled.as_str()], 5 * EACH),
        (&["--type", "user.deleted"], 0),
        (&["--user", "USER3"], 2),
        (&["--user", "user101@contoso.com"], 1),
        (&["--limit", "7"], 7),
    ] {
        assert_eq!(listed(&setup, filters).await.len(), count, "{filters:?}");
    }
    let one = &listed(&setup, &["--user", "user101@contoso.com"]).await[0];
    assert_eq!(one["graph_status"], 403, "{one}");
    let output = setup.run(&["dlq", "show", one["id"].as_str().unwrap()]).await;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["permission_denied", "what mends it", "request-id", "user101", "specversion"] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    assert!(!shown.contains('\x1b'), "styles in a pipe");

    let dry = json(&setup.run(&["--output", "json", "dlq", "replay", "--dry-run"]).await);
    assert_eq!(dry["summary"]["done"], 3 * EACH, "{dry}");
    assert_eq!(broker.depth(Queue::Refresh).await.unwrap(), 0);
    let output = setup.run(&["--output", "json", "dlq", "replay"]).await;
    assert_eq!(output.status.code(), Some(3), "poison is left over: {output:?}");
    let replayed = json(&output);
    assert_eq!(replayed["summary"]["done"], 3 * EACH, "{replayed}");
    assert_eq!(replayed["refused"].as_array().unwrap().len(), 2 * EACH, "{replayed}");
    let requests = received(broker.as_ref(), EACH / 2 + 2 * EACH).await;
    for request in &requests {
        assert_eq!(request.why, Why::Replayed);
        let originals = request.originals.iter().filter_map(|original| original.message());
        let sequences: Vec<_> =
            originals.map(|message| Event::from_json(&message.body).unwrap().sequence).collect();
        assert!(!sequences.is_empty() && sequences.is_sorted(), "{sequences:?}");
    }
    apply.logged("dead-letters replay").await;

    let output = setup.run(&["dlq", "discard"]).await;
    assert_eq!(output.status.code(), Some(2), "nobody can be asked: {output:?}");
    assert_eq!(listed(&setup, &[]).await.len(), 2 * EACH);
    // From here on without a running process.
    assert!(apply.terminate().await.success());
    assert_eq!(listed(&setup, &[]).await.len(), 2 * EACH);
    let output = setup.run(&["dlq", "discard", "--yes"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let audit = String::from_utf8_lossy(&output.stderr);
    assert!(audit.contains("dead-letters discard") && audit.contains("uid"), "{audit}");
    assert_eq!(listed(&setup, &[]).await.len(), 0);
}

async fn received(broker: &dyn Broker, count: usize) -> Vec<RefreshRequest> {
    let mut subscriber = broker.subscribe(Queue::Refresh, 1000).await.unwrap();
    let mut requests = Vec::new();
    while requests.len() < count {
        let delivery = subscriber.receive().await.unwrap();
        requests.push(RefreshRequest::from_message(&delivery.message).unwrap());
        delivery.receipt.ack().await.unwrap();
    }
    assert_eq!(broker.depth(Queue::Refresh).await.unwrap(), 0);
    requests
}

#[tokio::test]
async fn a_replayed_letter_is_told_anew_once_the_cause_is_mended() {
    let samba = Samba::start().await;
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    let vhost = Rabbit::shared().await.vhost();
    let account = samba.service_account().await;
    let attributes = json!({ "jobTitle": "title" });
    let watch =
        Setup::new().directory(&samba, account).rabbit(&vhost).set("apply.attributes", &attributes);
    let apply = Setup::new()
        .rabbit(&vhost)
        .graph(&graph)
        .set("directory.base_dn", BASE_DN)
        .set("apply.attributes", &attributes);
    let mut admin = samba.admin().await;
    let container = format!("CN=Users,{BASE_DN}");
    let (alice, bob) =
        (admin.add_user(&container, "alice").await, admin.add_user(&container, "bob").await);
    let twins = [&alice, &bob].map(|user| graph.add_user(NewUser::new(&user.upn)));
    for twin in twins {
        graph.faults().fail_user(twin, Some(403));
    }
    // Carol is blocked in the cloud, by hand.
    let carol = admin.add_user(&container, "carol").await;
    let by_hand = graph.add_user(NewUser::new(&carol.upn).disabled());
    let (mut watching, mut applying) = (watch.start(&["watch"]), apply.start(&["apply"]));
    watching.ready().await;
    applying.ready().await;
    for user in [&alice, &bob] {
        admin.disable(user).await;
    }
    eventually("both are given up", async || listed(&apply, &[]).await.len() == 2).await;
    // Bob comes back meanwhile: his letter is stale, and replaying it must not block him.
    admin.enable(&bob).await;
    eventually("bob's enable is given up too", async || listed(&apply, &[]).await.len() == 3).await;
    graph.faults().fail_user(by_hand, Some(403));
    admin.replace(&carol, "title", &["Lead"]).await;
    eventually("carol's title is given up", async || listed(&apply, &[]).await.len() == 4).await;
    for twin in twins.into_iter().chain([by_hand]) {
        graph.faults().fail_user(twin, None);
    }
    let output = apply.run(&["dlq", "replay"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let enabled = |twin| graph.user(twin).unwrap().account_enabled();
    eventually("alice is blocked", async || !enabled(twins[0])).await;
    assert!(enabled(twins[1]), "bob was blocked by a stale letter");
    eventually("carol's title arrives", async || {
        graph.user(by_hand).unwrap().get("jobTitle") == "Lead"
    })
    .await;
    assert!(!enabled(by_hand), "a replay unblocked who was blocked by hand");
    assert_eq!(listed(&apply, &[]).await.len(), 0);
}
