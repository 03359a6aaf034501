//! Accounts that are never touched, whatever an event says.

use crate::event::Identity;

/// Patterns and ids of protected accounts.
#[derive(Debug, Default)]
pub struct Protected {
    /// Lower case: sAMAccountName patterns and Entra object ids.
    patterns: Vec<String>,
}

impl Protected {
    /// Takes `scope.protected`: sAMAccountName patterns (`*` stands for anything) and Entra object
    /// ids.
    pub fn new(patterns: &[String]) -> Protected {
        Protected { patterns: patterns.iter().map(|pattern| pattern.to_lowercase()).collect() }
    }

    /// Whether a directory account is protected: by name, or as the built-in Administrator and
    /// krbtgt, whose relative ids are 500 and 502 in every domain (MS-ADTS 6.1.1.6).
    pub fn holds(&self, identity: &Identity) -> bool {
        let by_sid = identity
            .sid
            .as_deref()
            .and_then(|sid| sid.rsplit('-').next())
            .is_some_and(|rid| matches!(rid, "500" | "502"));
        let name = identity.sam_account_name.as_deref().unwrap_or_default().to_lowercase();
        by_sid || self.patterns.iter().any(|pattern| matches(pattern, &name))
    }

    /// Whether an Entra user is protected.
    pub fn holds_entra(&self, id: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.eq_ignore_ascii_case(id))
    }
}

/// Whether `text` is the pattern's parts in their order, with anything where a `*` is.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(head) else {
        return false;
    };
    let mut starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    starts.any(|at| matches(tail, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_protected_by_pattern_and_built_in_accounts_always() {
        let protected = Protected::new(&["MSOL_*".into(), "svc-*-prod".into(), "BOSS".into()]);
        let named = |name: &str| {
            protected
                .holds(&Identity { sam_account_name: Some(name.into()), ..Identity::default() })
        };
        for name in ["msol_1a2b", "MSOL_", "svc-a-prod", "svc--prod", "Boss"] {
            assert!(named(name), "{name}");
        }
        for name in ["xMSOL_1", "svc-prod", "svc-a-prod2", "bosses", ""] {
            assert!(!named(name), "{name}");
        }
        let with_rid = |rid: &str| {
            let sid = Some(format!("S-1-5-21-1-2-3-{rid}"));
            Protected::default().holds(&Identity { sid, ..Identity::default() })
        };
        assert!(with_rid("500") && with_rid("502"));
        assert!(!with_rid("1500") && !with_rid("501"));
    }

    #[test]
    fn entra_users_are_protected_by_id() {
        let protected = Protected::new(&["6E7B768E-07E2-4810-8459-485F84F8F204".into()]);
        assert!(protected.holds_entra("6e7b768e-07e2-4810-8459-485f84f8f204"));
        assert!(!protected.holds_entra("6e7b768e-07e2-4810-8459-485f84f8f205"));
    }
}
