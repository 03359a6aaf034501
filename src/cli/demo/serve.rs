//! After the story: changes go on, and Graph may go away now and then, for a look at the status page.

use std::{convert::Infallible, time::Duration};

use clap::Args;
use tokio::time::sleep;

use crate::{
    config::Config,
    sandbox::{Sandbox, administrator::AdministratorError, everyday},
};

/// Before the first outage, and between two.
const WELL: Duration = Duration::from_secs(60);

/// What is to be seen.
#[derive(Debug, Args)]
#[command(next_help_heading = "With --serve")]
pub struct Show {
    /// Port of the status page on 127.0.0.1; 0: any free one.
    #[arg(long, default_value_t = 0, requires = "serve", value_name = "PORT")]
    port: u16,
    /// Changes a user so often: titles, and every fifth time an account is disabled or enabled.
    #[arg(
        long,
        default_value = "400ms",
        requires = "serve",
        value_parser = humantime::parse_duration,
        value_name = "INTERVAL"
    )]
    change_every: Duration,
    /// Has Graph answer 503 for so long, a minute after the table and again and again.
    #[arg(long, requires = "serve", value_parser = humantime::parse_duration, value_name = "TIME")]
    graph_down: Option<Duration>,
}

impl Show {
    /// What the relay needs for it.
    pub fn configure(&self, config: &mut Config) {
        config.admin.listen = format!("127.0.0.1:{}", self.port);
        // Nobody disables as many people as this does: the guard would hold them.
        config.guard.max_disables = u32::MAX;
        config.guard.max_percent = 100;
    }

    /// Goes on without end.
    pub async fn run(&self, sandbox: &Sandbox) -> Result<Infallible, AdministratorError> {
        tokio::select! {
            failed = everyday::change(&sandbox.directory, self.change_every) => failed,
            never = self.go_down(sandbox) => match never {},
        }
    }

    async fn go_down(&self, sandbox: &Sandbox) -> Infallible {
        let Some(time) = self.graph_down else { return std::future::pending().await };
        loop {
            sleep(WELL).await;
            println!("Graph is down for {}.", humantime::format_duration(time));
            sandbox.graph.faults().set(|faults| faults.down = true);
            sleep(time).await;
            println!("Graph is back.");
            sandbox.graph.faults().set(|faults| faults.down = false);
        }
    }
}
