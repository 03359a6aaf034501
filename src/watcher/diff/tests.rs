use super::*;
use crate::config::model;

fn rules() -> Rules {
    Rules {
        upn_attribute: "userPrincipalName".into(),
        mapped: vec!["title".into(), "telephoneNumber".into()],
        scope: Scope::from_config(&model::Scope::default()),
        veil: Default::default(),
    }
}

fn circumstances() -> Circumstances {
    Circumstances {
        now: Timestamp::from_second(1_700_000_000).expect("in range"),
        arrival: Arrival::Created,
        password_signal: true,
    }
}

fn entry(complete: bool, attributes: &[(&str, &[&str])]) -> Entry {
    let attributes = attributes
        .iter()
        .map(|(name, values)| {
            let values = values.iter().map(|value| value.as_bytes().to_vec()).collect();
            (name.to_lowercase(), values)
        })
        .collect();
    Entry { object: Uuid::from_u128(1), dn: "CN=a,DC=x".into(), attributes, complete }
}

fn delta(attributes: &[(&str, &[&str])]) -> Entry {
    entry(false, attributes)
}

fn alice(control: &str) -> Entry {
    entry(
        true,
        &[
            ("sAMAccountName", &["alice"]),
            ("userPrincipalName", &["alice@x"]),
            ("userAccountControl", &[control]),
            ("pwdLastSet", &["133000000000000000"]),
            ("title", &["Engineer"]),
        ],
    )
}

fn known(control: &str) -> Record {
    let arrival = Arrival::Baseline;
    match observe(&rules(), None, &alice(control), Circumstances { arrival, ..circumstances() }) {
        Step::Change { record, details } => {
            assert_eq!(details, [], "a baseline is silent");
            *record
        }
        step => panic!("{step:?}"),
    }
}

fn told(known: &Record, entry: &Entry) -> (Record, Vec<Detail>) {
    match observe(&rules(), Some(known), entry, circumstances()) {
        Step::Change { record, details } => (*record, details),
        Step::Ignore => (known.clone(), Vec::new()),
        Step::Read => panic!("a read is asked for"),
    }
}

#[test]
fn a_disable_is_told_once_and_its_end_too() {
    let off = delta(&[("userAccountControl", &["514"])]);
    let on = delta(&[("userAccountControl", &["512"])]);
    let (record, details) = told(&known("512"), &off);
    assert_eq!(details, [Detail::AccountDisabled { reason: Reason::Disabled }]);
    assert_eq!(told(&record, &off).1, []);
    let (record, details) = told(&record, &on);
    assert_eq!(details, [Detail::AccountEnabled { ended: Reason::Disabled }]);
    assert_eq!(told(&record, &on).1, []);
}

#[test]
fn who_was_disabled_at_the_baseline_is_told_when_enabled() {
    let (_, details) = told(&known("514"), &delta(&[("userAccountControl", &["512"])]));
    assert_eq!(details, [Detail::AccountEnabled { ended: Reason::Disabled }]);
}

#[test]
fn an_unrelated_change_unblocks_nobody() {
    let (_, details) = told(&known("512"), &delta(&[("title", &["Lead"])]));
    let attributes = BTreeMap::from([("title".to_owned(), vec!["Lead".to_owned()])]);
    assert_eq!(details, [Detail::modified(attributes)]);
}

#[test]
fn reading_everything_again_tells_nothing() {
    assert_eq!(
        observe(&rules(), Some(&known("512")), &alice("512"), circumstances()),
        Step::Ignore
    );
}

#[test]
fn expiry_counts_as_disabled_and_an_extension_as_enabled() {
    let (record, details) = told(&known("512"), &delta(&[("accountExpires", &["1"])]));
    assert_eq!(details, [Detail::AccountDisabled { reason: Reason::Expired }]);
    let (record, details) = told(&record, &delta(&[("userAccountControl", &["514"])]));
    assert_eq!(details, [Detail::AccountDisabled { reason: Reason::Disabled }], "another reason");
    let (record, details) = told(&record, &delta(&[("accountExpires", &["0"])]));
    assert_eq!(details, []);
    let (_, details) = told(&record, &delta(&[("userAccountControl", &["512"])]));
    assert_eq!(details, [Detail::AccountEnabled { ended: Reason::Disabled }]);
}

#[test]
fn a_password_change_is_told_and_a_toggle_is_not() {
    let changed =
        delta(&[("unicodePwd", &[]), ("supplementalCredentials", &[]), ("pwdLastSet", &["0"])]);
    let (record, details) = told(&known("512"), &changed);
    assert_eq!(details, [Detail::PasswordChanged { must_change: true }]);
    let (_, details) = told(&record, &changed);
    assert_eq!(details.len(), 1, "pwdLastSet 0 to 0 is a change too");
    let (_, details) = told(&record, &delta(&[("pwdLastSet", &["133100000000000000"])]));
    assert_eq!(details, [], "must change taken back");
    let set = [("unicodePwd", &[] as &[&str]), ("pwdLastSet", &["133200000000000000"])];
    let (record, details) = told(&record, &delta(&set));
    assert_eq!(details, [Detail::PasswordChanged { must_change: false }]);
    assert_eq!(told(&record, &delta(&set)).1, [], "the same entry, told again by the server");
    // A complete entry lists no secret attributes as changed.
    assert_eq!(told(&known("512"), &alice("512")).1, []);
}

