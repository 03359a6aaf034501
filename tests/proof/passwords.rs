//! A password that is set in a real Active Directory arrives in Graph as exactly that, sealed on
//! its way over a real RabbitMQ; one that is refused does not.

mod after_commit;
mod before_commit;
mod rotation;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use entra_relay::sandbox::graph::{Options, SandboxGraph};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::rabbit::{Rabbit, Vhost};
use crate::support::relay::{Relay, Setup};
use crate::support::samba::{BASE_DN, Samba};
use crate::support::wait::eventually;

/// What stands between a domain controller's hook and a tenant.
struct Site {
    /// Hooks, keys, and the socket of the intake.
    folder: TempDir,
    graph: SandboxGraph,
    rabbit: &'static Rabbit,
    vhost: Vhost,
}

impl Site {
    async fn new() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let rabbit = Rabbit::shared().await;
        let graph = SandboxGraph::start(Options::default()).await.unwrap();
        let site = Site { folder, graph, rabbit, vhost: rabbit.vhost() };
        site.keygen("keys").await;
        site
    }

    async fn keygen(&self, name: &str) {
        let folder = self.at(name).display().to_string();
        let made = Setup::new().run(&["keygen", "--dir", &folder]).await;
        assert!(made.status.success(), "{made:?}");
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the intake listens on this host.
    fn socket(&self) -> String {
        format!("unix:{}", self.at("password.sock").display())
    }

    /// A shipped hook, set up as its README says.
    fn hook(&self, name: &str, to: &str, options: &str) -> PathBuf {
        let hook = self.at(name);
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/samba").join(name);
        let settings = format!(
            "#!/bin/sh\nexport ENTRA_RELAY='{}' ENTRA_RELAY_PASSWORD_TO='{to}'\n\
             export ENTRA_RELAY_PASSWORD_OPTIONS='{options}'\nexec '{}'\n",
            env!("CARGO_BIN_EXE_entra-relay"),
            shipped.display(),
        );
        fs::write(&hook, settings).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        hook
    }

    async fn watch(&self, samba: &Samba, listen: &str) -> Setup {
        Setup::new()
            .directory(samba, samba.service_account().await)
            .rabbit(&self.vhost)
            .set("passwords.enabled", true)
            .set("passwords.listen", listen)
            .set("security.signing_key_file", self.at("keys/signing.key"))
            .set("security.sealing_key_file", self.at("keys/sealing.pub"))
    }

    /// A consumer that opens what is sealed to these keys.
    fn apply(&self, keys: &[&str]) -> Setup {
        let opening: Vec<_> = keys.iter().map(|keys| self.at(keys).join("opening.key")).collect();
        Setup::new()
            .rabbit(&self.vhost)
            .graph(&self.graph)
            .set("directory.base_dn", BASE_DN)
            .set("security.verify_key_files", [self.at("keys/signing.pub")])
            .set("security.opening_key_files", opening)
    }

    async fn arrives(&self, twin: Uuid, password: &str, must_change: bool) {
        let what = format!("the password {password} is in Graph");
        eventually(&what, async || {
            let user = self.graph.user(twin).unwrap();
            (user.password(), user.must_change_password()) == (Some(password), must_change)
        })
        .await;
    }

    /// Nothing that this run wrote holds any of these texts: logs, stores, RabbitMQ's files.
    fn assert_nowhere(&self, texts: &[&str], setups: &[&Setup]) {
        let ours = setups.iter().map(|setup| setup.folder());
        for folder in ours.chain([self.rabbit.folder(), self.folder.path()]) {
            let found = files_with(folder, texts);
            assert!(found.is_empty(), "plaintext is in {found:?}");
        }
    }
}

/// Every file below a folder that holds one of these texts.
fn files_with(folder: &Path, texts: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // A server may take a folder away meanwhile.
    let entries = fs::read_dir(folder).into_iter().flatten();
    for entry in entries.flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files_with(&path, texts));
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            let holds =
                |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            if texts.iter().any(|text| holds(text)) {
                found.push(path);
            }
        }
    }
    found
}

/// The kernel writes no core dump of it.
fn assert_no_core(relay: &Relay<'_>) {
    let limits = fs::read_to_string(format!("/proc/{}/limits", relay.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let values: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(values, ["0", "0"]);
}

fn print_latencies(way: &str, mut latencies: Vec<Duration>) {
    latencies.sort();
    let (last, middle) = (latencies.len() - 1, latencies.len() / 2);
    eprintln!(
        "{way}: set in the directory to accepted by Graph, {} times: least {:.0?}, median {:.0?}, \
         most {:.0?}",
        latencies.len(),
        latencies[0],
        latencies[middle],
        latencies[last],
    );
}
