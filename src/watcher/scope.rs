//! Which users take part.

use crate::{config::model, directory::attributes};

use super::record::Record;

/// RIDs of accounts that are never touched: Administrator and krbtgt (MS-DTYP 2.4.2.4).
const PROTECTED_RIDS: [u32; 2] = [500, 502];

/// Decides from a record whether its user takes part.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// sAMAccountName patterns in lower case.
    names: Vec<String>,
    /// Distinguished names, normalised: these and what is below them.
    trees: Vec<String>,
}

impl Scope {
    /// As the configuration says.
    pub fn from_config(config: &model::Scope) -> Scope {
        let patterns = config.exclude.iter().chain(&config.protected);
        let (trees, names) =
            patterns.map(|p| p.to_lowercase()).partition::<Vec<_>, _>(|p| p.contains('='));
        Scope { names, trees: trees.iter().map(|dn| normalised(dn)).collect() }
    }

    /// Whether this user takes part.
    pub fn includes(&self, record: &Record) -> bool {
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
        let dn = normalised(&record.dn);
        !self.trees.iter().any(|tree| {
            dn.strip_suffix(tree.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with(','))
        })
    }
}

fn normalised(dn: &str) -> String {
    dn.to_lowercase().split(',').map(str::trim).collect::<Vec<_>>().join(",")
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
    use super::*;
    use crate::event::Identity;

    fn user(name: &str, dn: &str, rid: u32, account_control: u32) -> Record {
        let identity = Identity {
            sam_account_name: Some(name.into()),
            sid: Some(format!("S-1-5-21-1-2-3-{rid}")),
            ..Identity::default()
        };
        Record { dn: dn.into(), identity, account_control, ..Record::default() }
    }

    #[test]
    fn excluded_protected_and_machine_accounts_take_no_part() {
        let scope = Scope::from_config(&model::Scope {
            exclude: vec!["svc-*".into(), "OU=Labs, DC=corp,DC=example".into()],
            ..model::Scope::default()
        });
        let includes = |name, dn, rid, control| scope.includes(&user(name, dn, rid, control));
        let people = "CN=x,OU=People,DC=corp,DC=example";
        assert!(includes("alice", people, 1104, 512));
        assert!(!includes("SVC-backup", people, 1104, 512));
        assert!(!includes("MSOL_1234", people, 1104, 512));
        assert!(!includes("alice", "CN=x,ou=labs,dc=corp,dc=example", 1104, 512));
        assert!(includes("alice", "CN=x,ou=biolabs,dc=corp,dc=example", 1104, 512));
        assert!(!includes("boss", people, 500, 512));
        assert!(!includes("krbtgt", people, 502, 514));
        assert!(!includes("dc1$", people, 1104, 0x2000));
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
