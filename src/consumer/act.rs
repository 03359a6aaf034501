//! Doing what was planned: one request after the other, as far as Graph takes them.

use serde_json::{Map, Value};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    apply::{Applier, Failure, Verdict, ends_access},
    cause,
    find::Found,
    pace::VERIFY_READS,
    password,
    plan::{Action, IMMUTABLE_ID},
};
use crate::{
    event::{Detail, Event, Reference},
    graph::{Accepted, ErrorKind, GraphError, User},
    net::backoff::Backoff,
    ops::metrics::METRICS,
};

/// What came of the actions.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Actions that took effect.
    pub(super) accepted: usize,
    /// Properties that turned out to be another source's.
    pub(super) ceded: usize,
    /// Graph's `request-id` of the last write.
    pub(super) request_id: Option<String>,
    /// Why the user could not be blocked, for another source masters that too.
    pub(super) refused_block: Option<GraphError>,
}

impl Done {
    fn accept(&mut self, accepted: Accepted) {
        self.accepted += 1;
        self.request_id = accepted.request_id.or(self.request_id.take());
    }
}

impl Applier {
    /// Takes out what the user has already and cannot be told from its properties.
    pub(super) async fn drop_what_is_so(
        &self,
        id: &str,
        actions: &mut Vec<Action>,
    ) -> Result<(), Failure> {
        let is_manager = |action: &Action| matches!(action, Action::SetManager(_));
        let Some(at) = actions.iter().position(is_manager) else { return Ok(()) };
        let Action::SetManager(reference) = &actions[at] else { return Ok(()) };
        let current = self.graph.manager(id).await?;
        let wanted = match (&current, reference) {
            (Some(_), Some(reference)) => self.find_manager(reference).await?,
            _ => None,
        };
        if current.is_none() == reference.is_none() && current == wanted {
            actions.remove(at);
        }
        Ok(())
    }

    /// Does the actions in their order; `round` says which one of a fight a block is.
    pub(super) async fn perform(
        &self,
        event: &Event,
        id: &str,
        actions: &[Action],
        round: Option<u32>,
    ) -> Result<Done, Failure> {
        let mut done = Done::default();
        for action in actions {
            self.finder.mark_written(event.object);
            match action {
                Action::Block => match self.graph.set_enabled(id, false).await {
                    Ok(accepted) => {
                        done.accept(accepted);
                        self.fights.blocked(event.object, round, Instant::now());
                    }
                    // The sessions can still be ended.
                    Err(error) if error.kind == ErrorKind::Mastered => {
                        done.refused_block = Some(error);
                    }
                    Err(error) => return Err(error.into()),
                },
                Action::Allow => {
                    self.fights.ended(event.object);
                    done.accept(self.graph.set_enabled(id, true).await?);
                }
                Action::Revoke => done.accept(self.graph.revoke_sessions(id).await?),
                Action::VerifyBlocked if done.refused_block.is_some() => {}
                Action::VerifyBlocked => self.verify_blocked(event, id).await?,
                Action::SetPassword { must_change } => {
                    if let Detail::PasswordSet(sealed) = &event.detail {
                        let password = password::open(&self.opener, event, sealed)?;
                        done.accept(self.graph.set_password(id, &password, *must_change).await?);
                    }
                }
                Action::Update(body) => self.update(event.object, id, body, &mut done).await?,
                Action::SetManager(reference) => {
                    done.accept(self.set_manager(event, id, reference.as_ref()).await?);
                }
                Action::Link(link) => self.link(event, id, link, &mut done).await?,
                Action::Join(group) => {
                    self.groups.check(event, group).await?;
                    done.accept(self.graph.add_member(group, id).await?);
                }
                Action::Leave(group) => {
                    self.groups.check(event, group).await?;
                    done.accept(self.graph.remove_member(group, id).await?);
                }
                Action::Delete => {
                    done.accept(self.graph.delete_user(id).await?);
                    // Who is gone now is missed for good, however new.
                    self.finder.remember(event.object, id, false);
                }
                // Done where the user was looked for, for until then there is none.
                Action::Create | Action::Restore => {}
            }
        }
        if ends_access(event) && !actions.contains(&Action::Block) {
            self.fights.ended(event.object);
        }
        Ok(done)
    }

