//! Keytabs: files of long-term keys, in version 2 of the format that MIT Kerberos documents.

use std::{fs::File, io::Read, path::Path};

use secrecy::zeroize::Zeroizing;

use super::{crypto::Key, message::Principal};
use crate::directory::error::DirectoryError;

/// The largest keytab that is read, in bytes. A key takes a hundred.
const MAX_FILE: u64 = 64 * 1024;
/// Its first two bytes.
const VERSION: [u8; 2] = [5, 2];

/// The keys of one account, all of its newest password, the strongest first.
pub struct Keys {
    /// The account as the keytab spells it.
    pub principal: Principal,
    /// Never empty.
    pub keys: Vec<Key>,
}

struct Entry {
    principal: Principal,
    version: u32,
    /// None where the encryption type is not supported.
    key: Option<Key>,
}

/// Reads the keys of `user` from a file.
pub fn read(path: &Path, user: &str) -> Result<Keys, DirectoryError> {
    let setup = |what: String, remedy: &str| DirectoryError::Setup { what, remedy: remedy.into() };
    let name = path.display();
    let read = || {
        // With its room from the start, it is in one place only and can be wiped.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize));
        File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error: std::io::Error| {
        setup(
            format!("cannot read the keytab {name}: {error}"),
            "name a readable keytab in directory.bind.keytab_file",
        )
    })?;
    let entries = parse(&bytes).ok_or_else(|| {
        setup(
            format!("{name} is no keytab"),
            "name in directory.bind.keytab_file what `samba-tool domain exportkeytab` or ktpass made",
        )
    })?;
    select(&entries, user).ok_or_else(|| {
        let mut others: Vec<_> = entries.iter().map(|entry| entry.principal.to_string()).collect();
        others.dedup();
        others.truncate(5);
        let others = if others.is_empty() { "nobody".into() } else { others.join(", ") };
        setup(
            format!("the keytab {name} has no AES key of {user}; it has keys of {others}"),
            "correct directory.bind.user, or export the account's keys, with AES among them",
        )
    })
}

/// What the directory's users are called does not depend on case.
fn select(entries: &[Entry], user: &str) -> Option<Keys> {
    let own = |entry: &&Entry| entry.principal.to_string().eq_ignore_ascii_case(user);
    let usable = entries.iter().filter(own).filter(|entry| entry.key.is_some());
    let newest = usable.clone().max_by_key(|entry| entry.version)?;
    let mut keys: Vec<_> = usable
        .filter(|entry| entry.version == newest.version && entry.principal == newest.principal)
        .filter_map(|entry| entry.key.clone())
        .collect();
    keys.sort_by_key(|key| std::cmp::Reverse(key.kind()));
    Some(Keys { principal: newest.principal.clone(), keys })
}

/// Records, each after its length; a negative length is that of a hole.
fn parse(bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut rest = bytes.strip_prefix(&VERSION)?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let length = i32::from_be_bytes(take(&mut rest)?);
        // What was cut off by someone who wrote zeros.
        if length == 0 {
            break;
        }
        let (record, after) =
            rest.split_at_checked(usize::try_from(length.unsigned_abs()).ok()?)?;
        rest = after;
        if length > 0 {
            entries.push(entry(record)?);
        }
    }
    Some(entries)
}

fn entry(mut record: &[u8]) -> Option<Entry> {
    let record = &mut record;
    let parts = u16::from_be_bytes(take(record)?);
    let realm = text(record)?;
    let name = (0..parts).map(|_| text(record)).collect::<Option<_>>()?;
    let _name_type: [u8; 4] = take(record)?;
    let _written_at: [u8; 4] = take(record)?;
    let [short_version] = take(record)?;
    let kind = u16::from_be_bytes(take(record)?);
    let value = counted(record)?;
    // Later writers repeat the version in full.
    let long_version = take(record).map(u32::from_be_bytes).filter(|version| *version != 0);
    let version = long_version.unwrap_or(short_version.into());
    let key = Key::new(kind.into(), value);
    Some(Entry { principal: Principal { name, realm }, version, key })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

fn counted<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u16::from_be_bytes(take(rest)?);
    let (taken, after) = rest.split_at_checked(length.into())?;
    *rest = after;
    Some(taken)
}

