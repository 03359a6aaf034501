//! The wire form, there and back.

use super::*;

fn event(detail: Detail) -> Event {
    let identity = Identity {
        sam_account_name: Some("alice".into()),
        user_principal_name: Some("alice@corp.example".into()),
        ..Identity::default()
    };
    let object = Uuid::from_u128(7);
    Event::new(
        &source_of("DC=corp,DC=example"),
        object,
        42,
        Timestamp::UNIX_EPOCH,
        identity,
        detail,
    )
}

fn all_details() -> Vec<Detail> {
    vec![
        Detail::AccountDisabled { reason: Reason::Expired },
        Detail::AccountEnabled { ended: Reason::Disabled },
        Detail::PasswordChanged { must_change: true },
        Detail::PasswordSet(Box::new(SealedPassword {
            key_id: "k1".into(),
            candidate: Uuid::from_u128(5),
            account: "alice".into(),
            sealed: "AAAA".into(),
            must_change: true,
            never_expires: false,
            expires: Timestamp::UNIX_EPOCH,
        })),
        Detail::UserCreated { enabled: false },
        Detail::UserDeleted,
        Detail::Canary { flight: Uuid::from_u128(6) },
        Detail::UserRenamed { previous: Box::default() },
        Detail::MembershipChanged { group: "CN=Sales,DC=corp,DC=example".into(), member: true },
        Detail::AttributesModified {
            references: [
                ("manager".into(), None),
                (
                    "assistant".into(),
                    Some(Reference { object: Uuid::from_u128(9), identity: Identity::default() }),
                ),
            ]
            .into(),
            attributes: [("title".into(), vec!["Lead".into()]), ("mobile".into(), vec![])].into(),
        },
    ]
}

/// An event of each kind, in its wire form.
pub(crate) fn one_of_each() -> impl Iterator<Item = Vec<u8>> {
    all_details().into_iter().map(|detail| event(detail).to_json())
}

#[test]
fn every_kind_survives_the_wire() {
    for detail in all_details() {
        let mut event = event(detail);
        assert_eq!(Event::from_json(&event.to_json()).expect("reads back"), event);
        event.waiting = Some(Waiting { since: event.time, attempt: 2 });
        assert_eq!(Event::from_json(&event.to_json()).expect("reads back"), event);
    }
    assert_eq!(all_details().len(), Kind::ALL.len());
}

#[test]
fn the_id_follows_from_source_object_kind_and_sequence() {
    let one = event(Detail::UserDeleted);
    assert_eq!(one.id, event(Detail::UserDeleted).id);
    assert_ne!(one.id, event(Detail::PasswordChanged { must_change: false }).id);
    let later = Event::new(
        &one.source,
        one.object,
        43,
        one.time,
        one.identity.clone(),
        Detail::UserDeleted,
    );
    assert_ne!(one.id, later.id);
}

#[test]
fn foreign_bytes_are_refused_by_name() {
    let refuse = |change: fn(&mut serde_json::Value)| {
        let mut json = serde_json::from_slice(&event(Detail::UserDeleted).to_json()).expect("json");
        change(&mut json);
        Event::from_json(json.to_string().as_bytes()).expect_err("refused").to_string()
    };
    assert!(Event::from_json(b"\xff\x00").is_err());
    assert!(refuse(|j| j["type"] = "entra-relay.user.deleted.v9".into()).contains("v9"));
    assert!(refuse(|j| j["specversion"] = "2.0".into()).contains("2.0"));
    assert!(refuse(|j| j["sequence"] = "x".into()).contains("sequence"));
    assert!(
        refuse(|j| j["partitionkey"] = Uuid::nil().to_string().into()).contains("partitionkey")
    );
    assert!(Event::from_json(&vec![b' '; MAX_BODY + 1]).is_err());
}

#[test]
fn immutable_ids_are_the_raw_guid_bytes_in_base64() {
    let mut event = event(Detail::UserDeleted);
    event.object = "bcd2e574-8d58-4136-a9df-8a19b145db79".parse().expect("uuid");
    assert_eq!(event.immutable_ids(), ["dOXSvFiNNkGp34oZsUXbeQ=="]);
    event.identity.anchor = Some("AAAA".into());
    assert_eq!(event.immutable_ids(), ["AAAA", "dOXSvFiNNkGp34oZsUXbeQ=="]);
}

#[test]
fn a_trace_travels_along_and_one_that_cannot_be_read_is_none() {
    let identity = Identity::default();
    let (object, time) = (Uuid::from_u128(7), Timestamp::UNIX_EPOCH);
    let mut event = Event::new("ldap:///dc=x", object, 1, time, identity, Detail::UserDeleted);
    let untraced = String::from_utf8(event.to_json()).expect("text");
    assert!(!untraced.contains("traceparent"), "{untraced}");
    event.trace = Some(TraceParent::of_event(event.id));
    let text = String::from_utf8(event.to_json()).expect("text");
    assert_eq!(Event::from_json(text.as_bytes()).expect("an event"), event);
    let damaged = text.replace("\"traceparent\":\"00-", "\"traceparent\":\"zz-");
    assert_ne!(damaged, text);
    assert_eq!(Event::from_json(damaged.as_bytes()).expect("an event").trace, None);
}
