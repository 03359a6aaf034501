//! `entra-relay init`: from nothing to a relay that works, in a terminal and without one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use entra_relay::sandbox::graph::{NewUser, Options, SandboxGraph};
use tempfile::TempDir;

use crate::support::process::{Process, finish, run};
use crate::support::rabbit::{PASSWORD, Rabbit, Vhost};
use crate::support::relay::Setup;
use crate::support::samba::{Account, BASE_DN, Samba};
use crate::support::wait::eventually;

/// An empty folder, and the servers that a relay there is to work with.
struct Newcomer {
    folder: TempDir,
    /// For the address of its admin listener alone.
    setup: Setup,
    samba: &'static Samba,
    account: Account,
    vhost: Vhost,
    graph: SandboxGraph,
}

impl Newcomer {
    async fn arrives() -> Newcomer {
        let samba = Samba::shared().await;
        Newcomer {
            folder: tempfile::Builder::new().prefix("relay-init-").tempdir().unwrap(),
            setup: Setup::new(),
            samba,
            account: samba.service_account().await.clone(),
            vhost: Rabbit::shared().await.vhost(),
            graph: SandboxGraph::start(Options::default()).await.unwrap(),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("etc/relay.yaml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_entra-relay"));
        let admin = self.setup.admin().to_string();
        command.env_clear().env("RELAY_ADMIN__LISTEN", admin).current_dir(self.folder.path());
        command.arg("--config").arg(self.file()).args(arguments);
        command
    }

    fn secret(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }

