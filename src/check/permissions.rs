//! Which permissions the configuration needs. The alternatives are those of the permission tables
//! of each operation in the Microsoft Graph v1.0 reference, the least one first.

use std::collections::BTreeSet;

use super::{Area, Check, Subject};
use crate::{
    config::{
        Config,
        model::{Mode, OnDeleted, OnDisabled, OnPasswordChanged},
    },
    graph::Access,
    mapping::Mappings,
};

/// Template ids of the roles that reach every user (Microsoft Entra built-in roles).
const ALL_POWERFUL: [&str; 2] = [
    "7be44c8a-adaf-4e2a-84d6-ab2649e08a13", // Privileged Authentication Administrator
    "62e90394-69f5-4237-9190-012177145e10", // Global Administrator
];

/// Alternatives; of each, all permissions are needed.
type Alternatives = &'static [&'static [&'static str]];

const WRITE: [&[&str]; 2] = [&["User.ReadWrite.All"], &["Directory.ReadWrite.All"]];

/// Something that the configuration asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    name: &'static str,
    any_of: Alternatives,
    writes: bool,
}

const FIND: Need = Need {
    name: "to find users",
    any_of: &[
        &["User.Read.All"],
        &["User.ReadWrite.All"],
        &["Directory.Read.All"],
        &["Directory.ReadWrite.All"],
    ],
    writes: false,
};
const BLOCK: Need = Need {
    name: "to block sign-in",
    any_of: &[&["User.EnableDisableAccount.All", "User.Read.All"], WRITE[0], WRITE[1]],
    writes: true,
};
const REVOKE: Need = Need {
    name: "to end sessions",
    any_of: &[&["User.RevokeSessions.All"], WRITE[0], WRITE[1]],
    writes: true,
};
const WRITE_USERS: Need =
    Need { name: "to write attributes", any_of: &[WRITE[0], WRITE[1]], writes: true };
const WRITE_PHONES: Need = Need {
    name: "to write telephones",
    any_of: &[&["User-Phone.ReadWrite.All"], WRITE[0], WRITE[1]],
    writes: true,
};
const WRITE_MAILS: Need = Need {
    name: "to write otherMails",
    any_of: &[&["User-Mail.ReadWrite.All"], WRITE[0], WRITE[1]],
    writes: true,
};
const DELETE: Need = Need {
    name: "to delete users",
    any_of: &[&["User.DeleteRestore.All"], WRITE[0], WRITE[1]],
    writes: true,
};
const MEMBERS: Need = Need {
    name: "to change members",
    any_of: &[
        &["GroupMember.ReadWrite.All"],
        &["Group.ReadWrite.All"],
        &["Directory.ReadWrite.All"],
    ],
    writes: true,
};

fn needs(config: &Config) -> Vec<Need> {
    let apply = &config.apply;
    let blocks = apply.on_disabled.contains(&OnDisabled::BlockSignIn);
    let revokes = apply.on_disabled.contains(&OnDisabled::RevokeSessions)
        || apply.on_password_changed.contains(&OnPasswordChanged::RevokeSessions);
    let mut needs = vec![FIND];
    needs.extend((blocks || !apply.on_enabled.is_empty()).then_some(BLOCK));
    needs.extend(revokes.then_some(REVOKE));
    let mut writes = BTreeSet::new();
    if apply.link || apply.create {
        writes.insert(WRITE_USERS);
    }
    for mapping in Mappings::parse(&apply.attributes).unwrap_or_default().iter() {
        writes.insert(match mapping.property.path() {
            "mobilePhone" | "businessPhones" => WRITE_PHONES,
            "otherMails" => WRITE_MAILS,
            _ => WRITE_USERS,
        });
    }
    needs.extend(writes);
    needs.extend((apply.on_deleted == OnDeleted::Delete).then_some(DELETE));
    needs.extend((!apply.groups.is_empty()).then_some(MEMBERS));
    needs
}

/// An application permission of Microsoft Graph, by name and by the id of its app role (Microsoft
/// Graph permissions reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// Its name.
    pub name: &'static str,
    /// The same everywhere.
    pub id: &'static str,
}

const IDS: [(&str, &str); 8] = [
    ("User.Read.All", "df021288-bdef-4463-88db-98f22de89214"),
    ("User.ReadWrite.All", "741f803b-c850-494e-b5df-cde7c675a1ca"),
    ("User.EnableDisableAccount.All", "3011c876-62b7-4ada-afa2-506cbbecc68c"),
    ("User.RevokeSessions.All", "77f3a031-c388-4f99-b373-dc68676a979e"),
    ("User-Phone.ReadWrite.All", "86ceff06-c822-49ff-989a-d912845ffe69"),
    ("User-Mail.ReadWrite.All", "280d0935-0796-47d1-8d26-273470a3f17a"),
    ("User.DeleteRestore.All", "eccc023d-eccf-4e7b-9683-8813ab36cecc"),
    ("GroupMember.ReadWrite.All", "dbaae8cf-10b5-4b86-a4a1-f871c94c6695"),
];

