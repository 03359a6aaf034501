//! A password that is set in a real Active Directory arrives in Graph as exactly that, sealed on
//! its way over a real RabbitMQ; one that is refused does not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use entra_relay::sandbox::graph::{NewUser, Options, SandboxGraph};
use uuid::Uuid;

use crate::support::process::run;
use crate::support::rabbit::Rabbit;
use crate::support::relay::Setup;
use crate::support::samba::{BASE_DN, Samba};
use crate::support::wait::eventually;

/// The shipped hook, set up as its README says.
fn hook(folder: &Path) -> PathBuf {
    let hook = folder.join("check-password");
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/samba/check-password");
    let settings = format!(
        "#!/bin/sh\nexport ENTRA_RELAY='{}' ENTRA_RELAY_PASSWORD_TO='unix:{}'\nexec '{shipped}'\n",
        env!("CARGO_BIN_EXE_entra-relay"),
        folder.join("password.sock").display(),
    );
    fs::write(&hook, settings).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    hook
}

/// Every file below a folder that holds this text.
fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files_with(&path, text));
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test]
async fn what_samba_accepts_arrives_sealed_and_what_it_refuses_does_not() {
    let hooks = tempfile::tempdir().unwrap();
    let script = hook(hooks.path());
    let samba = Samba::start_with(&[("check password script", script.display().to_string())]).await;
    let rabbit = Rabbit::start().await;
    let vhost = rabbit.vhost();
    let graph = SandboxGraph::start(Options::default()).await.unwrap();
    let keys = hooks.path().join("keys");
    let made = Setup::new().run(&["keygen", "--dir", &keys.display().to_string()]).await;
    assert!(made.status.success(), "{made:?}");
    let account = samba.service_account().await;
    let watch = Setup::new()
        .directory(&samba, account)
        .rabbit(&vhost)
        .set("passwords.enabled", true)
        .set("passwords.listen", format!("unix:{}", hooks.path().join("password.sock").display()))
        .set("security.signing_key_file", keys.join("signing.key"))
        .set("security.sealing_key_file", keys.join("sealing.pub"));
    let apply = Setup::new()
        .rabbit(&vhost)
        .graph(&graph)
        .set("directory.base_dn", BASE_DN)
        .set("security.verify_key_files", [keys.join("signing.pub")])
        .set("security.opening_key_files", [keys.join("opening.key")]);
    let mut watcher = watch.start(&["watch"]);
    let mut consumer = apply.start(&["apply"]);
    watcher.ready().await;
    consumer.ready().await;

    // Created with a password, while the relay runs.
    let twin = graph.add_user(NewUser::new("alice@corp.example"));
    let mut admin = samba.admin().await;
    let alice = admin.add_user(&format!("CN=Users,{BASE_DN}"), "alice").await;
    let arrives = async |twin: Uuid, password: &str, must_change: bool| {
        eventually("the password is in Graph", async || {
            let user = graph.user(twin).unwrap();
            (user.password(), user.must_change_password()) == (Some(password), must_change)
        })
        .await;
    };
    arrives(twin, "F1rst-Passw0rd", false).await;

    // A reset; then resets that the user must change, twice in a row.
    admin.set_password(&alice, "Re5et-\"Passw0rd").await;
    arrives(twin, "Re5et-\"Passw0rd", false).await;
    let tool = async |arguments: &[&str]| {
        let mut command = Command::new("samba-tool");
        command.args(["user", "setpassword", "alice"]).args(arguments);
        command.arg(format!("--configfile={}", samba.smb_conf().display()));
        run(command).await
    };
    for password in ["Mu5t-Change-1", "Mu5t-Change-2"] {
        tool(&[&format!("--newpassword={password}"), "--must-change-at-next-login"]).await;
        arrives(twin, password, true).await;
    }

    // Accepted, and at once refused after the hook was called, for it is in the user's history.
    admin.allow_frequent_password_changes().await;
    admin.set_password(&alice, "Ac2epted-Passw0rd").await;
    let refused = admin.try_change_password(&alice, "Ac2epted-Passw0rd", "Mu5t-Change-2").await;
    assert!(!refused, "the domain keeps a history");
    arrives(twin, "Ac2epted-Passw0rd", false).await;
    let short = admin.try_set_password(&alice, "Sh0rt").await;
    let simple = admin.try_set_password(&alice, "toosimpleforthisdomain").await;
    assert!(!short && !simple);
    admin.disable(&alice).await;
    eventually("a later change arrives", async || !graph.user(twin).unwrap().account_enabled())
        .await;
    assert_eq!(graph.user(twin).unwrap().password(), Some("Ac2epted-Passw0rd"));
    // The hook is called for what the history refuses, not for what is too short.
    for (outcome, number) in [("taken", 6.0), ("told", 5.0), ("superseded", 0.0)] {
        let name = format!("relay_passwords_total{{outcome=\"{outcome}\"}}");
        assert_eq!(watcher.metric(&name).await, Some(number), "{outcome}");
    }

    // Whatever happens to the relay, passwords can be changed.
    watcher.kill();
    admin.set_password(&alice, "With0ut-Relay").await;

    consumer.terminate().await;
    for password in ["F1rst-Passw0rd", "Re5et-", "Mu5t-Change", "Ac2epted-Passw0rd"] {
        for folder in [watch.folder(), apply.folder(), rabbit.folder(), hooks.path()] {
            let found = files_with(folder, password);
            assert!(found.is_empty(), "{password} is in {found:?}");
        }
    }
}
