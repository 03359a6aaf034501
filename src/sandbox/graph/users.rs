//! The calls on users.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::call::Call;
use super::changes::Changes;
use super::error::GraphError;
use super::exchange::Answer;
use super::permissions::{self as needs, BASIC_PROPERTIES};
use super::properties as table;
use super::query::Query;
use super::references::referenced;
use super::roles::Action;
use super::update;
use super::user::{NewUser, User, seconds};

/// `GET /users`.
pub(super) fn list(call: &mut Call<'_>) -> Result<Answer, GraphError> {
    let query = call.query_options()?;
    may_read(call, &query)?;
    let passes = |user: &&User| {
        call.visible(user) && query.filter.as_ref().is_none_or(|filter| filter.matches(user))
    };
    let candidates = query.filter.as_ref().and_then(|filter| filter.candidates(call.store));
    let all = |after: Option<Uuid>| -> Box<dyn Iterator<Item = &User> + '_> {
        match &candidates {
            None => Box::new(call.store.users_after(after).filter(passes)),
            Some(ids) => Box::new(
                ids.iter()
                    .filter(move |id| after.is_none_or(|after| **id > after))
                    .filter_map(|id| call.store.user(*id))
                    .filter(passes),
            ),
        }
    };
    let mut page = call.page("users", &query, all(query.after));
    if query.count && query.after.is_none() {
        page.insert("@odata.count".to_owned(), all(None).count().into());
    }
    Ok(Answer::json(Value::Object(page)))
}

/// `GET /users/{key}`.
pub(super) fn get(call: &mut Call<'_>, key: &str) -> Result<Answer, GraphError> {
    let query = call.query_options()?;
    may_read(call, &query)?;
    let user = call.find(key)?;
    let context = call.context(&format!("users{}/$entity", query.context()));
    let mut shown = entity(context, &user, &query);
    if query.select.is_none() {
        let tip = "Use $select to choose only the properties your app needs.";
        shown.insert("@microsoft.graph.tips".to_owned(), tip.into());
    }
    Ok(Answer::json(Value::Object(shown)))
}

/// `POST /users`.
pub(super) fn create(call: &mut Call<'_>) -> Result<Answer, GraphError> {
    call.granted.require(needs::CREATE)?;
    let changes = Changes::read(call.json()?)?;
    for prop in [table::ACCOUNT_ENABLED, table::DISPLAY_NAME, table::MAIL_NICKNAME, table::UPN] {
        changes.get(prop).ok_or_else(|| missing(prop.info().name))?;
    }
    if changes.password.as_ref().is_none_or(|password| password.value.is_none()) {
        return Err(missing("passwordProfile"));
    }
    update::check_values(call, &changes, None)?;

    let upn = changes.get(table::UPN).and_then(Value::as_str).unwrap_or_default();
    let now = Value::from(seconds(call.now));
    let mut user = NewUser::new(upn).build();
    user.record.set([
        (table::CREATED, now.clone()),
        (table::SESSIONS_VALID_FROM, now),
        (table::USER_TYPE, "Member".into()),
    ]);
    update::apply(&mut user, changes, call.now);
    call.concerned = Some(user.id);
    if !call.lag.is_zero() {
        call.store.created.insert(user.id, tokio::time::Instant::now());
    }
    let shown = entity(call.context("users/$entity"), &user, &Query::default());
    call.store.insert(user);
    Ok(Answer::created(Value::Object(shown)))
}

/// `PATCH /users/{key}`: all of it or nothing.
pub(super) fn update(call: &mut Call<'_>, key: &str) -> Result<Answer, GraphError> {
    let changes = Changes::read(call.json()?)?;
    for area in changes.areas() {
        call.granted.require(needs::to_update(area))?;
    }
    let user = call.find(key)?;
    if changes.props().any(|prop| prop.info().sensitive && prop != table::PASSWORD_PROFILE) {
        call.guard(&user, Action::Sensitive)?;
    }
    if changes.password.is_some() {
        call.guard(&user, Action::Password)?;
    }
    update::check_source(call.tenant.rules, &user, &changes)?;
    update::check_values(call, &changes, Some(user.id))?;
    let now = call.now;
    call.store.update(user.id, |user| update::apply(user, changes, now));
    Ok(Answer::empty())
}

