//! Everything fails at random, again and again, while users change. Nothing is lost, nobody's
//! changes arrive out of order, and no secret stays anywhere.
//!
//! A Samba domain controller, a RabbitMQ node and the strict sandbox Graph; a watcher and two
//! consumers. Two rows of faults run at once, each drawn by lot: of the processes (killed, frozen,
//! without space on the disk) and of what surrounds them (networks, Graph, clocks).
//!
//! - `RELAY_CHAOS_SECONDS`: how long things go wrong; by default half a minute.
//!   `RELAY_CHAOS_SECONDS=600 cargo test --test proof chaos -- --nocapture` is ten minutes.
//! - `RELAY_CHAOS_SEED`: the same one draws the same faults and the same changes, in the same order.
//!   Every run prints its own; by default it is always the same.
//! - `RELAY_CHAOS_USERS`: how many there are at first.

mod disk;
mod faults;
mod history;
mod people;
mod verdict;
mod victim;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use entra_relay::sandbox::graph::{FaultSet, Options, SandboxGraph};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Mutex;
use tokio::time::sleep;

use self::disk::Disk;
use self::faults::{Fault, Part, RELAYS, WAYS};
use self::people::{MAPPED, People};
use self::victim::{Victim, with_clock};
use crate::support::proxy::{Network, Proxy};
use crate::support::rabbit::{Rabbit, USER, Vhost};
use crate::support::relay::Setup;
use crate::support::samba::{Admin, Samba};
use crate::support::scale::scale;
use crate::support::site::Site;

