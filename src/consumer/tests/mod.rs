//! The consumers from the queue to Graph, against the sandbox's Graph over TCP.

mod answers;
mod applying;
mod coexistence;
mod giving_up;
mod membership;
mod memory;
mod outage;
mod parking;
mod passwords;
mod provisioning;
mod quota;
mod random;
mod reporting;
mod take_over;
mod traced;
mod trust;
mod waiting;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::memory::Memory;
use super::{Consumer, Pace, Rules, run_at};
use crate::{
    config::{
        Secret,
        model::{Apply, Graph, Parking, Percent, Quota},
    },
    event::{Detail, Event, Identity, Kind, Lane, Reason, Reference, source_of},
    graph::GraphClient,
    ops::{health::Health, traces::Traces},
    queue::{
        Message, ParkingDelay, Queue,
        dead_letter::{DeadLetter, DeadReason},
        refresh::RefreshRequest,
    },
    sandbox::graph::{LoggedRequest, NewUser, Options, SandboxGraph},
    sealing::Opener,
    signing::Verifier,
};

const DISABLED: Detail = Detail::AccountDisabled { reason: Reason::Disabled };
const ENABLED: Detail = Detail::AccountEnabled { ended: Reason::Disabled };

/// A test that waits so long for anything has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// A tenant, a queue and a consumer between them.
struct World {
    graph: SandboxGraph,
    queue: Memory,
    rules: Apply,
    verifier: Arc<Verifier>,
    opener: Arc<Opener>,
    parking: Parking,
    max_age: Duration,
    pace: Pace,
    health: Health,
    paused: watch::Sender<bool>,
    shutdown: CancellationToken,
    consumer: Option<JoinHandle<()>>,
    /// Whether Graph is reached without sockets, so that the clock can be turned.
    local: bool,
    /// Whether what becomes of events is reported.
    journal: bool,
    traces: Traces,
}

impl World {
    async fn new() -> World {
        World::with(Options::default()).await
    }

    async fn with(options: Options) -> World {
        let graph = SandboxGraph::start(options).await.expect("graph");
        let own = |(property, attribute): (&str, &str)| (property.into(), attribute.into());
        let attributes = [("jobTitle", "title"), ("city", "l"), ("usageLocation", "c")].map(own);
        let rules = Apply { attributes: attributes.into(), ..Apply::default() };
        let shutdown = CancellationToken::new();
        let short = (Duration::from_millis(2), Duration::from_millis(20));
        World {
            graph,
            verifier: Arc::default(),
            opener: Arc::default(),
            queue: Memory::new(),
            rules,
            parking: Parking::default(),
            max_age: Duration::from_secs(900),
            pace: Pace {
                retry: short,
                probe: short,
                verify: short,
                queue: short,
                take_over: Duration::ZERO,
                ..Pace::default()
            },
            health: Health::new(super::PARTS),
            paused: watch::Sender::new(false),
            shutdown,
            consumer: None,
            local: false,
            journal: false,
            traces: Traces::default(),
        }
    }

    /// A world in which waiting takes no time: for tests that pause the clock. Its pace is that
    /// of every day.
    async fn timeless(options: Options) -> World {
        let pace = Pace { take_over: Duration::ZERO, ..Pace::default() };
        World { local: true, pace, ..World::with(options).await }
    }

    fn config(&self) -> Graph {
        let options = self.graph.options();
        Graph {
            endpoint: self.graph.endpoint(),
            authority: self.graph.authority(),
            tenant_id: options.tenant_id.clone(),
            client_id: options.client_id.clone(),
            client_secret: Some(Secret::new(options.client_secret.clone())),
            quota: if self.local { Quota::default() } else { plenty() },
            ..Graph::default()
        }
    }

    fn start(&mut self) {
        self.start_with(&self.config());
    }

    fn start_with(&mut self, config: &Graph) {
        let client = match self.local {
            true => GraphClient::local(config, self.graph.local()),
            false => GraphClient::new(config).expect("client"),
        };
        self.start_as(client);
    }

