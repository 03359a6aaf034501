//! What is done where Entra does not have the user of an event: it is created or restored where
//! that is configured, and otherwise waited for.

use serde_json::{Map, Value, json};
use tracing::info;

use super::{
    apply::{Applier, Failure, Verdict},
    cause,
    find::Found,
    matching::Wanted,
    plan::{Action, Skip},
};
use crate::{
    config::model::OnDeleted,
    event::{Detail, Event},
    graph::{ErrorKind, GraphError, User},
    mapping::Attributes,
};

/// The longest `mailNickname`.
const NICKNAME: usize = 64;

impl Applier {
    /// The user after all, or what became of the event.
    pub(super) async fn absent(&self, event: &Event) -> Result<User, Failure> {
        match &event.detail {
            Detail::UserDeleted => return Err(Skip::Unchanged.into()),
            Detail::UserCreated { enabled } if self.rules.create => {
                return Err(Failure::Final(self.create(event, *enabled).await?));
            }
            Detail::AccountEnabled { .. } if self.rules.on_deleted == OnDeleted::Delete => {
                if let Some(user) = self.restore(event).await? {
                    return Ok(user);
                }
            }
            // Linked to nothing, it still has the name that the directory has given up.
            Detail::UserRenamed { previous } => {
                let before = Wanted { object: event.object, identity: previous };
                if let Found::User(user) = self.finder.search(before).await? {
                    return Ok(*user);
                }
            }
            _ => {}
        }
        Err(Failure::Final(Verdict::Missing(cause::not_found(event))))
    }

    async fn create(&self, event: &Event, enabled: bool) -> Result<Verdict, Failure> {
        let Some(body) = self.new_user(event, enabled) else {
            return Ok(Verdict::GivenUp(cause::no_name(event)));
        };
        if self.rules.observe {
            return Ok(Verdict::Observed { user: "new".into(), actions: vec![Action::Create] });
        }
        match self.graph.create_user(&body).await {
            Ok(user) => {
                let (object, user) = (event.object, user.id().to_owned());
                self.finder.remember(object, &user, true);
                info!(%object, user, enabled, "created in entra");
                Ok(Verdict::Applied { user, actions: vec![Action::Create], request_id: None })
            }
            // Another process created it, or we did and the answer was lost.
            Err(error) if matches!(error.kind, ErrorKind::Conflict { .. }) => {
                self.created_before(event, &error).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn created_before(&self, event: &Event, error: &GraphError) -> Result<Verdict, Failure> {
        Ok(match self.finder.search(event.into()).await? {
            Found::User(user) => {
                let (user, actions) = (user.id().to_owned(), vec![Action::Create]);
                Verdict::Applied { user, actions, request_id: None }
            }
            Found::Foreign => Verdict::GivenUp(cause::foreign(event)),
            Found::Several(users) => Verdict::GivenUp(cause::ambiguous(event, users)),
            // It may be too new to be found, or deleted: later it is seen.
            Found::Nobody | Found::Gone => Verdict::Missing(cause::of_graph(event, error)),
        })
    }

    /// What Graph requires of a new user, what links it, and what no attribute decides. The
    /// attributes come with an event of their own.
    fn new_user(&self, event: &Event, enabled: bool) -> Option<Map<String, Value>> {
        let identity = &event.identity;
        let upn = self.rules.cloud_upn(identity.user_principal_name.as_deref()?);
        let (local, _) = upn.split_once('@')?;
        let nickname: String = local.chars().filter(is_nickname).take(NICKNAME).collect();
        let name = identity.sam_account_name.as_deref().unwrap_or(local);
        let mut body = Map::new();
        body.insert("accountEnabled".into(), json!(enabled));
        body.insert("displayName".into(), json!(name));
        body.insert("mailNickname".into(), json!(nickname));
        body.insert("userPrincipalName".into(), json!(upn));
        body.insert("onPremisesImmutableId".into(), json!(event.immutable_ids().first()?));
        for mapping in self.rules.mappings.iter().filter(|mapping| mapping.inputs().is_empty()) {
            if let Some(Ok(value)) = mapping.value(&Attributes::new()) {
                mapping.property.put(&mut body, &Value::Null, value);
            }
        }
        Some(body)
    }

    /// Restores the user if it is among the deleted ones and certainly the one of this event.
    async fn restore(&self, event: &Event) -> Result<Option<User>, Failure> {
        let wanted = Wanted::from(event);
        let upn = event.identity.user_principal_name.as_deref();
        let upn = upn.map(|upn| self.rules.cloud_upn(upn));
        let deleted = self.graph.deleted_users(&self.rules.select).await?;
        let mut ours = deleted.into_iter().filter(|user| wanted.was(user, upn.as_deref()));
        let (Some(user), None) = (ours.next(), ours.next()) else { return Ok(None) };
        if self.rules.observe {
            let actions = vec![Action::Restore, Action::Allow];
            let observed = Verdict::Observed { user: user.id().to_owned(), actions };
            return Err(Failure::Final(observed));
        }
        self.graph.restore_user(user.id()).await?;
        self.finder.remember(event.object, user.id(), true);
        info!(object = %event.object, user = user.id(), "restored in entra");
        Ok(Some(user))
    }
}

/// What `mailNickname` may hold: ASCII without what mail addresses give a meaning.
fn is_nickname(c: &char) -> bool {
    c.is_ascii_graphic()
        && !matches!(c, '@' | '(' | ')' | '\\' | '[' | ']' | '"' | ';' | ':' | '<' | '>' | ',')
}