    /// One request for all properties. Where another source masters one of them, Graph takes none
    /// and does not say which: then each is tried alone, and what it is refused for is remembered.
    async fn update(
        &self,
        object: Uuid,
        id: &str,
        body: &Map<String, Value>,
        done: &mut Done,
    ) -> Result<(), GraphError> {
        match self.graph.update_user(id, body).await {
            Err(error) if error.kind == ErrorKind::Mastered => {}
            result => {
                done.accept(result?);
                return Ok(());
            }
        }
        for (property, value) in body {
            let alone = [(property.clone(), value.clone())].into_iter().collect();
            let result = match body.len() {
                1 => None,
                _ => Some(self.graph.update_user(id, &alone).await),
            };
            match result {
                Some(Ok(accepted)) => done.accept(accepted),
                Some(Err(error)) if error.kind != ErrorKind::Mastered => return Err(error),
                None | Some(Err(_)) => {
                    self.sources.learn(object, property, Instant::now());
                    METRICS.ceded(1);
                    done.ceded += 1;
                }
            }
        }
        Ok(())
    }

    /// Reads back until the block shows.
    async fn verify_blocked(&self, event: &Event, id: &str) -> Result<(), Failure> {
        let shows = |user: &User| user.account_enabled() == Some(false);
        if self.read_back(id, shows).await? {
            return Ok(());
        }
        Err(Failure::Final(Verdict::GivenUp(cause::not_verified(event))))
    }

    /// Links the user to its directory object, and reads that back.
    async fn link(
        &self,
        event: &Event,
        id: &str,
        link: &str,
        done: &mut Done,
    ) -> Result<(), Failure> {
        let body = [(IMMUTABLE_ID.to_owned(), link.into())].into_iter().collect();
        let before = done.accepted;
        self.update(event.object, id, &body, done).await?;
        let shows = |user: &User| user.immutable_id() == Some(link);
        if done.accepted == before || self.read_back(id, shows).await? {
            return Ok(());
        }
        Err(Failure::Final(Verdict::GivenUp(cause::link_not_verified(event))))
    }

    /// Whether a read of the user shows it, before long.
    async fn read_back(&self, id: &str, shows: impl Fn(&User) -> bool) -> Result<bool, GraphError> {
        let select = User::select([]);
        let mut backoff = Backoff::new(self.pace.verify.0, self.pace.verify.1);
        for read in 1..=VERIFY_READS {
            if shows(&self.graph.read_user(id, &select).await?) {
                return Ok(true);
            }
            if read < VERIFY_READS {
                backoff.wait().await;
            }
        }
        Ok(false)
    }

    async fn set_manager(
        &self,
        event: &Event,
        id: &str,
        reference: Option<&Reference>,
    ) -> Result<Accepted, Failure> {
        let Some(reference) = reference else {
            return Ok(self.graph.set_manager(id, None).await?);
        };
        match self.find_manager(reference).await? {
            Some(manager) => Ok(self.graph.set_manager(id, Some(&manager)).await?),
            None => Err(Failure::Final(Verdict::Missing(cause::no_manager(event)))),
        }
    }

    /// The Entra user of a manager, if it is certain who that is.
    async fn find_manager(&self, reference: &Reference) -> Result<Option<String>, GraphError> {
        let mut found = self.finder.find(reference.into()).await?;
        if matches!(found, Found::Gone) {
            found = self.finder.search(reference.into()).await?;
        }
        Ok(match found {
            Found::User(user) => Some(user.id().to_owned()),
            _ => None,
        })
    }
}
