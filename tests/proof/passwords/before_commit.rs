//! Samba's `check password script`, which is called before a change is committed.

use std::fs::{self, File};
use std::process::Command;
use std::time::Instant;

use entra_relay::sandbox::graph::NewUser;

use super::{Site, assert_no_core, print_latencies};
use crate::support::process::run;
use crate::support::samba::{BASE_DN, REALM, Samba};
use crate::support::wait::eventually;

/// A password is changed by its user, by the Kerberos protocol (RFC 3244).
async fn kpasswd(site: &Site, samba: &Samba, user: &str, old: &str, new: &str) {
    let (config, input) = (site.at("krb5.conf"), site.at("answers"));
    let ip = samba.ip();
    let text = format!(
        "[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n\
         [realms]\n {REALM} = {{\n  kdc = {ip}\n  kpasswd_server = {ip}:464\n }}\n",
    );
    fs::write(&config, text).unwrap();
    fs::write(&input, format!("{old}\n{new}\n{new}\n")).unwrap();
    let mut command = Command::new("kpasswd");
    command.arg(user).env("KRB5_CONFIG", config).stdin(File::open(&input).unwrap());
    run(command).await;
    fs::remove_file(input).unwrap();
}

#[tokio::test]
async fn what_samba_accepts_arrives_sealed_and_what_it_refuses_does_not() {
    let site = Site::new().await;
    let script = site.hook("check-password", &site.socket(), "").display().to_string();
    let samba = Samba::start_with(&[("check password script", script)]).await;
    let watch = site.watch(&samba, &site.socket()).await.set("passwords.enforce_expiry", true);
    let apply = site.apply(&["keys"]);
    let mut watcher = watch.start(&["watch"]);
    let mut consumer = apply.start(&["apply"]);
    watcher.ready().await;
    consumer.ready().await;
    assert_no_core(&watcher);
    assert_no_core(&consumer);

    // Created with a password, while the relay runs.
    let twin = site.graph.add_user(NewUser::new("alice@corp.example"));
    let mut admin = samba.admin().await;
    let alice = admin.add_user(&format!("CN=Users,{BASE_DN}"), "alice").await;
    site.arrives(twin, "F1rst-Passw0rd", false).await;

    let mut latencies = Vec::new();
    for number in 0..10 {
        let password = format!("Re5et-\"Passw0rd{number}");
        let start = Instant::now();
        admin.set_password(&alice, &password).await;
        site.arrives(twin, &password, false).await;
        latencies.push(start.elapsed());
    }
    print_latencies("check password script", latencies);

    // Resets that the user must change, twice in a row.
    for password in ["Mu5t-Change-1", "Mu5t-Change-2"] {
        let mut command = Command::new("samba-tool");
        command.args(["user", "setpassword", "alice", "--must-change-at-next-login"]);
        command.arg(format!("--newpassword={password}"));
        command.arg(format!("--configfile={}", samba.smb_conf().display()));
        run(command).await;
        site.arrives(twin, password, true).await;
    }
    admin.allow_frequent_password_changes().await;
    kpasswd(&site, &samba, "alice", "Mu5t-Change-2", "Kerber0s-Passw0rd").await;
    site.arrives(twin, "Kerber0s-Passw0rd", false).await;

    // Accepted, and at once refused after the hook was called, for it is in the user's history.
    admin.set_password(&alice, "Ac2epted-Passw0rd").await;
    let accepted = Instant::now();
    let refused = admin.try_change_password(&alice, "Ac2epted-Passw0rd", "Mu5t-Change-2").await;
    assert!(!refused, "the domain keeps a history");
    eprintln!("refused {:.0?} after another one was accepted", accepted.elapsed());
    site.arrives(twin, "Ac2epted-Passw0rd", false).await;
    let short = admin.try_set_password(&alice, "Sh0rt").await;
    let simple = admin.try_set_password(&alice, "toosimpleforthisdomain").await;
    assert!(!short && !simple);
    admin.disable(&alice).await;
    eventually("a later change arrives", async || {
        !site.graph.user(twin).unwrap().account_enabled()
    })
    .await;
    assert_eq!(site.graph.user(twin).unwrap().password(), Some("Ac2epted-Passw0rd"));
    // The hook is called for what the history refuses, not for what is too short.
    for (outcome, number) in [("taken", 16.0), ("told", 15.0), ("superseded", 0.0)] {
        let name = format!("relay_passwords_total{{outcome=\"{outcome}\"}}");
        assert_eq!(watcher.metric(&name).await, Some(number), "{outcome}");
    }

    // Where the directory asks for another one, Entra does too. (Samba takes no password for expired
    // within a day, so the timer is proven elsewhere.)
    admin.set_password(&alice, "Exp1ring-Passw0rd").await;
    site.arrives(twin, "Exp1ring-Passw0rd", false).await;
    admin.replace(&alice, "pwdLastSet", &["0"]).await;
    site.arrives(twin, "Exp1ring-Passw0rd", true).await;

    // Whatever happens to the relay, passwords can be changed.
    watcher.kill();
    admin.set_password(&alice, "With0ut-Relay").await;

    consumer.terminate().await;
    let passwords = [
        "F1rst-Passw0rd",
        "Re5et-",
        "Mu5t-Change",
        "Kerber0s",
        "Ac2epted",
        "Exp1ring",
        "toosimple",
    ];
    site.assert_nowhere(&passwords, &[&watch, &apply]);
}
