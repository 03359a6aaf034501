//! What a user gets wrong: one clear line each, with what would be right.

use std::path::Path;
use std::process::Command;

use entra_relay::sandbox::graph::{Options, SandboxGraph};

use crate::support::process::run;
use crate::support::rabbit::Rabbit;
use crate::support::relay::Setup;
use crate::support::samba::{BASE_DN, Right, Samba};

/// Runs a subcommand that must fail with this code, and looks for the parts in its last line.
async fn fails(setup: &Setup, command: &str, code: i32, parts: &[&str]) {
    let output = setup.run(&[command]).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{told}");
    let line = told.lines().last().unwrap_or_default();
    assert!(line.starts_with("entra-relay: "), "{told}");
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in the last line of\n{told}");
    }
}

#[tokio::test]
async fn the_directory_s_refusals_are_explained() {
    let samba = Samba::shared().await;
    let account = samba.service_account().await;
    let vhost = Rabbit::shared().await.vhost();
    let setup = || Setup::new().directory(samba, account).rabbit(&vhost);

    let wrong = setup();
    wrong.secret("bind", "not the password");
    fails(&wrong, "watch", 1, &[&account.upn, "wrong user name or password", "password file"])
        .await;

    let base = setup().set("directory.base_dn", format!("CN=Users,{BASE_DN}"));
    fails(&base, "watch", 1, &["directory.base_dn", "naming context", BASE_DN]).await;

    let distrust = setup().set("directory.tls.ca_file", None::<&str>);
    fails(&distrust, "watch", 1, &["certificate", "directory.tls.ca_file"]).await;

    let strict = setup().set("directory.object_security", false);
    let mut admin = samba.admin().await;
    let reader = admin.add_service_account("svc-reader", &[Right::ReadDeletedObjects]).await;
    let strict = strict.directory(samba, &reader);
    fails(&strict, "watch", 1, &["DirSync", "Replicating Directory Changes"]).await;

    let blind = admin.add_service_account("svc-blind", &[]).await;
    let blind = setup().directory(samba, &blind);
    fails(&blind, "watch", 1, &["svc-blind", "deleted objects", "list contents"]).await;

    // What the program asks for is what the shipped script does.
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/samba/grant-deleted-objects");
    let mut grant = Command::new(script);
    grant.arg("svc-blind").arg(samba.smb_conf());
    run(grant).await;
    let mut watch = blind.start(&["watch"]);
    watch.ready().await;
    assert!(watch.terminate().await.success());
}

#[tokio::test]
async fn an_unreachable_directory_is_waited_for() {
    let mut samba = Samba::start().await;
    let account = samba.service_account().await.clone();
    let vhost = Rabbit::shared().await.vhost();
    let setup = Setup::new().directory(&samba, &account).rabbit(&vhost);
    samba.kill().await;
    let mut watch = setup.start(&["watch"]);
    watch.logged("cannot reach ldaps://").await;
    samba.restart().await;
    watch.ready().await;
    // The same in the middle of work.
    samba.kill().await;
    watch.logged("the watcher waits and tries again").await;
    samba.restart().await;
    let user = samba.admin().await.add_user(&format!("CN=Users,{BASE_DN}"), "late").await;
    watch.logged("kind=\"user.created\"").await;
    assert!(watch.output().contains(&user.guid.to_string()), "{}", watch.output());
    assert!(watch.terminate().await.success());
}

#[tokio::test]
async fn graph_s_refusals_are_explained() {
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    let vhost = Rabbit::shared().await.vhost();
    let setup = || Setup::new().rabbit(&vhost).graph(&graph).set("directory.base_dn", BASE_DN);

    let secret = setup();
    secret.secret("graph", "not the secret");
    fails(&secret, "apply", 1, &["AADSTS7000215", "secret"]).await;

    let tenant = setup().set("graph.tenant_id", "00000000-0000-0000-0000-000000000001");
    fails(&tenant, "apply", 1, &["AADSTS90002", "tenant"]).await;
}

#[tokio::test]
async fn the_broker_s_refusals_are_explained() {
    let samba = Samba::shared().await;
    let account = samba.service_account().await;
    let vhost = Rabbit::shared().await.vhost();
    let setup = || Setup::new().directory(samba, account).rabbit(&vhost);

    let wrong = setup();
    wrong.secret("broker", "not the password");
    fails(&wrong, "watch", 1, &["password"]).await;

    let nowhere = setup().set("broker.url", vhost.url() + "-missing");
    fails(&nowhere, "watch", 1, &["-missing"]).await;
}

#[tokio::test]
async fn a_wrong_configuration_ends_with_2_and_tells_all_of_it() {
    let setup = Setup::new().set("broker.kind", "embedded").set("garden", "x");
    let output = setup.run(&["run"]).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("garden: is not a known key"), "{told}");
    assert!(told.contains("directory.urls: is empty"), "{told}");

    let output = setup.run(&["dance"]).await;
    assert_eq!(output.status.code(), Some(2));
}
