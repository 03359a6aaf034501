//! Everything dies at random, again and again, while users change. Nothing is lost, and nobody's
//! changes arrive out of order.
//!
//! By default every kind of fault comes often enough, and it ends within three minutes on two cores
//! that are busy otherwise. The environment scales it; the full measure is
//! `RELAY_CHAOS_CHANGES=2000 RELAY_CHAOS_KILLS=50 RELAY_CHAOS_RESTARTS=3`. `RELAY_CHAOS_SEED`, which
//! every run prints, repeats its changes and kills.

mod history;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use entra_relay::sandbox::graph::Options;
use history::{Fault, History, Write};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use uuid::Uuid;

use crate::support::rabbit::Rabbit;
use crate::support::relay::{Relay, Setup};
use crate::support::samba::{Admin, User};
use crate::support::scale::scale;
use crate::support::site::Site;
use crate::support::wait::eventually_within;

const USERS: usize = 300;
/// The most changes of one user in a row.
const MOST_IN_A_ROW: usize = 6;
/// A kill comes so long after it was decided on, at the most: in the middle of anything.
const MOST_HESITATION_MS: u64 = 300;
/// So long after a kill, requests of the killed process may still take effect.
const AFTERMATH: Duration = Duration::from_secs(2);
/// What Graph takes for an answer, so that a kill finds work in hand.
const LATENCY: Duration = Duration::from_millis(50);
/// For what waits in the queue after the last fault, and for reconnecting.
const CATCHING_UP: Duration = Duration::from_secs(180);

const STATE: &str = "accountEnabled";
/// Mapped properties, and the attributes they come from.
const MAPPED: [(&str, &str); 2] = [("jobTitle", "title"), ("mobilePhone", "mobile")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_reordered_while_everything_dies() {
    let started = Instant::now();
    let seed = scale("CHAOS_SEED", rand::random());
    let changes: usize = scale("CHAOS_CHANGES", 800);
    let kills: usize = scale("CHAOS_KILLS", 20);
    let restarts: usize = scale("CHAOS_RESTARTS", 2);
    eprintln!("RELAY_CHAOS_SEED={seed}: {changes} changes, {kills} kills, {restarts} restarts");

    let mut rabbit = Rabbit::start().await;
    let options = Options { latency: LATENCY, log_limit: 1_000_000, ..Options::default() };
    let site = Site::with(&rabbit, options).await;
    let second = site.second_consumer();
    let mut random = StdRng::seed_from_u64(seed);
    let mut people = People::new(&site, StdRng::seed_from_u64(random.random())).await;
    let mut victims = [
        Victim::start(&site.watch, "watch"),
        Victim::start(&site.apply, "apply"),
        Victim::start(&second, "apply"),
    ];
    for victim in &mut victims {
        victim.running.ready().await;
    }

    let set_up = started.elapsed();
    let started = Instant::now();
    let mut faults = Vec::new();
    let mut gently = true;
    for round in 0..kills {
        let due = |of: usize| (round + 1) * of / kills - round * of / kills;
        let victim = random.random_range(0..victims.len());
        let hesitation = Duration::from_millis(random.random_range(0..MOST_HESITATION_MS));
        let kill = victims[victim].die_and_rise(hesitation);
        let ((), fault) = tokio::join!(people.change(due(changes)), kill);
        faults.push(fault);
        for _ in 0..due(restarts) {
            // By force and in order, in turn; meanwhile the directory goes on.
            gently = !gently;
            let ((), fault) =
                tokio::join!(people.change(MOST_IN_A_ROW), restart(&mut rabbit, gently));
            faults.push(fault);
        }
    }
    for victim in &mut victims {
        victim.running.ready().await;
    }
    let shaken = started.elapsed();

    let agree = async || people.agree(&site);
    eventually_within(CATCHING_UP, "directory and Graph agree", agree).await;
    eventually_within(CATCHING_UP, "the queues are empty", async || {
        let held = rabbit.messages(&site.vhost).await;
        let held: Vec<_> = held.into_iter().filter(|(_, messages)| *messages > 0).collect();
        if held.is_empty() { Ok(()) } else { Err(format!("{held:?}")) }
    })
    .await;
    people.agree(&site).expect("they agree in the end, when nothing is on the way");
    let (writes, repeats) = people.check_order(&site, &faults);
    eprintln!(
        "{} changes of {USERS} users and {} faults in {shaken:.0?}, all caught up {:.1?} later; \
         {writes} writes, {repeats} of them repeats; set up in {set_up:.0?}",
        people.changes,
        faults.len(),
        started.elapsed() - shaken,
    );
}

/// A process that is killed and started again.
struct Victim<'a> {
    setup: &'a Setup,
    role: &'static str,
    running: Relay<'a>,
}

impl<'a> Victim<'a> {
    fn start(setup: &'a Setup, role: &'static str) -> Victim<'a> {
        Victim { setup, role, running: setup.start(&[role]) }
    }

    /// Kills it once it works, and starts it again at once.
    async fn die_and_rise(&mut self, hesitation: Duration) -> Fault {
        self.running.ready().await;
        tokio::time::sleep(hesitation).await;
        let killed = Instant::now();
        self.running.kill();
        self.running = self.setup.start(&[self.role]);
        killed..Instant::now() + AFTERMATH
    }
}

