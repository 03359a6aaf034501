//! What the configuration wants done, checked and in the form in which it is used.

use std::collections::BTreeMap;

use thiserror::Error;

use super::protected::Protected;
use crate::{
    config::model::{
        Apply, MatchBy, Mode, OnDeleted, OnDisabled, OnEnabled, OnPasswordChanged, OnScopeLeft,
        PasswordExpiry,
    },
    graph::User,
    mapping::{MappingError, Mappings},
};

/// The property that a user signs in by.
pub const UPN: &str = "userPrincipalName";

/// The rules of a consumer.
#[derive(Debug)]
pub struct Rules {
    /// Whether nothing is written.
    pub observe: bool,
    /// How a user is found, in this order.
    pub match_by: Vec<MatchBy>,
    /// Steps after a disable.
    pub on_disabled: Vec<OnDisabled>,
    /// Steps after an enable.
    pub on_enabled: Vec<OnEnabled>,
    /// Steps after a password change.
    pub on_password_changed: Vec<OnPasswordChanged>,
    /// Carries "must change at next logon" with a password.
    pub must_change_password: bool,
    /// Expiry policy of the passwords that are set.
    pub password_expiry: PasswordExpiry,
    /// What a deletion does.
    pub on_deleted: OnDeleted,
    /// What leaving the scope does.
    pub on_scope_left: OnScopeLeft,
    /// Which property follows which directory attribute.
    pub mappings: Mappings,
    /// Whether a user matched otherwise is linked.
    pub link: bool,
    /// Whether a user that Entra does not have is created.
    pub create: bool,
    /// How often a user that something else enables is blocked again.
    pub max_reblocks: u32,
    /// Who is never touched.
    pub protected: Protected,
    /// What is read of a user.
    pub select: String,
    /// Group of the directory, in lower case → group in Entra.
    groups: BTreeMap<String, String>,
    /// On-premises UPN suffix, in lower case → the tenant's.
    upn_suffixes: BTreeMap<String, String>,
}

/// Mappings that cannot work, all of them.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct RulesError(pub Vec<MappingError>);

impl Rules {
    /// Checks `apply` and takes `scope.protected` along.
    pub fn new(apply: &Apply, protected: &[String]) -> Result<Rules, RulesError> {
        let mappings = Mappings::parse(&apply.attributes).map_err(RulesError)?;
        let suffix = |(from, to): (&String, &String)| (from.to_lowercase(), to.clone());
        Ok(Rules {
            observe: apply.mode == Mode::Observe,
            match_by: apply.match_by.clone(),
            on_disabled: apply.on_disabled.clone(),
            on_enabled: apply.on_enabled.clone(),
            on_password_changed: apply.on_password_changed.clone(),
            must_change_password: apply.must_change_password,
            password_expiry: apply.password_expiry,
            on_deleted: apply.on_deleted,
            on_scope_left: apply.on_scope_left,
            link: apply.link,
            create: apply.create,
            max_reblocks: apply.max_reblocks,
            groups: apply.groups.iter().map(|(dn, id)| (dn.to_lowercase(), id.clone())).collect(),
            select: User::select(
                mappings
                    .iter()
                    .filter(|mapping| !mapping.property.is_reference())
                    .map(|mapping| mapping.property.root())
                    .chain(["passwordPolicies"]),
            ),
            mappings,
            protected: Protected::new(protected),
            upn_suffixes: apply.upn_suffixes.iter().map(suffix).collect(),
        })
    }

    /// The Entra group that follows a group of the directory.
    pub fn group(&self, dn: &str) -> Option<&str> {
        self.groups.get(&dn.to_lowercase()).map(String::as_str)
    }

    /// Whether a user's name follows the directory.
    pub fn renames(&self) -> bool {
        self.mappings.iter().any(|mapping| mapping.property.path() == UPN)
    }

    /// The name that the tenant knows a user by, for a UPN of the directory.
    pub fn cloud_upn(&self, upn: &str) -> String {
        let mapped = upn.rsplit_once('@').and_then(|(name, suffix)| {
            Some(format!("{name}@{}", self.upn_suffixes.get(&suffix.to_lowercase())?))
        });
        mapped.unwrap_or_else(|| upn.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(attributes: &[(&str, &str)]) -> Apply {
        let own = |(property, attribute): &(&str, &str)| {
            ((*property).to_owned(), (*attribute).to_owned())
        };
        Apply { attributes: attributes.iter().map(own).collect(), ..Apply::default() }
    }

    #[test]
    fn nested_properties_are_read_with_their_object() {
        let good = [("employeeOrgData.costCenter", "departmentNumber"), ("city", "l")];
        let rules = Rules::new(&apply(&good), &[]).expect("rules");
        assert!(
            rules.select.ends_with(",city,employeeOrgData,passwordPolicies"),
            "{}",
            rules.select
        );
    }

    #[test]
    fn upn_suffixes_are_exchanged_whatever_their_case() {
        let upn_suffixes = BTreeMap::from([("corp.LOCAL".into(), "contoso.com".into())]);
        let rules = Rules::new(&Apply { upn_suffixes, ..Apply::default() }, &[]).expect("rules");
        assert_eq!(rules.cloud_upn("a@b@Corp.local"), "a@b@contoso.com");
        assert_eq!(rules.cloud_upn("a@sub.corp.local"), "a@sub.corp.local");
        assert_eq!(rules.cloud_upn("odd"), "odd");
    }
}
