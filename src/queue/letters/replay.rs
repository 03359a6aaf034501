//! From dead letters to refresh requests: one for each user.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::InHand;
use crate::queue::{
    carried::Carried,
    dead_letter::DeadReason,
    refresh::{RefreshRequest, Why},
};

/// The most bytes of originals in one request. Brokers refuse messages above 16 MiB, and base64
/// adds a third.
const MAX_BYTES: usize = 8 << 20;

/// What is replayed of one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// objectGUID.
    pub object: Uuid,
    /// A name the user is known by.
    pub user: Option<String>,
    /// How many letters.
    pub letters: usize,
    /// Their reasons, each once.
    pub reasons: Vec<DeadReason>,
}

/// The letters of one user, the oldest event first.
pub(super) struct Bundle {
    letters: Vec<InHand>,
}

/// Bundles letters by user, in the order in which the users first come.
pub(super) fn bundles(letters: Vec<InHand>) -> Vec<Bundle> {
    let mut bundles: Vec<Bundle> = Vec::new();
    let mut places: HashMap<Uuid, usize> = HashMap::new();
    for letter in letters {
        let place = *places.entry(letter.opened.entry.object).or_insert_with(|| {
            bundles.push(Bundle { letters: Vec::new() });
            bundles.len() - 1
        });
        bundles[place].letters.push(letter);
    }
    for bundle in &mut bundles {
        bundle.letters.sort_by_key(InHand::age);
    }
    bundles
}

impl InHand {
    /// Orders the letters of a user: by the sequence of their events.
    fn age(&self) -> (u64, Timestamp) {
        let sequence = self.opened.event.as_ref().map_or(0, |event| event.sequence);
        (sequence, self.opened.entry.given_up)
    }
}

impl Bundle {
    /// What would be done.
    pub(super) fn plan(&self) -> Plan {
        let entries = || self.letters.iter().map(|letter| &letter.opened.entry);
        let mut reasons: Vec<_> = entries().map(|entry| entry.reason).collect();
        reasons.sort();
        reasons.dedup();
        Plan {
            object: entries().next().map_or(Uuid::nil(), |entry| entry.object),
            user: entries().rev().find_map(|entry| entry.user.clone()),
            letters: self.letters.len(),
            reasons,
        }
    }

    /// The requests that replay it: one, unless its originals are too large for that.
    pub(super) fn requests(&self) -> Vec<RefreshRequest> {
        let mut requests: Vec<RefreshRequest> = Vec::new();
        let mut bytes = 0;
        for original in self.letters.iter().filter_map(|letter| letter.opened.original.as_ref()) {
            bytes += original.body.len();
            let carried = Carried::from(original);
            match requests.last_mut() {
                Some(request) if bytes <= MAX_BYTES => request.originals.push(carried),
                _ => {
                    bytes = original.body.len();
                    requests.push(RefreshRequest {
                        object: original.object,
                        why: Why::Replayed,
                        originals: vec![carried],
                        waiting: None,
                    });
                }
            }
        }
        requests
    }

    /// What is acknowledged once the requests are safe.
    pub(super) fn into_letters(self) -> Vec<InHand> {
        self.letters
    }
}
