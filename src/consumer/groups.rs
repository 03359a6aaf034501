//! Whether the members of a mapped group are ours to change: asked once in a while, and told with
//! a remedy where they are not.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::Instant;

use super::{
    apply::{Failure, Verdict},
    cause,
    pace::MATCH_AGE,
};
use crate::{
    event::Event,
    graph::{Closed, ErrorKind, GraphClient},
};

/// What is known of the mapped groups; no others are asked about.
pub struct Groups {
    graph: Arc<GraphClient>,
    known: Mutex<HashMap<String, (Instant, Option<Closed>)>>,
}

impl Groups {
    /// Nothing is known yet.
    pub fn new(graph: Arc<GraphClient>) -> Groups {
        Groups { graph, known: Mutex::default() }
    }

    /// Fails where the group's members cannot be changed.
    pub async fn check(&self, event: &Event, group: &str) -> Result<(), Failure> {
        let known = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(group).filter(|(asked, _)| asked.elapsed() < MATCH_AGE).map(|known| known.1)
        };
        let closed = match known {
            Some(closed) => closed,
            None => self.ask(event, group).await?,
        };
        match closed {
            None => Ok(()),
            Some(closed) => {
                Err(Failure::Final(Verdict::GivenUp(cause::group_closed(event, group, closed))))
            }
        }
    }

    async fn ask(&self, event: &Event, group: &str) -> Result<Option<Closed>, Failure> {
        let closed = match self.graph.read_group(group).await {
            Ok(found) => found.closed(),
            Err(error) if error.kind == ErrorKind::NotFound => {
                return Err(Failure::Final(Verdict::GivenUp(cause::no_group(event, group))));
            }
            Err(error) => return Err(error.into()),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(group.to_owned(), (Instant::now(), closed));
        Ok(closed)
    }
}
