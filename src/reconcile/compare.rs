//! One user against the tenant: the plan is made by the very code that applies events, so a
//! difference is what the consumers would mend.

use std::collections::BTreeSet;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    finding::{Finding, Kind, Mend},
    groups::Group,
    person::{Findings, Person},
    surroundings::Surroundings,
    tenant::Tenant,
};
use crate::{
    consumer::{
        Rules, UPN,
        matching::{Match, judge, searches},
        plan::{Action, Known, Plan, plan},
    },
    event::{Detail, Event, Identity, Reason},
    graph::{Filter, User},
};

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
    /// Who holds a directory role, where that can be read.
    pub role_holders: Option<&'a BTreeSet<String>>,
    /// What surrounds the users of the directory.
    pub surroundings: &'a Surroundings,
    /// The groups whose members are compared.
    pub groups: &'a [Group],
    /// Whether those are told who never were in scope.
    pub outsiders: bool,
}

impl Comparison<'_> {
    /// Compares one person.
    pub fn person(&self, person: &Person) -> Result<Vec<Finding>, redb::Error> {
        let mut found = Findings::of(person);
        let event = self.event(person, Detail::UserDeleted);
        let mut foreign = false;
        for filter in self.searches(person) {
            match judge(&filter, self.tenant.find(&filter)?, (&event).into()) {
                Match::Found(user) => {
                    self.user(person, &user, &mut found)?;
                    return Ok(self.with_notes(found.found));
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
            let upn = person.identity.user_principal_name.as_deref();
            let name = upn.map(|upn| self.rules.cloud_upn(upn));
            let why = match &name {
                None => Some("has no user principal name".to_owned()),
                Some(name) => self.unverified(name),
            };
            found.add(kind, why.into_iter().collect());
            if let (Some(name), false) = (name, foreign) {
                self.name(person, &name, "", &mut found)?;
            }
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
        self.tenant.locate(&person.dn, user.id())?;
        let protected = &self.rules.protected;
        if protected.holds(&person.identity) || protected.holds_entra(user.id()) {
            return Ok(());
        }
        if !person.in_scope {
            self.outsider(person, user, found);
            return Ok(());
        }
        if let Some(other) = other {
            found.add(Kind::Duplicate, vec![format!("also {other}")]);
            return Ok(());
        }
        let enabled = user.account_enabled();
        if let Some(reason) = person.blocked {
            let blocks =
                self.does(person, user, Detail::AccountDisabled { reason }, &Action::Block);
            if blocks && enabled != Some(false) {
                found.add(kind_of(reason), Vec::new());
            }
        } else if enabled == Some(false) {
            let detail = Detail::AccountEnabled { ended: Reason::Disabled };
            if self.does(person, user, detail, &Action::Allow) {
                found.add(Kind::Enabled, Vec::new());
            }
        }
        for group in self.groups {
            let is_one = person.groups.contains(&group.object);
            if self.tenant.is_member(&group.entra, user.id())? != is_one {
                found
                    .add_of_group(if is_one { Kind::NotMember } else { Kind::Member }, &group.name);
            }
        }
        // Where another tool is the user's source, the manager is its matter too.
        if let Some(manager) = person.manager.as_ref().filter(|_| !user.is_synced()) {
            let otherwise = found.finding(Kind::Manager, Vec::new());
            match manager {
                Some(manager) => {
                    self.tenant.expect_manager(user.id(), manager, &otherwise)?;
                }
                None if user.manager().is_some() => found.found.push(otherwise),
                None => {}
            }
        }
        if person.attributes.is_empty() {
            return Ok(());
        }
        let (mut body, refused) = self.update(person, user);
        if !refused.is_empty() {
            found.add(Kind::Refused, refused);
        }
        if user.is_synced() {
            let (whole, _) = self.update(person, &user.unsynced());
            let mastered = whole.into_iter().filter(|(name, _)| !body.contains_key(name));
            let mastered: Vec<_> = mastered.map(|(name, _)| name).collect();
            if !mastered.is_empty() {
                found.add(Kind::Mastered, mastered);
            }
        }
        if let Some(name) = body.get(UPN).and_then(Value::as_str).map(str::to_owned)
            && !self.name(person, &name, user.id(), found)?
        {
            body.remove(UPN);
        }
        found.properties(user, &body);
        Ok(())
    }

    /// Who takes no part, and may sign in all the same by a user that is certainly the same one:
    /// names alone are used again.
    fn outsider(&self, person: &Person, user: &User, found: &mut Findings<'_>) {
        let links = self.links(person);
        let is_linked = user.immutable_id().is_some_and(|id| links.iter().any(|link| link == id));
        if !is_linked || user.account_enabled() == Some(false) {
            return;
        }
        let detail = Detail::AccountDisabled { reason: Reason::ScopeLeft };
        if self.surroundings.is_gone(person.object) != Some(true) {
            if self.outsiders {
                found.add(Kind::Outsider, Vec::new());
            }
        } else if self.does(person, user, detail, &Action::Block) {
            found.add(Kind::Blocked, Vec::new());
        }
    }

    /// Whether Entra would take a name for this person; what speaks against it is found. `own` is
    /// the object id of the user who may have it.
    fn name(
        &self,
        person: &Person,
        name: &str,
        own: &str,
        found: &mut Findings<'_>,
    ) -> Result<bool, redb::Error> {
        let before = found.found.len();
        if let Some(why) = self.unverified(name)
            && !own.is_empty()
        {
            found.add(Kind::Refused, vec![why]);
        }
        let holders = self.tenant.find(&Filter::UserPrincipalName(name.to_owned()))?;
        if let Some(holder) = holders.iter().find(|holder| holder.id() != own) {
            found.add(Kind::Taken, vec![format!("by {} in Entra", holder.id())]);
        }
        if let Some(other) = self.tenant.claimed(name, person.object)? {
            found.add(Kind::Taken, vec![format!("also by {other} in the directory")]);
        }
        Ok(found.found.len() == before)
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
        let unknown = object.is_none_or(|it| self.surroundings.is_gone(it) == Some(false));
        let finding = Finding {
            kind: if unknown { Kind::Orphan } else { Kind::Deleted },
            object,
            user: user.property(UPN).as_str().map(str::to_owned),
            entra: Some(user.id().to_owned()),
            group: None,
            what: Vec::new(),
        };
        (deletes || blocks).then(|| self.with_notes(vec![finding]).remove(0))
    }

    /// Says of what is to be done to an administrator that it takes more than a permission.
    fn with_notes(&self, mut found: Vec<Finding>) -> Vec<Finding> {
        for finding in &mut found {
            let holds = |id: &String| self.role_holders.is_some_and(|all| all.contains(id));
            let is_written = matches!(finding.kind.mend(), Mend::Refresh | Mend::Enable);
            if is_written && finding.entra.as_ref().is_some_and(holds) {
                let note = "holds a directory role: the app needs one that may change that";
                finding.what.push(note.to_owned());
            }
        }
        found
    }

    /// Why Entra would not take a name.
    fn unverified(&self, name: &str) -> Option<String> {
        let (_, domain) = name.rsplit_once('@')?;
        let known = self.domains.is_empty() || self.domains.contains(&domain.to_lowercase());
        (!known).then(|| format!("{domain} is not verified in the tenant: see apply.upn_suffixes"))
    }

    /// The properties that would be written, and the values that Graph would refuse.
    fn update(&self, person: &Person, user: &User) -> (Map<String, Value>, Vec<String>) {
        match self.plan(person, user, Detail::modified(person.attributes.clone())) {
            Plan::Do { actions, refused, .. } => {
                let body = actions.into_iter().find_map(|action| match action {
                    Action::Update(body) => Some(body),
                    _ => None,
                });
                (body.unwrap_or_default(), refused)
            }
            Plan::Skip(_) => Default::default(),
        }
    }

    fn does(&self, person: &Person, user: &User, detail: Detail, action: &Action) -> bool {
        matches!(self.plan(person, user, detail), Plan::Do { actions, .. } if actions.contains(action))
    }

    fn plan(&self, person: &Person, user: &User, detail: Detail) -> Plan {
        plan(&self.event(person, detail), user, self.rules, &known())
    }

    fn event(&self, person: &Person, detail: Detail) -> Event {
        let now = Timestamp::UNIX_EPOCH;
        Event::new(self.source, person.object, 0, now, person.identity.clone(), detail)
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
