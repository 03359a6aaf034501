//! `init`: from nothing to a configuration that works.
//!
//! Each server is tried as soon as it is named, by the checks of `check`. Everything is asked and
//! tried before anything is written.

mod answers;
mod ask;
mod found;
mod grants;
mod write;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};

use self::{answers::Answers, ask::Asker, found::Found};
use super::{LEFT_OVER, check::table, table::is_coloured};
use crate::{
    check::{self, Area, Check, Verdict},
    config::{Role, model::BrokerKind},
};

/// Asks, tries each answer at once, then writes relay.yaml and the files of secrets.
///
/// The configuration is written to the file that --config names, which must not be there yet, and
/// the secrets into a folder `secrets` beside it, with mode 0600. Where there is no terminal, or with
/// --non-interactive, answers come from the options and from what is found on this machine.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct Arguments {
    /// Asks nothing.
    #[arg(long)]
    non_interactive: bool,
    /// Which half is set up.
    #[arg(long, value_enum, value_name = "ROLE")]
    role: Option<Half>,
    /// Root of the domain's naming context, such as DC=corp,DC=example.
    #[arg(long, value_name = "DN")]
    base_dn: Option<String>,
    /// A domain controller; may be repeated. Otherwise DNS is asked.
    #[arg(long = "url", value_name = "URL")]
    urls: Vec<String>,
    /// The CA of the domain controllers, in PEM; otherwise the system's certificates.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The relay's account in the directory.
    #[arg(long, value_name = "NAME")]
    bind_user: Option<String>,
    /// A file that holds the account's password; `-` reads a line of standard input.
    #[arg(long, value_name = "FILE")]
    bind_password_file: Option<PathBuf>,
    /// amqps://USER@HOST/VHOST, or `embedded` for a queue in a file.
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// A file that holds the password of that user; `-` reads a line of standard input.
    #[arg(long, value_name = "FILE")]
    broker_password_file: Option<PathBuf>,
    /// The CA of the broker, in PEM; otherwise the system's certificates.
    #[arg(long, value_name = "FILE")]
    broker_ca_file: Option<PathBuf>,
    /// The tenant's id; otherwise AZURE_TENANT_ID.
    #[arg(long, value_name = "ID")]
    tenant_id: Option<String>,
    /// The app's client id; otherwise AZURE_CLIENT_ID.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// A file that holds the app's client secret; `-` reads a line of standard input.
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// Graph's service root, for a national cloud.
    #[arg(long, value_name = "URL")]
    graph_endpoint: Option<String>,
    /// The token authority of that cloud.
    #[arg(long, value_name = "URL")]
    graph_authority: Option<String>,
    /// signing.pub of the watcher, for a consumer whose broker is on another host.
    #[arg(long, value_name = "FILE")]
    verify_key_file: Option<PathBuf>,
    /// Maps names, job titles, departments and mobile phones too, not account state alone.
    #[arg(long)]
    attributes: bool,
}

/// What runs with the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Half {
    /// Watcher and consumer, in one process.
    Run,
    /// The watcher.
    Watch,
    /// A consumer.
    Apply,
}

impl Half {
    fn role(self) -> Role {
        match self {
            Half::Run => Role::Run,
            Half::Watch => Role::Watch,
            Half::Apply => Role::Apply,
        }
    }
}

/// Runs the command.
pub async fn main(arguments: Arguments, path: &Path) -> anyhow::Result<ExitCode> {
    let place = write::Place::new(path)?;
    let ask = Asker::new(arguments.non_interactive);
    let found = Found::here();
    let mut answers = Answers::default();
    let role = match arguments.role {
        Some(half) => half.role(),
        None => [Role::Run, Role::Watch, Role::Apply][ask.choose(
            "What shall run here?",
            &["watcher and consumer, in one process", "the watcher", "a consumer"],
        )?],
    };
    let mut checks = Vec::new();
    if role.watches() {
        checks.extend(
            tried(&ask, Area::Directory, role, &mut answers, async |answers, again| {
                let options = options(&arguments, again);
                answers.of_the_domain(&ask, &options, &found)?;
                answers.of_the_directory(&ask, &options).await
            })
            .await?,
        );
    } else {
        answers.of_the_domain(&ask, &arguments, &found)?;
    }
    checks.extend(
        tried(&ask, Area::Broker, role, &mut answers, async |answers, again| {
            answers.of_the_broker(&ask, &options(&arguments, again), role)
        })
        .await?,
    );
    if role.applies() {
        checks.extend(
            tried(&ask, Area::Graph, role, &mut answers, async |answers, again| {
                answers.of_graph(&ask, &options(&arguments, again), &found)
            })
            .await?,
        );
    }
    answers.of_the_rest(&ask, &arguments, role)?;
    let written = place.write(&answers, role)?;
    print!("{}", written.report());
    println!("\n{}", grants::text(&answers, role, &checks));
    println!("{}", next_steps(path, role));
    let is_done = check::is_good(&checks);
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::from(LEFT_OVER) })
}

/// Who answers again wants other answers than those of the options.
fn options(given: &Arguments, again: bool) -> Arguments {
    if again { Arguments::default() } else { given.clone() }
}

/// Asks for a server until it works, or until it is to stay as it is.
async fn tried(
    ask: &Asker,
    area: Area,
    role: Role,
    answers: &mut Answers,
    mut about: impl AsyncFnMut(&mut Answers, bool) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Check>> {
    let mut again = false;
    loop {
        about(answers, again).await?;
        if area == Area::Broker && answers.config.broker.kind == BrokerKind::Embedded {
            return Ok(Vec::new());
        }
        println!();
        let checks = check::of_area(&answers.config, role, area).await;
        println!("{}", table(&checks, is_coloured()));
        again = !check::is_good(&checks) && ask.again()?;
        if !again {
            return Ok(checks);
        }
    }
}

fn next_steps(path: &Path, role: Role) -> String {
    let path = path.display();
    format!("Next:\n  entra-relay -c {path} check\n  entra-relay -c {path} {}", role.as_str())
}

/// Whether a check of this name did not pass.
fn is_missing(checks: &[Check], name: &str) -> bool {
    checks.iter().any(|check| check.name == name && check.verdict == Verdict::Fail)
}
