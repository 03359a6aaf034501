//! A RabbitMQ node.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::{Connection, ConnectionProperties};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::loopback::Loopback;
use super::process::{Process, run};
use super::wait::eventually;

/// The user of every virtual host.
pub const USER: &str = "relay";
/// The password of [`USER`].
pub const PASSWORD: &str = "r3lay-Passw0rd";

/// The programs themselves: those in /usr/sbin are wrappers that change the user.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
const AMQP_PORT: u16 = 5672;
const METRICS_PORT: u16 = 15692;
/// Virtual hosts made at the start, where they cost nothing; by `rabbitmqctl` each takes seconds.
const VHOSTS: usize = 96;

/// A running node with its own port mapper, user and virtual hosts.
pub struct Rabbit {
    loopback: Loopback,
    vhosts_taken: AtomicUsize,
    // Before the folder: fields are dropped in this order.
    node: Process,
    _epmd: Process,
    folder: TempDir,
}

/// A virtual host that one test has to itself.
#[derive(Clone, Debug)]
pub struct Vhost {
    /// Its name.
    pub name: String,
    ip: Ipv4Addr,
}

impl Rabbit {
    /// Starts a node for one test, which may stop it.
    pub async fn start() -> Rabbit {
        Rabbit::launch(false).await
    }

    /// As [`Rabbit::start`], with metrics for Prometheus.
    pub async fn observed() -> Rabbit {
        Rabbit::launch(true).await
    }

    async fn launch(observed: bool) -> Rabbit {
        let loopback = Loopback::take(&[AMQP_PORT, METRICS_PORT]);
        let folder = tempfile::Builder::new().prefix("relay-mq-").tempdir().expect("a folder");
        write_files(folder.path(), &loopback, observed);
        let epmd = spawn_epmd(&loopback, folder.path());
        let node = spawn_node(&loopback, folder.path());
        let vhosts_taken = AtomicUsize::new(0);
        let rabbit = Rabbit { loopback, vhosts_taken, node, _epmd: epmd, folder };
        rabbit.ready().await;
        rabbit
    }

    /// The node of all tests that do not stop it; each takes a virtual host.
    pub async fn shared() -> &'static Rabbit {
        static SHARED: OnceCell<Rabbit> = OnceCell::const_new();
        SHARED.get_or_init(Rabbit::start).await
    }

    /// Everything that the node writes.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Takes a virtual host that no other test gets.
    pub fn vhost(&self) -> Vhost {
        let taken = self.vhosts_taken.fetch_add(1, Ordering::Relaxed);
        assert!(taken < VHOSTS, "all virtual hosts are taken: raise VHOSTS");
        Vhost { name: vhost_name(taken), ip: self.loopback.ip() }
    }

    /// Where an [observed](Rabbit::observed) node tells its metrics.
    pub fn metrics(&self) -> SocketAddr {
        SocketAddr::from((self.loopback.ip(), METRICS_PORT))
    }

    /// Runs `rabbitmqctl` and returns what it prints. It takes seconds: it is a node of its own.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        let mut command = program("rabbitmqctl", &self.loopback, self.folder.path());
        command.arg("--quiet").args(arguments);
        run(command).await
    }

    /// How many messages the queues of a virtual host hold, by queue; those that were delivered
    /// and not settled yet included.
    pub async fn messages(&self, vhost: &Vhost) -> BTreeMap<String, u64> {
        let columns =
            ["list_queues", "--vhost", &vhost.name, "name", "messages", "--no-table-headers"];
        let listed = self.ctl(&columns).await;
        let row = |line: &str| {
            let (name, messages) = line.split_once('\t')?;
            Some((name.to_owned(), messages.trim().parse().ok()?))
        };
        listed.lines().filter_map(row).collect()
    }

    /// Writes the tables that name the quorum queues to disk. The node does so seconds after a
    /// change; a queue whose name a kill takes away never elects a leader again.
    pub async fn flush(&self) {
        self.ctl(&["eval", "[dets:sync(Table) || Table <- dets:all()]."]).await;
    }

    /// Stops the node in order.
    pub async fn stop(&mut self) {
        self.node.signal(Signal::TERM);
        self.node.exit().await;
    }

    /// Kills the node as a power cut would. Queues declared just before need [`Rabbit::flush`].
    pub fn kill(&mut self) {
        self.node.kill();
    }

    /// Starts a stopped or killed node again, with what it had stored.
    pub async fn restart(&mut self) {
        self.node = spawn_node(&self.loopback, self.folder.path());
        self.ready().await;
    }

    /// Stops the node from answering: connections stay open and silent.
    pub fn freeze(&self) {
        self.node.signal(Signal::STOP);
    }

    /// Ends [`Rabbit::freeze`].
    pub fn thaw(&self) {
        self.node.signal(Signal::CONT);
    }

    async fn ready(&self) {
        let vhost = Vhost { name: vhost_name(0), ip: self.loopback.ip() };
        // A node that is half up takes a connection and never answers it.
        eventually("RabbitMQ accepts a connection", async || {
            match timeout(Duration::from_secs(5), vhost.connect()).await {
                Ok(connected) => connected.map(drop).map_err(|error| error.to_string()),
                Err(_elapsed) => Err("the connection is not answered".to_owned()),
            }
        })
        .await;
    }
}

