//! Which Entra user a directory user is. A wrong match would hand one person's fate to another,
//! so a doubt is never decided here.

use uuid::Uuid;

use super::rules::Rules;
use crate::{
    config::model::MatchBy,
    event::{Event, Identity, Reference},
    graph::{Filter, User},
};

/// A user of the directory who is looked for in Entra.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// objectGUID.
    pub object: Uuid,
    /// How the user is known.
    pub identity: &'a Identity,
}

impl<'a> From<&'a Event> for Wanted<'a> {
    fn from(event: &'a Event) -> Wanted<'a> {
        Wanted { object: event.object, identity: &event.identity }
    }
}

impl<'a> From<&'a Reference> for Wanted<'a> {
    fn from(reference: &'a Reference) -> Wanted<'a> {
        Wanted { object: reference.object, identity: &reference.identity }
    }
}

impl Wanted<'_> {
    /// Whether a user that was matched before still is the one.
    pub fn still_is(&self, user: &User) -> bool {
        is_ours(user, &self.immutable_ids(), true)
    }

    /// Whether a deleted user was this one: by its link, or where it has none, by its name, before
    /// which Entra puts the object id when a user is deleted.
    pub fn was(&self, user: &User, upn: Option<&str>) -> bool {
        if user.immutable_id().is_some() {
            return is_ours(user, &self.immutable_ids(), false);
        }
        let prefix = user.id().replace('-', "");
        let name = user.property("userPrincipalName").as_str().unwrap_or_default();
        let name = name.strip_prefix(&prefix).unwrap_or(name);
        upn.is_some_and(|upn| upn.eq_ignore_ascii_case(name))
    }

    fn immutable_ids(&self) -> Vec<String> {
        self.identity.immutable_ids(self.object)
    }
}

/// The searches for a user, in the order in which they are tried. Keys that are not known of the
/// user are left out.
pub fn searches(wanted: Wanted<'_>, rules: &Rules) -> Vec<Filter> {
    let identity = wanted.identity;
    let filter = |key: &MatchBy| match key {
        MatchBy::ImmutableId => Some(Filter::ImmutableIds(wanted.immutable_ids())),
        MatchBy::UserPrincipalName => identity
            .user_principal_name
            .as_deref()
            .map(|upn| Filter::UserPrincipalName(rules.cloud_upn(upn))),
        MatchBy::EmployeeId => {
            let id = identity.employee_id.clone().filter(|id| !id.trim().is_empty());
            id.map(Filter::EmployeeId)
        }
    };
    rules.match_by.iter().filter_map(filter).collect()
}

/// What a search came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Match {
    /// This user.
    Found(Box<User>),
    /// Nobody.
    Nobody,
    /// Only users that are linked to other directory objects.
    Foreign,
    /// So many users.
    Several(usize),
}

/// Judges the users that a search found. One that is linked to another directory object is never
/// ours, whatever else agrees: names and numbers of leavers are used again. Graph compares without
/// regard to case, which base64 does not allow, so links are compared here.
pub fn judge(filter: &Filter, found: Vec<User>, wanted: Wanted<'_>) -> Match {
    let ours = wanted.immutable_ids();
    let any = !found.is_empty();
    let by_link = matches!(filter, Filter::ImmutableIds(_));
    let mut users: Vec<_> =
        found.into_iter().filter(|user| is_ours(user, &ours, !by_link)).collect();
    match (users.pop(), users.len()) {
        (Some(user), 0) => Match::Found(Box::new(user)),
        (Some(_), others) => Match::Several(others + 1),
        (None, _) if any && !by_link => Match::Foreign,
        (None, _) => Match::Nobody,
    }
}

