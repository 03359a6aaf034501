//! Bytes that nobody meant, for everything that reads what others send.
//!
//! Starts from the sound inputs in `tests/corpus` and changes them at random: a moment each in a
//! normal run, from the same seed; with `RELAY_FUZZ_SECONDS` so long each, from a new one.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use uuid::Uuid;

use crate::{
    config::{self, Role},
    event::Event,
    ops::control::protocol::{Reply, Request},
    queue::{
        Message, canary::Echo, carried::Carried, dead_letter::DeadLetter, journal,
        refresh::RefreshRequest,
    },
};

const ROUNDS: usize = 10_000;

/// Values at which lengths and numbers turn.
const EDGES: [u8; 10] = [0, 1, 0x0a, 0x30, 0x7f, 0x80, 0x81, 0x84, 0xfe, 0xff];

/// Texts at which readers of text turn.
const WORDS: [&str; 16] = [
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "{}",
    "[]",
    "-1",
    "1e999",
    "18446744073709551616",
    "\r\n",
    "%00",
    "{{",
    "9999-12-31T23:59:59Z",
    "00000000-0000-0000-0000-000000000000",
    "ä\u{202e}",
];

/// Gives `decode` the corpus and then changes of it. It must neither panic nor take for ever.
pub(crate) fn fuzz(name: &str, corpus: &[Vec<u8>], decode: impl FnMut(&[u8])) {
    fuzz_rounds(name, corpus, ROUNDS, decode);
}

/// As [`fuzz`], for what takes long.
fn fuzz_rounds(name: &str, corpus: &[Vec<u8>], rounds: usize, mut decode: impl FnMut(&[u8])) {
    let end = std::env::var("RELAY_FUZZ_SECONDS").ok().map(|seconds| {
        Instant::now() + Duration::from_secs(seconds.parse().expect("a number of seconds"))
    });
    let seed = if end.is_some() { rand::random() } else { 1 };
    println!("{name}: seed {seed}");
    let (mut random, start) = (SmallRng::seed_from_u64(seed), Instant::now());
    for bytes in corpus {
        decode(bytes);
    }
    let mut round = 0;
    while end.map_or(round < rounds, |end| Instant::now() < end) {
        round += 1;
        decode(&changed(&mut random, corpus));
    }
    println!("{name}: {round} changed inputs in {:.1?}", start.elapsed());
}

/// The lines of a corpus file, without comments; `\r\n` stands for the end of a line within one.
pub(crate) fn lines(corpus: &str) -> Vec<Vec<u8>> {
    let lines = corpus.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.replace("\\r\\n", "\r\n").into_bytes()).collect()
}

fn changed(random: &mut SmallRng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus.choose(random).expect("a corpus").clone();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.random()),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            3 if at < bytes.len() => bytes[at] = *EDGES.choose(random).expect("edges"),
            4 if at < bytes.len() => drop(bytes.remove(at)),
            5 => drop(bytes.splice(at..at, WORDS.choose(random).expect("words").bytes())),
            6 => {
                let part = bytes[at..].iter().copied().take(random.random_range(0..40));
                let part = part.collect::<Vec<_>>().repeat(random.random_range(2..20));
                bytes.splice(at..at, part);
            }
            _ => {
                let other = corpus.choose(random).expect("a corpus");
                let from = random.random_range(0..=other.len());
                bytes.splice(at..at, other[from..].iter().copied().take(40));
            }
        }
    }
    bytes
}

/// A message with this body.
fn message(body: &[u8]) -> Message {
    let (id, object) = (Uuid::nil(), Uuid::nil());
    let body = body.to_vec().into();
    let (kind, content_type) = (String::new(), String::new());
    Message { id, kind, object, content_type, headers: BTreeMap::new(), body }
}

#[test]
fn bodies_of_messages() {
    let mut corpus = lines(include_str!("../tests/corpus/messages.txt"));
    corpus.extend(crate::event::tests::one_of_each());
    let mut read = 0;
    fuzz("bodies of messages", &corpus, |bytes| {
        let message = message(bytes);
        if let Ok(event) = Event::from_json(bytes) {
            read += 1;
            let again = Event::from_json(&event.to_json()).expect("its own form");
            assert_eq!(again, event);
        }
        if let Ok(letter) = DeadLetter::from_message(&message) {
            read += 1;
            letter.original.message();
        }
        if let Ok(request) = RefreshRequest::from_message(&message) {
            read += 1;
            request.originals.iter().for_each(|one| drop(one.message()));
        }
        read += usize::from(journal::from_message(&message).is_some());
        read += usize::from(Echo::from_message(&message).is_some());
        read += usize::from(serde_json::from_slice::<Carried>(bytes).is_ok());
    });
    assert!(read >= corpus.len(), "the corpus is sound");
}

#[test]
fn what_is_said_on_the_control_socket() {
    let corpus = lines(include_str!("../tests/corpus/control.txt"));
    let mut read = 0;
    fuzz("the control socket", &corpus, |bytes| {
        read += usize::from(serde_json::from_slice::<Request>(bytes).is_ok());
        read += usize::from(serde_json::from_slice::<Reply>(bytes).is_ok());
    });
    assert!(read >= corpus.len(), "the corpus is sound");
}

#[test]
fn configurations() {
    let corpus = [include_str!("../relay.yaml").as_bytes().to_vec()];
    let corpus = [&corpus[..], &lines(include_str!("../tests/corpus/configuration.txt"))].concat();
    fuzz_rounds("configurations", &corpus, ROUNDS / 50, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        for role in [Role::Run, Role::Watch] {
            drop(config::parse(Path::new("relay.yaml"), &text, [], role));
        }
    });
}
