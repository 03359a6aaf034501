//! Attributes that leave the watcher as a keyed hash only: equal values stay equal, and nobody
//! without the key learns or guesses what they were.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;

use crate::{
    config::{Secret, model::Apply, secret::SecretError},
    directory::Entry,
};

/// What hides values. The default hides nothing.
#[derive(Clone, Default)]
pub struct Veil {
    /// Attributes in lower case.
    names: BTreeSet<String>,
    key: Option<hmac::Key>,
}

impl fmt::Debug for Veil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Veil").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Veil {
    /// As `apply.anonymize` says, with the key in `apply.anonymize_key_file`.
    pub fn from_config(apply: &Apply) -> Result<Veil, SecretError> {
        let names: BTreeSet<_> =
            apply.anonymize.iter().map(|name| name.to_ascii_lowercase()).collect();
        let key = match &apply.anonymize_key_file {
            Some(path) if !names.is_empty() => Some(Secret::read(path)?),
            _ => None,
        };
        Ok(Veil::new(names, key.as_ref()))
    }

    fn new(names: BTreeSet<String>, key: Option<&Secret>) -> Veil {
        let key = key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()));
        Veil { names, key }
    }

    /// The entry with its values hidden. Whatever is told or stored of it is made from this.
    pub fn over<'a>(&self, entry: &'a Entry) -> Cow<'a, Entry> {
        let meant = |name: &str| self.names.contains(base(name));
        if !entry.attributes.keys().any(|name| meant(name)) {
            return Cow::Borrowed(entry);
        }
        let mut entry = entry.clone();
        for (name, values) in entry.attributes.iter_mut().filter(|(name, _)| meant(name)) {
            for value in values.iter_mut() {
                *value = self.hide(base(name), value);
            }
        }
        Cow::Owned(entry)
    }

    /// HMAC-SHA256 (RFC 2104) of name and value in base64url: 43 letters. Without a key nothing
    /// is told at all.
    fn hide(&self, name: &str, value: &[u8]) -> Vec<u8> {
        let Some(key) = &self.key else { return Vec::new() };
        let text = [name.as_bytes(), b"\0", value].concat();
        BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(key, &text)).into_bytes()
    }
}

/// An attribute's name without its options.
fn base(name: &str) -> &str {
    name.split(';').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn entry(name: &str, value: &str) -> Entry {
        Entry {
            object: Uuid::nil(),
            dn: String::new(),
            attributes: [(name.to_owned(), vec![value.as_bytes().to_vec()])].into(),
            complete: true,
        }
    }

    fn veil(key: &str) -> Veil {
        Veil::new(["title".to_owned()].into(), Some(&Secret::new(key.into())))
    }

    #[test]
    fn equal_values_stay_equal_and_tell_nothing() {
        let hidden = |key: &str, value: &str| {
            veil(key).over(&entry("title", value)).text("title").flatten().expect("text")
        };
        assert_eq!(hidden("k", "Clerk"), hidden("k", "Clerk"));
        assert_ne!(hidden("k", "Clerk"), hidden("k", "Lead"));
        assert_ne!(hidden("k", "Clerk"), hidden("other", "Clerk"));
        assert_eq!(hidden("k", "Clerk").len(), 43);
        // As `printf 'title\0Clerk' | openssl dgst -sha256 -hmac k` says.
        assert_eq!(hidden("k", "Clerk"), "Y2qOzLFWbfItMyUL5jMpzwrihftUO2JpSr0IWFjaCl8");
        let ranged = veil("k");
        assert_ne!(ranged.over(&entry("title;range=0-1", "a")).values("title;range=0-1"), None);
        assert_eq!(veil("k").over(&entry("l", "x")).text("l"), Some(Some("x".into())));
    }
}