/// For what waits after the last fault: what was parked, and what waits longer and longer between
/// its tries to connect.
const CATCHING_UP: Duration = Duration::from_secs(240);
/// So long after a fault, requests of before may still take effect.
const AFTERMATH: Duration = Duration::from_secs(2);
/// The longest rest between two faults of a row.
const MOST_REST_MS: u64 = 2_000;
/// What Graph takes for an answer, so that a fault finds work in hand.
const LATENCY: Duration = Duration::from_millis(20);
/// What the watcher says of its journal while the disk is full.
const UNWRITTEN: &str = "the journal cannot be written";
/// What is drawn where nobody asks for something else.
const SEED: u64 = 21;
/// The watcher's disk, in MiB.
const DISK: u32 = 48;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_reordered_while_everything_fails() {
    let started = Instant::now();
    let seed = scale("CHAOS_SEED", SEED);
    let length = Duration::from_secs(scale("CHAOS_SECONDS", 30));
    let users = scale("CHAOS_USERS", 40);
    eprintln!("RELAY_CHAOS_SEED={seed} RELAY_CHAOS_SECONDS={}", length.as_secs());
    let [for_people, of_parts, of_surroundings] = {
        let mut random = StdRng::seed_from_u64(seed);
        [(); 3].map(|()| StdRng::seed_from_u64(random.random()))
    };

    let mut rabbit = Rabbit::start().await;
    let options = Options { latency: LATENCY, log_limit: 1_000_000, ..Options::default() };
    let site = Site::with(&rabbit, options).await;
    let second = site.second_consumer();
    let Site { mut samba, graph, vhost, watch, apply } = site;
    let admin = Mutex::new(samba.admin().await);
    let units = {
        let mut admin = admin.lock().await;
        [admin.add_ou("Staff").await, admin.add_ou("Elsewhere").await]
    };
    let ways = ways(&samba, &vhost, &graph).await;
    let disk = Disk::mount(DISK);
    let followed = watch
        .set("directory.urls", [format!("ldaps://{}", ways[0].address())])
        .set("directory.failover_settle", "2s")
        .set("guard.max_deletes", 100_000)
        .set("scope.organizational_units", [&units[0]])
        .set("state.path", disk.folder().join("watcher.redb"));
    let over = |setup: Setup, broker: &Proxy| {
        let url = format!("amqp://{USER}@{}/{}", broker.address(), vhost.name);
        with_clock(setup.set("broker.url", url).set("apply.attributes", BTreeMap::from(MAPPED)))
    };
    let to_graph = |setup: Setup, way: &Proxy| {
        let there = format!("http://{}", way.address());
        let endpoint = graph.endpoint().replace(&graph.authority(), &there);
        setup.set("graph.endpoint", endpoint).set("graph.authority", there)
    };
    let setups = [
        over(followed, &ways[1]),
        to_graph(over(apply, &ways[2]), &ways[4]),
        to_graph(over(second, &ways[3]), &ways[5]),
    ];
    let mut people = People::new(users, units, &admin, &graph, for_people).await;
    let mut victims = [0, 1, 2].map(|index| {
        let role = if index == 0 { "watch" } else { "apply" };
        Victim::start(RELAYS[index], role, &setups[index])
    });
    for victim in &mut victims {
        victim.works().await;
    }
    rabbit.flush().await;

    let set_up = started.elapsed();
    let started = Instant::now();
    let end = started + length;
    // Longer than a heartbeat of the broker's is for the long runs.
    let longest = (length / 10).clamp(Duration::from_secs(3), Duration::from_secs(25));
    let parts = Parts {
        victims: &mut victims,
        rabbit: &mut rabbit,
        samba: &mut samba,
        admin: &admin,
        disk: &disk,
    };
    let surroundings = Surroundings { ways: &ways, graph: &graph, setups: &setups };
    let ((), parts, surroundings) = tokio::join!(
        people.change_until(end),
        parts.fail_until(end, longest, of_parts),
        surroundings.fail_until(end, longest, of_surroundings),
    );
    let history: Vec<_> = parts.into_iter().chain(surroundings).collect();
    for victim in &mut victims {
        victim.works().await;
    }
    let shaken = started.elapsed();

    // What was under way when the disk had space again may still fail.
    sleep(AFTERMATH).await;
    let unwritten = victims[0].count(UNWRITTEN);
    let queues = (&rabbit, &vhost);
    let letters = verdict::caught_up(&people, &mut victims, &setups[1], queues, &history).await;
    let caught_up = started.elapsed() - shaken;
    for victim in &mut victims {
        victim.end().await;
    }
    let mut kinds = BTreeMap::<_, usize>::new();
    history.iter().for_each(|it| *kinds.entry(it.fault.name()).or_default() += 1);
    let changes = people.changes.values().sum::<usize>();
    let endings: Vec<_> = victims.iter().flat_map(|victim| &victim.endings).collect();
    eprintln!(
        "{changes} changes of {} users in {shaken:.0?}: {:?}\n{} faults: {kinds:?}\n\
         all caught up {caught_up:.1?} later; dead letters by reason, replayed: {letters:?}\n\
         processes that ended by themselves: {endings:#?}\nset up in {set_up:.0?}",
        people.number(),
        people.changes,
        history.len(),
    );

    people.agree().expect("they agree in the end, when nothing is on the way");
    let redeliveries: Vec<_> = history
        .iter()
        .filter(|happened| happened.fault.redelivers())
        .map(|happened| happened.began..happened.ended + AFTERMATH)
        .collect();
    let (writes, repeats) = people.check_order(&redeliveries);
    assert_eq!(victims[0].count(UNWRITTEN), unwritten, "the journal goes on after a full disk");
    let left = verdict::waiting(&rabbit, &vhost).await;
    assert!(left.is_empty(), "nothing is in a queue, nor was it on the way: {left:?}");
    verdict::nothing_is_left(&disk);
    verdict::explained(&endings);
    let service = samba.service_account().await;
    let secrets = [
        people::PASSWORDS,
        &service.password,
        crate::support::rabbit::PASSWORD,
        &graph.options().client_secret,
    ];
    let folders = setups.iter().map(Setup::folder).chain([rabbit.folder(), disk.folder()]);
    let searched = verdict::no_secret_is_in(folders, &secrets);
    eprintln!("{writes} writes, {repeats} of them repeats; no secret in {searched} bytes");
}

/// The network between the parts, in the order of [`WAYS`].
async fn ways(samba: &Samba, vhost: &Vhost, graph: &SandboxGraph) -> [Proxy; WAYS.len()] {
    let graph = graph.authority();
    let (_, graph) = graph.split_once("//").unwrap();
    let graph = graph.parse().unwrap();
    let broker = vhost.address();
    // The directory's certificate names its address.
    let ip = samba.ldaps().ip();
    let way = |server| Proxy::start(ip, server);
    [
        way(samba.ldaps()).await,
        way(broker).await,
        way(broker).await,
        way(broker).await,
        way(graph).await,
        way(graph).await,
    ]
}

/// A fault that was.
struct Happened {
    fault: Fault,
    began: Instant,
    ended: Instant,
}

