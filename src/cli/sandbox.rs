//! `sandbox`: a directory and a Graph for relays in other processes, such as containers.

use std::{net::IpAddr, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::sandbox::{Sandbox, directory, everyday, graph};

/// `entra-relay sandbox`
#[derive(Debug, Args)]
pub struct Arguments {
    /// How many users both have.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    users: u32,
    /// Where both listen. They are for tests: whoever reaches them may do everything.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    listen: IpAddr,
    /// The port of the directory, which speaks LDAP.
    #[arg(long, default_value_t = 3389, value_name = "PORT")]
    ldap_port: u16,
    /// The port of Graph and of the token service, which speak HTTP.
    #[arg(long, default_value_t = 8380, value_name = "PORT")]
    graph_port: u16,
    /// Changes a user so often: titles, and every fifth time an account is disabled or enabled.
    #[arg(long, value_parser = humantime::parse_duration, value_name = "INTERVAL")]
    change_every: Option<Duration>,
}

/// Starts both, prints what a relay needs to use them, and serves until it is told to end.
pub async fn main(arguments: Arguments, shutdown: CancellationToken) -> anyhow::Result<ExitCode> {
    let directory = directory::Options {
        listen: (arguments.listen, arguments.ldap_port).into(),
        users: arguments.users as usize,
        ..directory::Options::default()
    };
    let graph = graph::Options {
        listen: (arguments.listen, arguments.graph_port).into(),
        ..graph::Options::default()
    };
    let sandbox = Sandbox::with(directory, graph).await.context("cannot start the sandbox")?;
    print!("{}", settings(&sandbox));
    let changes = async {
        match arguments.change_every {
            Some(every) => everyday::change(&sandbox.directory, every).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        failed = changes => match failed? {},
        () = shutdown.cancelled() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The part of a relay.yaml that leads here. The secrets are no secrets: they are everybody's.
fn settings(sandbox: &Sandbox) -> String {
    let (directory, options) = (&sandbox.directory, sandbox.graph.options());
    format!(
        "directory:
  source: dirsync
  urls: [{}]
  base_dn: {}
  bind: {{ user: {}, password: {} }}
graph:
  endpoint: {}
  authority: {}
  tenant_id: {}
  client_id: {}
  client_secret: {}
",
        directory.url(),
        directory.base_dn(),
        directory.bind_name(),
        directory.bind_password(),
        sandbox.graph.endpoint(),
        sandbox.graph.authority(),
        options.tenant_id,
        options.client_id,
        options.client_secret,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[tokio::test]
    async fn what_is_printed_is_a_configuration() {
        let sandbox = Sandbox::start(3).await.unwrap();
        let printed: Config = serde_yaml(&settings(&sandbox));
        assert_eq!(printed.directory.urls, [sandbox.directory.url()]);
        assert_eq!(printed.graph.endpoint, sandbox.graph.endpoint());
    }

    fn serde_yaml(text: &str) -> Config {
        let source = config::File::from_str(text, config::FileFormat::Yaml);
        let read = config::Config::builder().add_source(source).build().unwrap();
        read.try_deserialize().unwrap()
    }
}
