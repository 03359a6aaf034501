//! X25519 keys in the files that everybody uses (RFC 8410): around the 32 bytes of a key, the DER
//! of the curve is always the same.

use ed25519_dalek::pkcs8::spki::der::pem::{self, LineEnding};
use secrecy::zeroize::Zeroizing;

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// `OneAsymmetricKey`, version 1, for id-X25519 (1.3.101.110), up to the key.
const PRIVATE_HEAD: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20];

/// `SubjectPublicKeyInfo` for id-X25519, up to the key.
const PUBLIC_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 3, 0x21, 0];

/// The private key in a file's text.
pub fn read_private(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    read(text, PRIVATE, &PRIVATE_HEAD)
}

/// The public key in a file's text.
pub fn read_public(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    read(text, PUBLIC, &PUBLIC_HEAD)
}

/// A file's text for a private key.
pub fn write_private(key: &[u8; 32]) -> Zeroizing<String> {
    write(PRIVATE, &PRIVATE_HEAD, key)
}

/// A file's text for a public key.
pub fn write_public(key: &[u8; 32]) -> Zeroizing<String> {
    write(PUBLIC, &PUBLIC_HEAD, key)
}

fn read(text: &str, label: &str, head: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut buffer = Zeroizing::new([0; 64]);
    let (found, der) = pem::decode(text.as_bytes(), &mut *buffer).ok()?;
    let key = der.strip_prefix(head).filter(|_| found == label)?;
    Some(Zeroizing::new(key.try_into().ok()?))
}

fn write(label: &str, head: &[u8], key: &[u8; 32]) -> Zeroizing<String> {
    let mut der = Zeroizing::new([0; 64]);
    let (front, rest) = der.split_at_mut(head.len());
    front.copy_from_slice(head);
    rest[..32].copy_from_slice(key);
    // Room for the whole text, so that it is in one place only and can be wiped.
    let mut text = Zeroizing::new([0; 256]);
    let der = &der[..head.len() + 32];
    let written = pem::encode(label, LineEnding::LF, der, &mut *text);
    Zeroizing::new(written.expect("a key fits into the room for it").to_owned())
}
