//! Defaults that this machine knows.

use std::path::Path;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The domain's DNS name.
    pub(super) domain: Option<String>,
    /// As the tools of Azure name them.
    pub(super) tenant_id: Option<String>,
    /// The app.
    pub(super) client_id: Option<String>,
}

impl Found {
    /// Looks at the environment and at the resolver's configuration.
    pub(super) fn here() -> Found {
        let resolver = std::fs::read_to_string(Path::new("/etc/resolv.conf")).unwrap_or_default();
        Found::from(&|name| std::env::var(name).ok(), &resolver)
    }

    fn from(environment: &dyn Fn(&str) -> Option<String>, resolver: &str) -> Found {
        let set = |name| environment(name).filter(|value| !value.is_empty());
        Found {
            domain: set("USERDNSDOMAIN").or_else(|| domain_in(resolver)),
            tenant_id: set("AZURE_TENANT_ID"),
            client_id: set("AZURE_CLIENT_ID"),
        }
    }

    /// `DC=corp,DC=example` of `corp.example`.
    pub(super) fn base_dn(&self) -> Option<String> {
        let labels = self.domain.as_ref()?.split('.').filter(|label| !label.is_empty());
        Some(labels.map(|label| format!("DC={label}")).collect::<Vec<_>>().join(","))
    }
}

/// The name of `DC=corp,DC=example` in DNS.
pub(super) fn domain_of(base_dn: &str) -> String {
    let parts = base_dn.split(',').filter_map(|part| part.trim().split_once('='));
    let labels = parts.filter(|(name, _)| name.eq_ignore_ascii_case("dc"));
    labels.map(|(_, label)| label).collect::<Vec<_>>().join(".").to_lowercase()
}

/// The last of `domain` and `search` counts (resolv.conf(5)); of several names the first.
fn domain_in(resolver: &str) -> Option<String> {
    let name = |line: &str| {
        let mut words = line.split_whitespace();
        let is_named = matches!(words.next(), Some("domain" | "search"));
        let name = words.next().filter(|_| is_named)?;
        Some(name.trim_end_matches('.').to_owned())
    };
    // A single label is no domain of a directory.
    resolver.lines().filter_map(name).rfind(|name: &String| name.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_is_that_of_the_resolver() {
        let resolver = "nameserver 10.0.0.1\n# search no\nsearch corp.example. other.example\n";
        let found = Found::from(&|_| None, resolver);
        assert_eq!(found.base_dn().as_deref(), Some("DC=corp,DC=example"));
        assert_eq!(domain_of("DC=Corp, DC=example"), "corp.example");
        assert_eq!(Found::from(&|_| None, "search lan\n"), Found::default());
        let set = |name: &str| (name == "AZURE_TENANT_ID").then(|| "t".to_owned());
        assert_eq!(Found::from(&set, "").tenant_id.as_deref(), Some("t"));
    }
}
