//! Passwords that were handed over, and which of them the directory then shows: pure logic.
//!
//! A hook that runs before the commit hands over what may yet be refused, by the history of the
//! user's passwords for one. So it is only a candidate, until the directory shows a change.
//! Samba takes `pwdLastSet` in the transaction that then runs the hook, and lets one transaction
//! write at a time. So a change's own candidate is the first one after its `pwdLastSet`; whatever
//! comes later belongs to a later attempt.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The longest time from `pwdLastSet` to the hook's start, on a machine that is busy.
const HOOK_START: SignedDuration = SignedDuration::from_secs(10);

/// A password that was handed over, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Drawn for it, and bound into the seal.
    pub id: Uuid,
    /// Whose it is, as [`crate::passwords::Account`] is written; bound into the seal.
    pub account: String,
    /// When it was handed over, by the domain controller's clock.
    pub at: Timestamp,
    /// When it came in.
    pub received: Timestamp,
    /// Whether the change is done.
    pub committed: bool,
    /// `msDS-KeyVersionNumber`, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// To which key it is sealed.
    pub key_id: String,
    /// The encapsulated key and the ciphertext, in base64.
    pub sealed: String,
}

/// Which password was last told of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// As [`Candidate::at`].
    pub at: Timestamp,
    /// As [`Candidate::version`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

impl Handed {
    /// Whether a committed password is newer than this one. The source may hand over the same one
    /// again, after a change of something else.
    fn is_older_than(&self, candidate: &Candidate) -> bool {
        match (self.version, candidate.version) {
            (Some(told), Some(version)) => told < version,
            _ => self.at < candidate.at,
        }
    }
}

/// A change of the password, as the directory shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// `pwdLastSet`; none where it is 0, for the user must change the password.
    pub set: Option<Timestamp>,
    /// `whenChanged`, where it was read: not before the change, in whole seconds.
    pub written: Option<Timestamp>,
}

/// The candidate that a change shows to be the password. `candidates` are in the order of their
/// times. Without `pwdLastSet` it is the last one that is not after the change.
pub fn confirmed(candidates: &[Candidate], shown: Shown) -> Option<&Candidate> {
    let own = match (shown.set, shown.written) {
        (Some(set), _) => candidates
            .iter()
            .find(|it| !it.committed && it.at >= set && it.at.duration_since(set) <= HOOK_START),
        (None, Some(written)) => {
            candidates.iter().rfind(|it| !it.committed && it.at.as_second() <= written.as_second())
        }
        (None, None) => candidates.iter().rfind(|it| !it.committed),
    };
    let not_before = |it: &&Candidate| shown.set.is_none_or(|set| it.at >= set);
    own.or_else(|| candidates.iter().rfind(|it| it.committed).filter(not_before))
}

/// The newest password that the source knows to be set, if it was not told yet.
pub fn committed<'a>(candidates: &'a [Candidate], told: Option<&Handed>) -> Option<&'a Candidate> {
    let newest = candidates.iter().rfind(|it| it.committed)?;
    told.is_none_or(|told| told.is_older_than(newest)).then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).expect("in range")
    }

    fn at(number: u128, at: i64) -> Candidate {
        Candidate {
            id: Uuid::from_u128(number),
            account: "name:alice".into(),
            at: ms(at),
            received: ms(at),
            committed: false,
            version: None,
            key_id: String::new(),
            sealed: String::new(),
        }
    }

    fn done(number: u128, at_ms: i64, version: u64) -> Candidate {
        Candidate { committed: true, version: Some(version), ..at(number, at_ms) }
    }

    fn chosen(candidates: &[Candidate], shown: Shown) -> Option<u128> {
        confirmed(candidates, shown).map(|candidate| candidate.id.as_u128())
    }

    fn set(at: i64) -> Shown {
        Shown { set: Some(ms(at)), written: None }
    }

    #[test]
    fn an_accepted_change_is_not_taken_for_the_refused_one_after_it() {
        // Accepted at 1000, refused at 1050.
        let both = [at(1, 1_002), at(2, 1_050)];
        assert_eq!(chosen(&both, set(1_000)), Some(1));
        // Refused at 1000, accepted at 1049.
        assert_eq!(chosen(&both, set(1_049)), Some(2));
    }

    #[test]
    fn a_change_without_a_candidate_of_its_own_takes_none() {
        assert_eq!(chosen(&[at(1, 900)], set(1_000)), None, "an earlier attempt's");
        assert_eq!(chosen(&[at(1, 60_000)], set(1_000)), None, "a much later attempt's");
        assert_eq!(chosen(&[], set(1_000)), None);
    }

    #[test]
    fn of_resets_with_must_change_the_last_one_counts() {
        let both = [at(1, 1_000), at(2, 1_300)];
        let shown = |written| Shown { set: None, written };
        assert_eq!(chosen(&both, shown(Some(ms(1_000)))), Some(2));
        assert_eq!(chosen(&both, shown(None)), Some(2));
        let later = [at(1, 1_000), at(2, 2_100)];
        assert_eq!(chosen(&later, shown(Some(ms(1_000)))), Some(1), "the other is not done yet");
    }

    #[test]
    fn what_is_known_to_be_done_is_told_once() {
        let values = [done(1, 1_000, 2), done(2, 2_000, 3)];
        let newest = |told: Option<Handed>| committed(&values, told.as_ref()).map(|it| it.version);
        assert_eq!(newest(None), Some(Some(3)));
        assert_eq!(newest(Some(Handed { at: ms(1_000), version: Some(2) })), Some(Some(3)));
        assert_eq!(newest(Some(Handed { at: ms(500), version: Some(3) })), None, "the same again");
        assert_eq!(newest(Some(Handed { at: ms(2_500), version: None })), None, "an older one");
        assert_eq!(chosen(&values, set(1_900)), Some(2));
        assert_eq!(chosen(&values, set(2_001)), None, "the change is a later one");
    }
}
