//! What the relay asks of Graph about users.

use std::fmt::Write;

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    client::{GraphClient, query_value, read},
    error::{ErrorKind, GraphError},
    operation::Operation,
    password,
    user::User,
};

/// How many pages of a search are read at most. Our searches have at most a few results, but a
/// page may be empty and still have a successor.
const MAX_PAGES: usize = 10;

/// How many pages of deleted users are read at most: 30 days of a large tenant.
const MAX_DELETED_PAGES: usize = 100;

/// How a user is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// `onPremisesImmutableId` is one of these.
    ImmutableIds(Vec<String>),
    /// `userPrincipalName`.
    UserPrincipalName(String),
    /// `employeeId`.
    EmployeeId(String),
}

impl Filter {
    /// The value of `$filter`.
    fn odata(&self) -> String {
        match self {
            Filter::ImmutableIds(ids) => ids.iter().fold(String::new(), |mut filter, id| {
                let or = if filter.is_empty() { "" } else { " or " };
                let _infallible = write!(filter, "{or}onPremisesImmutableId eq {}", literal(id));
                filter
            }),
            Filter::UserPrincipalName(name) => format!("userPrincipalName eq {}", literal(name)),
            Filter::EmployeeId(id) => format!("employeeId eq {}", literal(id)),
        }
    }
}

/// A string literal of OData (URL conventions, section 5.1.1.6.1): quotes are doubled.
fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// What Graph says to a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Its `request-id`.
    pub request_id: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    value: Vec<User>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

impl GraphClient {
    /// The users that a filter finds, with the properties of `select` (see [`User::select`]).
    pub async fn find_users(&self, filter: &Filter, select: &str) -> Result<Vec<User>, GraphError> {
        let mut url = self.url(&["users"]);
        let filter = query_value(&filter.odata());
        url.set_query(Some(&format!("$filter={filter}&$select={}", query_value(select))));
        self.pages(Operation::FindUsers, url, MAX_PAGES).await
    }

    /// One user by its object id.
    pub async fn read_user(&self, id: &str, select: &str) -> Result<User, GraphError> {
        let mut url = self.url(&["users", id]);
        url.set_query(Some(&format!("$select={}", query_value(select))));
        self.get(Operation::ReadUser, url).await
    }

    /// Allows or blocks sign-in. Sent alone: beside other properties, one missing permission
    /// would fail both.
    pub async fn set_enabled(&self, id: &str, enabled: bool) -> Result<Accepted, GraphError> {
        let body = json!({ "accountEnabled": enabled });
        self.write(Operation::SetEnabled, Method::PATCH, &["users", id], Some(&body)).await
    }

    /// Sets properties; those that are not named keep their values.
    pub async fn update_user(
        &self,
        id: &str,
        properties: &Map<String, Value>,
    ) -> Result<Accepted, GraphError> {
        let body = Value::Object(properties.clone());
        self.write(Operation::UpdateUser, Method::PATCH, &["users", id], Some(&body)).await
    }

    /// Ends the refresh tokens and browser sessions that the user has now. Access tokens that are
    /// out live on until they expire.
    pub async fn revoke_sessions(&self, id: &str) -> Result<Accepted, GraphError> {
        let segments = ["users", id, "revokeSignInSessions"];
        self.write(Operation::RevokeSessions, Method::POST, &segments, None).await
    }

    /// Deletes a user; it can be restored for 30 days.
    pub async fn delete_user(&self, id: &str) -> Result<Accepted, GraphError> {
        self.write(Operation::DeleteUser, Method::DELETE, &["users", id], None).await
    }

    /// Asks for something that concerns no user and no write limit: whether Graph answers, and
    /// whether it takes our token.
    pub async fn probe(&self) -> Result<(), GraphError> {
        self.clock().await.map(drop)
    }