    fn start_as(&mut self, client: GraphClient) {
        let consumer = Consumer {
            broker: Arc::new(self.queue.clone()),
            graph: Arc::new(client),
            rules: Rules::new(&self.rules, &[]).expect("rules"),
            partitions: 1,
            parking: self.parking.clone(),
            max_age: self.max_age,
            source: source(),
            verifier: Arc::clone(&self.verifier),
            opener: Arc::clone(&self.opener),
            health: self.health.clone(),
            pause: self.paused.subscribe(),
            journal: self.journal,
            traces: self.traces.clone(),
        };
        self.consumer = Some(tokio::spawn(run_at(consumer, self.shutdown.clone(), self.pace)));
    }

    /// Adds an Entra user that is linked to a directory object.
    fn user(&self, object: u128) -> Uuid {
        self.graph.add_user(new_user(object).immutable_id(&link(object)))
    }

    fn publish(&self, event: &Event) {
        self.queue.put(Queue::Lane(event.kind().lane()), Message::from_event(event));
    }

    /// Waits until Graph is as the test wants it.
    async fn until(&self, condition: impl Fn(&SandboxGraph) -> bool) {
        timeout(LIMIT, self.graph.wait_until(condition)).await.expect("graph gets there");
    }

    /// Waits until the health report of the urgent lane is as the test wants it.
    async fn told(&self, condition: impl Fn(&str) -> bool) {
        let told = async {
            while !condition(&self.health.report().1[super::PARTS[0]].detail) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, told).await.expect("the health report gets there");
    }

    /// Waits until nothing waits in either lane.
    async fn drained(&self) {
        for lane in Lane::ALL {
            self.queue.wait(Queue::Lane(lane), |ready, unsettled| ready + unsettled == 0).await;
        }
    }

    fn dead_letters(&self) -> Vec<DeadLetter> {
        let messages = self.queue.messages(Queue::DeadLetters);
        messages.iter().map(|message| DeadLetter::from_message(message).expect("letter")).collect()
    }

    /// What is asked of the watcher through a queue.
    fn requests(&self, queue: Queue) -> Vec<RefreshRequest> {
        let messages = self.queue.messages(queue);
        let read = |message| RefreshRequest::from_message(message).expect("a request");
        messages.iter().map(read).collect()
    }

    fn is_enabled(&self, user: Uuid) -> bool {
        self.graph.user(user).expect("user").account_enabled()
    }

    /// The account states that were written, in order.
    fn states(&self) -> Vec<bool> {
        let state = |request: &LoggedRequest| request.body.json()?["accountEnabled"].as_bool();
        self.writes().iter().filter_map(state).collect()
    }

    /// The writes that took place, users' requests only.
    fn writes(&self) -> Vec<LoggedRequest> {
        let is_write = |request: &LoggedRequest| {
            request.user.is_some()
                && request.method != "GET"
                && request.status.is_some_and(|status| status < 300)
        };
        self.graph.log().into_iter().filter(is_write).collect()
    }

    async fn stop(&mut self) {
        self.shutdown.cancel();
        self.consumer.take().expect("started").await.expect("consumer");
    }
}

/// Where time is real nobody waits for the quota.
fn plenty() -> Quota {
    Quota { writes: 100_000, urgent_reserve: Percent(0), ..Quota::default() }
}

fn source() -> String {
    source_of("DC=corp,DC=example")
}

fn link(object: u128) -> String {
    BASE64_STANDARD.encode(Uuid::from_u128(object).to_bytes_le())
}

fn new_user(object: u128) -> NewUser {
    NewUser::new(&format!("user{object}@contoso.com"))
}

fn event(object: u128, sequence: u64, detail: Detail) -> Event {
    let identity = Identity {
        sam_account_name: Some(format!("user{object}")),
        user_principal_name: Some(format!("user{object}@contoso.com")),
        ..Identity::default()
    };
    let (object, time) = (Uuid::from_u128(object), Timestamp::now());
    Event::new(&source(), object, sequence, time, identity, detail)
}

fn attributes(values: &[(&str, &str)]) -> Detail {
    let value = |(name, value): &(&str, &str)| {
        let values = if value.is_empty() { Vec::new() } else { vec![(*value).to_owned()] };
        ((*name).to_owned(), values)
    };
    let attributes: BTreeMap<_, _> = values.iter().map(value).collect();
    Detail::modified(attributes)
}
