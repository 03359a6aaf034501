//! Directory and Graph together, for the commands that compare them.

use std::path::Path;

use crate::{
    config::{self, Config, Role, model::Source},
    consumer,
    directory::{Directory, Login},
    event::source_of,
    graph::GraphClient,
    reconcile::Reconciliation,
    watcher::{self, diff},
};

/// Both sides, as the configuration says.
pub struct Both {
    /// The configuration.
    pub config: Config,
    source: String,
    watcher: diff::Rules,
    consumer: consumer::Rules,
    graph: GraphClient,
}

impl Both {
    /// Reads the configuration, which must serve both halves.
    pub fn open(path: &Path) -> anyhow::Result<Both> {
        let config = config::load(path, std::env::vars(), Role::Compare)?;
        if config.directory.source == Source::Sandbox || config.graph.is_sandbox() {
            anyhow::bail!("a sandbox lives in the process that runs it and cannot be compared");
        }
        Ok(Both {
            source: source_of(&config.directory.base_dn),
            watcher: watcher::rules(&config)?,
            consumer: consumer::Rules::new(&config.apply, &config.scope.protected)?,
            graph: GraphClient::new(&config.graph)?,
            config,
        })
    }

    /// Opens a connection to the directory.
    pub async fn connect(&self) -> anyhow::Result<Box<dyn Directory>> {
        let login = Login::from_config(&self.config.directory);
        Ok(watcher::followed(&self.config).connect(&login).await?)
    }

    /// What compares them.
    pub fn reconciliation(&self) -> Reconciliation<'_> {
        Reconciliation {
            source: &self.source,
            watcher: &self.watcher,
            consumer: &self.consumer,
            graph: &self.graph,
        }
    }
}
