//! From a change in a real Active Directory, over a real RabbitMQ, to Graph.

use crate::support::rabbit::Rabbit;
use crate::support::relay::Setup;
use crate::support::samba::Samba;
use crate::support::site::Site;
use crate::support::wait::eventually;

#[tokio::test]
async fn every_kind_of_change_arrives() {
    let site = Site::new(Rabbit::shared().await).await;
    let (alice, alice_twin) = site.add_user("alice", true).await;
    let (bob, bob_twin) = site.add_user("bob", false).await;
    let (mut watch, mut apply) = site.start().await;
    let mut admin = site.samba.admin().await;

    for (user, twin) in [(&alice, alice_twin), (&bob, bob_twin)] {
        admin.disable(user).await;
        site.enabled(twin, false).await;
        eventually("the block is read back after sessions were revoked", async || {
            let requests = site.requests(twin);
            let block = requests.iter().position(|r| r.method == "PATCH");
            let after = &requests[block.unwrap_or(requests.len())..];
            after.iter().any(|r| r.path.ends_with("/revokeSignInSessions"))
                && after.iter().any(|r| r.method == "GET")
        })
        .await;
        admin.enable(user).await;
        site.enabled(twin, true).await;
    }

    let revoked = site.revocations(alice_twin);
    admin.set_password(&alice, "An0ther-Passw0rd").await;
    eventually("a password change revokes sessions", async || {
        site.revocations(alice_twin) == revoked + 1
    })
    .await;

    admin.replace(&alice, "title", &["Lead"]).await;
    eventually("the title arrives", async || {
        site.graph.user(alice_twin).unwrap().get("jobTitle") == "Lead"
    })
    .await;
    admin.replace(&alice, "title", &[]).await;
    eventually("a cleared title arrives", async || {
        site.graph.user(alice_twin).unwrap().get("jobTitle").is_null()
    })
    .await;

    admin.delete(&bob).await;
    site.enabled(bob_twin, false).await;

    for line in [
        "relay_events_settled_total{outcome=\"applied\",type=\"account.disabled\"} 2",
        "relay_events_settled_total{outcome=\"applied\",type=\"user.deleted\"} 1",
        "relay_dead_lettered_total{reason=\"user_not_found\"} 0",
        "relay_broker_connected 1",
    ] {
        eventually(line, async || {
            let (_, metrics) = apply.get("/metrics").await.map_err(|error| error.to_string())?;
            if metrics.contains(line) { Ok(()) } else { Err(metrics) }
        })
        .await;
    }
    assert!(watch.terminate().await.success());
    assert!(apply.terminate().await.success());
}

#[tokio::test]
async fn a_second_start_without_changes_publishes_nothing() {
    let site = Site::new(Rabbit::shared().await).await;
    let (alice, twin) = site.add_user("alice", true).await;
    {
        let (mut watch, mut apply) = site.start().await;
        site.samba.admin().await.disable(&alice).await;
        site.enabled(twin, false).await;
        assert!(watch.terminate().await.success());
        apply.kill();
    }
    let requests = site.requests(twin).len();
    let (watch, _apply) = site.start().await;
    let (_, metrics) = watch.get("/metrics").await.unwrap();
    let published: Vec<_> =
        metrics.lines().filter(|line| line.starts_with("relay_events_published_total")).collect();
    assert!(published.len() > 5, "{metrics}");
    assert!(published.iter().all(|line| line.ends_with(" 0")), "{published:?}");
    assert_eq!(site.requests(twin).len(), requests);
}

/// The broker has the event, the watcher has not heard so, and dies. Meanwhile the directory goes
/// back to what it was.
#[tokio::test]
async fn a_death_between_publish_and_commit_loses_and_doubles_nothing() {
    let rabbit = Rabbit::start().await;
    let site = Site::new(&rabbit).await;
    let (alice, twin) = site.add_user("alice", true).await;
    let mut admin = site.samba.admin().await;
    let mut watch = site.watch.start(&["watch"]);
    watch.ready().await;

    rabbit.freeze();
    admin.disable(&alice).await;
    watch.logged("kind=\"account.disabled\"").await;
    watch.kill();
    rabbit.thaw();
    admin.enable(&alice).await;

    let mut watch = site.watch.start(&["watch"]);
    watch.ready().await;
    let mut apply = site.apply.start(&["apply"]);
    apply.ready().await;
    eventually("the flip back was told", async || {
        let requests = site.requests(twin);
        let mut states = requests.iter().filter_map(|r| r.body.json()?["accountEnabled"].as_bool());
        states.next_back() == Some(true)
    })
    .await;
    site.enabled(twin, true).await;

    let told = watch.output();
    for kind in ["account.disabled", "account.enabled"] {
        let of_kind = format!("kind=\"{kind}\"");
        let lines: Vec<_> = told.lines().filter(|line| line.contains(&of_kind)).collect();
        assert_eq!(lines.len(), 1, "{kind} was observed once and has one id:\n{told}");
    }
    assert!(told.contains("publishing again what was not confirmed before"), "{told}");
}

#[tokio::test]
async fn every_way_to_connect_works() {
    let samba = Samba::shared().await;
    let account = samba.service_account().await;
    let rabbit = Rabbit::shared().await;
    for (url, start_tls) in
        [(samba.url_ldaps(), false), (samba.url_ldap(), true), (samba.url_ldap(), false)]
    {
        let setup = Setup::new()
            .directory(samba, account)
            .rabbit(&rabbit.vhost())
            .set("directory.urls", [url])
            .set("directory.tls.start_tls", start_tls);
        let mut watch = setup.start(&["watch"]);
        watch.ready().await;
        for seen_by_all in ["cmdline", "environ"] {
            let seen = std::fs::read(format!("/proc/{}/{seen_by_all}", watch.pid())).unwrap();
            assert!(!String::from_utf8_lossy(&seen).contains(&account.password), "{seen_by_all}");
        }
        assert!(watch.terminate().await.success());
    }
}
