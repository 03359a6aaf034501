//! Graph or the broker goes away while changes go on: it is seen, waited for, and over.
//!
//! `RELAY_FREEZE_SECONDS` makes the broker's silence longer.

use std::time::Duration;

use entra_relay::sandbox::graph::FaultSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::support::rabbit::Rabbit;
use crate::support::relay::Relay;
use crate::support::samba::{Admin, User};
use crate::support::scale::scale;
use crate::support::site::Site;
use crate::support::wait::{eventually, eventually_within};

const PAUSED: &str = "relay_graph_paused";
const CONNECTED: &str = "relay_broker_connected";
/// Eight tries of one event, with the waits between them.
const GIVING_UP: Duration = Duration::from_secs(180);
/// What both halves wait between their tries to connect, at the most, and what a try takes.
const RECONNECTING: Duration = Duration::from_secs(120);
/// The share of memory at which RabbitMQ takes no more messages: at once, and its default.
const WATERMARKS: [&str; 2] = ["0.00001", "0.4"];

/// A user on both sides, and someone who changes it.
struct Scene<'a> {
    site: &'a Site,
    admin: Admin,
    user: User,
    twin: Uuid,
}

impl<'a> Scene<'a> {
    async fn new(site: &'a Site, name: &str) -> Scene<'a> {
        let (user, twin) = site.add_user(name, true).await;
        Scene { site, admin: site.samba.admin().await, user, twin }
    }

    /// Disables or enables the account in the directory, and does not wait.
    async fn set_enabled(&mut self, enabled: bool) {
        match enabled {
            true => self.admin.enable(&self.user).await,
            false => self.admin.disable(&self.user).await,
        }
    }

    async fn set_title(&mut self, title: &str) {
        self.admin.replace(&self.user, "title", &[title]).await;
    }

    fn has_title(&self, title: &str) -> bool {
        self.site.graph.user(self.twin).unwrap().get("jobTitle") == title
    }

    /// Waits until Graph has this state of the account and this title.
    async fn arrived(&self, enabled: bool, title: &str) {
        eventually_within(RECONNECTING, &format!("{enabled} and {title:?} arrive"), async || {
            let there = self.site.graph.user(self.twin).unwrap().account_enabled();
            there == enabled && self.has_title(title)
        })
        .await;
    }
}

async fn shows(relay: &Relay<'_>, metric: &str, value: f64) {
    let what = format!("{metric} is {value}");
    eventually(&what, async || relay.metric(metric).await == Some(value)).await;
}

#[tokio::test]
async fn graph_is_waited_for_however_it_fails() {
    let site = Site::new(Rabbit::shared().await).await;
    let mut alice = Scene::new(&site, "alice").await;
    let mut bob = Scene::new(&site, "bob").await;
    let (_watch, apply) = site.start().await;
    let none = FaultSet::default();
    let outages = [
        ("down", FaultSet { down: true, ..none.clone() }),
        ("reset", FaultSet { reset: true, ..none.clone() }),
        ("token_down", FaultSet { token_down: true, ..none }),
    ];
    let mut enabled = true;
    for (name, outage) in outages {
        site.graph.faults().set(|faults| *faults = outage);
        site.graph.expire_tokens();
        enabled = !enabled;
        alice.set_enabled(enabled).await;
        shows(&apply, PAUSED, 1.0).await;
        // What comes meanwhile waits too, in its order.
        for step in 1..=3 {
            alice.set_title(&format!("{name} {step}")).await;
            bob.set_title(&format!("{name} {step}")).await;
            bob.set_enabled(step % 2 == 0).await;
        }
        site.graph.faults().clear();
        alice.arrived(enabled, &format!("{name} 3")).await;
        bob.arrived(false, &format!("{name} 3")).await;
        shows(&apply, PAUSED, 0.0).await;
        bob.set_enabled(true).await;
        site.enabled(bob.twin, true).await;
    }
    assert_eq!(site.dead_letters().await, 0);
    assert!(apply.output().contains("graph is available again"), "{}", apply.output());
}

#[tokio::test]
async fn a_user_that_always_fails_stops_nobody_else() {
    let site = Site::new(Rabbit::shared().await).await;
    let mut alice = Scene::new(&site, "alice").await;
    let mut bob = Scene::new(&site, "bob").await;
    let (_watch, apply) = site.start().await;

    site.graph.faults().fail_user(alice.twin, Some(500));
    alice.set_enabled(false).await;
    eventually("the failing request is tried", async || {
        site.requests(alice.twin).iter().any(|request| request.status == Some(500))
    })
    .await;
    bob.set_title("Lead").await;
    for enabled in [false, true, false] {
        bob.set_enabled(enabled).await;
        site.enabled(bob.twin, enabled).await;
    }
    bob.arrived(false, "Lead").await;
    assert_eq!(apply.metric(PAUSED).await, Some(0.0), "for Graph is there");

    let given_up = "relay_dead_lettered_total{reason=\"graph_error\"}";
    eventually_within(GIVING_UP, "the event becomes a dead letter", async || {
        apply.metric(given_up).await == Some(1.0)
    })
    .await;
    assert_eq!(site.dead_letters().await, 1);
    site.graph.faults().fail_user(alice.twin, None);
    alice.set_title("Again").await;
    alice.arrived(true, "Again").await;
}

#[tokio::test]
async fn a_broker_that_is_silent_full_or_gone_is_waited_for() {
    let mut rabbit = Rabbit::start().await;
    let site = Site::new(&rabbit).await;
    let mut alice = Scene::new(&site, "alice").await;
    let (watch, mut apply) = site.start().await;

    silence(&rabbit, &mut alice, [&watch, &apply]).await;
    alarm(&rabbit, &mut alice, &watch, &mut apply).await;
    restart(&mut rabbit, &mut alice, [&watch, &apply]).await;
    assert_eq!(site.dead_letters().await, 0);
}

/// The broker stops in its tracks, for longer than heartbeats may be missing.
async fn silence(rabbit: &Rabbit, alice: &mut Scene<'_>, both: [&Relay<'_>; 2]) {
    let seconds = scale("FREEZE_SECONDS", 0);
    let frozen = Instant::now();
    rabbit.freeze();
    alice.set_title("Silence").await;
    alice.set_enabled(false).await;
    for relay in both {
        shows(relay, CONNECTED, 0.0).await;
    }
    tokio::time::sleep_until(frozen + Duration::from_secs(seconds)).await;
    assert!(!alice.has_title("Silence"), "the broker was not frozen");
    rabbit.thaw();
    alice.arrived(false, "Silence").await;
    for relay in both {
        eventually("the process is connected", async || {
            relay.metric(CONNECTED).await.is_some_and(|connected| connected >= 1.0)
        })
        .await;
    }
}