/// A fault, how long it lasts and the rest before it.
fn drawn(
    random: &mut StdRng,
    longest: Duration,
    of: fn(&mut StdRng) -> Fault,
) -> (Fault, Duration, Duration) {
    let fault = of(random);
    // Most are short.
    let share: f64 = random.random();
    let rest = Duration::from_millis(random.random_range(0..MOST_REST_MS));
    (fault, longest.mul_f64(share.powi(2)), rest)
}

/// The processes, and what they stand on.
struct Parts<'a, 'setup> {
    victims: &'a mut [Victim<'setup>; 3],
    rabbit: &'a mut Rabbit,
    samba: &'a mut Samba,
    admin: &'a Mutex<Admin>,
    disk: &'a Disk,
}

impl Parts<'_, '_> {
    async fn fail_until(
        mut self,
        end: Instant,
        longest: Duration,
        mut random: StdRng,
    ) -> Vec<Happened> {
        let mut history = Vec::new();
        loop {
            let (fault, lasts, rest) = drawn(&mut random, longest, Fault::of_part);
            self.tend_for(rest).await;
            if Instant::now() >= end {
                return history;
            }
            let began = Instant::now();
            self.fail(&fault, lasts).await;
            history.push(Happened { fault, began, ended: Instant::now() });
        }
    }

    async fn fail(&mut self, fault: &Fault, lasts: Duration) {
        match fault {
            // As a supervisor does, it is started again at once.
            Fault::Kill(Part::Relay(index)) => self.victims[*index].kill(),
            Fault::Freeze(Part::Relay(index)) => {
                self.victims[*index].freeze();
                sleep(lasts).await;
                self.victims[*index].thaw();
            }
            Fault::Kill(Part::Broker) => {
                self.rabbit.kill();
                self.tend_for(lasts).await;
                self.rabbit.restart().await;
            }
            Fault::Freeze(Part::Broker) => {
                self.rabbit.freeze();
                self.tend_for(lasts).await;
                self.rabbit.thaw();
            }
            Fault::Kill(Part::Directory) => {
                let mut admin = self.admin.lock().await;
                self.samba.kill().await;
                sleep(lasts).await;
                self.samba.restart().await;
                *admin = self.samba.admin().await;
            }
            Fault::Freeze(Part::Directory) => {
                let _nobody_changes_it = self.admin.lock().await;
                self.samba.freeze();
                sleep(lasts).await;
                self.samba.thaw();
            }
            Fault::FullDisk => {
                self.disk.fill();
                self.tend_for(lasts).await;
                self.disk.free();
            }
            other => unreachable!("{other:?} is no fault of a part"),
        }
    }

    /// Waits, and starts again whoever ends.
    async fn tend_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.victims.iter_mut().for_each(Victim::tend);
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Networks, Graph and clocks.
struct Surroundings<'a> {
    ways: &'a [Proxy; WAYS.len()],
    graph: &'a SandboxGraph,
    setups: &'a [Setup; 3],
}

impl Surroundings<'_> {
    async fn fail_until(
        self,
        end: Instant,
        longest: Duration,
        mut random: StdRng,
    ) -> Vec<Happened> {
        let mut history = Vec::new();
        loop {
            let (fault, lasts, rest) = drawn(&mut random, longest, Fault::of_surroundings);
            sleep(rest).await;
            if Instant::now() >= end {
                return history;
            }
            let began = Instant::now();
            self.set(&fault);
            sleep(lasts).await;
            self.mend(&fault);
            history.push(Happened { fault, began, ended: Instant::now() });
        }
    }

    fn set(&self, fault: &Fault) {
        match fault {
            Fault::Way(way, network) => self.ways[*way].set(*network),
            Fault::Graph(_, faults) => self.graph.faults().set(|set| *set = faults.clone()),
            Fault::Clock(whose, seconds) => Victim::turn_clock(&self.setups[*whose], *seconds),
            Fault::ExpiredTokens => self.graph.expire_tokens(),
            other => unreachable!("{other:?} is no fault of the surroundings"),
        }
        // A token that is good would hide that there is no new one.
        if matches!(fault, Fault::Graph(_, FaultSet { token_down: true, .. })) {
            self.graph.expire_tokens();
        }
    }

    fn mend(&self, fault: &Fault) {
        match fault {
            Fault::Way(way, _) => self.ways[*way].set(Network::Whole),
            Fault::Clock(whose, _) => Victim::turn_clock(&self.setups[*whose], 0),
            _ => self.graph.faults().clear(),
        }
    }
}
