//! The calls on members of groups.

use serde_json::{Value, json};
use uuid::Uuid;

use super::call::Call;
use super::error::GraphError;
use super::exchange::Answer;
use super::group::{Group, GroupKind};
use super::permissions as needs;
use super::references::{identifier, referenced};
use super::users;

/// `GET /groups/{id}`: what tells its kind.
pub(super) fn group(call: &mut Call<'_>, key: &str) -> Result<Answer, GraphError> {
    call.granted.require(needs::READ_MEMBERS)?;
    let kind = find(call, key)?.kind;
    let types: &[&str] = if kind == GroupKind::Dynamic { &["DynamicMembership"] } else { &[] };
    let flag = |wanted| if kind == wanted { Value::Bool(true) } else { Value::Null };
    Ok(Answer::json(json!({
        "@odata.context": call.context("groups/$entity"),
        "id": key,
        "groupTypes": types,
        "mailEnabled": kind == GroupKind::MailEnabled,
        "securityEnabled": true,
        "isAssignableToRole": flag(GroupKind::RoleAssignable),
        "onPremisesSyncEnabled": flag(GroupKind::Synced),
    })))
}

/// `GET /groups/{id}/members`.
pub(super) fn list(call: &mut Call<'_>, group: &str) -> Result<Answer, GraphError> {
    call.granted.require(needs::READ_MEMBERS)?;
    let query = call.query_options()?;
    let group = find(call, group)?;
    let members = group
        .members
        .iter()
        .filter(|id| query.after.is_none_or(|after| **id > after))
        .filter_map(|id| call.store.user(*id));
    Ok(Answer::json(Value::Object(call.page("directoryObjects", &query, members))))
}

/// `POST /groups/{id}/members/$ref`.
pub(super) fn add(call: &mut Call<'_>, group: &str) -> Result<Answer, GraphError> {
    let member = referenced(call.json()?)?;
    let id = writable(call, group)?;
    let member = call.find(&member.to_string())?.id;
    let added = call.store.groups.get_mut(&id).is_some_and(|group| group.members.insert(member));
    if added {
        Ok(Answer::empty())
    } else {
        Err(GraphError::bad_request(
            "One or more added object references already exist for the following modified \
             properties: 'members'.",
        ))
    }
}

/// `DELETE /groups/{id}/members/{key}/$ref`.
pub(super) fn remove(call: &mut Call<'_>, group: &str, key: &str) -> Result<Answer, GraphError> {
    let id = writable(call, group)?;
    let member = identifier(key)?;
    let removed = call.store.groups.get_mut(&id).is_some_and(|group| group.members.remove(&member));
    if removed { Ok(Answer::empty()) } else { Err(GraphError::not_found(key)) }
}

/// `DELETE /groups/{id}/members/{key}`: without `/$ref` it deletes the member object itself.
///
/// Source: "Remove member" of the group resource on learn.microsoft.com, which warns of it.
pub(super) fn delete_object(
    call: &mut Call<'_>,
    group: &str,
    key: &str,
) -> Result<Answer, GraphError> {
    call.granted.require(needs::DELETE)?;
    let member = identifier(key)?;
    if !find(call, group)?.members.contains(&member) {
        return Err(GraphError::not_found(key));
    }
    users::delete(call, key)
}

/// The group, if the app may change its members.
fn writable(call: &Call<'_>, key: &str) -> Result<Uuid, GraphError> {
    call.granted.require(needs::WRITE_MEMBERS)?;
    match find(call, key)?.kind {
        GroupKind::Assigned => {}
        GroupKind::RoleAssignable => call.granted.require(needs::WRITE_ROLE_GROUPS)?,
        GroupKind::MailEnabled => return Err(GraphError::denied()),
        GroupKind::Synced => return Err(GraphError::on_premises_mastered()),
        GroupKind::Dynamic => {
            return Err(GraphError::bad_request(
                "The members of a group with dynamic membership cannot be changed.",
            ));
        }
    }
    identifier(key)
}

fn find<'c>(call: &'c Call<'_>, key: &str) -> Result<&'c Group, GraphError> {
    call.store.groups.get(&identifier(key)?).ok_or_else(|| GraphError::not_found(key))
}