impl Vhost {
    /// The URL as the relay's configuration has it, without the password.
    pub fn url(&self) -> String {
        format!("amqp://{USER}@{}:{AMQP_PORT}/{}", self.ip, self.name)
    }

    /// The URL with the password.
    pub fn amqp_url(&self) -> String {
        format!("amqp://{USER}:{PASSWORD}@{}:{AMQP_PORT}/{}", self.ip, self.name)
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.ip, AMQP_PORT))
    }

    /// Connects as a client of the test's own.
    pub async fn connect(&self) -> lapin::Result<Connection> {
        Connection::connect(&self.amqp_url(), ConnectionProperties::default()).await
    }

    /// How many messages of a queue wait to be delivered.
    pub async fn waiting(&self, queue: &str) -> lapin::Result<u32> {
        let channel = self.connect().await?.create_channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let found = channel.queue_declare(queue.into(), passive, Default::default()).await?;
        Ok(found.message_count())
    }
}

fn vhost_name(number: usize) -> String {
    format!("v{number:02}")
}

fn spawn_epmd(loopback: &Loopback, folder: &Path) -> Process {
    let [port, _] = loopback.own_ports();
    let mut command = Command::new("epmd");
    command.args(["-address", "127.0.0.1", "-port", &port.to_string()]);
    Process::start("epmd", command, folder)
}

fn spawn_node(loopback: &Loopback, folder: &Path) -> Process {
    let command = program("rabbitmq-server", loopback, folder);
    Process::start("rabbitmq", command, folder)
}

/// One of RabbitMQ's programs with the environment of the node, and nothing of the caller's.
fn program(name: &str, loopback: &Loopback, folder: &Path) -> Command {
    let at = |name: &str| folder.join(name).into_os_string();
    let [epmd_port, distribution_port] = loopback.own_ports().map(|port| port.to_string());
    let environment: [(&str, OsString); 16] = [
        ("PATH", std::env::var_os("PATH").unwrap_or_default()),
        ("LANG", "C.UTF-8".into()),
        ("HOME", folder.into()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
        ("ERL_EPMD_PORT", epmd_port.into()),
        ("RABBITMQ_NODENAME", format!("relay-{}@localhost", loopback.ip().octets()[3]).into()),
        ("RABBITMQ_NODE_IP_ADDRESS", loopback.ip().to_string().into()),
        ("RABBITMQ_NODE_PORT", AMQP_PORT.to_string().into()),
        ("RABBITMQ_DIST_PORT", distribution_port.into()),
        ("RABBITMQ_MNESIA_BASE", at("mnesia")),
        ("RABBITMQ_LOG_BASE", at("log")),
        ("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf")),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", at("advanced.config")),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins")),
        // The start script then becomes the node instead of watching over it.
        ("RUNNING_UNDER_SYSTEMD", "true".into()),
    ];
    let mut command = Command::new(Path::new(PROGRAMS).join(name));
    command.env_clear().envs(environment);
    command
}

fn write_files(folder: &Path, loopback: &Loopback, observed: bool) {
    let definitions = folder.join("definitions.json");
    let mut config =
        format!("disk_free_limit.absolute = 50MB\nload_definitions = {}\n", definitions.display());
    let mut plugins = "[].";
    if observed {
        config += &format!("prometheus.tcp.ip = {}\n", loopback.ip());
        plugins = "[rabbitmq_prometheus].";
    }
    let vhosts: Vec<_> = (0..VHOSTS).map(vhost_name).collect();
    let contents = json!({
        "users": [{ "name": USER, "password": PASSWORD, "tags": "" }],
        "vhosts": vhosts.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        "permissions": vhosts.iter().map(|name| json!({
            "user": USER, "vhost": name, "configure": ".*", "write": ".*", "read": ".*",
        })).collect::<Vec<_>>(),
    });
    let files = [
        ("definitions.json", contents.to_string()),
        ("rabbitmq.conf", config),
        ("advanced.config", "[{kernel,[{inet_dist_use_interface,{127,0,0,1}}]}].".to_owned()),
        ("enabled_plugins", plugins.to_owned()),
        (".erlang.cookie", uuid::Uuid::new_v4().simple().to_string()),
    ];
    for (name, contents) in files {
        fs::write(folder.join(name), contents).expect("a file of the node");
    }
    // Erlang refuses a cookie that others may read.
    let cookie = folder.join(".erlang.cookie");
    fs::set_permissions(cookie, fs::Permissions::from_mode(0o400)).expect("mode of the cookie");
}
