//! The image, run as compose.yaml runs it: a watcher and two consumers in containers, against a real
//! Samba Active Directory and a real RabbitMQ. It needs a docker daemon, which does not run everywhere,
//! so it is started by hand: `tests/containers/run`.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

#[allow(dead_code, reason = "the other tests use what this one does not")]
#[path = "../proof/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;

use support::process::{finish, run};
use support::rabbit::Rabbit;
use support::relay::Setup;
use support::site::Site;
use support::wait::eventually;

/// The user in the image.
const USER: u32 = 65532;

#[tokio::test]
async fn a_disable_goes_through_though_a_consumer_is_killed() {
    let rabbit = Rabbit::start().await;
    let site = Site::new(&rabbit).await;
    let (alice, alice_twin) = site.add_user("alice", true).await;
    let (bob, bob_twin) = site.add_user("bob", true).await;
    let second = site.second_consumer();
    let watcher = Container::start("watch", &site.watch, Some(site.samba.ca_file())).await;
    let killed = Container::start("apply", &site.apply, None).await;
    let left = Container::start("apply", &second, None).await;
    for container in [&watcher, &killed, &left] {
        container.ready().await;
    }
    let mut admin = site.samba.admin().await;

    admin.disable(&alice).await;
    site.enabled(alice_twin, false).await;
    for container in [&watcher, &killed, &left] {
        println!("{}: {}", container.role, container.memory().await);
    }
    docker(&["kill", &killed.id]).await;
    admin.enable(&alice).await;
    admin.disable(&bob).await;
    site.enabled(bob_twin, false).await;
    site.enabled(alice_twin, true).await;
    assert_eq!(site.dead_letters().await, 0);

    // What the process may not do, it cannot.
    let shell = finish(command(&["exec", &watcher.id, "sh", "-c", "true"])).await;
    assert!(!shell.status.success(), "there is a shell in the image");
    for container in [&watcher, &left] {
        docker(&["stop", "--time", "30", &container.id]).await;
        let ended = docker(&["inspect", "--format", "{{.State.ExitCode}}", &container.id]).await;
        assert_eq!(ended, "0", "process 1 ends in order on SIGTERM");
    }
}

/// A running container; removed when it is dropped.
struct Container {
    role: &'static str,
    id: String,
}

impl Container {
    /// Starts a role with what `setup` says, as hardened as in compose.yaml. The host's network
    /// stands for one of the containers' own: the servers listen on loopback.
    async fn start(role: &'static str, setup: &Setup, ca: Option<&Path>) -> Container {
        let image = std::env::var("ENTRA_RELAY_IMAGE").unwrap_or_else(|_| "entra-relay".into());
        let config = setup.write();
        for entry in std::fs::read_dir(setup.folder()).unwrap() {
            std::os::unix::fs::chown(entry.unwrap().path(), Some(USER), Some(USER)).unwrap();
        }
        std::os::unix::fs::chown(setup.folder(), Some(USER), Some(USER)).unwrap();
        let read_only = |path: &Path| format!("{0}:{0}:ro", path.display());
        let mut arguments: Vec<String> = [
            "run --detach --network host --read-only --cap-drop ALL --memory 128m",
            "--security-opt no-new-privileges --tmpfs /run/entra-relay:uid=65532,gid=65532,mode=0700",
            "--volume /var/lib/entra-relay --health-interval 1s",
        ]
        .iter()
        .flat_map(|line| line.split(' ').map(str::to_owned))
        .collect();
        let mounted = format!("{}:/etc/entra-relay/relay.yaml:ro", config.display());
        let listen = format!("RELAY_ADMIN__LISTEN={}", setup.admin());
        arguments.extend(["--env".into(), listen, "--volume".into(), mounted]);
        arguments.extend(["--volume".into(), read_only(setup.folder())]);
        arguments.extend(ca.into_iter().flat_map(|ca| ["--volume".into(), read_only(ca)]));
        arguments.extend([image, role.into()]);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        Container { role, id: docker(&arguments).await }
    }

    /// Waits until both the image's own check and the stricter one are content.
    async fn ready(&self) {
        eventually("the container is healthy", async || {
            let format = "{{.State.Health.Status}}";
            let status = docker(&["inspect", "--format", format, &self.id]).await;
            let check = ["exec", &self.id, "entra-relay", "healthcheck", "--ready"];
            let ready = finish(command(&check)).await;
            let told = String::from_utf8_lossy(&ready.stderr).into_owned();
            if status == "healthy" && ready.status.success() { Ok(()) } else { Err(status + &told) }
        })
        .await;
    }

    async fn memory(&self) -> String {
        docker(&["stats", "--no-stream", "--format", "{{.MemUsage}}", &self.id]).await
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _shown = command(&["logs", "--tail", "40", &self.id]).status();
        }
        let _removed = command(&["rm", "--force", "--volumes", &self.id]).output();
    }
}

/// Runs `docker` and returns what it prints.
async fn docker(arguments: &[&str]) -> String {
    run(command(arguments)).await.trim().to_owned()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(arguments);
    command
}