async fn restart(rabbit: &mut Rabbit, gently: bool) -> Fault {
    rabbit.flush().await;
    let stopped = Instant::now();
    if gently {
        rabbit.stop().await;
    } else {
        rabbit.kill();
    }
    rabbit.restart().await;
    stopped..Instant::now() + AFTERMATH
}

/// Someone in the directory, and what became of them there.
struct Person {
    user: User,
    twin: Uuid,
    histories: BTreeMap<&'static str, History>,
    password_set: Option<Instant>,
}

struct People {
    admin: Admin,
    everyone: Vec<Person>,
    random: StdRng,
    changes: usize,
}

impl People {
    async fn new(site: &Site, random: StdRng) -> People {
        let mut admin = site.samba.admin().await;
        let mut everyone = Vec::new();
        for number in 0..USERS {
            let (name, linked) = (format!("user{number:03}"), number % 2 == 0);
            let (user, twin) = site.add_user_as(&mut admin, &name, linked).await;
            let mut histories = BTreeMap::from([(STATE, History::new(Value::Bool(true)))]);
            histories.extend(MAPPED.map(|(property, _)| (property, History::new(Value::Null))));
            everyone.push(Person { user, twin, histories, password_set: None });
        }
        People { admin, everyone, random, changes: 0 }
    }

    /// Changes that many things, some in a row of one user.
    async fn change(&mut self, mut number: usize) {
        while number > 0 {
            let person = self.random.random_range(0..self.everyone.len());
            let in_a_row = self.random.random_range(1..=MOST_IN_A_ROW).min(number);
            for _ in 0..in_a_row {
                self.change_one(person).await;
            }
            number -= in_a_row;
        }
    }

    async fn change_one(&mut self, person: usize) {
        self.changes += 1;
        let unique = self.changes;
        let Person { user, histories, password_set, .. } = &mut self.everyone[person];
        match self.random.random_range(0..10) {
            0..5 => {
                let state = histories.get_mut(STATE).unwrap();
                let enabled = *state.last() != true;
                // Written without being read before: that spares the server half of the work.
                let control = if enabled { "512" } else { "514" };
                self.admin.replace(user, "userAccountControl", &[control]).await;
                state.push(enabled.into());
            }
            kind @ 5..9 => {
                let (property, attribute) = MAPPED[kind % MAPPED.len()];
                let value = format!("+{unique}");
                self.admin.replace(user, attribute, &[&value]).await;
                histories.get_mut(property).unwrap().push(value.into());
            }
            _ => {
                *password_set = Some(Instant::now());
                self.admin.set_password(user, &format!("Chang3d-Passw0rd-{unique}")).await;
            }
        }
    }

    /// Whether Graph is as the directory: states, attributes, and sessions revoked after the
    /// last new password.
    fn agree(&self, site: &Site) -> Result<(), String> {
        let log = site.graph.log();
        let mut revoked = BTreeMap::new();
        for request in log.iter().filter(|request| request.path.ends_with("/revokeSignInSessions"))
        {
            revoked.insert(request.user, request.at);
        }
        for Person { user, twin, histories, password_set } in &self.everyone {
            let cloud = site.graph.user(*twin).unwrap();
            for (property, history) in histories {
                let (there, here) = (cloud.get(property), history.last());
                if there != *here {
                    return Err(format!("{property} of {} is {there}, not {here}", user.name));
                }
            }
            if password_set.is_some_and(|set| revoked.get(&Some(*twin)).is_none_or(|at| *at < set))
            {
                return Err(format!("{} still has its old sessions", user.name));
            }
        }
        Ok(())
    }

    /// Checks everybody's order. Returns how many writes there were, and how many of them were
    /// repeats.
    fn check_order(&self, site: &Site, faults: &[Fault]) -> (usize, usize) {
        let mut writes: BTreeMap<(Uuid, &str), Vec<Write>> = BTreeMap::new();
        for request in site.graph.log().iter().filter(|request| request.method == "PATCH") {
            let accepted = request.status.is_none_or(|status| status < 300);
            let Some((twin, body)) = request.user.zip(request.body.json()) else { continue };
            for property in [STATE].into_iter().chain(MAPPED.map(|(property, _)| property)) {
                if let Some(value) = body.get(property).filter(|_| accepted) {
                    let write = Write { at: request.at, value: value.clone() };
                    writes.entry((twin, property)).or_default().push(write);
                }
            }
        }
        let mut repeats = 0;
        for Person { user, twin, histories, .. } in &self.everyone {
            for (property, history) in histories {
                let writes = writes.get(&(*twin, *property)).map_or(&[][..], Vec::as_slice);
                let checked = history.check(writes, faults);
                repeats +=
                    checked.unwrap_or_else(|why| panic!("{property} of {}: {why}", user.name));
            }
        }
        (writes.values().map(Vec::len).sum(), repeats)
    }
}
