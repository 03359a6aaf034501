//! A sealed password, from the queue to the moment it is sent.

use jiff::Timestamp;

use super::cause;
use crate::{
    event::{Event, SealedPassword},
    passwords::Account,
    queue::dead_letter::Cause,
    sealing::{Binding, OpenError, Opener, Password},
};

/// The value of `passwordPolicies` by which a password never expires (Graph: user resource type).
const NEVER: &str = "DisablePasswordExpiration";

/// Opens the password of an event, if it is still good and its user's.
pub fn open(opener: &Opener, event: &Event, sealed: &SealedPassword) -> Result<Password, Cause> {
    if Timestamp::now() >= sealed.expires {
        return Err(cause::password_expired(event, sealed.expires));
    }
    let accounts = Account::all_of(event.object, &event.identity);
    if !accounts.iter().any(|account| account.to_string() == sealed.account) {
        return Err(cause::password_not_opened(event, &OpenError::Refused));
    }
    let binding =
        Binding { source: &event.source, account: &sealed.account, candidate: sealed.candidate };
    opener
        .open(&sealed.key_id, &sealed.sealed, binding)
        .map_err(|error| cause::password_not_opened(event, &error))
}

/// The value of `passwordPolicies` that says whether passwords expire, and keeps what else was
/// said.
pub fn policies(before: Option<&str>, never: bool) -> String {
    let before = before.unwrap_or_default().split(',').map(str::trim);
    let mut policies: Vec<_> =
        before.filter(|policy| !["", "None", NEVER].contains(policy)).collect();
    if never {
        policies.insert(0, NEVER);
    }
    if policies.is_empty() { "None".into() } else { policies.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expiry_is_set_and_other_policies_are_kept() {
        const BOTH: &str = "DisablePasswordExpiration, DisableStrongPassword";
        for (before, never, after) in [
            (None, false, "None"),
            (None, true, NEVER),
            (Some("None"), true, NEVER),
            (Some(NEVER), false, "None"),
            (Some(BOTH), false, "DisableStrongPassword"),
            (Some("DisableStrongPassword"), true, BOTH),
            (Some(BOTH), true, BOTH),
        ] {
            assert_eq!(policies(before, never), after, "{before:?}");
        }
    }
}
