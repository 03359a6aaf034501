//! How long a disable takes on real parts: Samba, RabbitMQ, and the program as its user runs it,
//! `watch` and `apply` as two processes. Beside it, in the same run, the floor: one raw DirSync
//! read, one confirmed publish, and one PATCH, each by itself.
//!
//! `cargo bench --bench propagation` (as root, with the packages that `tests/run` installs).

#![allow(clippy::unwrap_used, reason = "a panic is how a benchmark reports")]

#[path = "../tests/proof/support/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use entra_relay::config::{Secret, model};
use entra_relay::directory::{ActiveDirectory, Directory, Domain, Login};
use entra_relay::event::{Lane, source_of};
use entra_relay::graph::GraphClient;
use entra_relay::queue::{self, Message, Queue, Role};
use entra_relay::sandbox::graph::{NewUser, Options, SandboxGraph};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use support::rabbit::{PASSWORD, Rabbit, Vhost};
use support::relay::Setup;
use support::samba::{BASE_DN, Samba, User};

const USERS: usize = 50;
const ROUNDS: usize = 200;

#[tokio::main]
async fn main() {
    entra_relay::net::tls::install_provider();
    let samba = Samba::start().await;
    let rabbit = Rabbit::start().await;
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    let people = people(&samba, &graph).await;

    let vhost = rabbit.vhost();
    let account = samba.service_account().await;
    let watch =
        Setup::new().directory(&samba, account).rabbit(&vhost).set("guard.max_disables", 1_000_000);
    let apply = Setup::new().rabbit(&vhost).graph(&graph).set("directory.base_dn", BASE_DN);
    let mut watcher = watch.start(&["watch"]);
    let mut consumer = apply.start(&["apply"]);
    watcher.ready().await;
    consumer.ready().await;

    println!("disable, from Samba's answer to Graph, {ROUNDS} rounds over {USERS} users\n");
    let (accepted, verified) = disables(&samba, &graph, &people).await;
    row("accountEnabled = false accepted", &accepted);
    row("read back by the relay", &verified);

    let idle = idle_cpu(watcher.pid()).await;
    println!("\nwatcher, idle, usn_interval 25ms: {:.2} % of a core", idle * 100.0);
    drop((watcher, consumer));

    println!("\nthe floor, each step alone");
    let floor = floor(&samba, &rabbit.vhost(), &graph, people[0].1).await;
    let sum: Duration = floor.values().map(|times| percentile(times, 50)).sum();
    for (step, times) in &floor {
        row(step, times);
    }
    println!(
        "\np50 of accepted / sum of the floor's p50: {:.2}",
        percentile(&accepted, 50).as_secs_f64() / sum.as_secs_f64()
    );
}

async fn people(samba: &Samba, graph: &SandboxGraph) -> Vec<(User, Uuid)> {
    let mut admin = samba.admin().await;
    let mut people = Vec::new();
    for index in 0..USERS {
        let user = admin.add_user(&format!("CN=Users,{BASE_DN}"), &format!("user{index}")).await;
        let twin = NewUser::new(&user.upn).immutable_id(&user.immutable_id());
        people.push((user, graph.add_user(twin)));
    }
    people
}

/// Times until Graph accepted the block, and until the relay had read it back.
async fn disables(
    samba: &Samba,
    graph: &SandboxGraph,
    people: &[(User, Uuid)],
) -> (Vec<Duration>, Vec<Duration>) {
    let mut admin = samba.admin().await;
    let (mut accepted, mut verified) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (user, twin) = &people[round % people.len()];
        // Not in step with the watcher's own rhythm.
        sleep(Duration::from_millis(20 + (round as u64 * 7) % 31)).await;
        let after = graph.last_order();
        admin.disable(user).await;
        let since = Instant::now();
        let mut times = None;
        let done = graph.wait_until(|graph| {
            let mut log = graph.log_since(after);
            log.retain(|request| request.user == Some(*twin));
            let patch = log.iter().position(|request| request.method == "PATCH");
            let read = patch.and_then(|at| log[at..].iter().find(|r| r.method == "GET"));
            times = patch.zip(read).map(|(patch, read)| (log[patch].at, read.at));
            times.is_some()
        });
        timeout(Duration::from_secs(30), done).await.expect("the disable arrives");
        let (patch, read) = times.unwrap();
        accepted.push(patch.saturating_duration_since(since));
        verified.push(read.saturating_duration_since(since));
        admin.enable(user).await;
        let back = graph.wait_until(|graph| graph.user(*twin).unwrap().account_enabled());
        timeout(Duration::from_secs(30), back).await.expect("the enable arrives");
    }
    (accepted, verified)
}

