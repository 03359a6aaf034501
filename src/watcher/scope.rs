//! Which users take part.

use crate::{
    config::model,
    directory::{
        attributes,
        dn::{is_within, normalised},
    },
};

use super::{diff::Circumstances, record::Record};

/// RIDs of accounts that are never touched: Administrator and krbtgt (MS-DTYP 2.4.2.4).
const PROTECTED_RIDS: [u32; 2] = [500, 502];

/// Decides from a record whether its user takes part.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// sAMAccountName patterns in lower case.
    names: Vec<String>,
    /// Distinguished names as configured: who is one of these or below takes no part.
    excluded: Vec<String>,
    /// The same: only who is below one of these takes part, unless there are none.
    units: Vec<String>,
    /// Groups: only their members take part, unless there are none.
    groups: Vec<String>,
}

impl Scope {
    /// As the configuration says.
    pub fn from_config(config: &model::Scope) -> Scope {
        let patterns = config.exclude.iter().chain(&config.protected);
        let (excluded, names) = patterns.cloned().partition::<Vec<_>, _>(|p| p.contains('='));
        Scope {
            names: names.iter().map(|name| name.to_lowercase()).collect(),
            excluded,
            units: config.organizational_units.clone(),
            groups: config.groups.clone(),
        }
    }

    /// The containers that it names, and the groups, all of which have to exist.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.units.iter().chain(&self.groups)
    }

    /// The objects that it excludes; it does no harm if there is no such object.
    pub fn excluded(&self) -> impl Iterator<Item = &String> {
        self.excluded.iter()
    }

    /// The groups that it names.
    pub fn groups(&self) -> impl Iterator<Item = &String> {
        self.groups.iter()
    }

    /// Whether this user takes part.
    pub fn includes(&self, record: &Record, circumstances: Circumstances<'_>) -> bool {
        let rid = record.identity.sid.as_deref().and_then(attributes::rid);
        if attributes::is_machine(record.account_control)
            || rid.is_some_and(|rid| PROTECTED_RIDS.contains(&rid))
        {
            return false;
        }
        let name = record.identity.sam_account_name.as_deref().unwrap_or_default().to_lowercase();
        if self.names.iter().any(|pattern| matches(pattern, &name)) {
            return false;
        }
        let Circumstances { named, groups, .. } = circumstances;
        let dn = normalised(&record.dn);
        let below = |tree: &String| is_within(&dn, &named.place(tree));
        let member = |group: &String| named.object(group).is_some_and(|g| groups.contains(&g));
        !self.excluded.iter().any(below)
            && (self.units.is_empty() || self.units.iter().any(below))
            && (self.groups.is_empty() || self.groups.iter().any(member))
    }
}

/// Whether a name fits a pattern in which `*` stands for any letters.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<_> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;
    use crate::{
        event::Identity,
        watcher::{diff::Arrival, named::Named},
    };

    const PEOPLE: &str = "CN=x,OU=People,DC=corp,DC=example";

    fn user(name: &str, dn: &str, rid: u32, account_control: u32) -> Record {
        let identity = Identity {
            sam_account_name: Some(name.into()),
            sid: Some(format!("S-1-5-21-1-2-3-{rid}")),
            ..Identity::default()
        };
        Record { dn: dn.into(), identity, account_control, ..Record::default() }
    }

    fn includes(scope: &Scope, named: &Named, groups: &BTreeSet<Uuid>, user: &Record) -> bool {
        let circumstances = Circumstances {
            now: jiff::Timestamp::UNIX_EPOCH,
            arrival: Arrival::Created,
            password_signal: false,
            lockout_duration: None,
            named,
            groups,
            references: &Default::default(),
        };
        scope.includes(user, circumstances)
    }

    #[test]
    fn excluded_protected_and_machine_accounts_take_no_part() {
        let scope = Scope::from_config(&model::Scope {
            exclude: vec!["svc-*".into(), "OU=Labs, DC=corp,DC=example".into()],
            ..model::Scope::default()
        });
        let includes = |name, dn, rid, control| {
            let user = user(name, dn, rid, control);
            includes(&scope, &Named::default(), &BTreeSet::new(), &user)
        };
        assert!(includes("alice", PEOPLE, 1104, 512));
        assert!(!includes("SVC-backup", PEOPLE, 1104, 512));
        assert!(!includes("MSOL_1234", PEOPLE, 1104, 512));
        assert!(!includes("alice", "CN=x,ou=labs,dc=corp,dc=example", 1104, 512));
        assert!(includes("alice", "CN=x,ou=biolabs,dc=corp,dc=example", 1104, 512));
        assert!(
            includes("alice", "CN=x\\,OU=Labs,DC=corp,DC=example", 1104, 512),
            "a name cannot hide behind an exclusion"
        );
        assert!(!includes("boss", PEOPLE, 500, 512));
        assert!(!includes("krbtgt", PEOPLE, 502, 514));
        assert!(!includes("dc1$", PEOPLE, 1104, 0x2000));
    }

    #[test]
    fn a_named_unit_is_the_same_one_wherever_it_is_by_now() {
        let scope = Scope::from_config(&model::Scope {
            organizational_units: vec!["OU=Staff,DC=corp,DC=example".into()],
            ..model::Scope::default()
        });
        let mut named = Named::default();
        let of = |named: &Named| {
            includes(&scope, named, &BTreeSet::new(), &user("alice", PEOPLE, 1104, 512))
        };
        assert!(!of(&named));
        let place = "OU=People,DC=corp,DC=example";
        named.add("ou=staff, dc=corp,dc=example", Uuid::from_u128(1), Some(place));
        assert!(of(&named));
    }

    #[test]
    fn where_groups_are_named_only_members_take_part() {
        let scope = Scope::from_config(&model::Scope {
            groups: vec!["CN=Cloud,DC=corp,DC=example".into()],
            ..model::Scope::default()
        });
        let mut named = Named::default();
        let group = Uuid::from_u128(1);
        named.add("CN=Cloud,DC=corp,DC=example", group, None);
        let alice = user("alice", PEOPLE, 1104, 512);
        assert!(!includes(&scope, &named, &BTreeSet::new(), &alice));
        assert!(includes(&scope, &named, &[group].into(), &alice));
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, fits) in [
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxc", false),
            ("abc", "abcd", false),
            ("*a*", "bab", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
