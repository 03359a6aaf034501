//! Applies one event to Graph: find the user, plan, act, and try again what may yet succeed.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::{
    cause,
    fights::Fights,
    find::{Finder, Found},
    groups::Groups,
    outage::Outage,
    pace::{LONGEST_WAIT, Pace},
    parking,
    plan::{Action, Known, Plan, Skip, block, plan, skip_unseen},
    rules::Rules,
    sources::Sources,
    spans,
};
use crate::{
    event::{Detail, Event, Lane},
    graph::{ErrorKind, GraphClient, GraphError, Operation, User, quota, retry},
    net::backoff::Backoff,
    ops::metrics::METRICS,
    queue::dead_letter::Cause,
    sealing::Opener,
};

/// What became of an event.
#[derive(Debug)]
pub enum Verdict {
    /// Graph accepted it.
    Applied {
        /// Entra object id.
        user: String,
        /// The actions.
        actions: Vec<Action>,
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
pub enum Failure {
    /// Graph did not do what was asked.
    Graph(GraphError),
    /// Nothing more is to be tried.
    Final(Verdict),
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Failure {
        Failure::Final(Verdict::GivenUp(cause))
    }
}

impl From<Skip> for Failure {
    fn from(skip: Skip) -> Failure {
        Failure::Final(Verdict::Skipped(skip))
    }
}

impl From<GraphError> for Failure {
    fn from(error: GraphError) -> Failure {
        Failure::Graph(error)
    }
}

/// Applies events. One for both lanes, which share what it knows.
pub struct Applier {
    pub(super) graph: Arc<GraphClient>,
    pub(super) rules: Arc<Rules>,
    max_age: Duration,
    pub(super) opener: Arc<Opener>,
    outage: Arc<Outage>,
    pub(super) finder: Finder,
    pub(super) groups: Groups,
    pub(super) fights: Fights,
    pub(super) sources: Sources,
    pub(super) pace: Pace,
}

impl Applier {
    /// An applier that knows nobody yet, and applies no enabling event older than `max_age`.
    pub fn new(
        graph: Arc<GraphClient>,
        rules: Arc<Rules>,
        max_age: Duration,
        opener: Arc<Opener>,
        outage: Arc<Outage>,
        pace: Pace,
    ) -> Applier {
        Applier {
            finder: Finder::new(Arc::clone(&graph), Arc::clone(&rules)),
            groups: Groups::new(Arc::clone(&graph)),
            fights: Fights::new(pace.read_lag),
            sources: Sources::new(),
            graph,
            rules,
            max_age,
            opener,
            outage,
            pace,
        }
    }

    /// Whether nothing is written.
    pub fn observes(&self) -> bool {
        self.rules.observe
    }

    /// Applies an event, however long it takes; the number says how often it was tried.
    pub async fn apply(&self, event: &Event) -> (Verdict, u32) {
        if matches!(event.detail, Detail::UserRenamed { .. }) {
            self.finder.forget(event.object);
        }
        if let Some(skip) = skip_unseen(event, &self.rules) {
            return (Verdict::Skipped(skip), 0);
        }
        let mut backoff = Backoff::new(self.pace.retry.0, self.pace.retry.1);
        let mut tries = 0;
        let mut failures = 0;
        loop {
            let lane = event.kind().lane();
            let turn = self.outage.turn(lane).await;
            tries += 1;
            let error = match quota::of_lane(lane, self.attempt(event)).await {
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
                    sleep(wait.min(LONGEST_WAIT) + backoff.next_delay()).await;
                }
                retry::Next::GiveUp => return (self.give_up(event, &error), tries),
            }
        }
    }

    fn give_up(&self, event: &Event, error: &GraphError) -> Verdict {
        let about_user = !matches!(
            error.operation,
            Operation::FindUsers | Operation::FindDeleted | Operation::ReadGroup
        );
        if error.kind == ErrorKind::NotFound && about_user {
            self.finder.forget(event.object);
            return match event.detail {
                Detail::UserDeleted => Verdict::Skipped(Skip::Unchanged),
                _ => Verdict::Missing(cause::of_graph(event, error)),
            };
        }
        Verdict::GivenUp(cause::of_graph(event, error))
    }

    async fn attempt(&self, event: &Event) -> Result<Verdict, Failure> {
        let enables = matches!(event.detail, Detail::AccountEnabled { .. });
        if enables && parking::is_too_old(event, self.max_age, Timestamp::now()) {
            return Ok(Verdict::TooOld);
        }
        let user = self.locate(event).await?;
        let now = Instant::now();
        let known = Known {
            trusted: self.finder.reads_are_current(event.object, self.pace.read_lag),
            ceded: self.sources.of(event.object, now),
        };
        let plan = plan(event, &user, &self.rules, &known);
        if plan == Plan::Skip(Skip::Protected) {
            return Ok(Verdict::Skipped(Skip::Protected));
        }
        let round = self.fight(event, &user, now)?;
        let (mut actions, refused, ceded) = match plan {
            Plan::Skip(skip) if round.is_none() => return Ok(Verdict::Skipped(skip)),
            Plan::Skip(_) => (Vec::new(), Vec::new(), 0),
            Plan::Do { actions, refused, ceded } => (actions, refused, ceded),
        };
        if round.is_some() && !ends_access(event) {
            actions.splice(0..0, block(&self.rules));
        }
        METRICS.ceded(ceded);
        spans::planned();
        let id = user.id().to_owned();
        if known.trusted {
            self.drop_what_is_so(&id, &mut actions).await?;
        }
        if self.rules.observe && !actions.is_empty() {
            return Ok(Verdict::Observed { user: id, actions });
        }
        let done = self.perform(event, &id, &actions, round).await?;
        if let Some(error) = done.refused_block {
            return Ok(Verdict::GivenUp(cause::block_refused(event, &error)));
        }
        if !refused.is_empty() {
            return Ok(Verdict::GivenUp(cause::refused(event, &refused)));
        }
        Ok(match (done.accepted, ceded + done.ceded) {
            (0, 0) => Verdict::Skipped(Skip::Unchanged),
            (0, _) => Verdict::Skipped(Skip::Ceded),
            _ => Verdict::Applied { user: id, actions, request_id: done.request_id },
        })
    }

    /// The user of an event, as it is now.
    async fn locate(&self, event: &Event) -> Result<User, Failure> {
        let mut found = self.finder.find(event.into()).await?;
        if matches!(found, Found::Gone) {
            // Perhaps by our own request, whose answer was lost.
            if event.detail == Detail::UserDeleted {
                return Err(Skip::Unchanged.into());
            }
            found = self.finder.search(event.into()).await?;
        }
        match found {
            Found::User(user) => Ok(*user),
            Found::Several(users) => {
                Err(Failure::Final(Verdict::GivenUp(cause::ambiguous(event, users))))
            }
            Found::Foreign => Err(Failure::Final(Verdict::GivenUp(cause::foreign(event)))),
            Found::Nobody | Found::Gone => self.absent(event).await,
        }
    }

    /// Which round of a fight with another writer it is, if the user is to be blocked again: we
    /// blocked it for the directory, and it reads as enabled. One that has lasted long enough is
    /// given up. What the bulk lane meets is only told: it may be served here while another process
    /// serves the urgent lane and has enabled the user since.
    fn fight(&self, event: &Event, user: &User, now: Instant) -> Result<Option<u32>, Failure> {
        if matches!(event.detail, Detail::AccountEnabled { .. } | Detail::Canary { .. }) {
            return Ok(None);
        }
        let Some(round) = self.fights.round(event.object, user.account_enabled(), now) else {
            return Ok(None);
        };
        let goes_on = round <= self.rules.max_reblocks && event.kind().lane() == Lane::Urgent;
        METRICS.write_fight(goes_on);
        let remedy = "find what enables the user in entra, and stop it; or enable the account";
        warn!(object = %event.object, round, goes_on, remedy, "enabled in entra by something else");
        if !goes_on && ends_access(event) {
            return Err(Failure::Final(Verdict::GivenUp(cause::fought(event, round))));
        }
        Ok(goes_on.then_some(round))
    }

    /// The lane was lost: others may enable whom we blocked, for the directory.
    pub fn lost(&self, lane: Lane) {
        if lane == Lane::Urgent {
            self.fights.forget();
        }
    }
}

/// Whether the directory takes the user's access away.
pub fn ends_access(event: &Event) -> bool {
    matches!(event.detail, Detail::AccountDisabled { .. } | Detail::UserDeleted)
}
