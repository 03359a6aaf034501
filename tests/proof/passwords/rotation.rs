//! Passwords change while consumers die and the key that passwords are sealed to is changed.
//! `RELAY_PASSWORD_CHANGES=1000` is the full measure.

use std::fs;
use std::time::{Duration, Instant};

use entra_relay::sandbox::graph::NewUser;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use super::Site;
use crate::support::relay::{Relay, Setup};
use crate::support::samba::{Admin, BASE_DN, Samba, User};
use crate::support::scale::scale;
use crate::support::wait::eventually_within;

const USERS: usize = 12;
const CATCHING_UP: Duration = Duration::from_secs(180);
/// A kill comes so long after the changes of a round have begun, at the most.
const MOST_HESITATION_MS: u64 = 1000;

struct People {
    admin: Admin,
    users: Vec<(User, Uuid, String)>,
    random: StdRng,
    changes: usize,
}

impl People {
    async fn change(&mut self, times: usize) {
        for _ in 0..times {
            self.changes += 1;
            let (user, _, password) = &mut self.users[self.random.random_range(0..USERS)];
            *password = format!("Ch4nge-Passw0rd-{}", self.changes);
            self.admin.set_password(user, password).await;
        }
    }

    async fn agree(&self, site: &Site) {
        eventually_within(CATCHING_UP, "everybody has the newest password", async || {
            let behind = |(user, twin, password): &&(User, Uuid, String)| {
                let known = site.graph.user(*twin).unwrap();
                (known.password() != Some(password)).then_some(())?;
                Some(format!("{}: {:?}, not {password}", user.name, known.password()))
            };
            let behind: Vec<_> = self.users.iter().filter_map(|user| behind(&user)).collect();
            if behind.is_empty() { Ok(()) } else { Err(behind.join("; ")) }
        })
        .await;
    }
}

/// Kills a consumer in the middle of anything, and starts one in its place.
async fn replace<'a>(dying: &mut Relay<'a>, next: &'a Setup, after: Duration) {
    tokio::time::sleep(after).await;
    dying.kill();
    *dying = next.start(&["apply"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_password_wins_while_consumers_die_and_keys_rotate() {
    let changes: usize = scale("PASSWORD_CHANGES", 60);
    let site = Site::new().await;
    site.keygen("next").await;
    let script = site.hook("check-password", &site.socket(), "").display().to_string();
    let samba = Samba::start_with(&[("check password script", script)]).await;
    let watch = site.watch(&samba, &site.socket()).await;
    // The first key; then both; then the next one alone.
    let stages = [&["keys"][..], &["keys", "next"], &["next"]]
        .map(|keys| [site.apply(keys), site.apply(keys)]);
    let mut watcher = watch.start(&["watch"]);
    let mut consumers = [0, 1].map(|number| stages[0][number].start(&["apply"]));
    watcher.ready().await;
    let mut people = People {
        admin: samba.admin().await,
        users: Vec::new(),
        random: StdRng::seed_from_u64(scale("PASSWORD_SEED", rand::random())),
        changes: 0,
    };
    for number in 0..USERS {
        let name = format!("user{number}");
        let user = people.admin.add_user(&format!("CN=Users,{BASE_DN}"), &name).await;
        let twin = site.graph.add_user(NewUser::new(&user.upn));
        people.users.push((user, twin, "F1rst-Passw0rd".into()));
    }

    let started = Instant::now();
    let rounds = [0, 0, 1, 1, 1, 1, 2, 2];
    for (round, stage) in rounds.into_iter().enumerate() {
        if round == 4 {
            // Both consumers have the next key.
            fs::rename(site.at("next/sealing.pub"), site.at("keys/sealing.pub")).unwrap();
        }
        if stage == 2 && rounds[round - 1] == 1 {
            people.agree(&site).await;
        }
        let number = round % 2;
        let after = Duration::from_millis(people.random.random_range(0..MOST_HESITATION_MS));
        let times = changes * (round + 1) / rounds.len() - changes * round / rounds.len();
        let killed = replace(&mut consumers[number], &stages[stage][number], after);
        tokio::join!(people.change(times), killed);
    }
    let changed = started.elapsed();
    people.agree(&site).await;
    eprintln!(
        "{changes} changes of {USERS} passwords in {changed:.0?}, all caught up {:.1?} later",
        started.elapsed() - changed,
    );
    assert_eq!(site.vhost.waiting("relay.dead-letters").await.unwrap(), 0);
    let lost = watcher.metric("relay_passwords_total{outcome=\"unconfirmed\"}").await;
    assert_eq!(lost, Some(0.0));
    let setups: Vec<_> = stages.iter().flatten().chain([&watch]).collect();
    site.assert_nowhere(&["Ch4nge-", "F1rst-Passw0rd"], &setups);
}
