//! The calls on deleted users.

use serde_json::Value;

use super::call::Call;
use super::error::GraphError;
use super::exchange::Answer;
use super::permissions as needs;
use super::properties as table;
use super::query::Query;
use super::references::identifier;
use super::roles::Action;
use super::user::User;
use super::users::entity;

/// `GET /directory/deletedItems/microsoft.graph.user`.
pub(super) fn list(call: &mut Call<'_>) -> Result<Answer, GraphError> {
    call.granted.require(needs::READ)?;
    let query = call.query_options()?;
    let users = call
        .store
        .deleted_users(call.now)
        .filter(|user| query.after.is_none_or(|after| user.id > after))
        .filter(|user| query.filter.as_ref().is_none_or(|filter| filter.matches(user)));
    Ok(Answer::json(Value::Object(call.page("directoryObjects", &query, users))))
}

/// `GET /directory/deletedItems/{id}`.
pub(super) fn get(call: &mut Call<'_>, id: &str) -> Result<Answer, GraphError> {
    call.granted.require(needs::READ)?;
    let query = call.query_options()?;
    let user = find(call, id)?;
    Ok(show(call, &user, &query))
}

/// `POST /directory/deletedItems/{id}/restore`.
pub(super) fn restore(call: &mut Call<'_>, id: &str) -> Result<Answer, GraphError> {
    call.granted.require(needs::DELETE)?;
    let user = find(call, id)?;
    call.guard(&user, Action::Sensitive)?;
    let unique = [table::UPN, table::IMMUTABLE_ID].map(|prop| (prop, user.record.get(prop)));
    if let Some(prop) = call.store.taken(unique.iter().map(|(prop, v)| (*prop, v)), None) {
        return Err(GraphError::conflict(prop.info().name));
    }
    call.store.restore(user.id);
    let user = call.find(id)?;
    Ok(show(call, &user, &Query::default()))
}

/// `DELETE /directory/deletedItems/{id}`: for good.
pub(super) fn purge(call: &mut Call<'_>, id: &str) -> Result<Answer, GraphError> {
    call.granted.require(needs::DELETE)?;
    let user = find(call, id)?;
    call.guard(&user, Action::Sensitive)?;
    call.store.purge(user.id);
    Ok(Answer::empty())
}

fn find(call: &mut Call<'_>, id: &str) -> Result<User, GraphError> {
    let user = call.store.deleted(identifier(id)?, call.now).cloned();
    let user = user.ok_or_else(|| GraphError::not_found(id))?;
    call.concerned = Some(user.id);
    Ok(user)
}

fn show(call: &Call<'_>, user: &User, query: &Query) -> Answer {
    let mut shown = entity(call.context("directoryObjects/$entity"), user, query);
    shown.insert("@odata.type".to_owned(), "#microsoft.graph.user".into());
    Answer::json(Value::Object(shown))
}
