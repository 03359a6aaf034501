//! Bytes that nobody meant, for everything that reads what a server sends. They are changes of the
//! messages and control values in `tests/corpus/ldap.hex`.

use lber::{parse::parse_tag, structures::Tag};
use ldap3::{LdapResult, ResultEntry, asn1::StructureTag};

#[cfg(feature = "kerberos")]
use crate::directory::kerberos;
use crate::{
    directory::{
        Link, attributes::sid_text, dirsync, entry::Entry, message, paging, people::People,
        persistent_search, syncrepl,
    },
    fuzz::fuzz,
};

const CORPUS: &str = include_str!("../../../tests/corpus/ldap.hex");
#[test]
fn no_bytes_make_a_decoder_panic() {
    fuzz("LDAP", &corpus(), decode);
}

/// Every kind of message is in the corpus, and is taken.
#[test]
fn the_corpus_is_sound() {
    let sound = corpus().iter().filter(|bytes| message::weigh(bytes).is_some()).count();
    assert_eq!(sound, 7);
}

fn corpus() -> Vec<Vec<u8>> {
    let lines = CORPUS.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let digits: Vec<_> = line.bytes().filter(|byte| *byte != b' ').collect();
            let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
            digits.chunks(2).map(|pair| byte(pair).expect("hexadecimal digits")).collect()
        })
        .collect()
}

/// Everything that reads bytes of a server. What the check of messages lets through, the library
/// must read to its end, and weigh the same.
fn decode(bytes: &[u8]) {
    dirsync::tests::decode(bytes);
    paging::tests::decode(bytes);
    persistent_search::tests::decode(bytes);
    syncrepl::tests::decode(bytes);
    sid_text(bytes);
    Link::parse(bytes);
    #[cfg(feature = "kerberos")]
    kerberos::tests::decode(bytes);
    let length = message::length(bytes);
    let Some(weight) = message::weigh(bytes) else { return };
    assert_eq!(length, Some(Some(bytes.len())));
    let (rest, tag) = parse_tag(bytes).expect("the library takes it");
    assert!(rest.is_empty());
    let operation = tag.expect_constructed().expect("a sequence").remove(1);
    if weight == 0 {
        let _ = LdapResult::from(Tag::StructureTag(operation));
    } else {
        assert_eq!(message::weight_of(&operation), weight);
        entries(operation);
    }
}

fn entries(operation: StructureTag) {
    Entry::decode(operation.clone(), true);
    let mut people = People::new("dc=example", "entryUUID", ["mail"]);
    people.entry(operation.clone());
    people = People::new("dc=example", "nsUniqueId", ["mail"]);
    people.entry(operation.clone());
    syncrepl::tests::decode_message(&people, ResultEntry::new(operation));
}
