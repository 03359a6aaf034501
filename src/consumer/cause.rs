//! Why an event is given up, in words for the person who reads the dead letter.

use jiff::Timestamp;

use crate::{
    event::{Event, EventError, Lane},
    graph::{Closed, ErrorKind, GraphError, Operation},
    queue::dead_letter::{Cause, DeadReason},
    sealing::OpenError,
    signing::SignatureError,
};

/// A name that a person knows the user by.
pub fn user_name(event: &Event) -> Option<&str> {
    let identity = &event.identity;
    identity.user_principal_name.as_deref().or(identity.sam_account_name.as_deref())
}

fn name(event: &Event) -> &str {
    user_name(event).unwrap_or("a user without a name")
}

fn cause(reason: DeadReason, sentence: String, remedy: String) -> Cause {
    Cause { reason, sentence, remedy, graph_status: None, graph_code: None, request_id: None }
}

/// Graph refused, or kept failing.
pub fn of_graph(event: &Event, error: &GraphError) -> Cause {
    let reason = match error.kind {
        ErrorKind::Forbidden => DeadReason::PermissionDenied,
        ErrorKind::NotFound if error.operation != Operation::FindUsers => DeadReason::UserNotFound,
        ErrorKind::Conflict { .. } | ErrorKind::Mastered | ErrorKind::Refused => {
            DeadReason::ValueRefused
        }
        ErrorKind::NotFound
        | ErrorKind::Throttled { .. }
        | ErrorKind::Transient { .. }
        | ErrorKind::Unauthorized
        | ErrorKind::TokenRefused => DeadReason::GraphError,
    };
    Cause {
        graph_status: error.status,
        graph_code: error.code.clone(),
        request_id: error.request_id.clone(),
        ..cause(reason, format!("{}: {error}", name(event)), error.remedy())
    }
}

/// No Entra user matches.
pub fn not_found(event: &Event) -> Cause {
    cause(
        DeadReason::UserNotFound,
        format!("{}: no Entra user matches by apply.match", name(event)),
        "create or sync the user in Entra, or give it the onPremisesImmutableId, UPN or employee \
         id of the directory account; then replay"
            .into(),
    )
}

/// The only users that match are linked to other directory objects.
pub fn foreign(event: &Event) -> Cause {
    cause(
        DeadReason::AmbiguousMatch,
        format!("{}: the Entra user of this name belongs to another directory object", name(event)),
        "find out whose account it is: change the name of one of them, or correct \
         onPremisesImmutableId in Entra"
            .into(),
    )
}

/// More than one Entra user matches.
pub fn ambiguous(event: &Event, users: usize) -> Cause {
    cause(
        DeadReason::AmbiguousMatch,
        format!("{}: {users} Entra users match alike", name(event)),
        "make the value by which they match unique, or match by another key first (apply.match)"
            .into(),
    )
}

/// Values that Graph would not take.
pub fn refused(event: &Event, why: &[String]) -> Cause {
    cause(
        DeadReason::ValueRefused,
        format!("{}: {}; all other changes were applied", name(event), why.join("; ")),
        "correct the value in the directory, or the mapping in apply.attributes".into(),
    )
}

/// A user cannot be created without a name.
pub fn no_name(event: &Event) -> Cause {
    cause(
        DeadReason::ValueRefused,
        format!("{}: no user can be created without a userPrincipalName", name(event)),
        "give the account a UPN in the directory, or set directory.upn_attribute; then replay"
            .into(),
    )
}

/// The user's manager is not in Entra, or not certainly so.
pub fn no_manager(event: &Event) -> Cause {
    cause(
        DeadReason::UserNotFound,
        format!("{}: no Entra user matches the manager by apply.match", name(event)),
        "create or sync the manager in Entra; then replay".into(),
    )
}

/// Another source masters even whether the user can sign in.
pub fn block_refused(event: &Event, error: &GraphError) -> Cause {
    let refused = of_graph(event, error);
    let sentence = format!("{}; the sessions were ended where configured", refused.sentence);
    let remedy =
        "nothing: the directory-sync tool blocks the user at its next cycle; to have that \
                  at once, start a cycle by hand"
            .into();
    Cause { sentence, remedy, ..refused }
}

/// Something enabled the user again and again.
pub fn fought(event: &Event, round: u32) -> Cause {
    cause(
        DeadReason::NotVerified,
        format!(
            "{}: something else enabled the user in Entra {round} times after the relay had \
             blocked it",
            name(event)
        ),
        "find in Entra's audit log what enables the user, and stop it; apply.max_reblocks says how \
         often the relay blocks again; then replay"
            .into(),
    )
}

/// The link was accepted but does not show.
pub fn link_not_verified(event: &Event) -> Cause {
    cause(
        DeadReason::NotVerified,
        format!("{}: Graph accepted onPremisesImmutableId, but it does not show", name(event)),
        "look at the user in Entra: if another tool writes onPremisesImmutableId, stop it or set \
         apply.link to false; then replay"
            .into(),
    )
}

/// Entra does not have the mapped group.
pub fn no_group(event: &Event, group: &str) -> Cause {
    cause(
        DeadReason::ValueRefused,
        format!("{}: Entra has no group {group}", name(event)),
        "correct the object id in apply.groups; then replay".into(),
    )
}

/// The members of the mapped group are not ours to change.
pub fn group_closed(event: &Event, group: &str, closed: Closed) -> Cause {
    let (what, remedy) = match closed {
        Closed::Dynamic => (
            "has dynamic membership, which a rule decides",
            "map a group with assigned membership in apply.groups",
        ),
        Closed::Synced => (
            "is synced from a directory, where its members are decided",
            "take it out of apply.groups: its own sync tool carries its members",
        ),
        Closed::RoleAssignable => (
            "grants directory roles, which a group of the directory must not hand out",
            "map an ordinary group in apply.groups",
        ),
        Closed::MailEnabled => (
            "is a distribution list or mail-enabled security group, which Exchange manages",
            "map a security group or a Microsoft 365 group in apply.groups",
        ),
    };
    cause(
        DeadReason::ValueRefused,
        format!("{}: the Entra group {group} {what}", name(event)),
        format!("{remedy}; then replay"),
    )
}

