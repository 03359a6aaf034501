//! With the broker's password in hand nobody can change a user, and a new key loses no event.

use std::path::PathBuf;
use std::sync::Arc;

use entra_relay::config::{Secret, model};
use entra_relay::event::{Detail, Event, Identity, Reason, source_of};
use entra_relay::queue::carried::Carried;
use entra_relay::queue::dead_letter::{DeadLetter, DeadReason};
use entra_relay::queue::refresh::{RefreshRequest, Why};
use entra_relay::queue::{Broker, Message, Queue, Role, open, partition_of};
use entra_relay::sandbox::graph::{NewUser, Options, SandboxGraph};
use entra_relay::signing::Signer;
use futures_util::StreamExt;
use jiff::Timestamp;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};
use serde_json::Value;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::rabbit::{PASSWORD, Rabbit, Vhost};
use crate::support::relay::Setup;
use crate::support::samba::{BASE_DN, Samba, User};
use crate::support::wait::{DEADLINE, eventually};

/// A directory, a tenant, and the queue between them.
struct Site {
    samba: Samba,
    graph: SandboxGraph,
    vhost: Vhost,
}

impl Site {
    async fn new() -> Site {
        let (samba, rabbit) = tokio::join!(Samba::start(), Rabbit::shared());
        let graph = SandboxGraph::start(Options::default()).await.unwrap();
        Site { samba, graph, vhost: rabbit.vhost() }
    }

    async fn watch(&self) -> Setup {
        Setup::new().directory(&self.samba, self.samba.service_account().await).rabbit(&self.vhost)
    }

    fn apply(&self) -> Setup {
        Setup::new().rabbit(&self.vhost).graph(&self.graph).set("directory.base_dn", BASE_DN)
    }

    async fn add_user(&self, name: &str) -> (User, Uuid) {
        let user = self.samba.admin().await.add_user(&format!("CN=Users,{BASE_DN}"), name).await;
        let twin = NewUser::new(&user.upn).immutable_id(&user.immutable_id());
        let twin = self.graph.add_user(twin);
        (user, twin)
    }

    async fn enabled(&self, twin: Uuid, enabled: bool) {
        let what = format!("Graph has accountEnabled = {enabled}");
        eventually(&what, async || self.graph.user(twin).unwrap().account_enabled() == enabled)
            .await;
    }

    /// How often somebody tried to change this user.
    fn writes(&self, twin: Uuid) -> usize {
        let log = self.graph.log();
        log.iter().filter(|request| request.user == Some(twin) && request.method != "GET").count()
    }

    fn broker(&self) -> Arc<dyn Broker> {
        let config = model::Broker {
            url: self.vhost.url(),
            password: Some(Secret::new(PASSWORD.into())),
            ..Default::default()
        };
        open(&config).unwrap()
    }
}

/// A pair of keys, made by the program itself.
struct Pair {
    _folder: Setup,
    private: PathBuf,
    public: PathBuf,
}

impl Pair {
    async fn new() -> Pair {
        let folder = Setup::new();
        let output = folder.run(&["keygen", "--dir", "keys", "--output", "json"]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let path = |key: &str| PathBuf::from(told[key].as_str().unwrap());
        let (private, public) = (path("private_key_file"), path("public_key_file"));
        assert_eq!(told["key_id"], Signer::load(&private).unwrap().key_id());
        Pair { _folder: folder, private, public }
    }
}

/// Somebody who has the password and needs no more of the relay than its queues.
struct Intruder {
    channel: Channel,
    tap: lapin::Consumer,
}

impl Intruder {
    /// Gets a copy of everything that travels in the urgent lane from now on.
    async fn new(vhost: &Vhost) -> Intruder {
        let channel = vhost.connect().await.unwrap().create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
        channel.queue_declare("tap".into(), exclusive, Default::default()).await.unwrap();
        for partition in 0..model::Broker::default().partitions {
            let (exchange, key) = ("relay.events".into(), format!("relay.urgent.{partition}"));
            let (options, none) = (Default::default(), Default::default());
            channel
                .queue_bind("tap".into(), exchange, key.as_str().into(), options, none)
                .await
                .unwrap();
        }
        let no_ack = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let tap = channel.basic_consume("tap".into(), "".into(), no_ack, Default::default());
        let tap = tap.await.unwrap();
        Intruder { channel, tap }
    }

    /// The next event of a kind, as its sender published it.
    async fn captured(&mut self, kind: &str) -> Delivery {
        let is_wanted = |delivery: &Delivery| {
            delivery.properties.kind().as_ref().is_some_and(|own| own.as_str() == kind)
        };
        loop {
            let next = timeout(DEADLINE, self.tap.next()).await.expect("the event travels");
            let delivery = next.unwrap().unwrap();
            if is_wanted(&delivery) {
                return delivery;
            }
        }
    }