/// The broker takes nothing more, but hands out what it has.
async fn alarm<'a>(
    rabbit: &Rabbit,
    alice: &mut Scene<'a>,
    watch: &Relay<'_>,
    apply: &mut Relay<'a>,
) {
    let [alarm, no_alarm] = WATERMARKS;
    let enabled = "relay_events_published_total{type=\"account.enabled\"}";
    apply.kill();
    alice.set_enabled(true).await;
    shows(watch, enabled, 1.0).await;

    rabbit.ctl(&["set_vm_memory_high_watermark", alarm]).await;
    alice.set_title("Alarm").await;
    watch.logged("the broker blocks this connection").await;
    watch.logged("not published yet").await;
    *apply = alice.site.apply.start(&["apply"]);
    alice.site.enabled(alice.twin, true).await;
    assert!(!alice.has_title("Alarm"), "the broker was not blocked");

    rabbit.ctl(&["set_vm_memory_high_watermark", no_alarm]).await;
    watch.logged("the broker accepts messages again").await;
    alice.arrived(true, "Alarm").await;
}

/// The broker is killed and started again.
async fn restart(rabbit: &mut Rabbit, alice: &mut Scene<'_>, both: [&Relay<'_>; 2]) {
    rabbit.flush().await;
    rabbit.kill();
    for relay in both {
        shows(relay, CONNECTED, 0.0).await;
    }
    alice.set_title("Restart").await;
    alice.set_enabled(false).await;
    for relay in both {
        relay.logged("Connection refused").await;
    }
    rabbit.restart().await;
    alice.arrived(false, "Restart").await;
}

#[tokio::test]
async fn deleted_queues_are_reported_and_made_again() {
    let site = Site::new(Rabbit::shared().await).await;
    let mut alice = Scene::new(&site, "alice").await;
    let (watch, mut apply) = site.start().await;
    let administrator = site.vhost.connect().await.unwrap();
    let delete_lanes = async || {
        let channel = administrator.create_channel().await.unwrap();
        for queue in ["urgent", "bulk"] {
            for partition in 0..4 {
                let name = format!("relay.{queue}.{partition}");
                channel.queue_delete(name.into(), Default::default()).await.unwrap();
            }
        }
    };

    delete_lanes().await;
    for lane in ["urgent", "bulk"] {
        apply.logged(&format!("the broker ended the delivery from relay.{lane}.")).await;
    }
    alice.set_enabled(false).await;
    alice.set_title("One").await;
    alice.arrived(false, "One").await;

    // Only the watcher is left to notice.
    apply.kill();
    delete_lanes().await;
    alice.set_enabled(true).await;
    watch.logged("a queue is gone, with what was in it; it is declared again").await;
    alice.set_title("Two").await;
    apply = site.apply.start(&["apply"]);
    alice.arrived(true, "Two").await;
    drop(apply);
    assert_eq!(site.dead_letters().await, 0);
}

#[tokio::test]
async fn a_second_watcher_waits_and_takes_over() {
    let site = Site::new(Rabbit::shared().await).await;
    let mut alice = Scene::new(&site, "alice").await;
    let second = site.second_watcher().await;
    let (mut first, _apply) = site.start().await;
    let mut standby = second.start(&["watch"]);
    eventually("the second says what it waits for", async || match standby.get("/readyz").await {
        Ok((503, body)) if body.contains("standby: another watcher is active") => Ok(()),
        Ok((status, body)) => Err(format!("{status} {body}")),
        Err(error) => Err(error.to_string()),
    })
    .await;
    alice.set_enabled(false).await;
    site.enabled(alice.twin, false).await;
    assert!(!standby.output().contains("change observed"), "{}", standby.output());

    first.kill();
    standby.ready().await;
    alice.set_enabled(true).await;
    site.enabled(alice.twin, true).await;
    alice.set_title("Taken over").await;
    alice.arrived(true, "Taken over").await;
}