/// The least permissions that the configuration needs.
pub fn least(config: &Config) -> Vec<Permission> {
    let needed: BTreeSet<&str> =
        needs(config).iter().flat_map(|need| need.any_of[0]).copied().collect();
    let known = IDS.into_iter().filter(|(name, _)| needed.contains(name));
    known.map(|(name, id)| Permission { name, id }).collect()
}

/// A row for each thing that the app must be allowed.
pub(super) fn checks(config: &Config, access: &Access) -> Vec<Check> {
    let observes = config.apply.mode == Mode::Observe;
    let row = |need: Need| {
        let subject = Subject(Area::Graph, need.name);
        if let Some(held) = need.any_of.iter().find(|all| access.has(all)) {
            return subject.pass(held.join(" and "));
        }
        let lacking: Vec<_> =
            need.any_of[0].iter().filter(|name| !access.has(&[**name])).copied().collect();
        let told = format!("the app lacks {}", lacking.join(" and "));
        let remedy = format!(
            "add the application permission {} to the app registration in Entra and grant admin \
             consent; a new token has it after some minutes",
            lacking.join(" and ")
        );
        // While nothing is written it is missed by nobody.
        if observes && need.writes {
            subject.warn(told, remedy)
        } else {
            subject.fail(told, remedy)
        }
    };
    needs(config).into_iter().map(row).collect()
}

/// Permissions alone do not reach users who hold an administrative role ("Who can perform sensitive
/// actions", Microsoft Graph v1.0 reference of the user resource).
pub(super) fn directory_role(access: &Access) -> Check {
    let subject = Subject(Area::Graph, "administrators");
    let Some(roles) = &access.directory_roles else {
        return subject.skip(
            "the token tells no directory role: without one, users who hold an administrative \
             role cannot be blocked",
        );
    };
    if ALL_POWERFUL.iter().any(|id| roles.contains(*id)) {
        return subject.pass("a directory role reaches them");
    }
    subject.warn(
        "the app's directory roles do not reach every administrator",
        "if administrators are in scope, give the app's service principal the directory role \
         Privileged Authentication Administrator",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Verdict;

    fn access(permissions: &[&str]) -> Access {
        let permissions = permissions.iter().map(|&name| name.to_owned()).collect();
        Access { permissions, directory_roles: None }
    }

    fn failed(config: &Config, permissions: &[&str]) -> Vec<&'static str> {
        let checks = checks(config, &access(permissions));
        checks.iter().filter(|c| c.verdict == Verdict::Fail).map(|c| c.name).collect()
    }

    #[test]
    fn the_least_permissions_suffice_and_each_is_missed() {
        let mut config = Config::default();
        let least = ["User.Read.All", "User.EnableDisableAccount.All", "User.RevokeSessions.All"];
        assert!(failed(&config, &least).is_empty());
        assert_eq!(failed(&config, &least[..2]), ["to end sessions"]);
        assert_eq!(failed(&config, &least[1..]), ["to find users", "to block sign-in"]);
        assert!(failed(&config, &["User.ReadWrite.All"]).is_empty());

        config.apply.attributes = [("mobilePhone", "mobile"), ("jobTitle", "title")]
            .map(|(property, rule)| (property.to_owned(), rule.to_owned()))
            .into();
        config.apply.on_deleted = OnDeleted::Delete;
        config.apply.groups.insert("CN=a".into(), "b".into());
        let lacking = failed(&config, &least);
        let all =
            ["to write attributes", "to write telephones", "to delete users", "to change members"];
        assert_eq!(lacking, all);
        config.apply.mode = Mode::Observe;
        assert!(failed(&config, &least).is_empty(), "only read");
    }

    #[test]
    fn every_least_permission_has_an_id() {
        let all = [FIND, BLOCK, REVOKE, WRITE_USERS, WRITE_PHONES, WRITE_MAILS, DELETE, MEMBERS];
        for name in all.iter().flat_map(|need| need.any_of[0]) {
            assert!(IDS.iter().any(|(known, _)| known == name), "{name}");
        }
        assert_eq!(least(&Config::default()).len(), 3);
    }

    #[test]
    fn a_role_that_reaches_administrators_is_known_by_its_template() {
        let told = |roles: Option<&[&str]>| {
            let roles = roles.map(|ids| ids.iter().map(|&id| id.to_owned()).collect());
            directory_role(&Access { directory_roles: roles, ..Access::default() }).verdict
        };
        assert_eq!(told(None), Verdict::Skip);
        assert_eq!(told(Some(&["fe930be7-5e62-47db-91af-98c3a49a38b1"])), Verdict::Warn);
        assert_eq!(told(Some(&ALL_POWERFUL[..1])), Verdict::Pass);
    }
}
