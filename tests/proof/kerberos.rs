//! The login by a keytab: on Samba, whose KDC it is too, and on OpenLDAP, which looks at the TLS
//! connection that a ticket is shown on.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use entra_relay::net::tls::client_config;
use entra_relay::sandbox::graph::{NewUser, Options, SandboxGraph};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::ca::ServerCertificate;
use crate::support::people::follow;
use crate::support::relay::Setup;
use crate::support::samba::{BASE_DN, REALM, Samba};
use crate::support::slapd::Slapd;
use crate::support::wait::eventually;

/// Samba of this age takes SASL inside TLS only if it is told to.
const SASL_INSIDE_TLS: (&str, &str) = ("ldap server require strong auth", "allow_sasl_over_tls");

fn principal(name: &str) -> String {
    format!("{name}@{REALM}")
}

/// Exports the keytab of an account beside the configuration and logs in with it.
async fn with_keytab(setup: Setup, samba: &Samba, name: &str) -> Setup {
    let keytab = setup.folder().join("relay.keytab");
    samba.export_keytab(name, &keytab).await;
    let bind = json!({ "method": "kerberos", "user": principal(name), "keytab_file": keytab });
    setup.set("directory.bind", bind)
}

#[tokio::test]
async fn a_keytab_lets_the_relay_in_again_and_again() {
    let (key, value) = SASL_INSIDE_TLS;
    let mut samba = Samba::start_with(&[(key, value.to_owned())]).await;
    let account = samba.service_account().await.clone();
    samba.serve_by_address().await;
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    let setup =
        Setup::new().directory(&samba, &account).graph(&graph).set("broker.kind", "embedded");
    let setup = with_keytab(setup, &samba, "svc-relay").await;
    let mut admin = samba.admin().await;
    let mut twins = Vec::new();
    for name in ["alice", "bob"] {
        let user = admin.add_user(&format!("CN=Users,{BASE_DN}"), name).await;
        let twin = NewUser::new(&user.upn).immutable_id(&user.immutable_id());
        twins.push((user, graph.add_user(twin)));
    }
    let blocked = async |twin| {
        eventually("the block arrives", async || !graph.user(twin).unwrap().account_enabled())
            .await;
    };
    let [(alice, alice_twin), (bob, bob_twin)] = &twins[..] else { panic!("two users") };

    let rows = setup.json(&["check"], 0).await.remove(0);
    let rows = rows["checks"].as_array().unwrap();
    let login = rows.iter().find(|row| row["area"] == "directory" && row["name"] == "login");
    let told = login.unwrap()["told"].as_str().unwrap();
    assert!(told.ends_with("lets svc-relay@CORP.EXAMPLE (Kerberos) in"), "{told}");

    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    admin.disable(alice).await;
    blocked(*alice_twin).await;
    // A ticket that was won before is of no use any more, as after its end.
    samba.kill().await;
    relay.logged("the watcher waits and tries again").await;
    samba.restart().await;
    samba.admin().await.disable(bob).await;
    blocked(*bob_twin).await;
    assert!(relay.terminate().await.success());
    drop(relay);

    let start_tls = setup.set("directory.urls", [samba.url_ldap()]);
    let start_tls = start_tls.set("directory.tls.start_tls", true);
    let mut relay = start_tls.start(&["run"]);
    relay.ready().await;
    assert!(relay.terminate().await.success());
}

/// The last line of `watch`, which must fail, has these parts.
async fn fails(setup: &Setup, parts: &[&str]) {
    let output = setup.run(&["run"]).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    let line = told.lines().last().unwrap_or_default();
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in the last line of\n{told}");
    }
}

