//! Directory and Graph together, for the commands that compare them.

use std::{collections::BTreeSet, path::Path};

use super::reach;
use crate::{
    config::{self, Config, Role, model::Source},
    consumer,
    directory::{Directory, Login},
    event::source_of,
    graph::GraphClient,
    ops::control::protocol::{Reply, Request},
    reconcile::{Knowledge, Reconciliation, Sides},
    watcher::{
        self, diff,
        orders::{Answer, Order},
    },
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

    /// Connects to the directory, and reads what decides about everybody. `path` leads to the
    /// watcher, whose memory helps.
    pub async fn prepare(
        &self,
        path: &Path,
    ) -> anyhow::Result<(Box<dyn Directory>, Reconciliation<'_>)> {
        let login = Login::from_config(&self.config.directory);
        let mut directory = watcher::followed(&self.config).connect(&login).await?;
        let known = self.ask_watcher(path).await.unwrap_or_else(|error| {
            eprintln!(
                "entra-relay: what the watcher remembers is not used: {error:#}; names in scope \
                 and apply.groups are looked up as they are written"
            );
            Knowledge::default()
        });
        let sides = Sides {
            source: &self.source,
            watcher: &self.watcher,
            consumer: &self.consumer,
            graph: &self.graph,
        };
        let reconciliation = Reconciliation::prepare(sides, directory.as_mut(), known).await?;
        Ok((directory, reconciliation))
    }

    async fn ask_watcher(&self, path: &Path) -> anyhow::Result<Knowledge> {
        let names = self.watcher.names().cloned().collect();
        let request = Request::Watcher(Order::Surroundings(names));
        let mut replies = reach::ask(path, request).await?;
        let (mut known, mut gone) = (Knowledge::default(), BTreeSet::new());
        while let Some(reply) = replies.next().await? {
            match reply {
                Reply::Watcher(Answer::Named(named)) => known.named = *named,
                Reply::Watcher(Answer::Gone(objects)) => gone.extend(objects),
                _ => {}
            }
        }
        known.gone = Some(gone);
        Ok(known)
    }
}
