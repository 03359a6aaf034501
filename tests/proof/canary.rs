//! A canary flies the whole way of a change, and is missed where the way is broken.

use entra_relay::sandbox::graph::Options;
use serde_json::{Value, json};

use crate::support::rabbit::Rabbit;
use crate::support::relay::Setup;
use crate::support::site::Site;
use crate::support::wait::eventually;

/// The row of the canary in what `check` tells, and whether everything was right.
async fn flight(watch: &Setup, user: &str) -> (bool, Value) {
    let output = watch.run(&["--output", "json", "check", "--canary", user]).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut rows = report["checks"].as_array().unwrap().iter();
    let row = rows.find(|row| row["name"] == "canary").unwrap().clone();
    (output.status.success(), row)
}

#[tokio::test]
async fn a_canary_comes_back_while_the_way_is_open_and_changes_nothing() {
    let mut site = Site::with(Rabbit::shared().await, Options::default()).await;
    let (user, twin) = site.add_user("canary", true).await;
    site.samba.admin().await.replace(&user, "title", &["Bird"]).await;
    site.watch = site.watch.set("canary", json!({ "user": user.name, "interval": "1s" }));
    let (watch, mut apply) = site.start().await;

    // The health signal.
    eventually("the canary is back", async || {
        watch.metric("relay_canary_success").await == Some(1.0)
    })
    .await;
    let hop = |hop: &str| format!("relay_canary_hop_seconds{{hop=\"{hop}\"}}");
    for name in ["directory", "publish", "queue", "graph"] {
        assert!(watch.metric(&hop(name)).await.unwrap() > 0.0, "{name}");
    }
    let writes = site.requests(twin).into_iter().filter(|request| request.method != "GET");
    assert_eq!(writes.count(), 0, "a canary only looks");

    let (good, row) = flight(&site.watch, &user.upn).await;
    assert!(good && row["told"].as_str().unwrap().contains("graph "), "{row}");
    let (good, row) = flight(&site.watch, "nobody").await;
    assert!(!good && row["told"].as_str().unwrap().contains("scope"), "{row}");

    let stranger =
        site.samba.admin().await.add_user("CN=Users,DC=corp,DC=example", "onlyhere").await;
    watch.logged(&stranger.guid.to_string()).await;
    let (good, row) = flight(&site.watch, "onlyhere").await;
    assert!(!good && row["told"].as_str().unwrap().contains("did not find"), "{row}");

    assert!(apply.terminate().await.success());
    let (good, row) = flight(&site.watch, &user.name).await;
    assert!(!good && row["told"].as_str().unwrap().contains("no consumer answered"), "{row}");
    assert_eq!(watch.metric("relay_canary_success").await, Some(0.0));
}
