//! What the cursor rests on, and what follows when that is no longer so: pure logic.
//!
//! A cursor is sure to be good only at the server that gave it. Elsewhere it is tried all the same,
//! for it may show at once what has happened, and everything is read and compared beside that.

use std::{fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::directory::Replica;

/// How long what is noted of the last visit may be old, where the cursor does not move.
const NOTED: SignedDuration = SignedDuration::from_hours(1);

/// Where, when and how the directory was last followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footing {
    /// The URL that was connected to.
    pub url: String,
    /// The server's own name.
    pub server: String,
    /// The history of its database.
    pub invocation: Option<Uuid>,
    /// The highest number of changes that it was seen to have had.
    pub usn: Option<u64>,
    /// What is selected.
    pub selection: String,
    /// When it was last followed to the end.
    pub followed: Timestamp,
    /// When everything was last read and compared; none where that is to be done.
    pub compared: Option<Timestamp>,
    /// Until when whatever gives access waits, because the server may lag.
    pub settles: Option<Timestamp>,
}

/// What is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The store is of a version that did not note it.
    NothingNoted,
    /// Another server.
    OtherServer {
        /// The one before.
        before: String,
    },
    /// The server's database has another history: it was restored, or made anew.
    OtherHistory,
    /// The server's database was put back in time without saying so.
    SetBack {
        /// What was seen.
        seen: u64,
        /// What it says.
        now: u64,
    },
    /// The configuration selects something else.
    OtherSelection,
    /// Deletions may have been forgotten meanwhile.
    Gap {
        /// For so long nobody looked.
        days: i64,
    },
}

impl Finding {
    /// Whether the server may know less than the one before.
    fn may_lag(&self) -> bool {
        matches!(
            self,
            Finding::OtherServer { .. } | Finding::OtherHistory | Finding::SetBack { .. }
        )
    }

    /// Whether the cursor would skip changes here.
    pub fn distrusts_cursor(&self) -> bool {
        matches!(self, Finding::SetBack { .. })
    }

    /// Whether the cloud may differ in what no comparison with the ledger can find.
    pub fn needs_reconciling(&self) -> bool {
        matches!(self, Finding::Gap { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::NothingNoted => f.write_str("the store does not say where its cursor is from"),
            Finding::OtherServer { before } => {
                write!(f, "this is another server than before ({before})")
            }
            Finding::OtherHistory => {
                f.write_str("the server's database was restored or made anew (invocationId)")
            }
            Finding::SetBack { seen, now } => write!(
                f,
                "the server's database was put back in time: its USN is {now} and was {seen}"
            ),
            Finding::OtherSelection => {
                f.write_str("the configuration selects other objects or attributes")
            }
            Finding::Gap { days } => write!(
                f,
                "nobody looked for {days} days, more than half the lifetime of tombstones"
            ),
        }
    }
}

impl Footing {
    /// On a server that is followed from now on.
    pub fn on(url: &str, replica: &Replica, now: Timestamp) -> Footing {
        Footing {
            url: url.to_owned(),
            server: replica.server.clone(),
            invocation: replica.invocation,
            usn: replica.usn,
            selection: replica.selection.clone(),
            followed: now,
            compared: None,
            settles: None,
        }
    }

    /// What is not as it was.
    pub fn findings(&self, replica: &Replica, now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.server != replica.server {
            findings.push(Finding::OtherServer { before: self.server.clone() });
        } else if self.invocation != replica.invocation {
            findings.push(Finding::OtherHistory);
        } else if let (Some(seen), Some(now)) = (self.usn, replica.usn)
            && now < seen
        {
            findings.push(Finding::SetBack { seen, now });
        }
        if self.selection != replica.selection {
            findings.push(Finding::OtherSelection);
        }
        if let Some(lifetime) = replica.tombstones
            && self.silence(now) > lifetime / 2
        {
            let days = i64::try_from(self.silence(now).as_secs() / (24 * 3600));
            findings.push(Finding::Gap { days: days.unwrap_or(i64::MAX) });
        }
        findings
    }

