//! Everybody in the tenant, or in one of its groups, page by page.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::sleep;
use url::Url;

use super::{
    client::{GraphClient, query_value},
    error::{ErrorKind, GraphError},
    operation::Operation,
    retry,
    user::User,
};

/// The most users on a page (Graph, List users, `$top`).
const PAGE: usize = 999;

/// Where a listing goes on.
#[derive(Debug, Clone)]
pub struct NextPage(Url);

#[derive(Deserialize)]
struct Page<T> {
    value: Vec<T>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoleAssignment {
    principal_id: String,
}

#[derive(Deserialize)]
struct Organizations {
    value: Vec<Organization>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Organization {
    #[serde(default)]
    verified_domains: Vec<Domain>,
}

#[derive(Deserialize)]
struct Domain {
    name: String,
}

impl GraphClient {
    /// A page of all users, with the properties of `select` (see [`User::select`]) and, where that
    /// is wanted, the object id of their managers: the first one where `page` is none. What may yet
    /// succeed is tried again.
    pub async fn list_users(
        &self,
        select: &str,
        managers: bool,
        page: Option<NextPage>,
    ) -> Result<(Vec<User>, Option<NextPage>), GraphError> {
        let url = page.map_or_else(
            || {
                let mut url = self.url(&["users"]);
                let expand = if managers { "&$expand=manager($select=id)" } else { "" };
                let select = query_value(select);
                url.set_query(Some(&format!("$top={PAGE}&$select={select}{expand}")));
                url
            },
            |page| page.0,
        );
        self.page(Operation::ListUsers, url).await
    }

    /// A page of a group's direct members, as [`GraphClient::list_users`]; only ids are read.
    pub async fn list_members(
        &self,
        group: &str,
        page: Option<NextPage>,
    ) -> Result<(Vec<User>, Option<NextPage>), GraphError> {
        let url = page.map_or_else(
            || {
                let mut url = self.url(&["groups", group, "members"]);
                url.set_query(Some(&format!("$top={PAGE}&$select=id")));
                url
            },
            |page| page.0,
        );
        self.page(Operation::ReadGroup, url).await
    }

    /// The object ids of those who hold a directory role themselves; none where the app may not
    /// read that, which takes `RoleManagement.Read.Directory` (Graph, List unifiedRoleAssignments).
    pub async fn role_holders(&self) -> Result<Option<BTreeSet<String>>, GraphError> {
        let mut url = self.url(&["roleManagement", "directory", "roleAssignments"]);
        url.set_query(Some("$select=principalId"));
        let (mut holders, mut next) = (BTreeSet::new(), Some(NextPage(url)));
        while let Some(NextPage(url)) = next {
            let page = match self.page::<RoleAssignment>(Operation::ListUsers, url).await {
                Err(error) if matches!(error.kind, ErrorKind::Forbidden) => return Ok(None),
                page => page?,
            };
            holders.extend(page.0.into_iter().map(|assignment| assignment.principal_id));
            next = page.1;
        }
        Ok(Some(holders))
    }

    /// The domains that names of users can end with, in lower case.
    pub async fn verified_domains(&self) -> Result<Vec<String>, GraphError> {
        let mut url = self.url(&["organization"]);
        url.set_query(Some("$select=verifiedDomains"));
        let found: Organizations = self.patiently(Operation::ListUsers, url).await?;
        let domains = found.value.into_iter().flat_map(|one| one.verified_domains);
        Ok(domains.map(|domain| domain.name.to_lowercase()).collect())
    }

    async fn page<T: DeserializeOwned>(
        &self,
        operation: Operation,
        url: Url,
    ) -> Result<(Vec<T>, Option<NextPage>), GraphError> {
        let Page { value, next } = self.patiently(operation, url).await?;
        let next = self.next_page(operation, next.as_deref())?;
        Ok((value, next.map(NextPage)))
    }

    async fn patiently<T: DeserializeOwned>(
        &self,
        operation: Operation,
        url: Url,
    ) -> Result<T, GraphError> {
        let mut failures = 0;
        loop {
            match self.get(operation, url.clone()).await {
                Ok(found) => return Ok(found),
                Err(error) => {
                    failures += 1;
                    match retry::next(&error.kind, failures) {
                        retry::Next::GiveUp => return Err(error),
                        retry::Next::After(wait) => {
                            sleep(wait.max(Duration::from_millis(500))).await;
                        }
                    }
                }
            }
        }
    }
}
