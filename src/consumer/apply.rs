//! Applies one event to Graph: find the user, plan, act, and try again what may yet succeed.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::time::sleep;
use tracing::debug;
use uuid::Uuid;

use super::{
    cause,
    matching::{self, Match},
    outage::Outage,
    pace::{LONGEST_WAIT, MATCH_AGE, Pace, READ_LAG, REMEMBERED, VERIFY_READS},
    parking,
    plan::{Action, Plan, Skip, plan, skip_unseen},
    recent::Recent,
    rules::Rules,
};
use crate::{
    event::{Detail, Event},
    graph::{ErrorKind, GraphClient, GraphError, Operation, User, retry},
    net::backoff::Backoff,
    queue::dead_letter::Cause,
};

/// What became of an event.
#[derive(Debug)]
pub enum Verdict {
    /// Graph accepted it.
    Applied {
        /// Entra object id.
        user: String,
        /// Graph's `request-id` of the last write.
        request_id: Option<String>,
    },
    /// There was nothing to do.
    Skipped(Skip),
    /// This would have been done, were the consumer not told to observe only.
    Observed {
        /// Entra object id.
        user: String,
        /// The actions.
        actions: Vec<Action>,
    },
    /// Entra does not have the user; it may yet come.
    Missing(Cause),
    /// It enables, but was said too long ago.
    TooOld,
    /// It cannot be applied.
    GivenUp(Cause),
}

/// Why one try did not succeed.
enum Failure {
    Graph(GraphError),
    Final(Verdict),
}

impl From<GraphError> for Failure {
    fn from(error: GraphError) -> Failure {
        Failure::Graph(error)
    }
}

/// What is remembered of a user.
struct Known {
    /// Entra object id.
    id: String,
    matched: Instant,
    /// Our last write.
    written: Option<Instant>,
}

/// Applies events. One for both lanes, which share what it knows.
pub struct Applier {
    graph: Arc<GraphClient>,
    rules: Arc<Rules>,
    max_age: Duration,
    outage: Arc<Outage>,
    known: Mutex<Recent<Uuid, Known>>,
    pace: Pace,
}

impl Applier {
    /// An applier that knows nobody yet, and applies no enabling event older than `max_age`.
    pub fn new(
        graph: Arc<GraphClient>,
        rules: Arc<Rules>,
        max_age: Duration,
        outage: Arc<Outage>,
        pace: Pace,
    ) -> Applier {
        let known = Mutex::new(Recent::new(REMEMBERED));
        Applier { graph, rules, max_age, outage, known, pace }
    }

    /// Whether nothing is written.
    pub fn observes(&self) -> bool {
        self.rules.observe
    }

    /// Applies an event, however long it takes; the number says how often it was tried.
    pub async fn apply(&self, event: &Event) -> (Verdict, u32) {
        if matches!(event.detail, Detail::UserRenamed { .. }) {
            self.known().remove(event.object);
        }
        if let Some(skip) = skip_unseen(event, &self.rules) {
            return (Verdict::Skipped(skip), 0);
        }
        let mut backoff = Backoff::new(self.pace.retry.0, self.pace.retry.1);
        let mut tries = 0;
        let mut failures = 0;
        loop {
            let turn = self.outage.turn(event.kind().lane()).await;
            tries += 1;
            let error = match self.attempt(event).await {
                Ok(verdict) | Err(Failure::Final(verdict)) => {
                    turn.succeeded();
                    return (verdict, tries);
                }
                Err(Failure::Graph(error)) => error,
            };
            drop(turn);
            debug!(event = %event.id, object = %event.object, %error, "graph did not accept");
            if error.may_be_outage() && self.outage.explains(&error).await {
                continue;
            }
            let throttled = matches!(error.kind, ErrorKind::Throttled { .. });
            failures += u32::from(!throttled);
            match retry::next(&error.kind, failures) {
                retry::Next::After(wait) if throttled => {
                    self.outage.hold(wait.max(backoff.next_delay()));
                }
                retry::Next::After(wait) => {
                    sleep(wait.min(LONGEST_WAIT).max(backoff.next_delay())).await;
                }
                retry::Next::GiveUp => return (self.give_up(event, &error), tries),
            }
        }
    }

    fn give_up(&self, event: &Event, error: &GraphError) -> Verdict {
        match (&error.kind, error.operation) {
            // Whatever the user's flags said, somebody else is the source of these attributes.
            (ErrorKind::Mastered, Operation::UpdateUser) => return Verdict::Skipped(Skip::Ceded),
            (ErrorKind::NotFound, operation) if operation != Operation::FindUsers => {
                self.known().remove(event.object);
                return missing(event, cause::of_graph(event, error));
            }
            _ => {}
        }
        Verdict::GivenUp(cause::of_graph(event, error))
    }

