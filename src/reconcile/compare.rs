//! One user against the tenant: the plan is made by the very code that applies events, so a
//! difference is what the consumers would mend.

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::{
    finding::{Finding, Kind},
    tenant::Tenant,
};
use crate::{
    consumer::{
        Rules,
        matching::{Match, judge, searches},
        plan::{Action, Known, Plan, plan},
    },
    event::{Detail, Event, Identity, Reason},
    graph::{Filter, User},
    mapping::Attributes,
};

/// A user of the directory, as it is now.
#[derive(Debug, Clone)]
pub struct Person {
    /// objectGUID.
    pub object: Uuid,
    /// How the user is known.
    pub identity: Identity,
    /// Whether the user takes part.
    pub in_scope: bool,
    /// Why the account is blocked, if it is.
    pub blocked: Option<Reason>,
    /// All mapped attributes, those without a value too.
    pub attributes: Attributes,
}

/// What persons are compared by.
pub struct Comparison<'a> {
    /// The directory's name.
    pub source: &'a str,
    /// What the consumers do.
    pub rules: &'a Rules,
    /// Everybody in Entra.
    pub tenant: &'a Tenant,
    /// The domains that Entra takes.
    pub domains: &'a [String],
}

impl Comparison<'_> {
    /// Compares one person.
    pub fn person(&self, person: &Person) -> Result<Vec<Finding>, redb::Error> {
        let mut found = Findings { person, entra: None, found: Vec::new() };
        let event = self.event(person, Detail::UserDeleted);
        let mut foreign = false;
        for filter in self.searches(person) {
            match judge(&filter, self.tenant.find(&filter)?, (&event).into()) {
                Match::Found(user) => {
                    self.user(person, &user, &mut found)?;
                    return Ok(found.found);
                }
                Match::Several(users) if person.in_scope => {
                    found.add(Kind::Ambiguous, vec![format!("{users} users")]);
                    return Ok(found.found);
                }
                Match::Several(_) => return Ok(found.found),
                Match::Foreign => foreign = true,
                Match::Nobody => {}
            }
        }
        let wanted = person.in_scope && person.blocked.is_none();
        if wanted && !self.rules.protected.holds(&person.identity) {
            let kind = if foreign { Kind::Foreign } else { Kind::Missing };
            found.add(kind, self.unverified(&person.identity).into_iter().collect());
        }
        Ok(found.found)
    }

    fn user(
        &self,
        person: &Person,
        user: &User,
        found: &mut Findings<'_>,
    ) -> Result<(), redb::Error> {
        found.entra = Some(user.id().to_owned());
        let other = self.tenant.matched(user.id(), person.object)?;
        if !person.in_scope {
            return Ok(());
        }
        if let Some(other) = other {
            found.add(Kind::Duplicate, vec![format!("also {other}")]);
            return Ok(());
        }
        let plan = |detail| plan(&self.event(person, detail), user, self.rules, &known());
        let enabled = user.account_enabled();
        if let Some(reason) = person.blocked {
            let blocks = does(&plan(Detail::AccountDisabled { reason }), &Action::Block);
            if blocks && enabled != Some(false) {
                found.add(kind_of(reason), Vec::new());
            }
        } else if enabled == Some(false) {
            let ended = Reason::Disabled;
            if does(&plan(Detail::AccountEnabled { ended }), &Action::Allow) {
                found.add(Kind::Enabled, Vec::new());
            }
        }
        if person.attributes.is_empty() {
            return Ok(());
        }
        if let Plan::Do { actions, refused, .. } = plan(Detail::modified(person.attributes.clone()))
        {
            if !refused.is_empty() {
                found.add(Kind::Refused, refused);
            }
            for action in actions {
                if let Action::Update(body) = action {
                    found.properties(user, &body);
                }
            }
        }
        Ok(())
    }

    /// How a person is looked for in Entra.
    pub fn searches(&self, person: &Person) -> Vec<Filter> {
        searches((&self.event(person, Detail::UserDeleted)).into(), self.rules)
    }

    /// The links that a person has or would have.
    pub fn links(&self, person: &Person) -> Vec<String> {
        self.event(person, Detail::UserDeleted).immutable_ids()
    }

    /// A user of Entra whose link nobody in the directory has.
    pub fn orphan(&self, user: &User) -> Option<Finding> {
        let link = user.immutable_id()?;
        let object = BASE64_STANDARD.decode(link).ok();
        let object = object.and_then(|bytes| Some(Uuid::from_bytes_le(bytes.try_into().ok()?)));
        let event = Event::new(
            self.source,
            object.unwrap_or_default(),
            0,
            Timestamp::UNIX_EPOCH,
            Identity::default(),
            Detail::UserDeleted,
        );
        let asks = match plan(&event, user, self.rules, &known()) {
            Plan::Do { actions, .. } => actions,
            Plan::Skip(_) => return None,
        };
        let deletes = asks.contains(&Action::Delete);
        let blocks = asks.contains(&Action::Block) && user.account_enabled() != Some(false);
        (deletes || blocks).then(|| Finding {
            kind: Kind::Deleted,
            object,
            user: user.property("userPrincipalName").as_str().map(str::to_owned),
            entra: Some(user.id().to_owned()),
            what: Vec::new(),
        })
    }

    /// Why Entra would not take the name of a user that it does not have.
    fn unverified(&self, identity: &Identity) -> Option<String> {
        let Some(upn) = &identity.user_principal_name else {
            return Some("has no user principal name".to_owned());
        };
        let upn = self.rules.cloud_upn(upn);
        let (_, domain) = upn.rsplit_once('@')?;
        let known = self.domains.is_empty() || self.domains.contains(&domain.to_lowercase());
        (!known).then(|| format!("{domain} is not verified in the tenant: see apply.upn_suffixes"))
    }

    fn event(&self, person: &Person, detail: Detail) -> Event {
        let now = Timestamp::UNIX_EPOCH;
        Event::new(self.source, person.object, 0, now, person.identity.clone(), detail)
    }
}

