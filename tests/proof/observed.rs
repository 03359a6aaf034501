//! What operations watch: a real Prometheus scrapes the relay and RabbitMQ, with the rules and the
//! dashboards that are shipped.

use std::collections::BTreeSet;
use std::path::Path;

use base64::{Engine, prelude::BASE64_STANDARD};
use entra_relay::config::{Secret, model};
use entra_relay::event::{Detail, Event, Identity, Lane, Reason, source_of};
use entra_relay::queue::{Message, Queue, Role, open};
use entra_relay::sandbox::graph::{NewUser, Options, SandboxGraph};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::support::prometheus::Prometheus;
use crate::support::rabbit::{PASSWORD, Rabbit, Vhost};
use crate::support::relay::Setup;
use crate::support::wait::eventually;

/// That of the sandbox.
const BASE_DN: &str = "DC=corp,DC=example";
/// What fires where no consumer is left and something waits for it.
const NO_CONSUMER: [&str; 3] = ["RelayConsumersGone", "RelayStalled", "RelayTargetGone"];

#[tokio::test]
async fn alerts_fire_while_the_consumer_is_stopped_and_clear_when_it_is_back() {
    let rabbit = Rabbit::observed().await;
    let vhost = rabbit.vhost();
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    let link = BASE64_STANDARD.encode(Uuid::from_u128(1).to_bytes_le());
    let user = graph.add_user(NewUser::new("alice@contoso.com").immutable_id(&link));
    let watch = Setup::new().rabbit(&vhost).set("directory.source", "sandbox");
    let apply = Setup::new()
        .rabbit(&vhost)
        .graph(&graph)
        .set("graph.client_secret_expires", "2099-12-31")
        .set("directory.base_dn", BASE_DN);
    let mut watcher = watch.start(&["watch"]);
    let mut consumer = apply.start(&["apply"]);
    watcher.ready().await;
    consumer.ready().await;

    let targets = [watcher.admin(), consumer.admin()];
    let prometheus = Prometheus::start(&targets, rabbit.metrics(), &vhost).await;
    eventually("every target answers", async || {
        let up = prometheus.query("up == 1").await?;
        if up.len() == 4 { Ok(()) } else { Err(format!("{up:?}")) }
    })
    .await;
    every_query_is_answered(&prometheus).await;
    let fires = async |alerts: &[&str]| {
        let firing = prometheus.firing().await?;
        if alerts.iter().all(|alert| firing.contains(*alert)) {
            Ok(())
        } else {
            Err(format!("{firing:?}"))
        }
    };
    let quiet = async || {
        let firing = prometheus.firing().await?;
        if firing.is_empty() { Ok(()) } else { Err(format!("{firing:?}")) }
    };
    // Until its first scrapes Prometheus misses everybody.
    eventually("no alert fires", quiet).await;

    assert!(consumer.terminate().await.success());
    disable(&vhost, Uuid::from_u128(1)).await;
    eventually("the alerts fire", async || fires(&NO_CONSUMER).await).await;

    let mut consumer = apply.start(&["apply"]);
    consumer.ready().await;
    eventually("the user is blocked", async || !graph.user(user).unwrap().account_enabled()).await;
    eventually("the alerts clear", quiet).await;
}

/// The test is the one who publishes: nobody edits the directory of this watcher.
async fn disable(vhost: &Vhost, object: Uuid) {
    let config = model::Broker {
        url: vhost.url(),
        password: Some(Secret::new(PASSWORD.into())),
        ..Default::default()
    };
    let (source, time) = (source_of(BASE_DN), Timestamp::now());
    let detail = Detail::AccountDisabled { reason: Reason::Disabled };
    let event = Event::new(&source, object, 1, time, Identity::default(), detail);
    let publisher = open(&config).unwrap().publisher(Role::Other);
    let message = Message::from_event(&event);
    publisher.publish(Queue::Lane(Lane::Urgent), &[message]).await.unwrap();
}

/// Prometheus understands every query of dashboards and rules, and has every series in them.
async fn every_query_is_answered(prometheus: &Prometheus) {
    let mut used = BTreeSet::new();
    let queries = dashboard_queries();
    assert!(queries.len() > 30, "{queries:?}");
    for query in queries {
        let names = series_in(&query);
        assert!(!names.is_empty(), "{query} asks for no series");
        used.extend(names);
        let query = query.replace("$job", "entra-relay").replace("$__rate_interval", "1m");
        prometheus.query(&query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
    }
    used.extend(series_in(&read("prometheus/rules.yml")));
    eventually("every series that is asked for was scraped", async || {
        let scraped = prometheus.series().await?;
        let missing: Vec<_> = used.difference(&scraped).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) }
    })
    .await;
}

fn dashboard_queries() -> BTreeSet<String> {
    let mut queries = BTreeSet::new();
    for file in ["relay.json", "rabbitmq.json"] {
        let board: Value =
            serde_json::from_str(&read(&format!("grafana/dashboards/{file}"))).unwrap();
        for panel in board["panels"].as_array().unwrap() {
            let targets = panel["targets"].as_array().into_iter().flatten();
            queries.extend(targets.map(|target| target["expr"].as_str().unwrap().to_owned()));
        }
    }
    queries
}

/// The names of the relay's, the process's and RabbitMQ's series in a text.
fn series_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let prefixes = ["relay_", "process_", "rabbitmq_"];
    let ours = |word: &&str| prefixes.iter().any(|prefix| word.starts_with(prefix));
    words.filter(ours).map(str::to_owned).collect()
}

fn read(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    std::fs::read_to_string(folder.join(file)).unwrap()
}