    async fn inject(&self, queue: &str, body: &[u8], properties: &BasicProperties) {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        // Past the exchange, straight into the queue.
        let (exchange, queue) = ("".into(), queue.into());
        let sent = self
            .channel
            .basic_publish(exchange, queue, options, body, properties.clone())
            .await
            .unwrap();
        assert!(matches!(sent.await.unwrap(), Confirmation::Ack(None)), "the broker took it");
    }
}

/// The same properties with the headers of another message.
fn with_headers(properties: &BasicProperties, message: &Message) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in &message.headers {
        let value = AMQPValue::LongString(value.as_str().into());
        headers.insert(name.as_str().into(), value);
    }
    properties.clone().with_headers(headers)
}

/// What a captured event says, told anew and not signed.
fn forged(captured: &Event) -> Message {
    let Event { source, object, sequence, identity, detail, .. } = captured.clone();
    let later = sequence + 1_000_000_000;
    Message::from_event(&Event::new(&source, object, later, Timestamp::now(), identity, detail))
}

async fn dead_letters(site: &Site, count: usize) -> Vec<DeadLetter> {
    let mut subscriber = site.broker().subscribe(Queue::DeadLetters, 100).await.unwrap();
    let mut letters = Vec::new();
    while letters.len() < count {
        let received = timeout(DEADLINE, subscriber.receive()).await.expect("a dead letter");
        letters.push(DeadLetter::from_message(&received.unwrap().message).unwrap());
    }
    letters
}

#[tokio::test]
async fn who_has_the_brokers_password_changes_nobody() {
    let site = Site::new().await;
    let (alice, twin) = site.add_user("alice").await;
    let keys = Pair::new().await;
    let watch = site.watch().await.set("security.signing_key_file", &keys.private);
    let apply = site.apply().set("security.verify_key_files", [&keys.public]);
    let (mut watch, mut apply) = (watch.start(&["watch"]), apply.start(&["apply"]));
    watch.ready().await;
    apply.ready().await;
    let mut intruder = Intruder::new(&site.vhost).await;
    let mut admin = site.samba.admin().await;
    admin.disable(&alice).await;
    site.enabled(twin, false).await;
    admin.enable(&alice).await;
    site.enabled(twin, true).await;
    admin.disable(&alice).await;
    site.enabled(twin, false).await;
    let captured = intruder.captured("entra-relay.account.enabled.v1").await;
    eventually("the queue is settled", async || {
        let (_, metrics) = apply.get("/metrics").await.unwrap();
        let settled = "relay_events_settled_total{outcome=\"applied\",type=\"account.disabled\"} 2";
        metrics.contains(settled)
    })
    .await;
    let writes = site.writes(twin);

    let properties = &captured.properties;
    let event = Event::from_json(&captured.data).unwrap();
    let unsigned = forged(&event);
    let mut foreign = forged(&event);
    let stranger = Signer::generate();
    stranger.sign(&mut foreign);
    let bare = properties.clone().with_headers(FieldTable::default());
    let signed = with_headers(properties, &foreign);
    let partitions = model::Broker::default().partitions;
    let partition = partition_of(alice.guid, partitions);
    let urgent = format!("relay.urgent.{partition}");
    let injected: [(&str, &[u8], &BasicProperties); 6] = [
        ("not signed", &unsigned.body, &bare),
        ("not what the key", &unsigned.body, properties),
        (stranger.key_id(), &foreign.body, &signed),
        ("not signed", b"junk", &bare),
        // Genuine, but old: copies where another one's memory would count, and in its place.
        ("in the bulk lane", &captured.data, properties),
        ("in the urgent lane", &captured.data, properties),
    ];
    for (part, body, properties) in injected {
        let queue = match part {
            "in the bulk lane" => format!("relay.bulk.{partition}"),
            "in the urgent lane" => format!("relay.urgent.{}", (partition + 1) % partitions),
            _ => urgent.clone(),
        };
        intruder.inject(&queue, body, properties).await;
    }
    intruder.inject(&urgent, &captured.data, properties).await;

    let letters = dead_letters(&site, injected.len()).await;
    for (part, body, _) in injected {
        let tells = |letter: &&DeadLetter| {
            letter.cause.sentence.contains(part)
                && letter.original.message().is_some_and(|kept| kept.body == body)
        };
        let letter = letters.iter().find(tells).unwrap_or_else(|| panic!("{part}: {letters:?}"));
        let misplaced = part.starts_with("in the");
        let reason = if misplaced { DeadReason::Misplaced } else { DeadReason::BadSignature };
        assert_eq!(letter.cause.reason, reason, "{letter:?}");
        assert!(!letter.cause.remedy.is_empty());
    }
    apply.logged("why=\"superseded\"").await;
    assert_eq!(site.writes(twin), writes);
    assert!(!site.graph.user(twin).unwrap().account_enabled());

    // What the watcher says is still believed.
    admin.enable(&alice).await;
    site.enabled(twin, true).await;
    assert!(watch.terminate().await.success());
    assert!(apply.terminate().await.success());
}