/// The share of a core that a process uses over ten seconds.
async fn idle_cpu(pid: u32) -> f64 {
    const WINDOW: Duration = Duration::from_secs(10);
    let ticks = || -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // utime and stime, in hundredths of a second (proc(5), fields 14 and 15).
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    sleep(WINDOW).await;
    (ticks() - before) as f64 / 100.0 / WINDOW.as_secs_f64()
}

async fn floor(
    samba: &Samba,
    vhost: &Vhost,
    graph: &SandboxGraph,
    twin: Uuid,
) -> BTreeMap<&'static str, Vec<Duration>> {
    let account = samba.service_account().await;
    let mut config = model::Directory {
        urls: vec![samba.url_ldaps()],
        base_dn: BASE_DN.into(),
        ..model::Directory::default()
    };
    config.bind.user.clone_from(&account.upn);
    config.bind.password = Some(Secret::new(account.password.clone()));
    config.tls.ca_file = Some(samba.ca_file().to_owned());
    let domain = Domain::from_config(&config, []);
    let mut directory =
        ActiveDirectory::connect(&Login::from_config(&config), &domain).await.unwrap();
    let cursor = directory.now().await.unwrap();

    let broker = queue::open(&model::Broker {
        url: vhost.url(),
        password: Some(Secret::new(PASSWORD.into())),
        ..model::Broker::default()
    })
    .unwrap();
    let publisher = broker.publisher(Role::Other);
    publisher.ready().await.unwrap();

    let options = graph.options();
    let client = GraphClient::new(&model::Graph {
        endpoint: graph.endpoint(),
        authority: graph.authority(),
        tenant_id: options.tenant_id.clone(),
        client_id: options.client_id.clone(),
        client_secret: Some(Secret::new(options.client_secret.clone())),
        ..model::Graph::default()
    })
    .unwrap();

    let mut floor = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut time = |step, since: Instant| {
            floor.entry(step).or_insert_with(Vec::new).push(since.elapsed());
        };
        let since = Instant::now();
        directory.changes(&cursor).await.unwrap();
        time("one DirSync read", since);
        let message = message(round);
        let since = Instant::now();
        publisher.publish(Queue::Lane(Lane::Urgent), &[message]).await.unwrap();
        time("one confirmed publish", since);
        let since = Instant::now();
        client.set_enabled(&twin.to_string(), round % 2 == 0).await.unwrap();
        time("one PATCH", since);
    }
    floor
}

fn message(round: usize) -> Message {
    use entra_relay::event::{Detail, Event, Identity};
    Message::from_event(&Event::new(
        &source_of(BASE_DN),
        Uuid::from_u128(round as u128),
        round as u64,
        jiff::Timestamp::now(),
        Identity::default(),
        Detail::UserDeleted,
    ))
}

fn row(what: &str, times: &[Duration]) {
    let [p50, p99, max] =
        [50, 99, 100].map(|percent| percentile(times, percent).as_secs_f64() * 1e3);
    println!("{what:<34} p50 {p50:>7.1} ms   p99 {p99:>7.1} ms   max {max:>7.1} ms");
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[(sorted.len() * percent).div_ceil(100).clamp(1, sorted.len()) - 1]
}
