//! What the relay asks of Graph about groups.
//!
//! A membership is named by `/$ref`, always: without it, a DELETE is about the member itself and
//! would delete the user ("Remove member", Microsoft Graph v1.0 reference of the group resource).

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    client::{GraphClient, query_value},
    error::{ErrorKind, GraphError},
    operation::Operation,
    users::Accepted,
};

/// What decides whether members of a group can be added and removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Group {
    /// `DynamicMembership`, `Unified`.
    group_types: Vec<String>,
    on_premises_sync_enabled: Option<bool>,
    is_assignable_to_role: Option<bool>,
    mail_enabled: Option<bool>,
}

/// Why the members of a group are not ours to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// They follow from a rule.
    Dynamic,
    /// A directory-sync tool masters them.
    Synced,
    /// It grants a directory role: who is in a group of the directory must not decide that.
    RoleAssignable,
    /// A distribution list or mail-enabled security group, which Exchange manages.
    MailEnabled,
}

impl Group {
    /// Why its members cannot be changed, if so.
    pub fn closed(&self) -> Option<Closed> {
        let is = |kind: &str| self.group_types.iter().any(|own| own.eq_ignore_ascii_case(kind));
        if self.is_assignable_to_role == Some(true) {
            Some(Closed::RoleAssignable)
        } else if self.on_premises_sync_enabled == Some(true) {
            Some(Closed::Synced)
        } else if is("DynamicMembership") {
            Some(Closed::Dynamic)
        } else if self.mail_enabled == Some(true) && !is("Unified") {
            Some(Closed::MailEnabled)
        } else {
            None
        }
    }
}

impl GraphClient {
    /// A group by its object id.
    pub async fn read_group(&self, id: &str) -> Result<Group, GraphError> {
        let mut url = self.url(&["groups", id]);
        let select = "id,groupTypes,onPremisesSyncEnabled,isAssignableToRole,mailEnabled";
        url.set_query(Some(&format!("$select={}", query_value(select))));
        self.get(Operation::ReadGroup, url).await
    }

    /// Adds a user to a group; who is a member already stays one.
    pub async fn add_member(&self, group: &str, user: &str) -> Result<Accepted, GraphError> {
        let body = json!({ "@odata.id": self.url(&["directoryObjects", user]).as_str() });
        let segments = ["groups", group, "members", "$ref"];
        match self.write(Operation::AddMember, Method::POST, &segments, Some(&body)).await {
            // The code is the one of every bad request.
            Err(error) if error.status == Some(400) && error.message.contains("already exist") => {
                Ok(Accepted { request_id: error.request_id })
            }
            result => result,
        }
    }

    /// Removes a user from a group; who is no member stays none.
    pub async fn remove_member(&self, group: &str, user: &str) -> Result<Accepted, GraphError> {
        let segments = ["groups", group, "members", user, "$ref"];
        match self.write(Operation::RemoveMember, Method::DELETE, &segments, None).await {
            Err(error) if error.kind == ErrorKind::NotFound => {
                Ok(Accepted { request_id: error.request_id })
            }
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn groups_that_others_manage_are_closed() {
        let closed = |json: Value| serde_json::from_value::<Group>(json).expect("group").closed();
        let unified = json!({ "groupTypes": ["Unified"], "mailEnabled": true });
        assert_eq!(closed(unified), None);
        assert_eq!(closed(json!({ "onPremisesSyncEnabled": null, "groupTypes": [] })), None);
        let dynamic = json!({ "groupTypes": ["Unified", "DynamicMembership"] });
        assert_eq!(closed(dynamic), Some(Closed::Dynamic));
        assert_eq!(closed(json!({ "onPremisesSyncEnabled": true })), Some(Closed::Synced));
        assert_eq!(closed(json!({ "isAssignableToRole": true })), Some(Closed::RoleAssignable));
        assert_eq!(closed(json!({ "mailEnabled": true })), Some(Closed::MailEnabled));
    }
}