#[tokio::test]
async fn a_new_key_loses_no_event() {
    let site = Site::new().await;
    let (old, new) = tokio::join!(Pair::new(), Pair::new());
    let users = [site.add_user("alice").await, site.add_user("bob").await];
    let [(alice, alice_twin), (bob, bob_twin)] = &users;
    let mut admin = site.samba.admin().await;
    let mut watch = site.watch().await.set("security.signing_key_file", &old.private);

    // No consumer is there while the watcher moves to its new key: events of both wait.
    for (user, private) in [(alice, &old.private), (bob, &new.private)] {
        watch = watch
            .set("security.signing_key_file", private)
            .set("security.verify_key_files", [&old.public]);
        let mut watching = watch.start(&["watch"]);
        watching.ready().await;
        admin.disable(user).await;
        eventually("the event is published", async || {
            let (_, metrics) = watching.get("/metrics").await.unwrap();
            metrics.contains("relay_events_published_total{type=\"account.disabled\"} 1")
        })
        .await;
        assert!(watching.terminate().await.success());
    }
    let apply = site.apply().set("security.verify_key_files", [&old.public, &new.public]);
    {
        let mut applying = apply.start(&["apply"]);
        applying.ready().await;
        site.enabled(*alice_twin, false).await;
        site.enabled(*bob_twin, false).await;
        assert!(applying.terminate().await.success());
    }

    // The old key is taken out.
    let apply = apply.set("security.verify_key_files", [&new.public]);
    let (mut watching, mut applying) = (watch.start(&["watch"]), apply.start(&["apply"]));
    watching.ready().await;
    applying.ready().await;
    for (user, twin) in &users {
        admin.enable(user).await;
        site.enabled(*twin, true).await;
    }
    assert_eq!(site.broker().depth(Queue::DeadLetters).await.unwrap(), 0);
    assert!(watching.terminate().await.success());
    assert!(applying.terminate().await.success());
}

/// Anybody who can publish can ask the watcher to tell a user anew. What the request carries must be
/// the watcher's own, and a request that carries nothing enables nobody.
#[tokio::test]
async fn forged_requests_change_nobody() {
    let site = Site::new().await;
    let (alice, alice_twin) = site.add_user("alice").await;
    let (carol, carol_twin) = site.add_user("carol").await;
    let mut admin = site.samba.admin().await;
    let bob = admin.add_user(&format!("CN=Users,{BASE_DN}"), "bob").await;
    let by_hand = NewUser::new(&bob.upn).immutable_id(&bob.immutable_id()).disabled();
    let bob_twin = site.graph.add_user(by_hand);
    let keys = Pair::new().await;
    let watch = site.watch().await.set("security.signing_key_file", &keys.private);
    let apply = site.apply().set("security.verify_key_files", [&keys.public]);
    let (mut watch, mut apply) = (watch.start(&["watch"]), apply.start(&["apply"]));
    watch.ready().await;
    apply.ready().await;
    admin.disable(&alice).await;
    site.enabled(alice_twin, false).await;

    let request = |user: &User, originals: Vec<Carried>| {
        let (object, why) = (user.guid, Why::Replayed);
        RefreshRequest { object, why, originals, waiting: None }.to_message()
    };
    let unsigned = |user: &User| {
        let detail = Detail::AccountEnabled { ended: Reason::Disabled };
        let (source, now) = (source_of(BASE_DN), Timestamp::now());
        let sequence = now.as_microsecond() as u64 + 1_000_000_000;
        let identity = Identity::default();
        Message::from_event(&Event::new(&source, user.guid, sequence, now, identity, detail))
    };
    let by_a_stranger = |user: &User| {
        let mut message = unsigned(user);
        Signer::generate().sign(&mut message);
        message
    };
    let mut junk = request(&alice, Vec::new());
    junk.body = b"junk".to_vec().into();
    let mut requests = vec![junk];
    for user in [&alice, &bob] {
        requests.push(request(user, vec![(&unsigned(user)).into()]));
        requests.push(request(user, vec![(&by_a_stranger(user)).into()]));
        requests.push(request(user, Vec::new()));
    }
    let broker = site.broker();
    let publisher = broker.publisher(Role::Other);
    publisher.publish(Queue::Refresh, &requests).await.unwrap();
    let refused = "relay_refresh_total{outcome=\"refused\",why=\"replayed\"}";
    eventually("four requests are refused", async || watch.metric(refused).await == Some(4.0))
        .await;

    // One writer: what comes later is told later.
    admin.disable(&carol).await;
    site.enabled(carol_twin, false).await;
    for twin in [alice_twin, bob_twin] {
        assert!(!site.graph.user(twin).unwrap().account_enabled());
        let log = site.graph.log();
        let enabling = log.iter().filter(|request| {
            let asked = request.body.json().and_then(|body| body["accountEnabled"].as_bool());
            request.user == Some(twin) && asked == Some(true)
        });
        assert_eq!(enabling.count(), 0);
    }
    assert!(watch.terminate().await.success());
    assert!(apply.terminate().await.success());
}