    /// As [`GraphClient::probe`]; returns what time it is by Graph's clock, where it tells.
    pub async fn clock(&self) -> Result<Option<Timestamp>, GraphError> {
        let mut url = self.url(&["organization"]);
        url.set_query(Some("$select=id"));
        Ok(self.call(Operation::Probe, Method::GET, url, None).await?.date)
    }

    /// Creates a user with a password that nobody knows. The properties must hold what Graph
    /// requires: `accountEnabled`, `displayName`, `mailNickname`, `userPrincipalName`. Reads may
    /// not show the user for some seconds.
    pub async fn create_user(&self, properties: &Map<String, Value>) -> Result<User, GraphError> {
        let mut body = properties.clone();
        let password = password::random();
        body.insert("passwordProfile".into(), json!({ "password": password.as_str() }));
        let body = Value::Object(body);
        let url = self.url(&["users"]);
        let reply = self.call(Operation::CreateUser, Method::POST, url, Some(&body)).await?;
        read(Operation::CreateUser, reply)
    }

    /// The users that were deleted and can be restored, with the properties of `select`.
    pub async fn deleted_users(&self, select: &str) -> Result<Vec<User>, GraphError> {
        let mut url = self.url(&["directory", "deletedItems", "microsoft.graph.user"]);
        url.set_query(Some(&format!("$select={}&$top=999", query_value(select))));
        self.pages(Operation::FindDeleted, url, MAX_DELETED_PAGES).await
    }

    /// Restores a deleted user.
    pub async fn restore_user(&self, id: &str) -> Result<Accepted, GraphError> {
        let segments = ["directory", "deletedItems", id, "restore"];
        self.write(Operation::RestoreUser, Method::POST, &segments, None).await
    }

    /// The object id of a user's manager.
    pub async fn manager(&self, id: &str) -> Result<Option<String>, GraphError> {
        let mut url = self.url(&["users", id, "manager"]);
        url.set_query(Some("$select=id"));
        match self.get::<User>(Operation::ReadManager, url).await {
            Ok(manager) => Ok(Some(manager.id().to_owned())),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets or clears a user's manager.
    pub async fn set_manager(
        &self,
        id: &str,
        manager: Option<&str>,
    ) -> Result<Accepted, GraphError> {
        let segments = ["users", id, "manager", "$ref"];
        let Some(manager) = manager else {
            return match self.write(Operation::SetManager, Method::DELETE, &segments, None).await {
                Err(error) if error.kind == ErrorKind::NotFound => Ok(Accepted::default()),
                result => result,
            };
        };
        let body = json!({ "@odata.id": self.url(&["users", manager]).as_str() });
        self.write(Operation::SetManager, Method::PUT, &segments, Some(&body)).await
    }

    async fn pages(
        &self,
        operation: Operation,
        url: Url,
        most: usize,
    ) -> Result<Vec<User>, GraphError> {
        let mut found = Vec::new();
        let mut next = Some(url);
        for _ in 0..most {
            let Some(url) = next else { break };
            let page: Page = self.get(operation, url).await?;
            found.extend(page.value);
            next = self.next_page(operation, page.next.as_deref())?;
        }
        Ok(found)
    }

    pub(super) async fn write(
        &self,
        operation: Operation,
        method: Method,
        segments: &[&str],
        body: Option<&Value>,
    ) -> Result<Accepted, GraphError> {
        let reply = self.call(operation, method, self.url(segments), body).await?;
        Ok(Accepted { request_id: reply.request_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_quote_their_values() {
        let ids = Filter::ImmutableIds(vec!["a+/=".into(), "b".into()]);
        assert_eq!(ids.odata(), "onPremisesImmutableId eq 'a+/=' or onPremisesImmutableId eq 'b'");
        let name = Filter::UserPrincipalName("o'hara' or 'x@y".into());
        assert_eq!(name.odata(), "userPrincipalName eq 'o''hara'' or ''x@y'");
        assert_eq!(Filter::EmployeeId("7".into()).odata(), "employeeId eq '7'");
    }
}