    async fn attempt(&self, event: &Event) -> Result<Verdict, Failure> {
        let enables = matches!(event.detail, Detail::AccountEnabled { .. });
        if enables && parking::is_too_old(event, self.max_age, Timestamp::now()) {
            return Ok(Verdict::TooOld);
        }
        let user = self.find(event).await?;
        let trusted = self.reads_are_current(event);
        let (actions, refused) = match plan(event, &user, &self.rules, trusted) {
            Plan::Skip(skip) => return Ok(Verdict::Skipped(skip)),
            Plan::Do { actions, refused } => (actions, refused),
        };
        let id = user.id();
        if self.rules.observe {
            return Ok(Verdict::Observed { user: id.to_owned(), actions });
        }
        let mut request_id = None;
        for action in &actions {
            let accepted = match action {
                Action::VerifyBlocked => {
                    self.verify_blocked(event, id).await?;
                    continue;
                }
                write => {
                    self.mark_written(event);
                    self.write(id, write).await?
                }
            };
            request_id = accepted.or(request_id);
        }
        if !refused.is_empty() {
            return Ok(Verdict::GivenUp(cause::refused(event, &refused)));
        }
        Ok(Verdict::Applied { user: id.to_owned(), request_id })
    }

    async fn write(&self, id: &str, action: &Action) -> Result<Option<String>, GraphError> {
        let accepted = match action {
            Action::Block => self.graph.set_enabled(id, false).await?,
            Action::Allow => self.graph.set_enabled(id, true).await?,
            Action::Revoke => self.graph.revoke_sessions(id).await?,
            Action::Update(body) => self.graph.update_user(id, body).await?,
            Action::Delete => self.graph.delete_user(id).await?,
            Action::VerifyBlocked => return Ok(None),
        };
        Ok(accepted.request_id)
    }

    /// Reads back until the block shows.
    async fn verify_blocked(&self, event: &Event, id: &str) -> Result<(), Failure> {
        let select = User::select([]);
        let mut backoff = Backoff::new(self.pace.verify.0, self.pace.verify.1);
        for read in 1..=VERIFY_READS {
            let user = self.graph.read_user(id, &select).await?;
            if user.account_enabled() == Some(false) {
                return Ok(());
            }
            if read < VERIFY_READS {
                backoff.wait().await;
            }
        }
        Err(Failure::Final(Verdict::GivenUp(cause::not_verified(event))))
    }

    /// The user of an event, as it is now.
    async fn find(&self, event: &Event) -> Result<User, Failure> {
        if let Some(id) = self.matched(event.object) {
            match self.graph.read_user(&id, &self.rules.select).await {
                Ok(user) if matching::still_matches(&user, event) => return Ok(user),
                Ok(_) => {}
                // Gone, perhaps by our own request whose answer was lost.
                Err(error)
                    if error.kind == ErrorKind::NotFound && event.detail == Detail::UserDeleted =>
                {
                    return Err(Failure::Final(Verdict::Skipped(Skip::Unchanged)));
                }
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            self.known().remove(event.object);
        }
        let mut foreign = false;
        for filter in matching::searches(event, &self.rules) {
            let found = self.graph.find_users(&filter, &self.rules.select).await?;
            match matching::judge(&filter, found, event) {
                Match::Found(user) => {
                    let (id, matched) = (user.id().to_owned(), Instant::now());
                    self.known().insert(event.object, Known { id, matched, written: None });
                    return Ok(*user);
                }
                Match::Several(users) => {
                    let cause = cause::ambiguous(event, users);
                    return Err(Failure::Final(Verdict::GivenUp(cause)));
                }
                Match::Foreign => foreign = true,
                Match::Nobody => {}
            }
        }
        Err(Failure::Final(if foreign {
            Verdict::GivenUp(cause::foreign(event))
        } else {
            missing(event, cause::not_found(event))
        }))
    }

    fn matched(&self, object: Uuid) -> Option<String> {
        let mut known = self.known();
        let known = known.get(object)?;
        (known.matched.elapsed() < MATCH_AGE).then(|| known.id.clone())
    }

    /// Whether our last write of this user is old enough for reads to show it.
    fn reads_are_current(&self, event: &Event) -> bool {
        let mut known = self.known();
        let written = known.get(event.object).and_then(|known| known.written);
        written.is_none_or(|written| written.elapsed() > READ_LAG)
    }

    fn mark_written(&self, event: &Event) {
        if let Some(known) = self.known().get(event.object) {
            known.written = Some(Instant::now());
        }
    }

    fn known(&self) -> MutexGuard<'_, Recent<Uuid, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Entra does not have the user. Nobody waits for one that the directory has no more.
fn missing(event: &Event, cause: Cause) -> Verdict {
    match event.detail {
        Detail::UserDeleted => Verdict::Skipped(Skip::Unchanged),
        _ => Verdict::Missing(cause),
    }
}
