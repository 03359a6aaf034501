//! A user of the directory, and what is found of it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::finding::{Finding, Kind};
use crate::{
    event::{Identity, Reason},
    graph::User,
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
    /// The configured groups that the user is in.
    pub groups: BTreeSet<Uuid>,
    /// Distinguished name, normalised.
    pub dn: String,
    /// The manager's, if there is one; none where managers are not compared.
    pub manager: Option<Option<String>>,
}

/// What is found of a person.
pub struct Findings<'a> {
    person: &'a Person,
    /// Entra object id, once the user is known.
    pub entra: Option<String>,
    /// What was found so far.
    pub found: Vec<Finding>,
}

impl<'a> Findings<'a> {
    /// Nothing so far.
    pub fn of(person: &'a Person) -> Findings<'a> {
        Findings { person, entra: None, found: Vec::new() }
    }

    /// Adds one.
    pub fn add(&mut self, kind: Kind, what: Vec<String>) {
        self.found.push(self.finding(kind, what));
    }

    /// What could be added.
    pub fn finding(&self, kind: Kind, what: Vec<String>) -> Finding {
        let Identity { sam_account_name, user_principal_name, .. } = &self.person.identity;
        Finding {
            kind,
            object: Some(self.person.object),
            user: sam_account_name.clone().or_else(|| user_principal_name.clone()),
            entra: self.entra.clone(),
            group: None,
            what,
        }
    }

    /// Adds one about a group.
    pub fn add_of_group(&mut self, kind: Kind, group: &str) {
        self.add(kind, Vec::new());
        if let Some(finding) = self.found.last_mut() {
            finding.group = Some(group.to_owned());
        }
    }

    /// One finding for each way in which properties differ.
    pub fn properties(&mut self, user: &User, body: &Map<String, Value>) {
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
