use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use tempfile::TempDir;

use super::*;

struct Pair {
    folder: TempDir,
    id: String,
}

impl Pair {
    fn new() -> Pair {
        let folder = tempfile::tempdir().expect("folder");
        let at = |name| folder.path().join(name);
        let id = make_pair(&at("opening.key"), &at("sealing.pub")).expect("made");
        Pair { folder, id }
    }

    fn private(&self) -> PathBuf {
        self.folder.path().join("opening.key")
    }

    fn public(&self) -> PathBuf {
        self.folder.path().join("sealing.pub")
    }

    fn sealer(&self) -> Sealer {
        Sealer::load(&self.public()).expect("a key")
    }
}

fn password(text: &str) -> Password {
    Password::from_bytes(Zeroizing::new(text.as_bytes().to_vec())).expect("a password")
}

const ALICE: Binding<'static> =
    Binding { source: "ldap:///dc=x", account: "alice", candidate: Uuid::from_u128(7) };

#[test]
fn what_is_sealed_opens_with_the_key_and_for_its_user_alone() {
    let pair = Pair::new();
    let sealed = pair.sealer().seal(&password("p ä\"1"), ALICE);
    let opener = Opener::load(&[pair.private()]).expect("keys");
    assert_eq!(opener.open(&pair.id, &sealed, ALICE).expect("opens").expose(), "p ä\"1");
    for other in [
        Binding { account: "bob", ..ALICE },
        Binding { source: "ldap:///dc=y", ..ALICE },
        Binding { candidate: Uuid::from_u128(8), ..ALICE },
        // The same bytes, cut elsewhere.
        Binding { source: "ldap:///dc=xa", account: "lice", ..ALICE },
    ] {
        let refused = opener.open(&pair.id, &sealed, other).expect_err("another's");
        assert_eq!(refused, OpenError::Refused);
    }
}

#[test]
fn every_altered_byte_and_every_cut_is_refused() {
    let pair = Pair::new();
    let sealed = pair.sealer().seal(&password("secret"), ALICE);
    let bytes = BASE64_STANDARD.decode(&sealed).expect("base64");
    let opener = Opener::load(&[pair.private()]).expect("keys");
    for place in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[place] ^= 1;
        for damaged in [&altered[..], &bytes[..place]] {
            let damaged = BASE64_STANDARD.encode(damaged);
            assert!(opener.open(&pair.id, &damaged, ALICE).is_err(), "byte {place}");
        }
    }
    assert!(opener.open(&pair.id, "no base64!", ALICE).is_err());
}

#[test]
fn keys_change_without_loss() {
    let (old, new, strange) = (Pair::new(), Pair::new(), Pair::new());
    let opener = Opener::load(&[old.private(), new.private()]).expect("keys");
    for pair in [&old, &new] {
        let sealed = pair.sealer().seal(&password("secret"), ALICE);
        let opened = opener.open(pair.sealer().key_id(), &sealed, ALICE).expect("opens");
        assert_eq!(opened.expose(), "secret");
    }
    let sealed = strange.sealer().seal(&password("secret"), ALICE);
    let error = opener.open(&strange.id, &sealed, ALICE).expect_err("not ours");
    assert_eq!(error, OpenError::UnknownKey(strange.id.clone()));
    // A wrong claim helps nobody, and what is no key id is not shown.
    assert_eq!(opener.open(&old.id, &sealed, ALICE).expect_err("wrong key"), OpenError::Refused);
    assert_eq!(opener.open("hunter2", &sealed, ALICE).expect_err("no id"), OpenError::Refused);
}

#[test]
fn key_files_are_kept_and_told_apart() {
    let pair = Pair::new();
    let mode = |path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(pair.private()), mode(pair.public())), (0o600, 0o644));
    let again = make_pair(&pair.private(), &pair.public()).expect_err("kept").to_string();
    assert!(again.contains("is left as it is"), "{again}");
    let error = Sealer::load(&pair.private()).expect_err("the wrong half").to_string();
    assert!(error.contains("X25519 public key") && error.contains("keygen"), "{error}");
    assert!(Opener::load(&[pair.public()]).is_err());
}

/// A pair as `openssl genpkey -algorithm x25519` writes it.
#[test]
fn files_of_other_programs_are_read() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("key");
    fs::write(
        &path,
        "-----BEGIN PRIVATE KEY-----\n\
         MC4CAQAwBQYDK2VuBCIEICgpccnqrw8GECXH5KZ+8nGsaYCVz8ZNNkxnzKoiO4BM\n\
         -----END PRIVATE KEY-----\n",
    )
    .expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
    let opener = Opener::load(&[&path]).expect("a key");
    fs::write(
        &path,
        "-----BEGIN PUBLIC KEY-----\n\
         MCowBQYDK2VuAyEANg50Lrlc10JSn6oHZzVk5P6o2phVS78GgPs4CBifVyA=\n\
         -----END PUBLIC KEY-----\n",
    )
    .expect("written");
    let sealer = Sealer::load(&path).expect("a key");
    let sealed = sealer.seal(&password("x"), ALICE);
    assert_eq!(opener.open(sealer.key_id(), &sealed, ALICE).expect("opens").expose(), "x");
}

#[test]
fn what_is_no_password_is_refused_and_none_is_shown() {
    let of = |bytes: &[u8]| Password::from_bytes(Zeroizing::new(bytes.to_vec())).map(drop);
    assert_eq!(of(b""), Err(PasswordError::Empty));
    assert_eq!(of(&[b'x'; MAX_PASSWORD + 1]), Err(PasswordError::TooLong));
    assert_eq!(of(&[0xff]), Err(PasswordError::NoText));
    assert_eq!(format!("{:?}", password("hunter2")), "[redacted]");
}

#[test]
fn no_bytes_open_or_make_a_reader_panic() {
    let pair = Pair::new();
    let sealed = pair.sealer().seal(&password("p"), ALICE);
    let opener = Opener::load(&[pair.private()]).expect("keys");
    let keys = [pair.private(), pair.public()].map(|path| fs::read(path).expect("a key"));
    let corpus = [&keys[..], &[sealed.clone().into_bytes(), pair.id.clone().into()]].concat();
    crate::fuzz::fuzz("sealed passwords and keys", &corpus, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (private, public) = (pem::read_private(&text), pem::read_public(&text));
        assert!(private.is_none() || public.is_none(), "keys are told apart");
        assert_eq!(opener.open(&pair.id, &text, ALICE).is_ok(), *text == *sealed);
        assert_eq!(opener.open(&text, &sealed, ALICE).is_ok(), *text == *pair.id);
    });
}
