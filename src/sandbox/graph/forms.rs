//! What the string values of properties must look like beyond their length.

/// Anything goes.
pub(super) fn any(_: &str) -> bool {
    true
}

/// Not empty: a display name can be changed but not cleared.
pub(super) fn filled(value: &str) -> bool {
    !value.is_empty()
}

/// A mail address: one `@` with something on both sides, no accents.
pub(super) fn mail(value: &str) -> bool {
    value.is_ascii()
        && !value.contains(char::is_whitespace)
        && matches!(value.split_once('@'), Some((local, domain))
            if !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
}

/// `local@domain`: 64 characters before the `@`, 48 after it, no `.` right before it, and only
/// the documented ASCII characters. Whether the domain is verified is the tenant's business.
pub(super) fn user_principal_name(value: &str) -> bool {
    let local_character = |c: char| c.is_ascii_alphanumeric() || "'.-_!#^~".contains(c);
    let domain_character = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    matches!(value.split_once('@'), Some((local, domain))
        if (1..=64).contains(&local.len())
            && (1..=48).contains(&domain.len())
            && !local.ends_with('.')
            && local.chars().all(local_character)
            && domain.chars().all(domain_character))
}

/// A mail alias: ASCII without the characters that mean something in an address.
pub(super) fn nickname(value: &str) -> bool {
    !value.is_empty()
        && value.chars().all(|c| c.is_ascii_graphic() && !"@()\\[]\";:<>,".contains(c))
}

/// ISO 3166 alpha-2.
pub(super) fn country(value: &str) -> bool {
    value.len() == 2 && value.bytes().all(|b| b.is_ascii_uppercase())
}

/// `$` and `_` are not allowed.
pub(super) fn immutable_id(value: &str) -> bool {
    !value.is_empty() && !value.contains(['$', '_'])
}

/// `Member` or `Guest`.
pub(super) fn user_type(value: &str) -> bool {
    matches!(value, "Member" | "Guest")
}

/// `None`, or one or both of the two policies, joined by a comma.
pub(super) fn password_policies(value: &str) -> bool {
    value == "None"
        || value
            .split(',')
            .all(|one| matches!(one.trim(), "DisablePasswordExpiration" | "DisableStrongPassword"))
}

/// A password that the cloud policy takes: 8 to 256 characters of ASCII (blank included), of
/// three of the four groups lower case, upper case, digit, symbol.
pub(super) fn password(value: &str) -> bool {
    let groups: [fn(&u8) -> bool; 4] =
        [u8::is_ascii_lowercase, u8::is_ascii_uppercase, u8::is_ascii_digit, |b| {
            *b == b' ' || b.is_ascii_punctuation()
        }];
    (8..=256).contains(&value.len())
        && value.bytes().all(|b| (b' '..=b'~').contains(&b))
        && groups.iter().filter(|group| value.as_bytes().iter().any(group)).count() >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principal_names() {
        for good in ["ada@contoso.com", "o'hara_#EXT#@contoso.com"] {
            assert!(user_principal_name(good), "{good}");
        }
        for bad in
            ["ada", "@contoso.com", "ada.@contoso.com", "ädä@contoso.com", "a b@c.d", "a@b@c"]
        {
            assert!(!user_principal_name(bad), "{bad}");
        }
        assert!(!user_principal_name(&format!("{}@contoso.com", "a".repeat(65))));
    }

    #[test]
    fn passwords() {
        for good in ["Passw0rd", "two words 2", "aA !aA !"] {
            assert!(password(good), "{good}");
        }
        for bad in ["Pass0rd", "password1", "PASSWORD", "Pässw0rd!", "Passw0rd\n"] {
            assert!(!password(bad), "{bad}");
        }
        assert!(!password(&"aA1!".repeat(65)));
    }

    #[test]
    fn policies() {
        assert!(password_policies("None"));
        assert!(password_policies("DisablePasswordExpiration, DisableStrongPassword"));
        assert!(!password_policies("None, DisableStrongPassword"));
        assert!(!password_policies(""));
    }
}
