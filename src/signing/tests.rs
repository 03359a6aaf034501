use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::PathBuf};

use bytes::Bytes;
use tempfile::TempDir;
use uuid::Uuid;

use sha2::{Digest, Sha256};

use super::*;

/// A pair in a folder of its own.
struct Pair {
    signer: Signer,
    folder: TempDir,
}

impl Pair {
    fn new() -> Pair {
        let pair =
            Pair { signer: Signer::generate(), folder: tempfile::tempdir().expect("folder") };
        pair.signer.save(&pair.private(), &pair.public()).expect("written");
        pair
    }

    fn private(&self) -> PathBuf {
        self.folder.path().join("signing.key")
    }

    fn public(&self) -> PathBuf {
        self.folder.path().join("signing.pub")
    }

    fn signed(&self) -> Message {
        let mut message = message();
        self.signer.sign(&mut message);
        message
    }
}

fn message() -> Message {
    Message {
        id: Uuid::from_u128(1),
        kind: "k".into(),
        object: Uuid::from_u128(2),
        content_type: "c".into(),
        headers: BTreeMap::new(),
        body: Bytes::from_static(b"{\"body\":1}"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
}

#[test]
fn a_pair_of_files_signs_and_verifies() {
    let pair = Pair::new();
    assert_eq!((mode(&pair.private()), mode(&pair.public())), (0o600, 0o644));
    let signer = Signer::load(&pair.private()).expect("private");
    assert_eq!(signer.key_id(), pair.signer.key_id());
    let mut message = message();
    signer.sign(&mut message);
    assert_eq!(message.headers[KEY_ID], signer.key_id());
    assert_eq!(message, pair.signed(), "a signature follows from key and body");
    let verifier = Verifier::load(&[pair.public()]).expect("public");
    assert_eq!(verifier.verify(&message), Ok(()));
}

/// The key, body and signature of RFC 8032 section 7.1, test 2.
#[test]
fn it_is_ed25519() {
    let bytes = |hex: &str| -> Vec<u8> {
        let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
        (0..hex.len()).step_by(2).map(digit).collect()
    };
    let secret = bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    let signer = Signer::new(SigningKey::from_bytes(&secret.try_into().expect("32 bytes")));
    let mut message = Message { body: Bytes::from_static(&[0x72]), ..message() };
    signer.sign(&mut message);
    let signature = BASE64_STANDARD.decode(&message.headers[SIGNATURE]).expect("base64");
    let expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                    085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    assert_eq!(signature, bytes(expected));
    let public = bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    let hash = Sha256::digest(&public);
    assert_eq!(
        signer.key_id(),
        format!("{:016x}", u64::from_be_bytes(*hash[..8].as_array().expect("8")))
    );
}

#[test]
fn what_is_wrong_is_told_apart() {
    let (pair, other) = (Pair::new(), Pair::new());
    let verifier = Verifier::load(&[pair.public()]).expect("public");
    let ours = pair.signer.key_id().to_owned();
    let with = |name: &str, value: Option<&str>| {
        let mut message = pair.signed();
        message.headers.remove(name);
        message.headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        verifier.verify(&message).expect_err("refused")
    };
    assert_eq!(verifier.verify(&message()), Err(SignatureError::Unsigned));
    let altered = Message { body: Bytes::from_static(b"{\"body\":2}"), ..pair.signed() };
    assert_eq!(verifier.verify(&altered), Err(SignatureError::Altered(ours.clone())));
    let unknown = SignatureError::UnknownKey(other.signer.key_id().to_owned());
    assert_eq!(verifier.verify(&other.signed()), Err(unknown));
    // Somebody else's signature under our name.
    let stolen = other.signed().headers[SIGNATURE].clone();
    assert_eq!(with(SIGNATURE, Some(&stolen)), SignatureError::Altered(ours));
    for (name, value) in [
        (SIGNATURE, None),
        (SIGNATURE, Some("")),
        (SIGNATURE, Some("no base64!")),
        (SIGNATURE, Some("AAAA")),
        (KEY_ID, None),
        (KEY_ID, Some("")),
        (KEY_ID, Some("0123456789abcdef0")),
        (KEY_ID, Some("\u{1b}[31m-not-hex")),
    ] {
        assert_eq!(with(name, value), SignatureError::Header(name), "{value:?}");
    }
}

#[test]
fn several_keys_are_trusted_at_once() {
    let (old, new) = (Pair::new(), Pair::new());
    let both = Verifier::load(&[old.public(), new.public()]).expect("public");
    assert_eq!(both.verify(&old.signed()), Ok(()));
    assert_eq!(both.verify(&new.signed()), Ok(()));
    let one = Verifier::load(&[new.public()]).expect("public");
    assert!(one.verify(&old.signed()).is_err());
}

#[test]
fn unsigned_messages_pass_where_that_is_allowed_and_wrong_ones_do_not() {
    let (pair, other) = (Pair::new(), Pair::new());
    let verifier =
        Verifier { allow_unsigned: true, ..Verifier::load(&[pair.public()]).expect("public") };
    assert_eq!(verifier.verify(&message()), Ok(()));
    assert_eq!(verifier.verify(&pair.signed()), Ok(()));
    assert!(verifier.verify(&other.signed()).is_err());
    let none = Verifier::default();
    assert_eq!(none.verify(&message()), Ok(()), "without a key nothing is asked for");
    assert_eq!(none.verify(&other.signed()), Ok(()));
}

#[test]
fn each_role_reads_the_files_that_it_needs() {
    let (own, further) = (Pair::new(), Pair::new());
    let config = Security {
        signing_key_file: Some(own.private()),
        verify_key_files: vec![further.public()],
        ..Security::default()
    };
    for role in [Role::Watch, Role::Run] {
        let keys = Keys::load(&config, role).expect("keys");
        let mut signed = message();
        keys.sign(&mut signed);
        assert_eq!(signed, own.signed());
        assert_eq!(keys.verifier.verify(&signed), Ok(()), "its own signature is known");
        assert_eq!(keys.verifier.verify(&further.signed()), Ok(()));
        assert_eq!(keys.verifier.verify(&message()), Err(SignatureError::Unsigned));
    }
    fs::remove_file(own.private()).expect("removed");
    let keys = Keys::load(&config, Role::Apply).expect("no private key needed");
    let mut unsigned = message();
    keys.sign(&mut unsigned);
    assert_eq!(unsigned, message());
    assert!(keys.verifier.verify(&own.signed()).is_err());
    let keys = Keys::load(&Security::default(), Role::Run).expect("no keys");
    assert_eq!(keys.verifier.verify(&message()), Ok(()));
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let pair = Pair::new();
    let before = fs::read(pair.private()).expect("key");
    let other = Signer::generate();
    let error = other.save(&pair.private(), &pair.public()).expect_err("exists").to_string();
    assert!(error.contains("signing.key exists"), "{error}");
    assert_eq!(fs::read(pair.private()).expect("key"), before);
    // The public half alone is in the way: no private half is left behind.
    fs::remove_file(pair.private()).expect("removed");
    let error = other.save(&pair.private(), &pair.public()).expect_err("exists").to_string();
    assert!(error.contains("signing.pub exists"), "{error}");
    assert!(!pair.private().exists());
}

#[test]
fn a_private_key_that_others_may_write_is_refused() {
    let pair = Pair::new();
    for refused in [0o620, 0o602, 0o666] {
        set_mode(&pair.private(), refused);
        let error = Signer::load(&pair.private()).expect_err("refused").to_string();
        assert!(error.contains(&format!("{refused:o}")) && error.contains("chmod"), "{error}");
    }
    for accepted in [0o400, 0o440, 0o644] {
        set_mode(&pair.private(), accepted);
        Signer::load(&pair.private()).expect("accepted");
    }
}

#[test]
fn a_file_with_something_else_is_refused_by_name() {
    let pair = Pair::new();
    let error = Signer::load(&pair.public()).expect_err("public").to_string();
    assert!(error.contains("signing.pub") && error.contains("private key"), "{error}");
    let error = Verifier::load(&[pair.private()]).expect_err("private").to_string();
    assert!(error.contains("signing.key") && error.contains("public key"), "{error}");
    let secret = fs::read_to_string(pair.private()).expect("key");
    assert!(!error.contains(secret.lines().nth(1).expect("base64")), "{error}");
    let error = Verifier::load(&[pair.folder.path().join("none")]).expect_err("missing");
    assert!(error.to_string().contains("cannot read"), "{error}");
    fs::write(pair.public(), [0xff; 10]).expect("written");
    assert!(Verifier::load(&[pair.public()]).is_err());
}

#[test]
fn the_key_is_in_no_debug_output() {
    let signer = Signer::new(SigningKey::from_bytes(&[0xab; 32]));
    let shown = format!("{:?}", Keys { signer: Some(Arc::new(signer)), ..Keys::default() });
    assert!(!shown.to_lowercase().contains("abab") && !shown.contains("171, 171"), "{shown}");
}

#[test]
fn no_bytes_are_taken_for_a_signature() {
    let pair = Pair::new();
    let (signed, id) = (pair.signed(), pair.signer.key_id().to_owned());
    let verifier = Verifier::load(&[pair.public()]).expect("a key");
    let signature = &signed.headers[SIGNATURE];
    let corpus = [signature.clone().into_bytes(), id.clone().into_bytes()];
    crate::fuzz::fuzz("signatures", &corpus, |bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        for (header, sound) in [(SIGNATURE, signature), (KEY_ID, &id)] {
            let mut message = signed.clone();
            message.headers.insert(header.into(), text.clone());
            let verified = verifier.verify(&message);
            assert_eq!(verified.is_ok(), text == *sound, "in one form alone");
            let told = verified.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(!told.chars().any(crate::text::is_command), "{told:?}");
        }
    });
}
