//! The command line: one file per subcommand.

mod both;
mod check;
mod confirm;
mod dead_letters;
#[cfg(feature = "sandbox")]
mod demo;
mod events;
mod explain;
mod filters;
mod healthcheck;
mod held;
mod http;
mod init;
mod keygen;
mod manual;
mod password;
mod pause;
mod reach;
mod reconcile;
mod run;
#[cfg(feature = "sandbox")]
mod sandbox;
mod status;
mod sync;
mod table;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

use self::table::clean;
use crate::{
    config::{Invalid, Role},
    ops::{control::protocol::Request, log, memory, shutdown},
};

/// What the exit codes mean, for scripts.
const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 bad usage or configuration, \
3 done but something is left over.";

/// Exit code for bad usage or configuration.
const USAGE: u8 = 2;

/// Exit code where it is done but something is left over.
const LEFT_OVER: u8 = 3;

/// Carries changes of an on-premises directory to Microsoft Entra ID within a second.
#[derive(Debug, Parser)]
#[command(name = "entra-relay", version, after_help = EXIT_CODES)]
pub struct Arguments {
    /// Configuration file.
    #[arg(short, long, global = true, default_value = "relay.yaml", value_name = "FILE")]
    config: PathBuf,
    /// Form of the log lines, which go to standard error.
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: log::Format,
    /// Form of results, which go to standard output.
    #[arg(long, global = true, value_enum, default_value_t)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

/// The form of results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the whole path on the sandbox and measures it; needs no configuration.
    #[cfg(feature = "sandbox")]
    Demo(demo::Arguments),
    /// Serves a directory and a Graph to try relays on, and prints what these need to know.
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::Arguments),
    /// Runs watcher and consumer in one process.
    Run,
    /// Runs the watcher alone: from the directory to the queue.
    Watch,
    /// Runs the consumer alone: from the queue to Graph.
    Apply,
    /// Asks, tries each answer at once, then writes relay.yaml and the files of secrets.
    Init(Box<init::Arguments>),
    /// Tests every connection, right and permission; says what is missing and how to mend it.
    Check(check::Arguments),
    /// Makes the keys by which consumers know the watcher's events and open its passwords.
    Keygen(keygen::Arguments),
    /// Hands a new password to the watcher.
    Password(password::Arguments),
    /// Shows, replays or discards what was given up.
    #[command(visible_alias = "dlq")]
    DeadLetters(dead_letters::Arguments),
    /// Asks the process that runs here whether it is well; for containers.
    Healthcheck(healthcheck::Arguments),
    /// Shows, approves or rejects what the guard holds.
    Held(held::Arguments),
    /// Has users told again now, and waits until Entra agrees.
    Sync(sync::Arguments),
    /// Compares every user in scope with Entra.
    Reconcile(reconcile::Arguments),
    /// Stops applying, also over a restart; events wait in the queue.
    Pause,
    /// Goes on applying.
    Resume,
    /// Follows the events.
    Events(events::Arguments),
    /// What happened to a user: changes, decisions, requests to Graph, and how long it took.
    Explain(explain::Arguments),
    /// One screen: connections, lag, rate, quota, what is held, parked and given up.
    Status(status::Arguments),
    /// Prints the completions of a shell.
    Completions(manual::Completions),
    /// Writes man pages.
    Man(manual::Man),
}

/// Runs a command and says how it ended.
pub fn main(arguments: Arguments) -> ExitCode {
    let runs = matches!(arguments.command, Command::Run | Command::Watch | Command::Apply);
    log::start(arguments.log_format, !runs);
    if let Err(error) = memory::keep_private() {
        return failure(&error.into());
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure(&error.into()),
    };
    let result = runtime.block_on(dispatch(arguments));
    // What is still running has had its time.
    runtime.shutdown_background();
    result.unwrap_or_else(|error| failure(&error))
}

async fn dispatch(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let shutdown = shutdown::on_signal()?;
    match arguments.command {
        #[cfg(feature = "sandbox")]
        Command::Demo(demo) => demo::main(demo, arguments.output, shutdown).await,
        #[cfg(feature = "sandbox")]
        Command::Sandbox(what) => sandbox::main(what, shutdown).await,
        Command::Run => run::main(&arguments.config, Role::Run, shutdown).await,
        Command::Watch => run::main(&arguments.config, Role::Watch, shutdown).await,
        Command::Apply => run::main(&arguments.config, Role::Apply, shutdown).await,
        Command::Check(how) => check::main(&how, &arguments.config, arguments.output).await,
        Command::Init(how) => init::main(*how, &arguments.config).await,
        Command::Keygen(keygen) => keygen::main(&keygen, arguments.output),
        Command::Password(what) => password::main(&what, &arguments.config).await,
        Command::DeadLetters(what) => {
            dead_letters::main(what, &arguments.config, arguments.output, shutdown).await
        }
        Command::Healthcheck(how) => healthcheck::main(&how, &arguments.config).await,
        Command::Held(what) => {
            held::main(what, &arguments.config, arguments.output, shutdown).await
        }
        Command::Sync(who) => sync::main(who, &arguments.config, arguments.output, shutdown).await,
        Command::Reconcile(how) => {
            reconcile::main(how, &arguments.config, arguments.output, shutdown).await
        }
        Command::Pause => pause::main(&arguments.config, Request::Pause).await,
        Command::Resume => pause::main(&arguments.config, Request::Resume).await,
        Command::Status(what) => {
            status::main(what, &arguments.config, arguments.output, shutdown).await
        }
        Command::Events(what) => {
            events::main(what, &arguments.config, arguments.output, shutdown).await
        }
        Command::Explain(what) => explain::main(what, &arguments.config, arguments.output).await,
        Command::Completions(which) => manual::completions(&which),
        Command::Man(whereto) => manual::man(&whereto),
    }
}

fn failure(error: &anyhow::Error) -> ExitCode {
    // Lines of its own it may have, but nothing else that a terminal obeys.
    for (number, line) in format!("{error:#}").lines().enumerate() {
        eprintln!("{}{}", if number == 0 { "entra-relay: " } else { "" }, clean(line));
    }
    let configuration = error.downcast_ref::<Invalid>().is_some();
    ExitCode::from(if configuration { USAGE } else { 1 })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
