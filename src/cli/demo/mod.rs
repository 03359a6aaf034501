//! `demo`: the whole path on the sandbox, measured.

mod compare;
mod report;
mod serve;
mod story;

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::{Context, ensure};
use clap::Args;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Output, run::Relay};
use crate::{
    config::{Config, Role, model},
    sandbox::{ATTRIBUTES, Sandbox, administrator::Administrator},
};

/// `entra-relay demo`
#[derive(Debug, Args)]
pub struct Arguments {
    /// Keep the sandbox and the relay running afterwards, with changes to look at.
    #[arg(long)]
    serve: bool,
    #[command(flatten)]
    show: serve::Show,
    /// How many users the directory has.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(300..=100_000))]
    users: u32,
}

/// Tells the story, prints the table, and compares both sides.
pub async fn main(
    arguments: Arguments,
    output: Output,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let folder = Scratch::new()?;
    let sandbox = Sandbox::start(arguments.users as usize).await?;
    // The relay outlives the story's end only if it is asked to; a signal ends both.
    let relay_end = CancellationToken::new();
    let mut config = config(&sandbox, folder.path());
    if arguments.serve {
        arguments.show.configure(&mut config);
    }
    let relay = Relay::start(config, Role::Run, relay_end.clone()).await?;
    let admin = relay.admin_address()?;

    let told = async {
        ready(&relay).await?;
        let samples = story::tell(&sandbox, output == Output::Table).await?;
        let comparison = compare::compare(&sandbox);
        report::print(&samples, &comparison, output)?;
        Ok::<_, anyhow::Error>(comparison.agrees())
    };
    let agrees = tokio::select! {
        told = told => told?,
        () = shutdown.cancelled() => anyhow::bail!("interrupted"),
    };
    if arguments.serve {
        report::places(&sandbox, admin);
        let show = shutdown.run_until_cancelled(arguments.show.run(&sandbox));
        if let Some(failed) = show.await {
            match failed? {}
        }
    }
    relay_end.cancel();
    relay.finish().await?;
    Ok(if agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ready(relay: &Relay) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !relay.health().report().0 {
        ensure!(Instant::now() < deadline, "the relay did not become ready");
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn config(sandbox: &Sandbox, folder: &Path) -> Config {
    let mut config = Config::default();
    sandbox.configure_directory(&mut config.directory);
    sandbox.configure_graph(&mut config.graph);
    config.broker.kind = model::BrokerKind::Embedded;
    config.broker.path = folder.join("queue.redb");
    config.state.path = folder.join("watcher.redb");
    config.control.listen = format!("unix:{}", folder.join("control.sock").display());
    config.admin.listen = "127.0.0.1:0".into();
    config.apply.attributes =
        ATTRIBUTES.map(|(property, attribute)| (property.into(), attribute.into())).into();
    config
}

/// A folder that is removed at the end.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Scratch> {
        let path = std::env::temp_dir().join(format!("entra-relay-demo-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Scratch(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "cannot remove the demo's folder");
        }
    }
}

/// Logs in as the administrator of the sandbox directory.
async fn administrator(sandbox: &Sandbox) -> anyhow::Result<Administrator> {
    Administrator::connect(&sandbox.directory).await.context("the sandbox directory")
}
