//! `graph:`.

use std::{path::PathBuf, time::Duration};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::Tls;
use crate::config::secret::Secret;

/// How the app proves who it is to Entra.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// A client secret.
    ClientSecret,
    /// A certificate with its private key.
    Certificate,
    /// A token of another issuer, from a file.
    WorkloadIdentity,
    /// The identity of the machine in Azure.
    ManagedIdentity,
}

/// `graph:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Graph {
    /// Service root, or `sandbox`.
    pub endpoint: String,
    /// Token authority.
    pub authority: String,
    /// Tenant id or domain.
    pub tenant_id: String,
    /// Application (client) id.
    pub client_id: String,
    /// Kind of credential.
    pub credential: Credential,
    /// The client secret itself; the file is the better place.
    pub client_secret: Option<Secret>,
    /// A file that holds the client secret.
    pub client_secret_file: Option<PathBuf>,
    /// The day on which Entra ends the client secret, which only its metadata tell.
    pub client_secret_expires: Option<Date>,
    /// PEM certificate.
    pub certificate_file: Option<PathBuf>,
    /// PEM private key of the certificate.
    pub private_key_file: Option<PathBuf>,
    /// Token file of the other issuer.
    pub federated_token_file: Option<PathBuf>,
    /// Client id of a user-assigned managed identity.
    pub identity_client_id: Option<String>,
    /// Trust.
    pub tls: Tls,
    /// How much of Graph's capacity the relay may use.
    pub quota: Quota,
}

impl Graph {
    /// Whether Graph is the one that runs in this process.
    pub fn is_sandbox(&self) -> bool {
        self.endpoint == "sandbox"
    }
}

impl Default for Graph {
    fn default() -> Self {
        Graph {
            endpoint: "https://graph.microsoft.com/v1.0".into(),
            authority: "https://login.microsoftonline.com".into(),
            tenant_id: String::new(),
            client_id: String::new(),
            credential: Credential::ClientSecret,
            client_secret: None,
            client_secret_file: None,
            client_secret_expires: None,
            certificate_file: None,
            private_key_file: None,
            federated_token_file: None,
            identity_client_id: None,
            tls: Tls::default(),
            quota: Quota::default(),
        }
    }
}

/// `graph.quota:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Writes per period.
    pub writes: u32,
    /// The period.
    #[serde(with = "humantime_serde")]
    pub per: Duration,
    /// Share that only the urgent lane may use, such as `25%`.
    pub urgent_reserve: Percent,
}

impl Default for Quota {
    fn default() -> Self {
        Quota { writes: 3000, per: Duration::from_secs(150), urgent_reserve: Percent(25) }
    }
}

/// A share, written `25%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(pub u8);

impl TryFrom<String> for Percent {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = text.trim().trim_end_matches('%').trim_end();
        match number.parse() {
            Ok(share) if share <= 100 => Ok(Percent(share)),
            _ => Err("a share from 0% to 100%".into()),
        }
    }
}

impl From<Percent> for String {
    fn from(share: Percent) -> String {
        format!("{}%", share.0)
    }
}