/// `DELETE /users/{key}`: to the deleted items.
pub(super) fn delete(call: &mut Call<'_>, key: &str) -> Result<Answer, GraphError> {
    call.granted.require(needs::DELETE)?;
    let user = call.find(key)?;
    call.guard(&user, Action::Sensitive)?;
    call.store.delete(user.id, call.now);
    Ok(Answer::empty())
}

/// `POST /users/{key}/revokeSignInSessions`.
pub(super) fn revoke_sessions(call: &mut Call<'_>, key: &str) -> Result<Answer, GraphError> {
    call.granted.require(needs::REVOKE)?;
    let user = call.find(key)?;
    if call.tenant.rules.revoke_needs_role && !user.roles.is_empty() {
        call.guard(&user, Action::Password)?;
    }
    let now = Value::from(seconds(call.now));
    call.store.update(user.id, |user| user.record.set([(table::SESSIONS_VALID_FROM, now)]));
    let mut answer = Map::new();
    answer.insert("@odata.context".to_owned(), call.context("Edm.Boolean"));
    answer.insert("value".to_owned(), Value::Bool(true));
    Ok(Answer::json(Value::Object(answer)))
}

/// `GET /users/{key}/manager`.
pub(super) fn manager(call: &mut Call<'_>, key: &str) -> Result<Answer, GraphError> {
    let query = call.query_options()?;
    may_read(call, &query)?;
    let manager = manager_of(call, key)?;
    let mut shown = entity(call.context("directoryObjects/$entity"), &manager, &query);
    shown.insert("@odata.type".to_owned(), "#microsoft.graph.user".into());
    Ok(Answer::json(Value::Object(shown)))
}

/// `GET /users/{key}/manager/$ref`.
pub(super) fn manager_ref(call: &mut Call<'_>, key: &str) -> Result<Answer, GraphError> {
    call.granted.require(needs::READ)?;
    let manager = manager_of(call, key)?;
    let mut answer = Map::new();
    answer.insert("@odata.context".to_owned(), call.context("$ref"));
    let link =
        format!("{}/directoryObjects/{}/Microsoft.DirectoryServices.User", call.root, manager.id);
    answer.insert("@odata.id".to_owned(), link.into());
    Ok(Answer::json(Value::Object(answer)))
}

/// `PUT /users/{key}/manager/$ref`.
pub(super) fn set_manager(call: &mut Call<'_>, key: &str) -> Result<Answer, GraphError> {
    call.granted.require(needs::MANAGER)?;
    let manager = referenced(call.json()?)?;
    let user = call.find(key)?;
    refuse_synced(&user)?;
    let manager = call.find(&manager.to_string())?.id;
    call.store.update(user.id, |user| user.manager = Some(manager));
    Ok(Answer::empty())
}

/// `DELETE /users/{key}/manager/$ref`.
pub(super) fn clear_manager(call: &mut Call<'_>, key: &str) -> Result<Answer, GraphError> {
    call.granted.require(needs::MANAGER)?;
    let user = call.find(key)?;
    refuse_synced(&user)?;
    manager_of(call, key)?;
    call.store.update(user.id, |user| user.manager = None);
    Ok(Answer::empty())
}

fn manager_of(call: &Call<'_>, key: &str) -> Result<User, GraphError> {
    let manager = call.find(key)?.manager.ok_or_else(|| GraphError::not_found("manager"))?;
    call.find(&manager.to_string())
}

fn refuse_synced(user: &User) -> Result<(), GraphError> {
    if user.synced() == Some(true) { Err(GraphError::on_premises_mastered()) } else { Ok(()) }
}

/// Refuses reads that the permissions do not cover: with the basic ones, what is read must be
/// selected and basic.
fn may_read(call: &Call<'_>, query: &Query) -> Result<(), GraphError> {
    let basic = query
        .select
        .as_ref()
        .is_some_and(|props| props.iter().all(|prop| BASIC_PROPERTIES.contains(&prop.info().name)));
    if basic && call.granted.allow(needs::READ_BASIC) {
        return Ok(());
    }
    call.granted.require(needs::READ)
}

pub(super) fn entity(context: Value, user: &User, query: &Query) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("@odata.context".to_owned(), context);
    shown.extend(user.show(query.select.as_deref()));
    shown
}

fn missing(property: &str) -> GraphError {
    GraphError::bad_request(format!(
        "A value is required for property '{property}' of resource 'User'."
    ))
}
