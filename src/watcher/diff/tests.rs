use std::sync::LazyLock;

use super::*;
use crate::config::model;

fn rules() -> Rules {
    Rules {
        upn_attribute: "userPrincipalName".into(),
        mappings: mappings(&[("jobTitle", "title"), ("businessPhones", "telephoneNumber")]),
        scope: Scope::from_config(&model::Scope::default()),
        veil: Default::default(),
        groups: Vec::new(),
        count_lockouts: false,
    }
}

fn mappings(mappings: &[(&str, &str)]) -> Mappings {
    let own = |(property, rule): &(&str, &str)| ((*property).into(), (*rule).into());
    Mappings::parse(&mappings.iter().map(own).collect()).expect("mappings")
}

fn circumstances() -> Circumstances<'static> {
    static NAMED: LazyLock<Named> = LazyLock::new(Named::default);
    static GROUPS: BTreeSet<Uuid> = BTreeSet::new();
    static REFERENCES: BTreeMap<String, Pointing> = BTreeMap::new();
    Circumstances {
        now: Timestamp::from_second(1_700_000_000).expect("in range"),
        arrival: Arrival::Created,
        password_signal: true,
        lockout_duration: None,
        named: &NAMED,
        groups: &GROUPS,
        references: &REFERENCES,
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

/// Who is excluded by name takes no part.
fn excluding() -> Rules {
    let exclude = vec!["alice".into()];
    Rules {
        scope: Scope::from_config(&model::Scope { exclude, ..model::Scope::default() }),
        ..rules()
    }
}

fn told_by(rules: &Rules, known: &Record, entry: &Entry) -> (Record, Vec<Detail>) {
    match observe(rules, Some(known), entry, circumstances()) {
        Step::Change { record, details } => (*record, details),
        Step::Ignore => (known.clone(), Vec::new()),
        Step::Read => panic!("a read is asked for"),
    }
}

fn title(value: &str) -> Detail {
    Detail::modified(BTreeMap::from([("title".to_owned(), vec![value.to_owned()])]))
}

#[test]
fn leaving_the_scope_is_told_once_and_what_follows_outside_is_not() {
    let scope_left = Detail::AccountDisabled { reason: Reason::ScopeLeft };
    let (left, details) = told_by(&excluding(), &known("512"), &delta(&[("name", &["a"])]));
    assert_eq!(details, [scope_left]);
    let outside = delta(&[("userAccountControl", &["514"]), ("title", &["Lead"])]);
    let (outside, details) = told_by(&excluding(), &left, &outside);
    assert_eq!(details, []);
    assert_eq!(outside.told.blocked, Some(Reason::ScopeLeft), "as told");
    let (_, details) = told_by(&excluding(), &left, &delta(&[("isDeleted", &["TRUE"])]));
    assert_eq!(details, [], "another's user by now");

    // Back again, whole, it is told what has become of it meanwhile.
    assert_eq!(
        observe(&rules(), Some(&left), &delta(&[("name", &["a"])]), circumstances()),
        Step::Read
    );
    let (_, details) = told(&left, &alice("512"));
    assert_eq!(details, [Detail::AccountEnabled { ended: Reason::ScopeLeft }]);
    let mut back = alice("514");
    back.attributes.insert("title".into(), vec![b"Lead".to_vec()]);
    let (_, details) = told(&outside, &back);
    assert_eq!(details, [Detail::AccountDisabled { reason: Reason::Disabled }, title("Lead")]);
}

#[test]
fn a_name_that_changed_outside_is_told_on_return() {
    let off = delta(&[("userAccountControl", &["514"])]);
    let (left, _) = told_by(&excluding(), &known("512"), &off);
    let renamed = delta(&[("userPrincipalName", &["ada@x"])]);
    let (left, details) = told_by(&excluding(), &left, &renamed);
    assert_eq!(details, []);
    let mut back = alice("512");
    back.attributes.insert("userprincipalname".into(), vec![b"ada@x".to_vec()]);
    let (inside, details) = told(&left, &back);
    let previous = Box::new(known("512").identity);
    let enabled = Detail::AccountEnabled { ended: Reason::Disabled };
    assert_eq!(details, [Detail::UserRenamed { previous }, enabled.clone()]);
    assert_eq!(told(&inside, &back).1, [], "once");
    let (_, details) = told(&left, &alice("512"));
    assert_eq!(details, [enabled], "as it was");
}

/// Else consumers look for the account to block by a name that Entra does not know.
#[test]
fn who_leaves_with_a_new_name_is_told_by_it_first() {
    let both = delta(&[("name", &["a"]), ("userPrincipalName", &["ada@x"])]);
    let (left, details) = told_by(&excluding(), &known("512"), &both);
    let renamed = Detail::UserRenamed { previous: Box::new(known("512").identity) };
    let blocked = Detail::AccountDisabled { reason: Reason::ScopeLeft };
    assert_eq!(details, [renamed, blocked]);
    let mut back = alice("512");
    back.attributes.insert("userprincipalname".into(), vec![b"ada@x".to_vec()]);
    let (_, details) = told(&left, &back);
    assert_eq!(details, [Detail::AccountEnabled { ended: Reason::ScopeLeft }], "known by it");
}

#[test]
fn who_is_disabled_and_moved_away_is_told_as_disabled() {
    let disabled = Detail::AccountDisabled { reason: Reason::Disabled };
    let off = delta(&[("userAccountControl", &["514"])]);
    let (left, details) = told_by(&excluding(), &known("512"), &off);
    assert_eq!(details, [disabled]);
    let (left, details) = told_by(&excluding(), &left, &delta(&[("userAccountControl", &["512"])]));
    assert_eq!(details, [], "outside nothing is told");
    let (_, details) = told(&left, &alice("512"));
    assert_eq!(details, [Detail::AccountEnabled { ended: Reason::Disabled }]);
}

#[test]
fn who_was_never_in_scope_comes_in_as_created_or_silently() {
    let arrival = Arrival::Baseline;
    let step =
        observe(&excluding(), None, &alice("514"), Circumstances { arrival, ..circumstances() });
    let Step::Change { record: outside, details } = step else { panic!("recorded") };
    assert_eq!((outside.part, details), (Part::None, vec![]));
    let (outside, details) =
        told_by(&excluding(), &outside, &delta(&[("userAccountControl", &["512"])]));
    assert_eq!(details, []);
    let (_, details) = told(&outside, &alice("512"));
    assert_eq!(details, [Detail::UserCreated { enabled: true }, title("Engineer")]);
    let arrival = Arrival::Rescoped;
    let rescoped = Circumstances { arrival, ..circumstances() };
    let Step::Change { record, details } =
        observe(&rules(), Some(&outside), &alice("512"), rescoped)
    else {
        panic!("recorded");
    };
    assert_eq!(details, []);
    assert_eq!(told(&record, &alice("512")).1, [], "nor is it told later");
}

#[test]
fn time_alone_blocks_and_unblocks() {
    let later = circumstances().now + jiff::SignedDuration::from_secs(10);
    let ticks = (later.as_second() + 11_644_473_600) * 10_000_000;
    let (record, details) =
        told(&known("512"), &delta(&[("accountExpires", &[&ticks.to_string()])]));
    assert_eq!((record.due(circumstances().now).next(), details), (Some(later), vec![]));
    let unchanged = Entry::unchanged(Uuid::from_u128(1), record.dn.clone());
    assert_eq!(observe(&rules(), Some(&record), &unchanged, circumstances()), Step::Ignore);
    let then = Circumstances { now: later, ..circumstances() };
    let Step::Change { details, .. } = observe(&rules(), Some(&record), &unchanged, then) else {
        panic!("expired");
    };
    assert_eq!(details, [Detail::AccountDisabled { reason: Reason::Expired }]);

    let locked = delta(&[("lockoutTime", &[&(ticks - 50_000_000).to_string()])]);
    assert_eq!(told(&known("512"), &locked).1, [], "unless asked for");
    let counted = Circumstances { lockout_duration: Some(-50_000_000), ..circumstances() };
    let Step::Change { record, details } = observe(&rules(), Some(&known("512")), &locked, counted)
    else {
        panic!("locked out");
    };
    assert_eq!(details, [Detail::AccountDisabled { reason: Reason::LockedOut }]);
    let then = Circumstances { now: later, ..counted };
    let Step::Change { details, .. } = observe(&rules(), Some(&record), &unchanged, then) else {
        panic!("over");
    };
    assert_eq!(details, [Detail::AccountEnabled { ended: Reason::LockedOut }]);
}

#[test]
fn a_flip_of_a_mapped_group_is_told_and_a_first_sight_is_not() {
    let group = Uuid::from_u128(77);
    let dn = "CN=Cloud,DC=x".to_owned();
    let rules = Rules { groups: vec![dn.clone()], ..rules() };
    let mut named = Named::default();
    named.add(&dn, group, None);
    let (member, nobody) = (BTreeSet::from([group]), BTreeSet::new());
    let look = |known: &Record, named: &Named, groups: &BTreeSet<Uuid>, entry: &Entry| match observe(
        &rules,
        Some(known),
        entry,
        Circumstances { named, groups, ..circumstances() },
    ) {
        Step::Change { record, details } => (*record, details),
        step => panic!("{step:?}"),
    };
    let unchanged = Entry::unchanged(Uuid::from_u128(1), String::new());
    let (record, details) = look(&known("512"), &named, &member, &unchanged);
    assert_eq!(details, [], "the group was not known before");
    named.establish(group);
    let (record, details) = look(&record, &named, &nobody, &unchanged);
    let changed = |member| Detail::MembershipChanged { group: dn.clone(), member };
    assert_eq!(details, [changed(false)]);
    let gone = delta(&[("isDeleted", &["TRUE"])]);
    let (deleted, details) = look(&record, &named, &member, &gone);
    assert_eq!(details, [Detail::UserDeleted], "with a deletion all is said");
    let (_, details) = look(&deleted, &named, &member, &alice("512"));
    assert_eq!(details, [Detail::AccountEnabled { ended: Reason::Deleted }, changed(true)]);
}
