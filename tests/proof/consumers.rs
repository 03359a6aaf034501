//! Consumers on a real RabbitMQ: several at once, killed at will, and a disable among very many
//! other changes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use entra_relay::config::{Secret, model};
use entra_relay::event::{Detail, Event, Identity, Lane, Reason, source_of};
use entra_relay::queue::{Broker, Message, Publisher, Queue, Role, open};
use entra_relay::sandbox::graph::{LoggedRequest, NewUser, Options, SandboxGraph};
use jiff::Timestamp;
use rand::RngExt;
use serde_json::json;
use uuid::Uuid;

use crate::support::rabbit::{PASSWORD, Rabbit, Vhost};
use crate::support::relay::{Relay, Setup};
use crate::support::scale::scale;
use crate::support::wait::eventually;

const BASE_DN: &str = "DC=corp,DC=example";
/// The longest that a request is under way.
const LATE: Duration = Duration::from_secs(1);
const DISABLED: Detail = Detail::AccountDisabled { reason: Reason::Disabled };
const ENABLED: Detail = Detail::AccountEnabled { ended: Reason::Disabled };

/// A tenant and a queue; the test is the watcher.
struct Site {
    vhost: Vhost,
    graph: SandboxGraph,
    broker: Arc<dyn Broker>,
    publisher: Arc<dyn Publisher>,
    sequence: u64,
}

impl Site {
    async fn new(options: Options) -> Site {
        let vhost = Rabbit::shared().await.vhost();
        let graph = SandboxGraph::start(options).await.unwrap();
        let config = model::Broker {
            url: vhost.url(),
            password: Some(Secret::new(PASSWORD.into())),
            ..Default::default()
        };
        let broker = open(&config).unwrap();
        broker.declare().await.unwrap();
        let publisher = broker.publisher(Role::Watcher);
        Site { vhost, graph, broker, publisher, sequence: 0 }
    }

    fn setup(&self) -> Setup {
        Setup::new()
            .rabbit(&self.vhost)
            .graph(&self.graph)
            .set("directory.base_dn", BASE_DN)
            .set("apply.attributes", json!({ "jobTitle": "title" }))
    }

    /// Adds the Entra user of a directory object.
    fn add_user(&self, object: u128) -> Uuid {
        let link = BASE64_STANDARD.encode(Uuid::from_u128(object).to_bytes_le());
        let user = NewUser::new(&format!("user{object}@contoso.com")).immutable_id(&link);
        self.graph.add_user(user)
    }

    fn message(&mut self, object: u128, detail: Detail) -> Message {
        self.sequence += 1;
        let (object, time) = (Uuid::from_u128(object), Timestamp::now());
        let source = source_of(BASE_DN);
        let event = Event::new(&source, object, self.sequence, time, Identity::default(), detail);
        Message::from_event(&event)
    }

    async fn publish(&self, lane: Lane, messages: &[Message]) {
        self.publisher.publish(Queue::Lane(lane), messages).await.unwrap();
    }

    async fn depth(&self, queue: Queue) -> u64 {
        self.broker.depth(queue).await.unwrap()
    }

    /// Waits until nothing is in either lane, in nobody's hands either.
    async fn drained(&self) {
        eventually("the lanes are empty", async || {
            let arguments = ["list_queues", "--vhost", &self.vhost.name, "name", "messages"];
            let queues = Rabbit::shared().await.ctl(&arguments).await;
            let is_lane = |line: &&str| line.contains(".urgent.") || line.contains(".bulk.");
            let lanes: Vec<_> = queues.lines().filter(is_lane).collect();
            let empty = lanes.len() == 8 && lanes.iter().all(|line| line.ends_with("\t0"));
            empty.then_some(()).ok_or(queues)
        })
        .await;
    }
}

fn titled(title: &str) -> Detail {
    Detail::modified([("title".into(), vec![title.into()])].into())
}

fn is_patch(request: &LoggedRequest) -> bool {
    request.method == "PATCH" && request.status.is_some_and(|status| status < 300)
}

/// The changes of users since this request.
fn patches(graph: &SandboxGraph, since: u64) -> Vec<LoggedRequest> {
    graph.log_since(since).into_iter().filter(is_patch).collect()
}

/// The titles that a user was given, in order, and when.
fn titles(graph: &SandboxGraph, user: Uuid) -> Vec<(Instant, u64)> {
    let own = |request: &LoggedRequest| request.user == Some(user) && is_patch(request);
    let title = |request: LoggedRequest| {
        let title = request.body.json()?["jobTitle"].as_str()?.parse().ok()?;
        Some((request.at, title))
    };
    graph.log().into_iter().filter(own).filter_map(title).collect()
}