    /// As it is after these findings: everything is to be compared, and whatever gives access waits
    /// for `settle` where the server may lag.
    pub fn after(self, findings: &[Finding], settle: Duration) -> Footing {
        let lags = findings.iter().any(Finding::may_lag);
        let settles = lags.then(|| later(self.followed, settle));
        Footing { settles: settles.max(self.settles), compared: None, ..self }
    }

    /// Whether the last visit is to be noted anew even though the cursor stands still.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now.duration_since(self.followed) > NOTED
    }

    /// Until when whatever gives access waits, if it does.
    pub fn settling(&self, now: Timestamp) -> Option<Timestamp> {
        self.settles.filter(|until| *until > now)
    }

    /// Whether everything is to be compared, which is done this often.
    pub fn comparison_due(&self, interval: Duration, now: Timestamp) -> bool {
        self.compared.is_none_or(|compared| later(compared, interval) <= now)
    }

    fn silence(&self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_since(self.followed)).unwrap_or_default()
    }
}

/// The instant `length` after `time`.
pub fn later(time: Timestamp, length: Duration) -> Timestamp {
    time.checked_add(length).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;

    fn replica() -> Replica {
        Replica {
            server: "CN=dc1".into(),
            invocation: Some(Uuid::from_u128(1)),
            usn: Some(100),
            tombstones: Some(Duration::from_secs(180 * DAY)),
            selection: "s".into(),
        }
    }

    #[test]
    fn each_difference_is_found_and_ends_in_its_kind_of_resync() {
        let then = Timestamp::UNIX_EPOCH;
        let footing = Footing::on("ldaps://dc1", &replica(), then);
        let found = |replica: Replica, days| {
            let findings = footing.findings(&replica, later(then, Duration::from_secs(days * DAY)));
            assert!(findings.len() < 2, "{findings:?}");
            findings.into_iter().next()
        };
        assert_eq!(found(Replica { usn: Some(101), ..replica() }, 89), None);
        let other = found(Replica { server: "CN=dc2".into(), usn: Some(7), ..replica() }, 0);
        let other = other.expect("found");
        assert!(
            other.may_lag() && !other.distrusts_cursor() && other.to_string().contains("CN=dc1")
        );
        let restored = found(Replica { invocation: None, usn: Some(7), ..replica() }, 0);
        assert_eq!(restored, Some(Finding::OtherHistory));
        let set_back = found(Replica { usn: Some(99), ..replica() }, 0).expect("found");
        assert!(set_back.may_lag() && set_back.distrusts_cursor());
        let selection = found(Replica { selection: "t".into(), ..replica() }, 0).expect("found");
        assert!(selection == Finding::OtherSelection && !selection.may_lag());
        let gap = found(replica(), 91).expect("found");
        assert!(gap == Finding::Gap { days: 91 } && gap.needs_reconciling() && !gap.may_lag());
    }

    #[test]
    fn a_server_that_may_lag_has_to_settle_and_a_second_change_does_not_shorten_that() {
        let (then, settle) = (Timestamp::UNIX_EPOCH, Duration::from_secs(300));
        let footing = Footing { compared: Some(then), ..Footing::on("u", &replica(), then) };
        let hour = Duration::from_secs(3600);
        assert!(
            !footing.comparison_due(hour, then) && footing.comparison_due(hour, later(then, hour))
        );
        let selected = footing.clone().after(&[Finding::OtherSelection], settle);
        assert_eq!((selected.compared, selected.settles), (None, None));
        let moved = footing.after(&[Finding::OtherHistory], settle);
        let until = Some(later(then, settle));
        assert_eq!(moved.settling(then), until);
        assert_eq!(moved.clone().after(&[Finding::OtherSelection], settle).settles, until);
        assert_eq!(moved.settling(later(then, settle)), None);
        assert!(moved.comparison_due(hour, then));
    }
}
