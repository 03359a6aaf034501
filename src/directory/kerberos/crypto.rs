//! Encryption and checksums with AES (RFC 3961 section 5.3, RFC 3962). The older types are not
//! supported: no domain of today needs them for an account that has a new password.

use std::fmt;

use picky_krb::crypto::{ChecksumSuite, CipherSuite};
use secrecy::zeroize::Zeroizing;

/// What a key is used for (RFC 4120 section 7.5.1, RFC 4121 section 2): the same key never gives
/// the same stream for two purposes.
pub mod usage {
    pub const TIMESTAMP: i32 = 1;
    pub const AS_REPLY: i32 = 3;
    pub const TGS_CHECKSUM: i32 = 6;
    pub const TGS_AUTHENTICATOR: i32 = 7;
    pub const TGS_REPLY: i32 = 8;
    pub const AUTHENTICATOR: i32 = 11;
    pub const AP_REPLY: i32 = 12;
    pub const FROM_ACCEPTOR: i32 = 22;
    pub const FROM_INITIATOR: i32 = 24;
}

/// How long a checksum is, in bytes.
pub const CHECKSUM: usize = 12;

/// Supported types of encryption, the strongest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// aes128-cts-hmac-sha1-96.
    Aes128 = 17,
    /// aes256-cts-hmac-sha1-96.
    Aes256 = 18,
}

impl Kind {
    /// In the order in which they are asked for.
    pub const ALL: [Kind; 2] = [Kind::Aes256, Kind::Aes128];

    fn key_length(self) -> usize {
        match self {
            Kind::Aes128 => 16,
            Kind::Aes256 => 32,
        }
    }

    /// The number of its checksum (RFC 3962 section 7).
    pub fn checksum_type(self) -> u32 {
        match self {
            Kind::Aes128 => 15,
            Kind::Aes256 => 16,
        }
    }

    fn cipher(self) -> CipherSuite {
        match self {
            Kind::Aes128 => CipherSuite::Aes128CtsHmacSha196,
            Kind::Aes256 => CipherSuite::Aes256CtsHmacSha196,
        }
    }

    fn hasher(self) -> ChecksumSuite {
        match self {
            Kind::Aes128 => ChecksumSuite::HmacSha196Aes128,
            Kind::Aes256 => ChecksumSuite::HmacSha196Aes256,
        }
    }
}

/// A key, wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    kind: Kind,
    value: Zeroizing<Vec<u8>>,
}

impl Key {
    /// None if the type is not supported, or has keys of another length.
    pub fn new(kind: i64, value: &[u8]) -> Option<Key> {
        let kind = Kind::ALL.into_iter().find(|known| *known as i64 == kind)?;
        let value = Zeroizing::new(value.to_vec());
        (value.len() == kind.key_length()).then_some(Key { kind, value })
    }

    /// What it encrypts with.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Encrypts, with a checksum inside.
    pub fn encrypt(&self, usage: i32, plain: &[u8]) -> Vec<u8> {
        let encrypted = self.kind.cipher().cipher().encrypt(&self.value, usage, plain);
        encrypted.expect("the key has the length of its type")
    }

    /// Decrypts; none if it was not encrypted so, or changed since.
    pub fn decrypt(&self, usage: i32, encrypted: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let plain = self.kind.cipher().cipher().decrypt(&self.value, usage, encrypted);
        plain.ok().map(Zeroizing::new)
    }

    /// The checksum of data that stays in the clear, of [`CHECKSUM`] bytes.
    pub fn checksum(&self, usage: i32, data: &[u8]) -> Vec<u8> {
        let checksum = self.kind.hasher().hasher().checksum(&self.value, usage, data);
        checksum.expect("the key has the length of its type")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_shown_and_has_the_length_of_its_type() {
        let key = Key::new(18, &[7; 32]).expect("a key");
        assert_eq!(format!("{key:?}"), "Key(Aes256)");
        assert!(Key::new(18, &[7; 16]).is_none());
        assert!(Key::new(17, &[7; 16]).is_some());
        assert!(Key::new(23, &[7; 16]).is_none());
    }

    #[test]
    fn what_was_changed_or_cut_is_not_decrypted() {
        for key in [Key::new(18, &[7; 32]), Key::new(17, &[7; 16])] {
            let key = key.expect("a key");
            for length in [0, 1, 15, 16, 17, 100] {
                let plain = vec![3; length];
                let encrypted = key.encrypt(usage::TIMESTAMP, &plain);
                let decrypted = key.decrypt(usage::TIMESTAMP, &encrypted).expect("decrypted");
                assert_eq!(*decrypted, plain);
                assert!(key.decrypt(usage::AS_REPLY, &encrypted).is_none());
                for at in 0..encrypted.len() {
                    assert!(key.decrypt(usage::TIMESTAMP, &encrypted[..at]).is_none());
                    let mut changed = encrypted.clone();
                    changed[at] ^= 1;
                    assert!(key.decrypt(usage::TIMESTAMP, &changed).is_none());
                }
            }
        }
    }
}
