//! Bytes that nobody meant, for everything that reads what a server sends.
//!
//! Starts from the messages and control values in `tests/corpus/ldap.hex` and changes them at
//! random: seconds in a normal run, as long as `RELAY_FUZZ_SECONDS` says otherwise.

use std::time::{Duration, Instant};

use lber::{parse::parse_tag, structures::Tag};
use ldap3::{LdapResult, ResultEntry, asn1::StructureTag};
use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::IndexedRandom};

use crate::directory::{
    attributes::sid_text, dirsync, entry::Entry, message, paging, people::People,
    persistent_search, syncrepl,
};

const CORPUS: &str = include_str!("../../../tests/corpus/ldap.hex");
const ROUNDS: usize = 30_000;
/// Values at which lengths and numbers turn.
const EDGES: [u8; 10] = [0, 1, 0x0a, 0x30, 0x7f, 0x80, 0x81, 0x84, 0xfe, 0xff];

#[test]
fn no_bytes_make_a_decoder_panic() {
    let corpus = corpus();
    let end = std::env::var("RELAY_FUZZ_SECONDS").ok().map(|seconds| {
        Instant::now() + Duration::from_secs(seconds.parse().expect("a number of seconds"))
    });
    let seed = if end.is_some() { rand::random() } else { 1 };
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    for bytes in &corpus {
        decode(bytes);
    }
    let mut round = 0;
    while end.map_or(round < ROUNDS, |end| Instant::now() < end) {
        round += 1;
        decode(&changed(&mut random, &corpus));
    }
}

/// Every kind of message is in the corpus, and is taken.
#[test]
fn the_corpus_is_sound() {
    let sound = corpus().iter().filter(|bytes| message::weigh(bytes).is_some()).count();
    assert_eq!(sound, 6);
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

fn changed(random: &mut SmallRng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus.choose(random).expect("a corpus").clone();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.random()),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            3 if at < bytes.len() => bytes[at] = *EDGES.choose(random).expect("edges"),
            4 if at < bytes.len() => drop(bytes.remove(at)),
            _ => {
                let other = corpus.choose(random).expect("a corpus");
                let from = random.random_range(0..=other.len());
                bytes.splice(at..at, other[from..].iter().copied().take(40));
            }
        }
    }
    bytes
}

/// Everything that reads bytes of a server. What the check of messages lets through, the library
/// must read to its end, and weigh the same.
fn decode(bytes: &[u8]) {
    dirsync::tests::decode(bytes);
    paging::tests::decode(bytes);
    persistent_search::tests::decode(bytes);
    syncrepl::tests::decode(bytes);
    sid_text(bytes);
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