/// A block was accepted but does not show.
pub fn not_verified(event: &Event) -> Cause {
    cause(
        DeadReason::NotVerified,
        format!("{}: Graph accepted the block, but the user still reads as enabled", name(event)),
        "look at the user in Entra: if another tool enabled it again, stop that tool; then replay"
            .into(),
    )
}

/// A password waited for longer than it is good for.
pub fn password_expired(event: &Event, expired: Timestamp) -> Cause {
    cause(
        DeadReason::PasswordExpired,
        format!(
            "{}: the password was good until {expired:.0} and was not set in Entra",
            name(event)
        ),
        "have the user change the password once more; if this repeats, find out what holds the \
         queue up, or raise passwords.ttl"
            .into(),
    )
}

/// A sealed password does not open.
pub fn password_not_opened(event: &Event, error: &OpenError) -> Cause {
    let (reason, remedy) = match error {
        OpenError::UnknownKey(_) => (
            DeadReason::PasswordKeyUnknown,
            "add the opening.key of this id (entra-relay keygen told it) to \
             security.opening_key_files of every consumer, then replay",
        ),
        OpenError::Refused => (
            DeadReason::PasswordNotOpened,
            "somebody altered it or gave it to another user: find out who can write to this queue \
             and change the broker's passwords; have the user change the password once more",
        ),
    };
    cause(reason, format!("{}: {error}", name(event)), remedy.into())
}

/// The message is not the watcher's, or not as the watcher sent it. Nothing in it is believed, so
/// the sentence names nobody.
pub fn bad_signature(error: &SignatureError) -> Cause {
    let remedy = match error {
        SignatureError::Unsigned => {
            "if the watcher did not sign yet, set security.allow_unsigned: true on watcher and \
             consumers until such events are replayed; otherwise somebody else writes to this \
             queue: change the broker's passwords and discard"
        }
        SignatureError::UnknownKey(_) => {
            "if this is a new key of the watcher (entra-relay keygen told its id), add its public \
             key to security.verify_key_files and replay; otherwise somebody else writes to this \
             queue: change the broker's passwords and discard"
        }
        SignatureError::Altered(_) | SignatureError::Header(_) => {
            "do not replay: the message was altered or made up by somebody who can write to this \
             queue; find out who, change the broker's passwords and discard"
        }
    };
    cause(DeadReason::BadSignature, error.to_string(), remedy.into())
}

/// The body is no event.
pub fn malformed(error: &EventError) -> Cause {
    let remedy = match error {
        EventError::UnknownType(_) | EventError::SpecVersion(_) => {
            "update the consumers to the version of the watcher, then replay"
        }
        _ => "find out who publishes to this queue; only the watcher should have the right",
    };
    cause(DeadReason::Malformed, error.to_string(), remedy.into())
}

/// The event comes from another directory.
pub fn foreign_directory(event: &Event, ours: &str) -> Cause {
    cause(
        DeadReason::ForeignDirectory,
        format!("the event comes from {:?}, this consumer serves {ours:?}", event.source),
        "use one virtual host per directory, and the same directory.base_dn for watcher and \
         consumer"
            .into(),
    )
}

/// The event is not one of the lane that it came in.
pub fn misplaced(event: &Event, lane: Lane) -> Cause {
    let kind = event.kind();
    cause(
        DeadReason::Misplaced,
        format!(
            "{}: {} came in the {} lane, but not in the partition of its own lane and user",
            name(event),
            kind.as_str(),
            lane.as_str(),
        ),
        "no watcher puts it there: find out who copies events and change the broker's passwords; \
         discard it"
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use uuid::Uuid;

    use super::*;
    use crate::event::{Detail, Identity};

    #[test]
    fn graphs_words_are_kept_and_the_reason_fits() {
        let identity =
            Identity { user_principal_name: Some("alice@x".into()), ..Identity::default() };
        let (object, time) = (Uuid::nil(), Timestamp::UNIX_EPOCH);
        let event = Event::new("ldap:///dc=x", object, 1, time, identity, Detail::UserDeleted);
        let error = |kind, operation| GraphError {
            kind,
            operation,
            status: Some(StatusCode::FORBIDDEN.as_u16()),
            code: Some("Authorization_RequestDenied".into()),
            message: "Insufficient privileges.".into(),
            request_id: Some("r".into()),
        };
        let denied = of_graph(&event, &error(ErrorKind::Forbidden, Operation::SetEnabled));
        assert_eq!(denied.reason, DeadReason::PermissionDenied);
        assert_eq!(
            denied.sentence,
            "alice@x: setting accountEnabled failed: HTTP 403 Authorization_RequestDenied \
             Insufficient privileges."
        );
        assert_eq!((denied.graph_status, denied.request_id.as_deref()), (Some(403), Some("r")));
        for (kind, operation, reason) in [
            (ErrorKind::NotFound, Operation::SetEnabled, DeadReason::UserNotFound),
            (ErrorKind::NotFound, Operation::FindUsers, DeadReason::GraphError),
            (ErrorKind::Refused, Operation::UpdateUser, DeadReason::ValueRefused),
            (ErrorKind::Unauthorized, Operation::UpdateUser, DeadReason::GraphError),
        ] {
            assert_eq!(of_graph(&event, &error(kind, operation)).reason, reason);
        }
    }
}
