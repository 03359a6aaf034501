//! One authenticated call: what it may see and do, and who serves it.

use std::time::Duration;

use axum::http::Method;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::error::GraphError;
use super::exchange::Answer;
use super::options::Options;
use super::permissions::Granted;
use super::query::{Query, next_page};
use super::resource::Resource;
use super::roles::{Action, DirectoryRole, may_act};
use super::store::Store;
use super::user::User;
use super::{assignments, deleted, members, users};

/// A call and the tenant it acts on.
pub(super) struct Call<'c> {
    pub(super) tenant: &'c Options,
    pub(super) store: &'c mut Store,
    /// Permissions in the token.
    pub(super) granted: Granted,
    /// Directory roles of the app.
    pub(super) app: &'c [DirectoryRole],
    /// The service root as the caller reached it.
    pub(super) root: String,
    /// The path under the root, as sent.
    pub(super) path: &'c str,
    pub(super) query: &'c str,
    pub(super) body: Option<&'c Value>,
    /// Whether the caller sent `ConsistencyLevel: eventual`.
    pub(super) eventual: bool,
    /// How long users created through Graph stay unseen.
    pub(super) lag: Duration,
    pub(super) now: Timestamp,
    /// The user that the call turned out to be about.
    pub(super) concerned: Option<Uuid>,
}

impl Call<'_> {
    /// Serves the call.
    pub(super) fn serve(
        &mut self,
        method: &Method,
        resource: &Resource,
    ) -> Result<Answer, GraphError> {
        match (method.as_str(), resource) {
            ("GET", Resource::Users) => users::list(self),
            ("POST", Resource::Users) => users::create(self),
            ("GET", Resource::User(key)) => users::get(self, key),
            ("PATCH", Resource::User(key)) => users::update(self, key),
            ("DELETE", Resource::User(key)) => users::delete(self, key),
            ("POST", Resource::RevokeSessions(key)) => users::revoke_sessions(self, key),
            ("GET", Resource::Manager(key)) => users::manager(self, key),
            ("GET", Resource::ManagerRef(key)) => users::manager_ref(self, key),
            ("PUT", Resource::ManagerRef(key)) => users::set_manager(self, key),
            ("DELETE", Resource::ManagerRef(key)) => users::clear_manager(self, key),
            ("GET", Resource::Group(group)) => members::group(self, group),
            ("GET", Resource::Members(group)) => members::list(self, group),
            ("POST", Resource::MembersRef(group)) => members::add(self, group),
            ("DELETE", Resource::MemberRef(group, key)) => members::remove(self, group, key),
            ("DELETE", Resource::Member(group, key)) => members::delete_object(self, group, key),
            ("GET", Resource::DeletedUsers) => deleted::list(self),
            ("GET", Resource::DeletedItem(id)) => deleted::get(self, id),
            ("DELETE", Resource::DeletedItem(id)) => deleted::purge(self, id),
            ("POST", Resource::Restore(id)) => deleted::restore(self, id),
            ("GET", Resource::Organization) => Ok(self.organization()),
            ("GET", Resource::RoleAssignments) => assignments::list(self),
            _ => Err(GraphError::method_not_allowed()),
        }
    }

    /// The query options.
    pub(super) fn query_options(&self) -> Result<Query, GraphError> {
        Query::parse(self.query, self.eventual)
    }

    /// The body, where one is needed.
    pub(super) fn json(&self) -> Result<&Value, GraphError> {
        self.body.ok_or_else(|| GraphError::malformed("Empty Payload. JSON content expected."))
    }

    /// The user with that id or principal name.
    pub(super) fn find(&self, key: &str) -> Result<User, GraphError> {
        let user = self.store.by_key(key).filter(|user| self.visible(user));
        user.cloned().ok_or_else(|| GraphError::not_found(key))
    }

    /// Whether replicas know the user already.
    pub(super) fn visible(&self, user: &User) -> bool {
        let at = self.store.created.get(&user.id);
        at.is_none_or(|at| Instant::now().saturating_duration_since(*at) >= self.lag)
    }

    /// Refuses what the app's directory roles do not allow on this target.
    pub(super) fn guard(&self, target: &User, action: Action) -> Result<(), GraphError> {
        if may_act(self.app, action, &target.roles) { Ok(()) } else { Err(GraphError::denied()) }
    }

    /// `@odata.context` with this fragment.
    pub(super) fn context(&self, fragment: &str) -> Value {
        Value::String(format!("{}/$metadata#{fragment}", self.root))
    }

    /// A page of users, which come in the order of their ids from where the page starts.
    pub(super) fn page<'u>(
        &self,
        collection: &str,
        query: &Query,
        users: impl Iterator<Item = &'u User>,
    ) -> Map<String, Value> {
        let mut users = users.peekable();
        let mut shown = Vec::new();
        let mut last = None;
        for user in users.by_ref().take(query.page()) {
            last = Some(user.id);
            let mut item = user.show(query.select.as_deref());
            if collection != "users" {
                item.insert("@odata.type".to_owned(), "#microsoft.graph.user".into());
            }
            if let Some(manager) = user.manager.filter(|_| query.managers) {
                let shown = json!({ "@odata.type": "#microsoft.graph.user", "id": manager });
                item.insert("manager".to_owned(), shown);
            }
            shown.push(Value::Object(item));
        }
        let mut page = Map::new();
        let context = self.context(&format!("{collection}{}", query.context()));
        page.insert("@odata.context".to_owned(), context);
        if let (Some(last), Some(_)) = (last, users.peek()) {
            let link = format!("{}/{}?{}", self.root, self.path, next_page(self.query, last));
            page.insert("@odata.nextLink".to_owned(), link.into());
        }
        page.insert("value".to_owned(), shown.into());
        page
    }

    /// The tenant itself: any valid token reads it, so it shows whether Graph answers at all.
    fn organization(&self) -> Answer {
        let domains: Vec<_> = self
            .tenant
            .verified_domains
            .iter()
            .enumerate()
            .map(|(place, name)| {
                json!({
                    "name": name,
                    "type": "Managed",
                    "isDefault": place == 0,
                    "isInitial": name.ends_with(".onmicrosoft.com"),
                })
            })
            .collect();
        Answer::json(json!({
            "@odata.context": self.context("organization"),
            "value": [{
                "id": self.tenant.tenant_id,
                "displayName": "Contoso",
                "verifiedDomains": domains,
            }],
        }))
    }
}