/// Whether the titles go back only where a consumer was killed: the next one begins again with what
/// the killed one had not acknowledged. What that had sent may arrive a little after its end.
fn in_order(titles: &[(Instant, u64)], kills: &[Instant]) -> bool {
    titles.windows(2).all(|pair| match pair {
        [(before, old), (after, new)] => {
            let excuses = |kill: &Instant| *kill + LATE > *before && kill < after;
            old < new || kills.iter().any(excuses)
        }
        _ => true,
    })
}

#[tokio::test]
async fn consumers_are_killed_at_will_and_nothing_is_lost_or_out_of_order() {
    const USERS: u128 = 60;
    const ROUNDS: u64 = 13;
    let mut site = Site::new(Options::default()).await;
    let users: Vec<_> = (0..USERS).map(|object| site.add_user(object)).collect();
    let setups = [site.setup(), site.setup(), site.setup()];
    // The oldest first: it is the active one of most partitions.
    let mut running: VecDeque<(&Setup, Relay<'_>)> = VecDeque::new();
    for setup in &setups {
        let mut relay = setup.start(&["apply"]);
        relay.ready().await;
        running.push_back((setup, relay));
    }

    let mut random = rand::rng();
    let mut kills = Vec::new();
    for round in 1..=ROUNDS {
        let mut urgent = Vec::new();
        let mut bulk = Vec::new();
        for object in 0..USERS {
            let enables = (u128::from(round) + object).is_multiple_of(2);
            let state = if enables { ENABLED } else { DISABLED };
            urgent.push(site.message(object, state));
            bulk.push(site.message(object, titled(&round.to_string())));
        }
        let before = site.graph.last_order();
        site.publish(Lane::Urgent, &urgent).await;
        site.publish(Lane::Bulk, &bulk).await;
        let enough = random.random_range(1..30);
        eventually("consumers work", async || patches(&site.graph, before).len() >= enough).await;
        let victim = random.random_range(0..3).min(random.random_range(0..3));
        let (setup, mut relay) = running.remove(victim).unwrap();
        kills.push(Instant::now());
        relay.kill();
        running.push_back((setup, setup.start(&["apply"])));
    }

    site.drained().await;
    for (object, user) in users.iter().enumerate() {
        let titles = titles(&site.graph, *user);
        assert!(in_order(&titles, &kills), "user {object}: {titles:?}, kills: {kills:?}");
        let enabled = (u128::from(ROUNDS) + object as u128).is_multiple_of(2);
        let user = site.graph.user(*user).unwrap();
        assert_eq!(user.account_enabled(), enabled, "user {object}");
        assert_eq!(user.get("jobTitle"), ROUNDS.to_string());
    }
    assert_eq!(site.depth(Queue::DeadLetters).await, 0);
    assert_eq!(site.depth(Queue::Refresh).await, 0);
}

/// In one round trip the bulk lane sends one request for each of the users that it works on.
const PER_ROUND_TRIP: usize = 64;

#[tokio::test]
async fn a_disable_overtakes_thousands_of_changes_of_attributes() {
    // A hundred thousand are put there in the better part of a minute.
    let waiting: u64 = scale("WAITING", 20_000);
    let options = Options { latency: Duration::from_millis(200), ..Options::default() };
    let mut site = Site::new(options).await;
    let victim = site.add_user(waiting.into());
    let mut events = Vec::new();
    for object in 0..u128::from(waiting) {
        site.add_user(object);
        events.push(site.message(object, titled("Boss")));
    }
    site.publish(Lane::Bulk, &events).await;
    let setup = site.setup();
    let mut apply = setup.start(&["apply"]);
    apply.ready().await;
    eventually("the bulk lane is busy", async || {
        patches(&site.graph, 0).len() > 2 * PER_ROUND_TRIP
    })
    .await;

    let disable = site.message(waiting.into(), DISABLED);
    site.publish(Lane::Urgent, &[disable]).await;
    let published = site.graph.last_order();
    eventually("the user is blocked", async || !site.graph.user(victim).unwrap().account_enabled())
        .await;
    let later = patches(&site.graph, published);
    let overtaken_by = later.iter().take_while(|request| request.user != Some(victim)).count();
    // To find the user and to block it takes two round trips, wherever the bulk lane is in its own.
    assert!(overtaken_by < 4 * PER_ROUND_TRIP, "{overtaken_by} changes came before the disable");
    assert!(site.depth(Queue::Lane(Lane::Bulk)).await > 3 * waiting / 4);
    apply.kill();
}
