//! `relay.yaml`: layered, typed, validated.
//!
//! Later layers win: defaults, the file, the environment (`RELAY_GRAPH__TENANT_ID`). Whatever is
//! wrong is reported together, each problem with its key, its value and what would be right.

mod halves;
mod layers;
pub mod model;
mod problem;
pub mod secret;
mod validate;

use std::path::Path;

pub use model::Config;
pub use problem::{Invalid, Problem};
pub use secret::Secret;
pub(crate) use validate::is_loopback;

/// Where Kubernetes and Azure name the token file of a workload's identity.
const FEDERATED_TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";

/// Which part of the program the configuration must serve: each needs only its own half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The watcher: directory and queue.
    Watch,
    /// The consumer: queue and Graph.
    Apply,
    /// Both in one process.
    Run,
    /// A command that compares directory and Graph.
    Compare,
    /// A command of the command line: the queue alone.
    Tool,
}

impl Role {
    /// The label in metrics: the subcommand that plays it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Watch => "watch",
            Role::Apply => "apply",
            Role::Run => "run",
            Role::Compare => "compare",
            Role::Tool => "tool",
        }
    }

    /// Whether the directory is read.
    pub fn watches(self) -> bool {
        matches!(self, Role::Watch | Role::Run | Role::Compare)
    }

    /// Whether Graph is written.
    pub fn applies(self) -> bool {
        matches!(self, Role::Apply | Role::Run | Role::Compare)
    }
}

/// Reads and validates a configuration. `environment` holds the process's variables; those count
/// that begin with `RELAY_`, and `AZURE_FEDERATED_TOKEN_FILE`.
pub fn load(
    path: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
    role: Role,
) -> Result<Config, Invalid> {
    read(path, |text| parse(path, text, environment, role))
}

/// As [`load`], for the halves that the configuration has: which they are is returned too.
pub fn load_halves(
    path: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Config, Role), Invalid> {
    let mut role = Role::Run;
    let config = read(path, |text| {
        parse_for(path, text, environment, |config| {
            role = halves::of(config);
            role
        })
    })?;
    Ok((config, role))
}

fn read(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<Config, Invalid>,
) -> Result<Config, Invalid> {
    let text = std::fs::read_to_string(path).map_err(|cause| {
        Invalid::one(
            path,
            Problem::new(
                format!("cannot be read: {cause}"),
                "name a configuration file with --config; the one that comes with the program \
                 shows every key",
            ),
        )
    })?;
    parse(&text)
}

/// As [`load`], from text.
pub fn parse(
    path: &Path,
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    role: Role,
) -> Result<Config, Invalid> {
    parse_for(path, text, environment, |_| role)
}

fn parse_for(
    path: &Path,
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    role: impl FnOnce(&Config) -> Role,
) -> Result<Config, Invalid> {
    let mut federated_token_file = None;
    let environment = environment.into_iter().inspect(|(name, value)| {
        if name == FEDERATED_TOKEN_FILE {
            federated_token_file = Some(value.into());
        }
    });
    let (mut config, mut problems) =
        layers::merge(text, environment).map_err(|problem| Invalid::one(path, problem))?;
    let given = config.graph.federated_token_file.take();
    config.graph.federated_token_file = given.or(federated_token_file);
    // A value that was refused already must not be complained of twice.
    let role = role(&config);
    let found = validate::problems(&config, role);
    problems.extend(
        found
            .into_iter()
            .filter(|new| {
                !problems.iter().any(|old| !old.key.is_empty() && new.key.starts_with(&old.key))
            })
            .collect::<Vec<_>>(),
    );
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(Invalid { file: path.display().to_string(), problems })
    }
}

#[cfg(test)]
mod tests;