fn is_ours(user: &User, ours: &[String], unlinked: bool) -> bool {
    user.immutable_id().map_or(unlinked, |id| ours.iter().any(|our| our == id))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::{
        config::model::Apply,
        event::{Detail, Identity},
    };

    fn event(identity: Identity) -> Event {
        let object = Uuid::from_u128(7);
        Event::new("ldap:///dc=x", object, 1, Timestamp::UNIX_EPOCH, identity, Detail::UserDeleted)
    }

    fn user(id: &str, immutable_id: Option<&str>) -> User {
        serde_json::from_value(json!({ "id": id, "onPremisesImmutableId": immutable_id }))
            .expect("user")
    }

    #[test]
    fn keys_are_tried_in_the_configured_order_as_far_as_the_event_has_them() {
        let apply = Apply {
            match_by: vec![MatchBy::EmployeeId, MatchBy::UserPrincipalName, MatchBy::ImmutableId],
            upn_suffixes: [("corp.local".into(), "contoso.com".into())].into(),
            ..Apply::default()
        };
        let rules = Rules::new(&apply, &[]).expect("rules");
        let named = event(Identity {
            user_principal_name: Some("alice@corp.local".into()),
            ..Identity::default()
        });
        assert_eq!(
            searches((&named).into(), &rules),
            [
                Filter::UserPrincipalName("alice@contoso.com".into()),
                Filter::ImmutableIds(named.immutable_ids()),
            ]
        );
        let numbered = event(Identity { employee_id: Some("7".into()), ..Identity::default() });
        assert_eq!(searches((&numbered).into(), &rules)[0], Filter::EmployeeId("7".into()));
    }

    #[test]
    fn another_key_counts_only_where_the_link_is_empty_or_ours() {
        let event = event(Identity::default());
        let ours = event.immutable_ids().remove(0);
        let name = Filter::UserPrincipalName("alice@x".into());
        let judge = |users: Vec<User>| judge(&name, users, (&event).into());
        let found = |id, link| Match::Found(Box::new(user(id, link)));
        assert_eq!(judge(vec![user("1", None)]), found("1", None));
        assert_eq!(judge(vec![user("1", Some(&ours))]), found("1", Some(&ours)));
        assert_eq!(judge(vec![user("1", Some("other"))]), Match::Foreign);
        assert_eq!(judge(vec![]), Match::Nobody);
        assert_eq!(judge(vec![user("1", None), user("2", Some(&ours))]), Match::Several(2));
        let leaver_and_newcomer = vec![user("1", Some("other")), user("2", None)];
        assert_eq!(judge(leaver_and_newcomer), found("2", None));
    }

    #[test]
    fn links_are_compared_exactly() {
        let event = event(Identity::default());
        let ours = event.immutable_ids();
        let filter = Filter::ImmutableIds(ours.clone());
        let wanted = Wanted::from(&event);
        let other_case = user("1", Some(&ours[0].to_lowercase()));
        assert_eq!(judge(&filter, vec![other_case.clone()], wanted), Match::Nobody);
        assert!(!wanted.still_is(&other_case));
        assert!(wanted.still_is(&user("1", Some(&ours[0]))));
        let twice = vec![user("1", Some(&ours[0])), user("2", Some(&ours[0]))];
        assert_eq!(judge(&filter, twice, wanted), Match::Several(2));
    }

    #[test]
    fn the_deleted_are_known_by_link_and_the_unlinked_by_name() {
        let event = event(Identity::default());
        let (wanted, ours) = (Wanted::from(&event), event.immutable_ids().remove(0));
        let upn = Some("alice@x");
        assert!(wanted.was(&user("1", Some(&ours)), None));
        assert!(!wanted.was(&user("1", Some("other")), upn));
        assert!(!wanted.was(&user("1", None), None));
        let named = |name: &str| {
            let json = json!({ "id": "a-b", "userPrincipalName": name });
            serde_json::from_value(json).expect("user")
        };
        assert!(wanted.was(&named("abALICE@x"), upn));
        assert!(wanted.was(&named("alice@x"), upn));
        assert!(!wanted.was(&named("malice@x"), upn));
    }
}
