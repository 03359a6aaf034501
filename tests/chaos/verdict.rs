//! What must hold once nothing fails any more.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use entra_relay::event::source_of;
use entra_relay::queue::dead_letter::DeadReason;
use entra_relay::watcher::store::Store;
use serde_json::Value;
use tokio::time::sleep;

use super::disk::Disk;
use super::people::People;
use super::victim::Victim;
use super::{CATCHING_UP, Happened};
use crate::support::rabbit::{Rabbit, Vhost};
use crate::support::relay::Setup;
use crate::support::samba::BASE_DN;

/// Files that hold secrets because they were put there.
const SECRET_FILES: [&str; 4] = ["bind", "broker", "graph", "definitions.json"];
/// What consumers report for the journal. What they report last, nobody receives any more.
const REPORTS: &str = "relay.outcomes";

/// Waits until directory and Graph agree and nothing is in any queue or in anybody's hands. Dead letters must be
/// explained by a fault that was; they are counted by reason and replayed.
pub async fn caught_up(
    people: &People<'_>,
    victims: &mut [Victim<'_>],
    consumer: &Setup,
    (rabbit, vhost): (&Rabbit, &Vhost),
    history: &[Happened],
) -> BTreeMap<String, usize> {
    let deadline = Instant::now() + CATCHING_UP;
    let mut letters = BTreeMap::new();
    loop {
        victims.iter_mut().for_each(Victim::tend);
        let waiting = waiting(rabbit, vhost).await;
        let agree = people.agree();
        if waiting.is_empty() && agree.is_ok() {
            return letters;
        }
        assert!(Instant::now() < deadline, "not caught up: {agree:?}; queues: {waiting:?}");
        if waiting.contains_key("relay.dead-letters") {
            for letter in listed(consumer).await {
                let reason = letter["reason"].as_str().unwrap().to_owned();
                let explained = reason == DeadReason::GraphError.as_str()
                    && history.iter().any(|happened| happened.fault.explains_dead_letters());
                assert!(explained, "a dead letter that nothing explains: {letter:#}");
                *letters.entry(reason).or_default() += 1;
            }
            consumer.run(&["dead-letters", "replay"]).await;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn listed(consumer: &Setup) -> Vec<Value> {
    let listed = consumer.json(&["dead-letters", "list"], 0).await.remove(0);
    listed.as_array().unwrap().clone()
}

/// The queues that are not empty; what was delivered and not settled counts.
pub async fn waiting(rabbit: &Rabbit, vhost: &Vhost) -> BTreeMap<String, u64> {
    let mut waiting = rabbit.messages(vhost).await;
    waiting.retain(|queue, messages| *messages > 0 && queue != REPORTS);
    waiting
}

/// The store is whole, nothing in it waits to be published, and the guard holds nothing.
pub fn nothing_is_left(disk: &Disk) {
    let store = Store::open(&disk.folder().join("watcher.redb"), &source_of(BASE_DN)).unwrap();
    assert!(!store.is_staged().unwrap(), "something waits to be published");
    assert_eq!(store.held_users().unwrap(), 0, "something is held");
}

/// Looks for the secrets in every file below these folders, but for those that are to hold them.
/// Returns how many bytes were searched.
pub fn no_secret_is_in<'a>(folders: impl Iterator<Item = &'a Path>, secrets: &[&str]) -> usize {
    let wide = |secret: &str| secret.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let needles: Vec<Vec<u8>> =
        secrets.iter().flat_map(|secret| [secret.as_bytes().to_vec(), wide(secret)]).collect();
    let mut open: Vec<PathBuf> = folders.map(Path::to_owned).collect();
    let mut searched = 0;
    while let Some(path) = open.pop() {
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.is_file() && !SECRET_FILES.iter().any(|secret| name == *secret) {
            let bytes = fs::read(&path).unwrap();
            for needle in &needles {
                let found = memchr::memmem::find(&bytes, needle).is_some();
                let needle = String::from_utf8_lossy(needle);
                assert!(!found, "{needle} is in {}", path.display());
            }
            searched += bytes.len();
        }
    }
    searched
}

/// A process ends by itself only where its store cannot be written.
pub fn explained(endings: &[&String]) {
    for ending in endings {
        assert!(ending.contains("No space left on device"), "nothing explains it: {ending}");
    }
}
