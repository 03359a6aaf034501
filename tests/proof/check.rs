//! `entra-relay check`: whatever is set up wrongly is named with its cause and its remedy, and
//! nothing else is.

use std::cell::RefCell;
use std::path::Path;

use entra_relay::config::{Secret, model};
use entra_relay::queue::open;
use entra_relay::sandbox::graph::{GroupKind, Options, RELAY_PERMISSIONS, SandboxGraph};
use entra_relay::signing::Signer;
use lapin::options::QueueDeclareOptions;
use serde_json::{Value, json};

use crate::support::ca::ServerCertificate;
use crate::support::rabbit::{PASSWORD, Rabbit, USER, Vhost};
use crate::support::relay::Setup;
use crate::support::samba::{Account, Admin, BASE_DN, Samba};

/// Servers on which everything is right.
struct Servers<'a> {
    samba: &'a Samba,
    account: &'a Account,
    vhost: Vhost,
    graph: SandboxGraph,
}

impl Servers<'_> {
    /// A configuration of both halves with which every check passes.
    fn setup(&self) -> Setup {
        let attributes = json!({ "jobTitle": "title", "displayName": "displayName" });
        Setup::new()
            .directory(self.samba, self.account)
            .rabbit(&self.vhost)
            .graph(&self.graph)
            .set("apply.attributes", attributes)
    }
}

/// What `check` complained of: verdict, area and name, and the whole row.
struct Complaint {
    what: String,
    row: Value,
}

/// Runs `check` and returns its exit code and what did not pass.
async fn check(setup: &Setup, more: &[&str]) -> (i32, Vec<Complaint>) {
    let arguments = [&["--output", "json", "check"], more].concat();
    let output = setup.run(&arguments).await;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let report: Value =
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}\n{errors}"));
    let rows = report["checks"].as_array().unwrap().iter();
    let complaints = rows.filter(|row| row["verdict"] == "fail" || row["verdict"] == "warn");
    let complaints = complaints.map(|row| {
        let part = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let what = format!("{} {}: {}", part("verdict"), part("area"), part("name"));
        Complaint { what, row: row.clone() }
    });
    (output.status.code().unwrap(), complaints.collect())
}

/// The one complaint there must be, with these words in what is told and in the remedy. Whatever is
/// found instead is told in the end, of all set-ups at once.
async fn names(wrong: &Wrong, setup: &Setup, what: &str, told: &str, remedy: &str) {
    let (code, complaints) = check(setup, &[]).await;
    let has = |key: &str, words: &str| {
        complaints.iter().all(|complaint| complaint.row[key].as_str().unwrap().contains(words))
    };
    let is_named = complaints.len() == 1 && complaints[0].what == what;
    let expected = if what.starts_with("warn") { 0 } else { 1 };
    if !is_named || !has("told", told) || !has("remedy", remedy) || code != expected {
        let found: Vec<_> = complaints.iter().map(|complaint| complaint.row.to_string()).collect();
        let line = format!("{what} ({told:?}, {remedy:?}): code {code}\n  {}", found.join("\n  "));
        wrong.borrow_mut().push(line);
    }
}

