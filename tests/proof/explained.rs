//! What an operator is told: the journal of one user, the state of everything, the events as they
//! pass.

use std::process::Stdio;

use entra_relay::sandbox::graph::{NewUser, Options, SandboxGraph};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::process::Process;
use crate::support::rabbit::Rabbit;
use crate::support::relay::Setup;
use crate::support::samba::{BASE_DN, Samba};
use crate::support::wait::eventually;

async fn told(setup: &Setup, words: &[&str]) -> Result<String, String> {
    let output = setup.run(words).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(text) } else { Err(format!("{output:?}")) }
}

async fn json(setup: &Setup, words: &[&str]) -> Result<Value, String> {
    let text = told(setup, &[&["--output", "json"], words].concat()).await?;
    serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
}

/// What the journal tells of `user`: each entry's word and reason.
async fn steps(setup: &Setup, user: &str) -> Result<Vec<Value>, String> {
    let stories = json(setup, &["explain", user]).await?;
    Ok(stories[0]["entries"].as_array().unwrap().clone())
}

fn words(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["what"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_refusal_a_replay_and_a_success_are_explained_in_order() {
    let vhost = Rabbit::shared().await.vhost();
    let samba = Samba::start().await;
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    let mut admin = samba.admin().await;
    let user = admin.add_user(&format!("CN=Users,{BASE_DN}"), "alice").await;
    let twin = graph.add_user(NewUser::new(&user.upn));
    let watch = Setup::new().directory(&samba, samba.service_account().await).rabbit(&vhost);
    let apply = Setup::new().rabbit(&vhost).graph(&graph).set("directory.base_dn", BASE_DN);
    let (mut watching, mut applying) = (watch.start(&["watch"]), apply.start(&["apply"]));
    watching.ready().await;
    applying.ready().await;

    let command = watch.command(&["events", "tail", "--user", "ALICE", "--reason", "disabled"]);
    let mut tail = Process::start("tail", command, watch.folder());
    eventually("the events are followed", async || {
        tail.output().contains("following").then_some(())
    })
    .await;
    // A second one, whose reader goes away.
    let mut gone = tokio::process::Command::from(watch.command(&["events", "tail"]));
    let mut gone = gone.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(gone.stderr.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().unwrap().contains("following"));
    drop(gone.stdout.take());

    graph.faults().fail_user(twin, Some(403));
    admin.disable(&user).await;
    eventually("it is refused", async || {
        let entries = steps(&watch, "alice").await?;
        (words(&entries) == ["told", "dead_lettered"]).then_some(()).ok_or(format!("{entries:?}"))
    })
    .await;
    graph.faults().fail_user(twin, None);
    told(&watch, &["dead-letters", "replay"]).await.unwrap();
    eventually("it is blocked", async || !graph.user(twin).unwrap().account_enabled()).await;

    let entries = eventually("all is in the journal", async || {
        let entries = steps(&watch, &user.upn).await?;
        if entries.len() == 5 { Ok(entries) } else { Err(format!("{entries:?}")) }
    })
    .await;
    assert_eq!(words(&entries), ["told", "dead_lettered", "asked", "told", "applied"]);
    let [first, refused, asked, again, applied] = &entries[..] else { panic!("five entries") };
    assert_eq!(first["event"], refused["event"]);
    assert_eq!(first["reason"], "disabled");
    assert_eq!(refused["reason"], "permission_denied");
    assert_eq!(asked["reason"], "replayed");
    assert_eq!(again["event"], applied["event"]);
    assert_ne!(first["event"], again["event"]);
    // Each request-id is one that Graph gave.
    let mut ids = Vec::new();
    for (entry, status) in [(refused, Some(403)), (applied, None)] {
        let requests = entry["requests"].as_array().unwrap();
        assert!(!requests.is_empty(), "{entry}");
        for request in requests {
            assert!(status.is_none_or(|status| request["status"] == status), "{request}");
            ids.push(request["request_id"].as_str().unwrap().to_owned());
        }
    }
    let table = told(&watch, &["explain", "alice", "--since", "1h"]).await.unwrap();
    assert!(ids.iter().all(|id| table.contains(id)), "{table}");
    assert!(table.contains("told as blocked: disabled"), "{table}");
    let refusal = apply.run(&["explain", "alice"]).await;
    assert!(String::from_utf8_lossy(&refusal.stderr).contains("not the watcher"), "{refusal:?}");

    // The one whose reader has gone ended by itself, the other one by Ctrl-C.
    assert!(gone.wait().await.unwrap().success());
    tail.signal(Signal::INT);
    assert!(tail.exit().await.success());
    let copies = tail.output().lines().filter(|line| line.contains("account.disabled")).count();
    assert_eq!(copies, 2, "{}", tail.output());

    let consumer = applying.admin().to_string();
    let status = json(&watch, &["status", &consumer]).await.unwrap();
    let [watcher, consumer] = &status["processes"].as_array().unwrap()[..] else {
        panic!("{status}")
    };
    assert_eq!(watcher["watcher"]["directory_connected"], true);
    assert!(watcher["doing"][0].as_str().unwrap().contains("connected to"), "{watcher}");
    assert!(consumer["consumer"]["last_disable"]["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(status["queues"]["dead_letters"], 0);
    assert_eq!(status["unseen"].as_array().unwrap().len(), 0, "{status}");

    // Where the watcher has gone, its files are opened.
    assert!(watching.terminate().await.success());
    assert_eq!(steps(&watch, "alice").await.unwrap(), entries);
    let status = told(&watch, &["status"]).await.unwrap();
    assert!(status.contains("no process at") && status.contains("dead letters  0"), "{status}");
}

#[tokio::test]
async fn one_process_with_the_embedded_queue_tells_the_same() {
    let samba = Samba::start().await;
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    let mut admin = samba.admin().await;
    let user = admin.add_user(&format!("CN=Users,{BASE_DN}"), "bob").await;
    let twin = graph.add_user(NewUser::new(&user.upn));
    let setup = Setup::new()
        .directory(&samba, samba.service_account().await)
        .graph(&graph)
        .set("broker.kind", "embedded")
        .set("apply.mode", "observe");
    let nobody = setup.run(&["events", "tail"]).await;
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no process runs"), "{nobody:?}");
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    let follow =
        ["--output", "json", "events", "tail", "--type", "account.disabled", "--limit", "1"];
    let mut tail = Process::start("tail", setup.command(&follow), setup.folder());
    eventually("the events are followed", async || {
        tail.output().contains("following").then_some(())
    })
    .await;
    admin.disable(&user).await;
    assert!(tail.exit().await.success());
    let output = tail.output();
    let copy = output.lines().find(|line| line.starts_with('{')).unwrap();
    let copy: Value = serde_json::from_str(copy).unwrap();
    assert_eq!(copy["signature"], "unsigned");
    assert_eq!(copy["event"]["data"]["reason"], "disabled");
    let entries = eventually("what would be done is in the journal", async || {
        let entries = steps(&setup, "bob").await?;
        if words(&entries) == ["told", "observed"] {
            Ok(entries)
        } else {
            Err(format!("{entries:?}"))
        }
    })
    .await;
    assert_eq!(entries[1]["actions"][0], "block sign-in");
    assert!(graph.user(twin).unwrap().account_enabled());
    let status = told(&setup, &["status"]).await.unwrap();
    assert!(status.contains("run at") && status.contains("quota left"), "{status}");
}
