//! Distinguished names, as far as the relay has to understand them (RFC 4514).

/// What stands in a value only behind a backslash (RFC 4514 section 2.4).
/// beside `#` and `=`, which need it only where they could be taken for something else.
const SPECIAL: [u8; 9] = *b" ,+\"\\<>;\0";

/// Splits a DN into its first step and what that is below; none for the root.
pub fn split(dn: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, letter) in dn.char_indices() {
        match letter {
            '\\' if !escaped => escaped = true,
            ',' if !escaped => return Some((&dn[..at], dn[at + 1..].trim_start_matches(' '))),
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
    is_within(&normalised(dn), &normalised(base))
}

/// As [`is_under`], of names that are normalised already. A comma that belongs to a name is no step:
/// `CN=x\,OU=Staff` is not below `OU=Staff`.
pub fn is_within(dn: &str, base: &str) -> bool {
    let mut place = dn;
    while place != base {
        match split(place) {
            Some((_, container)) => place = container,
            None => return false,
        }
    }
    true
}

/// In lower case, without spaces around its commas, and with each character escaped in one way, so
/// that two spellings compare equal.
pub fn normalised(dn: &str) -> String {
    let (mut normal, mut rest) = (String::with_capacity(dn.len()), dn);
    while let Some((step, container)) = split(rest) {
        normal += &normal_step(step);
        normal.push(',');
        rest = container;
    }
    normal + &normal_step(rest)
}

fn normal_step(step: &str) -> String {
    let mut normal = Vec::with_capacity(step.len());
    let mut rest = step.trim_matches(' ').as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            normal.push(*first);
            continue;
        }
        let letter = match after {
            [high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = after;
                digit(*high) << 4 | digit(*low)
            }
            [letter, after @ ..] => {
                rest = after;
                *letter
            }
            // The space that it escapes was trimmed.
            [] => b' ',
        };
        if SPECIAL.contains(&letter) {
            normal.push(b'\\');
        }
        normal.push(letter);
    }
    String::from_utf8_lossy(&normal).to_lowercase()
}

/// The value of a hexadecimal digit.
fn digit(digit: u8) -> u8 {
    char::from(digit).to_digit(16).map_or(0, |value| value as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn a_name_cannot_pretend_to_be_a_place() {
        for name in ["CN=a\\,OU=Labs,DC=x", "CN=a\\2COU=Labs,DC=x", "CN=a\\2c OU=Labs,DC=x"] {
            assert!(!is_under(name, "OU=Labs,DC=x"), "{name}");
            assert!(is_under(name, "DC=x"), "{name}");
        }
        assert!(is_under("CN=a\\\\,OU=Labs,DC=x", "OU=Labs,DC=x"), "the comma is a bare one");
        assert!(!is_under("OU=Labs,DC=x", "OU=x\\,OU=Labs,DC=x"));
    }

    #[test]
    fn spellings_of_one_name_are_equal() {
        for (one, other) in [
            ("CN=Müller\\, A,DC=x", "cn=M\\C3\\BCller\\2C A, dc=X"),
            ("CN=\\ a\\ ,DC=x", "CN=\\20a\\20,DC=x"),
            ("CN=a\\=b\\#c,DC=x", "CN=a=b#c,DC=x"),
            ("CN=a\\+b\\\"\\\\\\<\\>\\;,DC=x", "CN=a\\2Bb\\22\\5C\\3C\\3E\\3B,DC=x"),
            ("CN=a\\00b,DC=x", "CN=a\\00b , DC=x"),
        ] {
            assert_eq!(normalised(one), normalised(other));
        }
        assert_ne!(normalised("CN=a\\, b,DC=x"), normalised("CN=a\\,b,DC=x"));
        assert_ne!(normalised("CN=a\\+CN=b,DC=x"), normalised("CN=a+CN=b,DC=x"));
    }

    /// As RFC 4514 section 2.4 writes a value: by letters, or by pairs of digits.
    fn written(value: &str, by_digits: bool) -> String {
        let last = value.chars().count().saturating_sub(1);
        let mut text = String::new();
        for (at, letter) in value.chars().enumerate() {
            let special = match letter {
                ' ' => at == 0 || at == last,
                '#' => at == 0,
                letter => u8::try_from(letter).is_ok_and(|byte| SPECIAL.contains(&byte)),
            };
            match (special, by_digits || letter == '\0') {
                (false, _) => text.push(letter),
                (true, true) => text += &format!("\\{:02X}", u32::from(letter)),
                (true, false) => text.extend(['\\', letter]),
            }
        }
        text
    }

    proptest! {
        #[test]
        fn any_value_is_one_step(value in "[ -~é\0\u{1F600}]{1,12}", other in "[ -~]{1,12}") {
            let dn = |value: &str, by_digits| format!("CN={},OU=x,DC=y", written(value, by_digits));
            let normal = normalised(&dn(&value, false));
            prop_assert_eq!(&normal, &normalised(&dn(&value, true)));
            prop_assert_eq!(&normalised(&normal), &normal);
            prop_assert_eq!(parent(&normal), "ou=x,dc=y");
            let same = value.to_lowercase() == other.to_lowercase();
            prop_assert_eq!(normal == normalised(&dn(&other, true)), same);
        }

        #[test]
        fn no_text_does_harm(text in any::<String>()) {
            let normal = normalised(&text);
            prop_assert_eq!(&normalised(&normal), &normal);
            is_under(&text, "OU=x");
        }
    }
}
