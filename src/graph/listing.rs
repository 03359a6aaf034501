//! Everybody in the tenant, page by page.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::sleep;
use url::Url;

use super::{
    client::{GraphClient, query_value},
    error::GraphError,
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
struct Page {
    value: Vec<User>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
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
    /// A page of all users, with the properties of `select` (see [`User::select`]): the first one
    /// where `page` is none. What may yet succeed is tried again.
    pub async fn list_users(
        &self,
        select: &str,
        page: Option<NextPage>,
    ) -> Result<(Vec<User>, Option<NextPage>), GraphError> {
        let url = page.map_or_else(
            || {
                let mut url = self.url(&["users"]);
                url.set_query(Some(&format!("$top={PAGE}&$select={}", query_value(select))));
                url
            },
            |page| page.0,
        );
        let page: Page = self.patiently(url).await?;
        let next = page.next.and_then(|url| Url::parse(&url).ok()).filter(|url| self.is_own(url));
        Ok((page.value, next.map(NextPage)))
    }

    /// The domains that names of users can end with, in lower case.
    pub async fn verified_domains(&self) -> Result<Vec<String>, GraphError> {
        let mut url = self.url(&["organization"]);
        url.set_query(Some("$select=verifiedDomains"));
        let found: Organizations = self.patiently(url).await?;
        let domains = found.value.into_iter().flat_map(|one| one.verified_domains);
        Ok(domains.map(|domain| domain.name.to_lowercase()).collect())
    }

    async fn patiently<T: serde::de::DeserializeOwned>(&self, url: Url) -> Result<T, GraphError> {
        let mut failures = 0;
        loop {
            match self.get(Operation::ListUsers, url.clone()).await {
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