#[tokio::test]
async fn a_refused_ticket_is_explained() {
    // As it is unless it is told otherwise: no SASL inside TLS.
    let samba = Samba::start_with(&[(SASL_INSIDE_TLS.0, "yes".to_owned())]).await;
    let account = samba.service_account().await;
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    let setup =
        || Setup::new().directory(&samba, account).graph(&graph).set("broker.kind", "embedded");
    let good = with_keytab(setup(), &samba, "svc-relay").await;

    fails(&good, &["ldap/127.", "directory.urls", "service principal name"]).await;
    samba.serve_by_address().await;
    fails(&good, &["inside TLS", "allow_sasl_over_tls"]).await;

    let library =
        format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    assert!(Path::new(&library).exists(), "libfaketime is not installed: tests/run installs it");
    let late = with_keytab(setup(), &samba, "svc-relay").await;
    let late = late
        .environment("LD_PRELOAD", &library)
        .environment("FAKETIME", "-1h")
        .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    fails(&late, &["clocks", "NTP"]).await;

    let unknown = good.set("directory.bind.user", principal("svc-other"));
    fails(&unknown, &["svc-other@CORP.EXAMPLE", "has keys of svc-relay@CORP.EXAMPLE"]).await;

    let mut admin = samba.admin().await;
    let user = admin.add_user(&format!("CN=Users,{BASE_DN}"), "svc-old").await;
    let old = with_keytab(setup(), &samba, "svc-old").await;
    admin.set_password(&user, "An0ther-Passw0rd").await;
    fails(&old, &["refuses the login of svc-old", "key in the keytab", "export the keytab anew"])
        .await;
    let disabled = with_keytab(setup(), &samba, "svc-old").await;
    admin.disable(&user).await;
    fails(&disabled, &["refuses the login of svc-old", "disabled"]).await;
    let deleted = with_keytab(setup(), &samba, "svc-old").await;
    admin.delete(&user).await;
    fails(&deleted, &["refuses the login of svc-old", "no such account"]).await;

    let nowhere = with_keytab(setup(), &samba, "svc-relay").await;
    let nowhere = nowhere.set("directory.bind.kdc", "127.0.0.1:1");
    let mut relay = nowhere.start(&["run"]);
    relay.logged("cannot reach the Kerberos KDC 127.0.0.1:1").await;
    relay.terminate().await;
}

#[tokio::test]
async fn a_ticket_is_good_on_the_server_s_own_connection_alone() {
    let samba = Samba::shared().await;
    samba.service_account().await;
    let server = Slapd::start_in(samba).await;
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    let setup = async || {
        let setup = follow(Setup::new(), "syncrepl", server.ip())
            .set("directory.urls", [format!("ldaps://{}", server.ip())])
            .set("directory.tls.ca_file", &server.certificate().ca)
            .set("broker.kind", "embedded")
            .graph(&graph);
        let setup = with_keytab(setup, samba, "svc-relay").await;
        setup.set("directory.bind.kdc", samba.ip().to_string())
    };
    let good = setup().await;
    let mut relay = good.start(&["run"]);
    relay.ready().await;
    assert!(relay.terminate().await.success());

    // Even one whose certificate the relay trusts.
    let between = Between::start(&server).await;
    let opened = setup()
        .await
        .set("directory.urls", [format!("ldaps://{}", between.address)])
        .set("directory.tls.ca_file", &between.ca);
    fails(&opened, &["does not accept the ticket", "something between opens TLS"]).await;
}

/// Opens TLS between a client and a server.
struct Between {
    address: SocketAddr,
    ca: PathBuf,
    _folder: tempfile::TempDir,
}

impl Between {
    async fn start(server: &Slapd) -> Between {
        let trust = client_config(Some(&server.certificate().ca)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let files = ServerCertificate::issue(folder.path(), &[server.ip().to_string()]);
        let certificate = CertificateDer::from_pem_file(&files.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![certificate], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((server.ip(), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let ip = server.ip();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, connector) = (acceptor.clone(), TlsConnector::from(trust.clone()));
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    let server = TcpStream::connect((ip, 636)).await?;
                    let name = ServerName::from(std::net::IpAddr::from(ip));
                    let mut server = connector.connect(name, server).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Between { address, ca: files.ca, _folder: folder }
    }
}
