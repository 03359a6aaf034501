//! The objects at the broker: changed, deleted, or kept by an administrator.

use std::path::Path;
use std::process::Command;

use entra_relay::config::{Secret, model};
use entra_relay::event::Lane;
use entra_relay::queue::{Broker, Message, Queue, QueueError, Role, open};
use entra_relay::sandbox::graph::{NewUser, Options, SandboxGraph};
use lapin::Channel;
use lapin::options::QueueDeleteOptions;
use uuid::Uuid;

use crate::support::rabbit::{PASSWORD, Rabbit, Vhost};
use crate::support::relay::Setup;
use crate::support::samba::{BASE_DN, Samba};
use crate::support::wait::eventually;

const URGENT: Queue = Queue::Lane(Lane::Urgent);

fn broker(vhost: &Vhost, partitions: u16) -> std::sync::Arc<dyn Broker> {
    let config = model::Broker {
        url: vhost.url(),
        password: Some(Secret::new(PASSWORD.into())),
        partitions,
        ..Default::default()
    };
    open(&config).unwrap()
}

async fn administrator(vhost: &Vhost) -> Channel {
    vhost.connect().await.unwrap().create_channel().await.unwrap()
}

fn message() -> Message {
    Message {
        id: Uuid::from_u128(1),
        kind: "test".into(),
        object: Uuid::from_u128(7),
        content_type: "text/plain".into(),
        headers: Default::default(),
        body: Default::default(),
    }
}