/// Set-ups of which something else was told.
type Wrong = RefCell<Vec<String>>;

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_else() {
    let samba = Samba::shared().await;
    let rabbit = Rabbit::shared().await;
    let mut admin = samba.admin().await;
    let users = format!("CN=Users,{BASE_DN}");
    let user = admin.add_user(&users, "check-worker").await;
    admin.replace(&user, "title", &["Engineer"]).await;
    admin.replace(&user, "displayName", &["A. Worker"]).await;
    admin.replace(&user, "description", &["long ".repeat(40).trim()]).await;
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    let account = samba.service_account().await;
    let servers = Servers { samba, account, vhost: rabbit.vhost(), graph };

    let right = servers.setup();
    let (code, complaints) = check(&right, &[]).await;
    let all: Vec<_> = complaints.iter().map(|complaint| &complaint.row).collect();
    assert_eq!((code, all), (0, Vec::new()));
    let waiting = servers.vhost.waiting("relay.urgent.0").await;
    assert!(waiting.is_err(), "nothing was declared");

    let wrong = Wrong::default();
    of_the_directory(&wrong, &servers, &mut admin).await;
    of_the_broker(&wrong, &servers, rabbit).await;
    of_graph(&wrong, &servers).await;
    of_this_machine(&wrong, &servers).await;
    let wrong = wrong.into_inner();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn of_the_directory(wrong: &Wrong, servers: &Servers<'_>, admin: &mut Admin) {
    let login = "fail directory: login";
    let password = servers.setup();
    password.secret("bind", "not the password");
    names(wrong, &password, login, "wrong user name or password", "directory.bind").await;

    let stranger = tempfile::tempdir().unwrap();
    let stranger = ServerCertificate::issue(stranger.path(), &["dc1".to_owned()]).ca;
    let distrust = servers.setup();
    // A file of the set-up, for that of the stranger goes with its folder.
    let ca = std::fs::read_to_string(stranger).unwrap();
    let distrust = {
        let file = distrust.secret("ca.pem", &ca);
        distrust.set("directory.tls.ca_file", file)
    };
    names(wrong, &distrust, login, "not trusted", "directory.tls.ca_file").await;

    let away = [servers.samba.url_ldaps(), "ldaps://127.0.0.1:1".to_owned()];
    let away = servers.setup().set("directory.urls", away);
    names(wrong, &away, login, "cannot reach ldaps://127.0.0.1:1", "directory.urls").await;

    let base = servers.setup().set("directory.base_dn", format!("CN=Users,{BASE_DN}"));
    names(wrong, &base, "fail directory: base DN", "directory.base_dn", BASE_DN).await;

    let blind = admin.add_service_account("svc-check-blind", &[]).await;
    let blind = servers.setup().directory(servers.samba, &blind);
    let deleted = "fail directory: deleted objects";
    names(wrong, &blind, deleted, "svc-check-blind", "list contents").await;

    let rights = servers.setup().set("directory.object_security", false);
    let reader = [crate::support::samba::Right::ReadDeletedObjects];
    let reader = admin.add_service_account("svc-check-reader", &reader).await;
    let rights = rights.directory(servers.samba, &reader);
    names(wrong, &rights, "fail directory: DirSync", "DirSync", "Replicating Directory Changes")
        .await;

    let mapped = |rule: &str| {
        let attributes = json!({ "jobTitle": "title", "department": rule });
        servers.setup().set("apply.attributes", attributes)
    };
    let attributes = "directory: attributes";
    // Confidential by the schema, so reading takes a right of its own.
    let hidden = mapped("unixUserPassword");
    names(wrong, &hidden, &format!("fail {attributes}"), "unixUserPassword", "control access")
        .await;
    let unknown = mapped("departmnt");
    names(wrong, &unknown, &format!("fail {attributes}"), "has no departmnt", "correct the names")
        .await;
    let empty = mapped("carLicense");
    names(wrong, &empty, &format!("warn {attributes}"), "carLicense", "read property").await;
    let long = mapped("description");
    names(wrong, &long, "warn directory: values", "department takes 64", "left(").await;

    let scope = servers.setup().set("scope.organizational_units", [format!("OU=No,{BASE_DN}")]);
    names(wrong, &scope, "fail directory: scope", "OU=No", "correct the DNs").await;
}

async fn of_the_broker(wrong: &Wrong, servers: &Servers<'_>, rabbit: &Rabbit) {
    let login = "fail broker: login";
    let password = servers.setup();
    password.secret("broker", "not the password");
    names(wrong, &password, login, "does not accept the login", "broker.password_file").await;

    let nowhere = servers.setup().set("broker.url", servers.vhost.url() + "-missing");
    names(wrong, &nowhere, login, "-missing", "add_vhost").await;

    let away = servers.setup().set("broker.url", format!("amqp://{USER}@127.0.0.1:1/v"));
    names(wrong, &away, login, "127.0.0.1:1", "broker.url").await;

    let powerless = rabbit.vhost();
    rabbit.ctl(&["set_permissions", "-p", &powerless.name, USER, "^$", "^$", ".*"]).await;
    let topology = "fail broker: topology";
    names(wrong, &servers.setup().rabbit(&powerless), topology, "may not declare", "configure")
        .await;

    let foreign = rabbit.vhost();
    let connection = foreign.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let durable = QueueDeclareOptions::durable();
    channel.queue_declare("relay.urgent.0".into(), durable, Default::default()).await.unwrap();
    names(wrong, &servers.setup().rabbit(&foreign), topology, "relay.urgent.0", "delete").await;

    let silent = rabbit.vhost();
    let config = model::Broker {
        url: silent.url(),
        password: Some(Secret::new(PASSWORD.into())),
        ..Default::default()
    };
    open(&config).unwrap().declare().await.unwrap();
    let parts = servers.setup().rabbit(&silent).set("broker.partitions", 2);
    let (code, complaints) = check(&parts, &[]).await;
    assert_eq!((code, complaints.len()), (0, 0), "empty lanes get another number");
    rabbit.ctl(&["set_permissions", "-p", &silent.name, USER, ".*", "^$", ".*"]).await;
    let publish = "fail broker: right to publish";
    names(wrong, &servers.setup().rabbit(&silent), publish, "relay.events", "write").await;
}

async fn of_graph(wrong: &Wrong, servers: &Servers<'_>) {
    let token = "fail graph: token";
    let secret = servers.setup();
    secret.secret("graph", "not the secret");
    names(wrong, &secret, token, "AADSTS7000215", "client secret is wrong").await;

    let tenant = "00000000-0000-0000-0000-000000000001";
    let tenant = servers.setup().set("graph.tenant_id", tenant);
    names(wrong, &tenant, token, "AADSTS90002", "graph.tenant_id").await;

    let app_roles = RELAY_PERMISSIONS
        .iter()
        .filter(|name| !matches!(**name, "User.ReadWrite.All" | "User.RevokeSessions.All"));
    let app_roles = app_roles.map(|&name| name.to_owned()).collect();
    let options = Options { app_roles, ..Options::default() };
    let poor = SandboxGraph::start(options).await.unwrap();
    let poor = servers.setup().graph(&poor).set("apply.attributes", json!({}));
    let revoke = "fail graph: to end sessions";
    names(wrong, &poor, revoke, "lacks User.RevokeSessions.All", "admin consent").await;

    let groups = json!({ format!("CN=Domain Users,CN=Users,{BASE_DN}"):
        servers.graph.add_group(GroupKind::RoleAssignable) });
    let groups = servers.setup().set("apply.groups", groups);
    names(wrong, &groups, "fail graph: groups", "directory roles", "apply.groups").await;

    let suffix = servers.setup().set("apply.upn_suffixes", json!({ "corp.local": "no.example" }));
    names(wrong, &suffix, "fail graph: domains", "no.example", "contoso.com").await;
}

async fn of_this_machine(wrong: &Wrong, servers: &Servers<'_>) {
    let library =
        format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    assert!(Path::new(&library).exists(), "libfaketime is not installed: tests/run installs it");
    let late = servers
        .setup()
        .environment("LD_PRELOAD", &library)
        .environment("FAKETIME", "-1h")
        .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    names(wrong, &late, "fail local: clock", "this machine's clock is 3", "NTP").await;

    let keys = servers.setup();
    let at = |name: &str| keys.folder().join(name);
    for name in ["one", "two"] {
        let (private, public) = (at(&format!("{name}.key")), at(&format!("{name}.pub")));
        Signer::generate().save(&private, &public).unwrap();
    }
    let (private, public) = (at("one.key"), at("two.pub"));
    let keys =
        keys.set("security.signing_key_file", private).set("security.verify_key_files", [public]);
    names(wrong, &keys, "fail local: signing keys", "would refuse every event", "signing.pub")
        .await;

    let missing = servers.setup().set("directory.bind.password_file", "/nowhere/secret");
    names(wrong, &missing, "fail directory: file", "/nowhere/secret", "0600").await;

    // A configuration that cannot be used ends with 2, and nothing is connected to.
    let template = "{{ 'Germany' }}";
    let long = servers.setup().set("apply.attributes", json!({ "usageLocation": template }));
    let (code, complaints) = check(&long, &["--offline"]).await;
    assert_eq!((code, complaints.len()), (2, 1));
    let told = complaints[0].row["told"].as_str().unwrap();
    assert!(told.contains("apply.attributes.usageLocation"), "{told}");
}

#[tokio::test]
async fn each_half_is_checked_alone_and_a_table_is_for_people() {
    let samba = Samba::shared().await;
    let account = samba.service_account().await;
    let vhost = Rabbit::shared().await.vhost();
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    let watch = Setup::new().directory(samba, account).rabbit(&vhost);
    let apply = Setup::new().rabbit(&vhost).graph(&graph).set("directory.base_dn", BASE_DN);
    for (setup, half, other) in [(&watch, "directory", "graph"), (&apply, "graph", "directory")] {
        let output = setup.run(&["check"]).await;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{told}");
        let areas: Vec<_> =
            told.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert!(areas.contains(&half) && !areas.contains(&other), "{told}");
        assert!(told.contains(" 0 failed"), "{told}");
        assert!(!told.contains('\x1b'), "a pipe has no colours");
        let offline = setup.run(&["check", "--offline"]).await;
        assert!(offline.status.success());
        assert!(!String::from_utf8_lossy(&offline.stdout).contains(half));
    }
}