    /// The relay with the configuration that was written blocks whom the directory disables.
    async fn works(&self, name: &str) {
        let mut admin = self.samba.admin().await;
        let user = admin.add_user(&format!("CN=Users,{BASE_DN}"), name).await;
        let link = user.immutable_id();
        let twin = self.graph.add_user(NewUser::new(&user.upn).immutable_id(&link));
        let _relay = Process::start("entra-relay", self.command(&["run"]), self.folder.path());
        eventually("the relay is ready", async || {
            finish(self.command(&["healthcheck", "--ready"])).await.status.success()
        })
        .await;
        admin.disable(&user).await;
        eventually("the user is blocked", async || {
            !self.graph.user(twin).unwrap().account_enabled()
        })
        .await;
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn from_nothing_to_a_relay_without_a_terminal() {
    let new = Newcomer::arrives().await;
    let options = new.graph.options().clone();
    let (bind, broker, graph) = (
        new.secret("bind", &new.account.password),
        new.secret("broker", PASSWORD),
        new.secret("graph", &options.client_secret),
    );
    let ca = new.samba.ca_file();
    let (url, endpoint, authority) =
        (new.samba.url_ldaps(), new.graph.endpoint(), new.graph.authority());
    let init = |password: &str| {
        let mut command = new.command(&["init", "--non-interactive", "--role", "run"]);
        command
            .args(["--base-dn", BASE_DN, "--url", &url, "--bind-user", &new.account.upn])
            .args(["--bind-password-file", password, "--broker", &new.vhost.url()])
            .args(["--broker-password-file", &broker, "--client-secret-file", &graph])
            .args(["--tenant-id", &options.tenant_id, "--client-id", &options.client_id])
            .args(["--graph-endpoint", &endpoint, "--graph-authority", &authority])
            .arg("--ca-file")
            .arg(ca);
        command
    };

    let mut lacking = new.command(&["init", "--non-interactive", "--base-dn", BASE_DN]);
    lacking.args(["--url", &url]);
    let lacking = finish(lacking).await;
    assert_eq!(lacking.status.code(), Some(1));
    let told = String::from_utf8_lossy(&lacking.stderr).into_owned();
    assert!(told.contains("--bind-password-file is needed"), "{told}");
    assert!(!new.file().exists());

    let told = run(init(&bind)).await;
    for part in ["wrote ", "dsacls", "grant-deleted-objects", "admin-consent", " check"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let text = fs::read_to_string(new.file()).unwrap();
    assert!(text.contains(&bind) && !text.contains(&new.account.password), "{text}");
    run(new.command(&["check"])).await;
    new.works("init-quiet").await;

    let again = finish(init(&bind)).await;
    assert_eq!(again.status.code(), Some(1), "what is there is left as it is");
    assert_eq!(fs::read_to_string(new.file()).unwrap(), text);
}

/// A terminal that a test types into, on a server of its own.
struct Terminal {
    socket: String,
}

impl Terminal {
    fn open(command: &Command) -> Terminal {
        let terminal = Terminal { socket: format!("relay-{}", uuid::Uuid::new_v4()) };
        let mut tmux = terminal.tmux();
        tmux.args(["-f", "/dev/null", "new-session", "-d", "-x", "200", "-y", "60"]);
        for (name, value) in command.get_envs() {
            let (name, value) = (name.display(), value.unwrap_or_default().display());
            tmux.arg("-e").arg(format!("{name}={value}"));
        }
        // What was told stays on the screen.
        tmux.args(["sh", "-c", r#""$@"; echo "ended with $?"; exec sleep 600"#, "sh"]);
        tmux.arg(command.get_program()).args(command.get_args());
        assert!(tmux.status().expect("tmux: tests/run installs it").success());
        terminal
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]);
        command
    }

    async fn screen(&self) -> String {
        let mut capture = self.tmux();
        capture.args(["capture-pane", "-p", "-S", "-500"]);
        run(capture).await
    }

    /// Waits for a question, then types the answer.
    async fn answer(&self, question: &str, answer: &str) {
        eventually(&format!("the terminal shows {question:?}"), async || {
            let screen = self.screen().await;
            // The question that waits is the last line.
            let last = screen.lines().rev().find(|line| !line.trim().is_empty());
            let is_asked = last.unwrap_or_default().contains(question);
            if is_asked { Ok(()) } else { Err(screen) }
        })
        .await;
        if !answer.is_empty() {
            let mut keys = self.tmux();
            keys.args(["send-keys", "-l", "--", answer]);
            run(keys).await;
        }
        self.enter().await;
    }

    /// Waits for a list, and takes its first item.
    async fn first(&self, question: &str) {
        eventually(&format!("the terminal shows {question:?}"), async || {
            let screen = self.screen().await;
            if screen.contains(question) { Ok(()) } else { Err(screen) }
        })
        .await;
        self.enter().await;
    }

    async fn enter(&self) {
        let mut enter = self.tmux();
        enter.args(["send-keys", "Enter"]);
        run(enter).await;
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").status();
    }
}

#[tokio::test]
async fn from_nothing_to_a_relay_in_a_terminal() {
    let new = Newcomer::arrives().await;
    let options = new.graph.options().clone();
    let mut init = new.command(&["init"]);
    // Questions that were answered beforehand; the first would ask DNS.
    init.args(["--url", &new.samba.url_ldaps()])
        .args(["--graph-endpoint", &new.graph.endpoint()])
        .args(["--graph-authority", &new.graph.authority()]);
    let terminal = Terminal::open(&init);
    terminal.first("What shall run here?").await;
    terminal.answer("Base DN", BASE_DN).await;
    let ca = new.samba.ca_file().display().to_string();
    terminal.answer("CA of their certificates", &ca).await;
    terminal.answer("Account of the relay", &new.account.upn).await;
    terminal.answer("Its password", "not the password").await;
    // The answer is tried at once, and only the password is typed anew.
    terminal.first("Something does not work").await;
    assert!(terminal.screen().await.contains("wrong user name or password"));
    for question in ["Base DN", "Domain controllers", "CA of their", "Account of the relay"] {
        terminal.answer(question, "").await;
    }
    terminal.answer("Its password", &new.account.password).await;
    terminal.answer("Queue (", &new.vhost.url()).await;
    terminal.answer("Password of that user", PASSWORD).await;
    terminal.answer("Tenant id", &options.tenant_id).await;
    terminal.answer("Client id", &options.client_id).await;
    terminal.answer("Client secret", &options.client_secret).await;
    terminal.answer("mobile phones too?", "n").await;
    eventually("it ends", async || {
        let screen = terminal.screen().await;
        if screen.contains("ended with 0") { Ok(()) } else { Err(screen) }
    })
    .await;
    let screen = terminal.screen().await;
    for secret in ["not the password", &new.account.password, PASSWORD, &options.client_secret] {
        assert!(!screen.contains(secret), "{screen}");
    }
    let secrets = new.folder.path().join("etc/secrets");
    for name in ["bind", "broker", "graph"] {
        assert_eq!(mode(&secrets.join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&secrets), 0o700);
    new.works("init-typed").await;
}
