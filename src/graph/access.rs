//! What the app may do, as its token says: no permission is needed to know that.

use std::collections::BTreeSet;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::header::HeaderValue;
use serde::Deserialize;

use super::{client::GraphClient, error::GraphError};

/// The claims of a token that grant something (Microsoft identity platform, access token claims
/// reference).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Access {
    /// Application permissions with admin consent, such as `User.Read.All`.
    #[serde(rename = "roles")]
    pub permissions: BTreeSet<String>,
    /// Template ids of the tenant-wide directory roles of the app; none where the token does not
    /// tell.
    #[serde(rename = "wids")]
    pub directory_roles: Option<BTreeSet<String>>,
}

impl Access {
    /// Reads the payload of a token. None where it cannot be read: a token is opaque by contract.
    pub(super) fn of(header: &HeaderValue) -> Option<Access> {
        let token = header.to_str().ok()?.strip_prefix("Bearer ")?;
        let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        serde_json::from_slice(&payload).ok()
    }

    /// Whether every one of these permissions is granted.
    pub fn has(&self, permissions: &[&str]) -> bool {
        permissions.iter().all(|name| self.permissions.contains(*name))
    }
}

impl GraphClient {
    /// What the app may do; none where its token cannot be read.
    pub async fn access(&self) -> Result<Option<Access>, GraphError> {
        Ok(Access::of(&self.token().await?.header))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(payload: &str) -> Option<Access> {
        let payload = BASE64_URL_SAFE_NO_PAD.encode(payload);
        Access::of(&HeaderValue::try_from(format!("Bearer e30.{payload}.sig")).expect("a header"))
    }

    #[test]
    fn a_token_tells_what_it_grants_or_is_opaque() {
        let told = access(r#"{"aud":"x","roles":["User.Read.All","B"],"exp":1}"#).expect("read");
        assert!(told.has(&["User.Read.All", "B"]) && !told.has(&["B", "C"]));
        assert_eq!(told.directory_roles, None);
        let told = access(r#"{"wids":["a"]}"#).expect("read");
        assert_eq!(
            (told.permissions.len(), told.directory_roles.map(|ids| ids.len())),
            (0, Some(1))
        );
        assert_eq!(access("no json"), None);
        assert_eq!(Access::of(&HeaderValue::from_static("Bearer opaque")), None);
    }
}