#[test]
fn without_the_signal_a_later_password_time_has_to_do() {
    let blind = Circumstances { password_signal: false, ..circumstances() };
    let later = delta(&[("pwdLastSet", &["133100000000000000"])]);
    let Step::Change { record, details } = observe(&rules(), Some(&known("512")), &later, blind)
    else {
        panic!("told");
    };
    assert_eq!(details, [Detail::PasswordChanged { must_change: false }]);
    assert_eq!(observe(&rules(), Some(&record), &later, blind), Step::Ignore);
    let zero = delta(&[("pwdLastSet", &["0"])]);
    let Step::Change { details, .. } = observe(&rules(), Some(&record), &zero, blind) else {
        panic!("recorded");
    };
    assert_eq!(details, []);
}

#[test]
fn a_deletion_is_one_event_and_keeps_the_identity() {
    let tombstone = delta(&[
        ("isDeleted", &["TRUE"]),
        ("userPrincipalName", &[]),
        ("title", &[]),
        ("userAccountControl", &["514"]),
    ]);
    let (record, details) = told(&known("512"), &tombstone);
    assert_eq!(details, [Detail::UserDeleted]);
    assert_eq!(record.identity.user_principal_name.as_deref(), Some("alice@x"));
    assert_eq!(told(&record, &tombstone).1, []);
    assert_eq!(told(&record, &delta(&[("isRecycled", &["TRUE"])])).1, []);
}

#[test]
fn an_undelete_is_read_whole_and_told_as_enabled() {
    let (record, _) = told(&known("512"), &delta(&[("isDeleted", &["TRUE"])]));
    let undeleted = delta(&[("isDeleted", &[]), ("name", &["a"])]);
    assert_eq!(observe(&rules(), Some(&record), &undeleted, circumstances()), Step::Read);
    let (_, details) = told(&record, &alice("512"));
    assert_eq!(details, [Detail::AccountEnabled { ended: Reason::Deleted }]);
    let (_, details) = told(&record, &alice("514"));
    assert_eq!(details, [Detail::AccountDisabled { reason: Reason::Disabled }]);
}

#[test]
fn who_is_new_is_created_and_unblocks_nobody() {
    let step = observe(&rules(), None, &alice("512"), circumstances());
    let Step::Change { record, details } = step else { panic!("created") };
    let attributes = BTreeMap::from([("title".to_owned(), vec!["Engineer".to_owned()])]);
    let modified = Detail::modified(attributes);
    assert_eq!(details, [Detail::UserCreated { enabled: true }, modified]);
    assert_eq!(record.told.blocked, None);
    assert_eq!(observe(&rules(), None, &delta(&[("title", &["x"])]), circumstances()), Step::Read);
    let gone = delta(&[("isDeleted", &["TRUE"])]);
    assert_eq!(observe(&rules(), None, &gone, circumstances()), Step::Ignore);
}

#[test]
fn a_new_upn_or_anchor_is_a_rename() {
    let old = known("512");
    let (record, details) = told(&old, &delta(&[("userPrincipalName", &["alicia@x"])]));
    assert_eq!(details, [Detail::UserRenamed { previous: Box::new(old.identity.clone()) }]);
    assert_eq!(record.identity.user_principal_name.as_deref(), Some("alicia@x"));
    let (_, details) = told(&record, &delta(&[("mS-DS-ConsistencyGuid", &["0123456789abcdef"])]));
    assert_eq!(details.len(), 1);
}

#[test]
fn a_cleared_attribute_is_told_as_empty() {
    let (_, details) = told(&known("512"), &delta(&[("title", &[])]));
    let attributes = BTreeMap::from([("title".to_owned(), Vec::new())]);
    assert_eq!(details, [Detail::modified(attributes)]);
}

#[test]
fn one_change_of_everything_is_told_in_the_safe_order() {
    let all = delta(&[
        ("userPrincipalName", &["new@x"]),
        ("userAccountControl", &["512"]),
        ("unicodePwd", &[]),
        ("title", &["Lead"]),
    ]);
    let kinds: Vec<_> = told(&known("514"), &all).1.iter().map(Detail::kind).collect();
    use crate::event::Kind::*;
    assert_eq!(kinds, [UserRenamed, PasswordChanged, AccountEnabled, AttributesModified]);
}

#[test]
fn who_takes_no_part_is_recorded_and_never_told() {
    let mut rules = rules();
    rules.scope = Scope::from_config(&model::Scope {
        exclude: vec!["alice".into()],
        ..model::Scope::default()
    });
    let off = delta(&[("userAccountControl", &["514"])]);
    let step = observe(&rules, Some(&known("512")), &off, circumstances());
    let Step::Change { record, details } = step else { panic!("recorded") };
    assert_eq!(details, []);
    assert_eq!(record.told.blocked, Some(Reason::Disabled), "so a later inclusion tells no flip");
}
