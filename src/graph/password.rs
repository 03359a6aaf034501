//! Passwords that nobody knows.

use std::fmt;

use secrecy::zeroize::Zeroizing;

/// Each kind of character that a complexity rule asks for. None can be mistaken or needs escaping.
const KINDS: [&[u8]; 4] =
    [b"ABCDEFGHJKLMNPQRSTUVWXYZ", b"abcdefghijkmnopqrstuvwxyz", b"23456789", b"!#%*+-=?"];

/// Characters of each kind: together 40, some 200 bits.
const OF_EACH: usize = 10;

/// A password. It is shown nowhere and wiped when dropped.
pub(super) struct Password(Zeroizing<String>);

impl Password {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A new random password, from the generator that the operating system seeds.
pub(super) fn random() -> Password {
    let mut text = Zeroizing::new(String::with_capacity(KINDS.len() * OF_EACH));
    for _ in 0..OF_EACH {
        for kind in KINDS {
            text.push(char::from(kind[rand::random_range(0..kind.len())]));
        }
    }
    Password(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_complex_differ_and_are_not_shown() {
        let (one, other) = (random(), random());
        assert_ne!(one.as_str(), other.as_str());
        for kind in KINDS {
            assert!(one.as_str().bytes().any(|byte| kind.contains(&byte)));
        }
        assert_eq!(one.as_str().len(), 40);
        assert_eq!(format!("{one:?}"), "Password(..)");
    }
}
