//! `healthcheck`: asks the admin listener of the process that runs here. For containers, which have
//! no other program to ask with.

use std::{net::SocketAddr, path::Path, process::ExitCode};

use anyhow::Context;
use clap::Args;

use super::http::{get, reachable};
use crate::config::{self, Role};

/// `entra-relay healthcheck`
#[derive(Debug, Args)]
pub struct Arguments {
    /// Fails also while the process waits for its first connections.
    #[arg(long)]
    ready: bool,
}

/// Exits with 0 if every loop of the process turns, with 1 if not, or if nobody answers.
pub async fn main(arguments: &Arguments, path: &Path) -> anyhow::Result<ExitCode> {
    let config = config::load(path, std::env::vars(), Role::Tool)?;
    let listener: SocketAddr =
        config.admin.listen.parse().expect("the configuration was checked when it was read");
    let address = reachable(listener).to_string();
    let paths = if arguments.ready { &["/livez", "/readyz"][..] } else { &["/livez"] };
    for path in paths {
        let (status, body) = get(&address, path)
            .await
            .with_context(|| format!("no process answers at http://{address}{path}"))?;
        anyhow::ensure!(status == 200, "{path} answers {status}: {}", body.trim());
    }
    Ok(ExitCode::SUCCESS)
}
