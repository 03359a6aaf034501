//! Values as they compare: one key for all spellings of a value.

use super::{
    dn,
    schema::{Attr, Syntax},
    sid::Sid,
};

/// A value in the form in which equal values are equal. Integers are ordered as numbers, the rest
/// as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
pub enum Key {
    /// Text, a time, a boolean or a folded distinguished name.
    Text(String),
    /// A number.
    Number(i64),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Key {
    /// The key of a value of this attribute. `None` when the value does not fit its syntax.
    pub fn of(attr: Attr, value: &[u8]) -> Option<Key> {
        let text = || std::str::from_utf8(value).ok();
        match attr.syntax() {
            Syntax::Text => text().map(|text| Key::Text(text.to_lowercase())),
            Syntax::Boolean => match text()?.to_ascii_uppercase() {
                known if known == "TRUE" || known == "FALSE" => Some(Key::Text(known)),
                _ => None,
            },
            Syntax::Time => text().map(|text| Key::Text(text.to_owned())),
            Syntax::Integer => text()?.parse().ok().map(Key::Number),
            Syntax::Dn => dn::fold(text()?).map(Key::Text),
            Syntax::Octets => Some(Key::Bytes(value.to_vec())),
            Syntax::Sid => match text().and_then(Sid::parse) {
                Some(sid) => Some(Key::Bytes(sid.to_bytes())),
                None => Some(Key::Bytes(value.to_vec())),
            },
        }
    }

    /// Whether a stored value of this attribute has this key. Plain text, by far the most frequent,
    /// is compared in place.
    pub fn matches(&self, attr: Attr, value: &[u8]) -> bool {
        match self {
            Key::Text(text) if attr.syntax() == Syntax::Text && text.is_ascii() => {
                text.as_bytes().eq_ignore_ascii_case(value)
            }
            Key::Bytes(bytes) => bytes == value,
            _ => Key::of(attr, value).as_ref() == Some(self),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn case_and_spelling_do_not_matter() {
        let key = Key::of(Attr::Department, "MÜLLER".as_bytes()).unwrap();
        assert!(key.matches(Attr::Department, "Müller".as_bytes()));
        let key = Key::of(Attr::UserAccountControl, b"0512").unwrap();
        assert!(key.matches(Attr::UserAccountControl, b"512"));
        let key = Key::of(Attr::Manager, b"cn=A,dc=b").unwrap();
        assert!(key.matches(Attr::Manager, b"CN=a, DC=B"));
    }

    #[test]
    fn a_value_that_does_not_fit_has_no_key() {
        assert_eq!(Key::of(Attr::UserAccountControl, b"many"), None);
        assert_eq!(Key::of(Attr::Manager, b"nobody"), None);
        assert_eq!(Key::of(Attr::IsDeleted, b"yes"), None);
        assert_eq!(Key::of(Attr::Title, b"\xff"), None);
    }

    #[test]
    fn a_sid_may_be_spelled_out() {
        let sid = Sid::domain([1, 2, 3]).with_rid(7);
        let key = Key::of(Attr::ObjectSid, sid.to_string().as_bytes()).unwrap();
        assert!(key.matches(Attr::ObjectSid, &sid.to_bytes()));
    }
}
