//! Distinguished names, as far as the relay has to understand them (RFC 4514).

/// Splits a DN into its first step and what that is below; none for the root.
pub fn split(dn: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, letter) in dn.char_indices() {
        match letter {
            '\\' if !escaped => escaped = true,
            ',' if !escaped => return Some((&dn[..at], dn[at + 1..].trim_start())),
            _ => escaped = false,
        }
    }
    None
}

/// The container of what a DN names; empty for the root.
pub fn parent(dn: &str) -> &str {
    split(dn).map_or("", |(_, container)| container)
}

/// Whether a DN names `base` or something below it.
pub fn is_under(dn: &str, base: &str) -> bool {
    let (dn, base) = (normalised(dn), normalised(base));
    dn.strip_suffix(base.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with(','))
}

/// In lower case and without spaces around its commas, so that two spellings compare equal.
pub fn normalised(dn: &str) -> String {
    dn.to_lowercase().split(',').map(str::trim).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_what_follows_the_first_bare_comma() {
        assert_eq!(parent("CN=a\\, b,OU=x,DC=y"), "OU=x,DC=y");
        assert_eq!(parent("CN=a\\\\,OU=x"), "OU=x");
        assert_eq!(parent("DC=y"), "");
        assert_eq!(split("CN=a\\, b, OU=x"), Some(("CN=a\\, b", "OU=x")));
    }

    #[test]
    fn below_means_whole_steps() {
        assert!(is_under("CN=a, OU=Labs,DC=x", "ou=labs,dc=x"));
        assert!(is_under("OU=Labs,DC=x", "ou=labs,dc=x"));
        assert!(!is_under("CN=a,OU=BioLabs,DC=x", "Labs,DC=x"));
    }
}