fn text(rest: &mut &[u8]) -> Option<String> {
    String::from_utf8(counted(rest)?.to_vec()).ok()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Takes a file that nobody meant.
    pub fn decode(bytes: &[u8]) {
        if let Some(entries) = parse(bytes) {
            select(&entries, "a@B");
        }
    }

    fn record(name: &[&str], version: u32, kind: u16, key: &[u8]) -> Vec<u8> {
        let counted = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
        let mut bytes = (name.len() as u16).to_be_bytes().to_vec();
        bytes.extend(counted(b"CORP.EXAMPLE"));
        name.iter().for_each(|part| bytes.extend(counted(part.as_bytes())));
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, version as u8]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend(counted(key));
        bytes.extend(version.to_be_bytes());
        [&(bytes.len() as i32).to_be_bytes()[..], &bytes].concat()
    }

    fn keytab(records: &[Vec<u8>]) -> Vec<u8> {
        [&VERSION[..], &records.concat()].concat()
    }

    #[test]
    fn the_newest_keys_of_the_account_are_taken_the_strongest_first() {
        let hole = [&(-3_i32).to_be_bytes()[..], &[9; 3]].concat();
        let bytes = keytab(&[
            record(&["svc"], 300, 17, &[1; 16]),
            record(&["svc"], 299, 18, &[2; 32]),
            hole,
            record(&["svc"], 300, 18, &[3; 32]),
            record(&["svc"], 301, 23, &[4; 16]),
            record(&["host", "dc1"], 400, 18, &[5; 32]),
        ]);
        let keys = select(&parse(&bytes).expect("a keytab"), "SVC@corp.example").expect("keys");
        assert_eq!(keys.principal.to_string(), "svc@CORP.EXAMPLE");
        assert_eq!(
            keys.keys,
            [Key::new(18, &[3; 32]), Key::new(17, &[1; 16])].map(|key| key.expect("a key"))
        );
        assert!(select(&parse(&bytes).expect("a keytab"), "host/dc1@CORP.EXAMPLE").is_some());
        assert!(select(&parse(&bytes).expect("a keytab"), "dc1@CORP.EXAMPLE").is_none());
    }

    #[test]
    fn what_is_cut_is_refused() {
        let bytes = keytab(&[record(&["svc"], 1, 18, &[3; 32])]);
        let full_version = 4;
        for length in VERSION.len() + 1..bytes.len() - full_version {
            assert!(parse(&bytes[..length]).is_none(), "{length} bytes");
        }
        assert!(parse(&[5, 1]).is_none());
        assert!(parse(b"{}").is_none());
        // A key of the wrong length is none.
        let short = keytab(&[record(&["svc"], 1, 18, &[3; 31])]);
        assert!(select(&parse(&short).expect("a keytab"), "svc@CORP.EXAMPLE").is_none());
    }

    #[test]
    fn a_file_that_does_not_help_says_what_it_has() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("relay.keytab");
        let told = |user| read(&path, user).err().map(|error| error.to_string()).expect("an error");
        assert!(told("svc@CORP.EXAMPLE").contains("directory.bind.keytab_file"));
        std::fs::write(&path, "password").expect("written");
        assert!(told("svc@CORP.EXAMPLE").contains("is no keytab"));
        std::fs::write(&path, keytab(&[record(&["other"], 1, 18, &[3; 32])])).expect("written");
        assert!(told("svc@CORP.EXAMPLE").contains("keys of other@CORP.EXAMPLE"));
        assert!(read(&path, "other@CORP.EXAMPLE").is_ok());
    }
}
