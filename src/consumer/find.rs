//! Who a user of the directory is in Entra: searched, remembered for a while, forgotten when gone.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    matching::{self, Match, Wanted},
    pace::{CREATE_LAG, MATCH_AGE, REMEMBERED},
    recent::Recent,
    rules::Rules,
};
use crate::graph::{ErrorKind, GraphClient, GraphError, User};

/// What came of looking for a user.
#[derive(Debug)]
pub enum Found {
    /// This one, as it is now.
    User(Box<User>),
    /// It was matched before and is there no more. Nobody else was looked for.
    Gone,
    /// Nobody.
    Nobody,
    /// Only users that are linked to other directory objects.
    Foreign,
    /// So many users.
    Several(usize),
}

/// Finds users. One for both lanes.
pub struct Finder {
    graph: Arc<GraphClient>,
    rules: Arc<Rules>,
    known: Mutex<Recent<Uuid, Known>>,
}

/// What is remembered of a user.
#[derive(Debug)]
struct Known {
    /// Entra object id.
    id: String,
    matched: Instant,
    /// Our last write.
    written: Option<Instant>,
    /// Whether we created it at that time of matching.
    created: bool,
}

impl Finder {
    /// A finder that knows nobody yet.
    pub fn new(graph: Arc<GraphClient>, rules: Arc<Rules>) -> Finder {
        Finder { graph, rules, known: Mutex::new(Recent::new(REMEMBERED)) }
    }

    /// Looks for a user.
    pub async fn find(&self, wanted: Wanted<'_>) -> Result<Found, GraphError> {
        if let Some((id, is_new)) = self.matched(wanted.object) {
            match self.graph.read_user(&id, &self.rules.select).await {
                Ok(user) if wanted.still_is(&user) => return Ok(Found::User(Box::new(user))),
                Ok(_) => self.forget(wanted.object),
                Err(error) if error.kind == ErrorKind::NotFound && is_new => {
                    let kind = ErrorKind::Transient { retry_after: None };
                    return Err(GraphError { kind, ..error });
                }
                Err(error) if error.kind == ErrorKind::NotFound => {
                    self.forget(wanted.object);
                    return Ok(Found::Gone);
                }
                Err(error) => return Err(error),
            }
        }
        self.search(wanted).await
    }

    /// Looks for a user as if nothing were known of it.
    pub async fn search(&self, wanted: Wanted<'_>) -> Result<Found, GraphError> {
        let mut foreign = false;
        for filter in matching::searches(wanted, &self.rules) {
            let found = self.graph.find_users(&filter, &self.rules.select).await?;
            match matching::judge(&filter, found, wanted) {
                Match::Found(user) => {
                    self.remember(wanted.object, user.id(), false);
                    return Ok(Found::User(user));
                }
                Match::Several(users) => return Ok(Found::Several(users)),
                Match::Foreign => foreign = true,
                Match::Nobody => {}
            }
        }
        Ok(if foreign { Found::Foreign } else { Found::Nobody })
    }

    /// Remembers who a user is; `created` if it has just come into being.
    pub fn remember(&self, object: Uuid, id: &str, created: bool) {
        let (id, matched) = (id.to_owned(), Instant::now());
        self.known().insert(object, Known { id, matched, written: None, created });
    }

    /// Forgets who a user is.
    pub fn forget(&self, object: Uuid) {
        self.known().remove(object);
    }

    /// Keeps in mind that we write to the user now.
    pub fn mark_written(&self, object: Uuid) {
        if let Some(known) = self.known().get(object) {
            known.written = Some(Instant::now());
        }
    }

    /// Whether our last write of this user is longer ago than reads may lag.
    pub fn reads_are_current(&self, object: Uuid, lag: Duration) -> bool {
        let mut known = self.known();
        let written = known.get(object).and_then(|known| known.written);
        written.is_none_or(|written| written.elapsed() > lag)
    }

    /// Who the user was matched with lately, and whether it is so new that Graph may not show it.
    fn matched(&self, object: Uuid) -> Option<(String, bool)> {
        let mut known = self.known();
        let known = known.get(object)?;
        let age = known.matched.elapsed();
        (age < MATCH_AGE).then(|| (known.id.clone(), known.created && age < CREATE_LAG))
    }

    fn known(&self) -> MutexGuard<'_, Recent<Uuid, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