async fn refused(broker: &dyn Broker, parts: &[&str]) {
    let error = broker.declare().await.unwrap_err();
    let text = error.to_string();
    assert!(!error.is_transient(), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[tokio::test]
async fn the_number_of_partitions_changes_only_when_nobody_needs_the_old_one() {
    let vhost = Rabbit::shared().await.vhost();
    let four = broker(&vhost, 4);
    four.declare().await.unwrap();
    let publisher = four.publisher(Role::Other);
    publisher.publish(URGENT, &[message()]).await.unwrap();
    for other in [2, 8] {
        let told = ["broker.partitions is", "made for 4", "holds 1 messages", "set it back to 4"];
        refused(broker(&vhost, other).as_ref(), &told).await;
    }
    let mut subscriber = four.subscribe(URGENT, 10).await.unwrap();
    let delivery = subscriber.receive().await.unwrap();
    refused(broker(&vhost, 8).as_ref(), &["a consumer receives from relay.urgent."]).await;
    delivery.receipt.ack().await.unwrap();
    drop(subscriber);
    let watcher = four.publisher(Role::Watcher);
    watcher.ready().await.unwrap();
    eventually("the watcher alone stands in the way", async || {
        let error = broker(&vhost, 8).declare().await.unwrap_err().to_string();
        error.contains("a watcher is running").then_some(()).ok_or(error)
    })
    .await;
    drop(watcher);
    for count in [8, 2] {
        eventually("the empty lanes change", async || broker(&vhost, count).declare().await).await;
        refused_unless(&vhost, count).await;
    }
}

/// Whoever comes back with the old number while the new one is in use is told.
async fn refused_unless(vhost: &Vhost, count: u16) {
    let current = broker(vhost, count);
    current.publisher(Role::Other).publish(URGENT, &[message()]).await.unwrap();
    refused(broker(vhost, 4).as_ref(), &[&format!("made for {count}")]).await;
    let mut subscriber = current.subscribe(URGENT, 10).await.unwrap();
    subscriber.receive().await.unwrap().receipt.ack().await.unwrap();
}

#[tokio::test]
async fn a_deleted_right_to_publish_is_noticed_on_a_living_connection() {
    let vhost = Rabbit::shared().await.vhost();
    let broker = broker(&vhost, 1);
    let (first, second) = (broker.publisher(Role::Watcher), broker.publisher(Role::Watcher));
    first.ready().await.unwrap();
    assert!(matches!(second.ready().await, Err(QueueError::Standby)));
    // An administrator cannot delete an exclusive queue over AMQP, but by other means.
    let eval = format!(
        "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{}\">>, queue, <<\"relay.watcher\">>)), \
         rabbit_amqqueue:delete(Q, false, false, <<\"test\">>).",
        vhost.name
    );
    Rabbit::shared().await.ctl(&["eval", &eval]).await;
    eventually("the second takes over", async || second.ready().await).await;
    eventually("the first notices", async || {
        matches!(first.publish(URGENT, &[message()]).await, Err(QueueError::Standby))
    })
    .await;
    drop(second);
    eventually("the first takes it again", async || first.ready().await).await;
    first.publish(URGENT, &[message()]).await.unwrap();
}

#[tokio::test]
async fn the_shipped_definitions_give_enough_rights_and_no_more() {
    let rabbit = Rabbit::shared().await;
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/rabbitmq/definitions.json");
    rabbit.ctl(&["import_definitions", shipped.to_str().unwrap()]).await;
    for user in ["relay-watcher", "relay-consumer"] {
        rabbit.ctl(&["change_password", user, PASSWORD]).await;
    }
    let vhost = rabbit.vhost();
    let url = |user: &str| {
        let url = vhost.url().replace("//relay@", &format!("//{user}@"));
        url.replace(&vhost.name, "relay")
    };
    let samba = Samba::start().await;
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    let mut admin = samba.admin().await;
    let user = admin.add_user(&format!("CN=Users,{BASE_DN}"), "alice").await;
    let twin = graph.add_user(NewUser::new(&user.upn));
    let watch = Setup::new()
        .directory(&samba, samba.service_account().await)
        .rabbit(&vhost)
        .set("broker.url", url("relay-watcher"));
    let apply = Setup::new()
        .rabbit(&vhost)
        .graph(&graph)
        .set("directory.base_dn", BASE_DN)
        .set("broker.url", url("relay-consumer"));
    let (mut watching, mut applying) = (watch.start(&["watch"]), apply.start(&["apply"]));
    watching.ready().await;
    applying.ready().await;
    admin.disable(&user).await;
    eventually("the block arrives", async || !graph.user(twin).unwrap().account_enabled()).await;
    for setup in [&watch, &apply] {
        let output = setup.run(&["dlq", "list"]).await;
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("No dead letters."), "{output:?}");
    }
    // Who holds a password cannot delete what others wait for.
    for user in ["relay-watcher", "relay-consumer"] {
        let secret = url(user).replace(user, &format!("{user}:{PASSWORD}"));
        let connection = lapin::Connection::connect(&secret, Default::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let delete = channel.queue_delete("relay.urgent.0".into(), QueueDeleteOptions::default());
        assert!(delete.await.unwrap_err().to_string().contains("ACCESS"), "{user} may delete");
    }
    assert!(watching.terminate().await.success());
    assert!(applying.terminate().await.success());
}

#[tokio::test]
async fn a_deleted_lane_queue_is_reported_and_declared_again() {
    let vhost = Rabbit::shared().await.vhost();
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    let setup = Setup::new().rabbit(&vhost).graph(&graph).set("directory.base_dn", BASE_DN);
    let mut apply = setup.start(&["apply"]);
    apply.ready().await;
    let channel = administrator(&vhost).await;
    channel.queue_delete("relay.urgent.1".into(), Default::default()).await.unwrap();
    apply.logged("the broker ended the delivery from relay.urgent.1").await;
    eventually("the queue is back", async || {
        let channel = administrator(&vhost).await;
        let passive = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
        channel.queue_declare("relay.urgent.1".into(), passive, Default::default()).await
    })
    .await;
    // A second process with this configuration would fight for the control socket.
    let listen = "127.0.0.1:0";
    let mut second = Command::new(env!("CARGO_BIN_EXE_entra-relay"));
    second.current_dir(setup.folder()).env("RELAY_ADMIN__LISTEN", listen);
    second.arg("--config").arg(setup.write()).arg("apply");
    let output = crate::support::process::finish(second).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("control.listen"), "{told}");
    assert!(apply.terminate().await.success());
    assert!(!setup.folder().join("control.sock").exists());
}
