//! Directories that are not Active Directory: 389 Directory Server by persistent search, OpenLDAP by
//! content synchronization.

use std::net::Ipv4Addr;

use entra_relay::sandbox::graph::{NewUser, Options, SandboxGraph};
use serde_json::json;
use uuid::Uuid;

use crate::support::dirsrv::Dirsrv;
use crate::support::people::{Admin, follow};
use crate::support::relay::{Relay, Setup};
use crate::support::slapd::Slapd;
use crate::support::wait::eventually;

/// How an administrator locks an account, and how that is taken back.
struct Lock {
    attribute: &'static str,
    value: &'static str,
}

/// A tenant, and the relay's settings between it and a directory.
struct Between {
    graph: SandboxGraph,
    setup: Setup,
}

impl Between {
    async fn new(source: &str, ip: Ipv4Addr) -> Between {
        let graph = SandboxGraph::start(Options::default()).await.unwrap();
        let setup = follow(Setup::new(), source, ip)
            .graph(&graph)
            .set("broker.kind", "embedded")
            .set("apply.attributes", json!({ "jobTitle": "title" }));
        Between { graph, setup }
    }

    /// Adds a person to both sides.
    async fn add(&self, admin: &mut Admin, name: &str) -> Uuid {
        let mail = admin.add_person(name).await;
        self.graph.add_user(NewUser::new(&mail))
    }

    async fn start(&self) -> Relay<'_> {
        let mut relay = self.setup.start(&["run"]);
        relay.ready().await;
        relay
    }

    async fn enabled(&self, twin: Uuid, enabled: bool) {
        let what = format!("Graph has accountEnabled = {enabled}");
        eventually(&what, async || self.graph.user(twin).unwrap().account_enabled() == enabled)
            .await;
    }
}

#[tokio::test]
async fn changes_in_389_directory_server_reach_graph() {
    let mut server = Dirsrv::start().await;
    let lock = Lock { attribute: "nsAccountLock", value: "TRUE" };
    let between = Between::new("persistent-search", server.ip()).await;
    let mut admin = server.admin().await;
    let [alice, bob, carol, dave] = people(&between, &mut admin).await;
    {
        let mut relay = between.start().await;
        every_kind_of_change_arrives(&between, &relay, &mut admin, &lock, alice).await;

        server.kill();
        relay.logged("the watcher waits and tries again").await;
        server.restart();
        admin = server.admin().await;
        admin.replace("bob", lock.attribute, &[lock.value]).await;
        between.enabled(bob, false).await;
        assert!(relay.terminate().await.success());
    }
    // What happens while nobody listens is found by comparison, even what no search ever tells.
    admin.replace("carol", lock.attribute, &[lock.value]).await;
    admin.take_login_name("dave").await;
    let relay = between.start().await;
    between.enabled(carol, false).await;
    between.enabled(dave, false).await;
    let published = "relay_events_published_total{type=\"account.disabled\"}";
    assert_eq!(relay.metric(published).await, Some(1.0), "only what changed is told");
}

#[tokio::test]
async fn changes_in_openldap_reach_graph() {
    let mut server = Slapd::start().await;
    let lock = Lock { attribute: "pwdAccountLockedTime", value: "000001010000Z" };
    let between = Between::new("syncrepl", server.ip()).await;
    let mut admin = server.admin().await;
    let [alice, bob, carol, dave] = people(&between, &mut admin).await;
    {
        let mut relay = between.start().await;
        every_kind_of_change_arrives(&between, &relay, &mut admin, &lock, alice).await;
        // Unlike a persistent search, this one tells who leaves.
        admin.take_login_name("dave").await;
        between.enabled(dave, false).await;
        assert!(relay.terminate().await.success());
    }
    // The cookie says from where on.
    let mut relay = between.start().await;
    assert_eq!(relay.output().matches("read the whole directory").count(), 1);
    relay.kill();
    admin.replace("bob", lock.attribute, &[lock.value]).await;
    let mut relay = between.start().await;
    between.enabled(bob, false).await;
    assert_eq!(relay.output().matches("read the whole directory").count(), 1);
    relay.kill();

    // A server that was restarted no longer knows what was deleted.
    admin.delete("carol").await;
    server.kill();
    server.restart();
    drop(server.admin().await);
    let relay = between.start().await;
    between.enabled(carol, false).await;
    relay.logged("read and compared everything").await;
}

#[tokio::test]
async fn a_client_certificate_lets_the_relay_in() {
    let server = Slapd::start().await;
    let files = server.certificate();
    let bare = Between::new("syncrepl", server.ip()).await;
    let Between { graph, setup } = bare;
    let setup = setup
        .set("directory.urls", [format!("ldaps://{}", server.ip())])
        .set("directory.bind", json!({ "method": "external" }))
        .set("directory.tls.ca_file", &files.ca)
        .set("directory.tls.client_certificate_file", &files.client_certificate)
        .set("directory.tls.private_key_file", &files.client_key);
    let between = Between { graph, setup };
    let mut admin = server.admin().await;
    let alice = between.add(&mut admin, "alice").await;
    let _relay = between.start().await;
    admin.delete("alice").await;
    between.enabled(alice, false).await;
}

async fn people(between: &Between, admin: &mut Admin) -> [Uuid; 4] {
    [
        between.add(admin, "alice").await,
        between.add(admin, "bob").await,
        between.add(admin, "carol").await,
        between.add(admin, "dave").await,
    ]
}

/// Lock, unlock, modify, add, password, delete.
async fn every_kind_of_change_arrives(
    between: &Between,
    relay: &Relay<'_>,
    admin: &mut Admin,
    lock: &Lock,
    alice: Uuid,
) {
    admin.replace("alice", lock.attribute, &[lock.value]).await;
    between.enabled(alice, false).await;
    admin.replace("alice", lock.attribute, &[]).await;
    between.enabled(alice, true).await;

    admin.replace("alice", "title", &["Lead"]).await;
    eventually("the title arrives", async || {
        between.graph.user(alice).unwrap().get("jobTitle") == "Lead"
    })
    .await;

    let erin = between.add(admin, "erin").await;
    let created = "relay_events_published_total{type=\"user.created\"}";
    eventually("an added person is told", async || relay.metric(created).await == Some(1.0)).await;
    admin.replace("erin", lock.attribute, &[lock.value]).await;
    between.enabled(erin, false).await;

    admin.delete("alice").await;
    between.enabled(alice, false).await;
}
