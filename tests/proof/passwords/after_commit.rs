//! `samba-tool user syncpasswords`, which calls a script after a change is committed; here with the
//! watcher on another host, which it reaches by HTTPS with a client certificate.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Instant;

use entra_relay::sandbox::graph::NewUser;

use super::{Site, print_latencies};
use crate::support::ca::ServerCertificate;
use crate::support::loopback::Loopback;
use crate::support::process::{Process, finish, run};
use crate::support::samba::{BASE_DN, Samba};

const PORT: u16 = 8443;
const GPG_KEY: &str = "relay@corp.example";

/// Makes the key with which Samba keeps what it lets `syncpasswords` read.
async fn make_gpg_key(samba: &Samba) {
    let home = samba.gnupg();
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let mut gpg = Command::new("gpg");
    gpg.env("GNUPGHOME", home).args(["--batch", "--passphrase", ""]);
    gpg.args(["--quick-gen-key", GPG_KEY, "rsa2048", "encrypt", "never"]);
    run(gpg).await;
}

fn configuration(samba: &Samba) -> String {
    format!("--configfile={}", samba.smb_conf().display())
}

#[tokio::test]
async fn samba_hands_passwords_over_by_https_once_they_are_set() {
    let site = Site::new().await;
    let samba = Samba::start_with(&[("password hash gpg key ids", GPG_KEY.to_owned())]).await;
    make_gpg_key(&samba).await;
    let loopback = Loopback::take(&[PORT]);
    let names = [loopback.ip().to_string()];
    let tls = ServerCertificate::issue(site.folder.path(), &names);
    let to = format!("https://{}:{PORT}", loopback.ip());
    let watch = site
        .watch(&samba, &to)
        .await
        .set("passwords.tls.certificate_file", &tls.certificate)
        .set("passwords.tls.private_key_file", &tls.key)
        .set("passwords.tls.client_ca_file", &tls.ca);
    let apply = site.apply(&["keys"]);
    let mut watcher = watch.start(&["watch"]);
    let mut consumer = apply.start(&["apply"]);
    watcher.ready().await;
    consumer.ready().await;

    let trust = format!("--ca-file {}", tls.ca.display());
    let [certificate, key] = [&tls.client_certificate, &tls.client_key].map(|it| it.display());
    let options = format!("{trust} --certificate-file {certificate} --key-file {key}");
    let script = site.hook("sync-password", &to, &options);
    let mut initialize = Command::new("samba-tool");
    initialize.args(["user", "syncpasswords"]).arg(configuration(&samba));
    initialize.args(["--cache-ldb-initialize", "--decrypt-samba-gpg"]);
    initialize.arg("--attributes=objectGUID,msDS-KeyVersionNumber,virtualClearTextUTF8");
    initialize.arg(format!("--script={}", script.display()));
    run(initialize).await;
    // As a service manager does: it ends where its script fails.
    let mut service = Command::new("sh");
    service.args(["-c", "while :; do samba-tool user syncpasswords \"$0\"; sleep 1; done"]);
    service.arg(configuration(&samba)).env("GNUPGHOME", samba.gnupg());
    let _running = Process::start("syncpasswords", service, site.folder.path());

    let twin = site.graph.add_user(NewUser::new("bob@corp.example"));
    let mut admin = samba.admin().await;
    let bob = admin.add_user(&format!("CN=Users,{BASE_DN}"), "bob").await;
    site.arrives(twin, "F1rst-Passw0rd", false).await;
    let mut latencies = Vec::new();
    for number in 0..3 {
        let password = format!("Sync-\"Passw0rd{number}");
        let start = Instant::now();
        admin.set_password(&bob, &password).await;
        site.arrives(twin, &password, false).await;
        latencies.push(start.elapsed());
    }
    print_latencies("syncpasswords", latencies);

    // Whoever has no certificate hands nothing over.
    let strange = site.at("strange");
    fs::write(&strange, "Str4nge-Passw0rd").unwrap();
    let mut submit = Command::new(env!("CARGO_BIN_EXE_entra-relay"));
    submit.args(["password", "submit", "--user", "bob", "--committed", "--to", &to]);
    submit.args(trust.split(' ')).stdin(File::open(&strange).unwrap());
    let refused = finish(submit).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    fs::remove_file(strange).unwrap();

    // Set while the watcher is away, it is handed over when the watcher is back.
    watcher.kill();
    admin.set_password(&bob, "Mean7ime-Passw0rd").await;
    let mut watcher = watch.start(&["watch"]);
    watcher.ready().await;
    site.arrives(twin, "Mean7ime-Passw0rd", false).await;

    watcher.terminate().await;
    consumer.terminate().await;
    let passwords = ["F1rst-Passw0rd", "Sync-", "Str4nge", "Mean7ime"];
    site.assert_nowhere(&passwords, &[&watch, &apply]);
}