struct Findings<'a> {
    person: &'a Person,
    entra: Option<String>,
    found: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, kind: Kind, what: Vec<String>) {
        let Identity { sam_account_name, user_principal_name, .. } = &self.person.identity;
        self.found.push(Finding {
            kind,
            object: Some(self.person.object),
            user: sam_account_name.clone().or_else(|| user_principal_name.clone()),
            entra: self.entra.clone(),
            what,
        });
    }

    /// One finding for each way in which properties differ.
    fn properties(&mut self, user: &User, body: &serde_json::Map<String, Value>) {
        for kind in [Kind::Differs, Kind::Lacking, Kind::Cleared] {
            let names =
                body.iter().filter(|(name, value)| kind_of_value(user, name, value) == kind);
            let names: Vec<_> = names.map(|(name, _)| name.clone()).collect();
            if !names.is_empty() {
                self.add(kind, names);
            }
        }
    }
}

fn kind_of_value(user: &User, name: &str, value: &Value) -> Kind {
    let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    if is_empty(value) {
        Kind::Cleared
    } else if is_empty(user.property(name)) {
        Kind::Lacking
    } else {
        Kind::Differs
    }
}

fn kind_of(reason: Reason) -> Kind {
    match reason {
        Reason::Disabled => Kind::Disabled,
        Reason::Expired => Kind::Expired,
        Reason::Deleted => Kind::Deleted,
        Reason::ScopeLeft | Reason::LockedOut => Kind::Blocked,
    }
}

/// What was read is the state now: it is some time since we wrote.
fn known() -> Known {
    Known { trusted: true, ..Known::default() }
}

fn does(plan: &Plan, action: &Action) -> bool {
    matches!(plan, Plan::Do { actions, .. } if actions.contains(action))
}
