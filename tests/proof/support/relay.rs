//! The program under test, as its user runs it.

use std::fs;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};

use entra_relay::sandbox::Sandbox;
use entra_relay::sandbox::graph::SandboxGraph;
use rustix::process::Signal;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::http::get;
use super::loopback::Loopback;
use super::process::{Process, finish};
use super::rabbit::{self, Vhost};
use super::samba::{Account, BASE_DN, Samba};
use super::wait::eventually;

const ADMIN_PORT: u16 = 9464;

/// A folder with a `relay.yaml`, and an address for the admin listener. Processes that run at the
/// same time need one each.
pub struct Setup {
    folder: TempDir,
    loopback: Loopback,
    config: Value,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// Only what keeps processes apart; the rest is the program's defaults.
    pub fn new() -> Setup {
        let folder = tempfile::Builder::new().prefix("relay-").tempdir().expect("a folder");
        let loopback = Loopback::take(&[ADMIN_PORT]);
        let listen = SocketAddr::from((loopback.ip(), ADMIN_PORT)).to_string();
        let control = format!("unix:{}", folder.path().join("control.sock").display());
        let state = folder.path().join("watcher.redb");
        let queue = folder.path().join("queue.redb");
        let (config, environment) = (Value::Object(Map::new()), Vec::new());
        Setup { folder, loopback, config, environment }
            .set("admin.listen", listen)
            .set("control.listen", control)
            .set("state.path", state)
            .set("broker.path", queue)
    }

    /// Sets one key, named as in the documentation: `scope.organizational_units`.
    pub fn set(mut self, key: &str, value: impl Serialize) -> Setup {
        let value = serde_json::to_value(value).expect("a configuration value");
        let slot = key.split('.').fold(&mut self.config, |section, name| &mut section[name]);
        *slot = value;
        self
    }

    /// Sets a variable of the environment, which is empty otherwise.
    pub fn environment(mut self, name: &str, value: &str) -> Setup {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Watches `samba` over LDAPS as `account`.
    pub fn directory(self, samba: &Samba, account: &Account) -> Setup {
        let password = self.secret("bind", &account.password);
        let bind = json!({ "method": "simple", "user": account.upn, "password_file": password });
        self.set("directory.source", "dirsync")
            .set("directory.urls", [samba.url_ldaps()])
            .set("directory.base_dn", BASE_DN)
            .set("directory.bind", bind)
            .set("directory.tls.ca_file", samba.ca_file())
    }

    /// Uses the queues of `vhost`.
    pub fn rabbit(self, vhost: &Vhost) -> Setup {
        let password = self.secret("broker", rabbit::PASSWORD);
        self.set("broker.kind", "rabbitmq")
            .set("broker.url", vhost.url())
            .set("broker.password_file", password)
    }

    /// Applies to the tenant of `graph`.
    pub fn graph(self, graph: &SandboxGraph) -> Setup {
        let options = graph.options();
        let secret = self.secret("graph", &options.client_secret);
        self.set("graph.endpoint", graph.endpoint())
            .set("graph.authority", graph.authority())
            .set("graph.tenant_id", &options.tenant_id)
            .set("graph.client_id", &options.client_id)
            .set("graph.client_secret_file", secret)
    }

    /// Watcher and consumer in one process, between the two sides of a sandbox.
    pub fn sandbox(self, sandbox: &Sandbox) -> Setup {
        let directory = &sandbox.directory;
        let password = self.secret("bind", directory.bind_password());
        let bind = json!({ "user": directory.bind_name(), "password_file": password });
        self.set("directory.urls", [directory.url()])
            .set("directory.base_dn", directory.base_dn())
            .set("directory.bind", bind)
            .set("broker.kind", "embedded")
            // Service accounts have no counterpart in Entra.
            .set("scope.exclude", ["svc-*"])
            .set("apply.attributes", json!({ "jobTitle": "title", "department": "department" }))
            .graph(&sandbox.graph)
    }

    /// Writes a file that only its owner may read and returns its path.
    pub fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a secret's file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a secret's mode");
        path
    }

    /// The folder of the configuration and of everything that the program stores.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The address of the admin listener.
    pub fn admin(&self) -> SocketAddr {
        SocketAddr::from((self.loopback.ip(), ADMIN_PORT))
    }

    /// Starts the program with a subcommand that keeps running.
    pub fn start(&self, arguments: &[&str]) -> Relay<'_> {
        let process = Process::start("entra-relay", self.command(arguments), self.folder());
        Relay { process, admin: self.admin(), setup: PhantomData }
    }

    /// Runs the program with a subcommand that ends.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        finish(self.command(arguments)).await
    }

    /// Runs the program with a subcommand that ends with this exit code, and returns what it
    /// printed for programs.
    pub async fn json(&self, arguments: &[&str], code: i32) -> Vec<Value> {
        let arguments = [&["--output", "json"], arguments].concat();
        let Output { status, stdout, stderr } = self.run(&arguments).await;
        let (told, text) = (String::from_utf8_lossy(&stderr), String::from_utf8_lossy(&stdout));
        assert_eq!(status.code(), Some(code), "{arguments:?}: {told}\n{text}");
        let values = serde_json::Deserializer::from_str(&text).into_iter();
        values.collect::<Result<_, _>>().expect("JSON")
    }

    /// Writes `relay.yaml` and returns its path. JSON is YAML, so it needs no writer of its own.
    pub fn write(&self) -> PathBuf {
        let file = self.folder().join("relay.yaml");
        fs::write(&file, format!("{:#}", self.config)).expect("relay.yaml");
        file
    }

    /// The program with a subcommand, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_entra-relay"));
        command.env_clear().envs(self.environment.iter().cloned()).current_dir(self.folder());
        command.arg("--config").arg(self.write()).args(arguments);
        command
    }
}

/// The running program. Dropping it kills it.
pub struct Relay<'setup> {
    process: Process,
    admin: SocketAddr,
    setup: PhantomData<&'setup Setup>,
}

impl Relay<'_> {
    /// Waits until the program says that it is ready for work.
    pub async fn ready(&mut self) {
        eventually("entra-relay is ready", async || {
            let ended = self.status();
            assert!(ended.is_none(), "entra-relay ended instead of getting ready: {ended:?}");
            match self.get("/readyz").await {
                Ok((200, _)) => Ok(()),
                Ok((status, body)) => Err(format!("/readyz answers {status}: {body}")),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// Waits until `text` stands in what the program has written since it was first started.
    pub async fn logged(&self, text: &str) {
        let what = format!("entra-relay writes {text:?}");
        eventually(&what, async || self.output().contains(text)).await;
    }

    /// What the program has written, over all starts with this setup.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Asks the admin listener: status and body.
    pub async fn get(&self, path: &str) -> std::io::Result<(u16, String)> {
        get(self.admin, path).await
    }

    /// Where its admin listener is.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The value of a metric, named with its labels; none while the program does not tell.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let (_, metrics) = self.get("/metrics").await.ok()?;
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        metrics.lines().find_map(value)
    }

    /// Asks the program to end, and waits until it has.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.exit().await
    }

    /// Waits until the program ends by itself.
    pub async fn exit(&mut self) -> ExitStatus {
        self.process.exit().await
    }

    /// How the program ended, if it has.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.process.status()
    }

    /// Stops the program from going on: its connections stay open and silent.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Ends [`Relay::freeze`].
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Kills the program in the middle of whatever it does.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}
