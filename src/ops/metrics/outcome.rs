//! How work ends, as a label.

/// How an event was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Graph accepted it, or already was as the event says.
    Applied,
    /// Merged into a later event of the same user.
    Coalesced,
    /// The configuration says to do nothing, or a newer event was applied before.
    Skipped,
    /// Its user is not in Entra yet: it is told anew later.
    Parked,
    /// Too old to be applied: it is told anew.
    Refreshed,
    /// Given up.
    DeadLettered,
}

impl Outcome {
    pub(super) const ALL: [Outcome; 6] = [
        Outcome::Applied,
        Outcome::Coalesced,
        Outcome::Skipped,
        Outcome::Parked,
        Outcome::Refreshed,
        Outcome::DeadLettered,
    ];

    /// The name used in metrics and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::Coalesced => "coalesced",
            Outcome::Skipped => "skipped",
            Outcome::Parked => "parked",
            Outcome::Refreshed => "refreshed",
            Outcome::DeadLettered => "dead_lettered",
        }
    }
}

/// What became of a request to tell an object again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// Something was told.
    Told,
    /// There was nothing to tell, or it is held.
    Nothing,
    /// It is tried again later.
    Postponed,
    /// Neither the ledger nor the directory has the object.
    Unknown,
    /// The request is malformed, or carries an event that is not the watcher's own.
    Refused,
}

impl RefreshOutcome {
    pub(super) const ALL: [RefreshOutcome; 5] =
        [Self::Told, Self::Nothing, Self::Postponed, Self::Unknown, Self::Refused];

    /// The name used in metrics and output.
    pub fn as_str(self) -> &'static str {
        match self {
            RefreshOutcome::Told => "told",
            RefreshOutcome::Nothing => "nothing",
            RefreshOutcome::Postponed => "postponed",
            RefreshOutcome::Unknown => "unknown",
            RefreshOutcome::Refused => "refused",
        }
    }
}

/// What became of a password that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordOutcome {
    /// It was taken in, and sealed.
    Taken,
    /// It was told.
    Told,
    /// A newer one was told, or the same one before.
    Superseded,
    /// The directory never showed the change.
    Unconfirmed,
    /// Too many came, or waited, at once.
    TooMany,
    /// The request was malformed, or from somebody who has no right.
    Refused,
}

impl PasswordOutcome {
    pub(super) const ALL: [PasswordOutcome; 6] = [
        Self::Taken,
        Self::Told,
        Self::Superseded,
        Self::Unconfirmed,
        Self::TooMany,
        Self::Refused,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            PasswordOutcome::Taken => "taken",
            PasswordOutcome::Told => "told",
            PasswordOutcome::Superseded => "superseded",
            PasswordOutcome::Unconfirmed => "unconfirmed",
            PasswordOutcome::TooMany => "too_many",
            PasswordOutcome::Refused => "refused",
        }
    }
}
