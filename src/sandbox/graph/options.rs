//! How a simulated tenant is set up.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::permissions::RELAY_PERMISSIONS;
use super::roles::DirectoryRole;

/// The tenant, the relay's app registration in it, and limits.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; by default a free port on loopback.
    pub listen: SocketAddr,
    /// The tenant's GUID.
    pub tenant_id: String,
    /// The domains user principal names may have; the first is the default one. Tokens can be
    /// asked for by domain too.
    pub verified_domains: Vec<String>,
    /// The app registration's client id.
    pub client_id: String,
    /// Its client secret.
    pub client_secret: String,
    /// Its certificates, in DER form.
    pub certificates: Vec<Vec<u8>>,
    /// Whose tokens stand for its secret.
    pub federation: Option<Federation>,
    /// Application permissions it was granted; by default those the relay needs.
    pub app_roles: Vec<String>,
    /// Directory roles of its service principal; by default User Administrator, without which
    /// Graph takes no password from an application.
    pub directory_roles: Vec<DirectoryRole>,
    /// How long a token is valid.
    pub token_lifetime: Duration,
    /// Added to every answer of Graph.
    pub latency: Duration,
    /// Writes per period before Graph throttles, 3000 per 150 s in the cloud; with it, resource
    /// units are limited too. None: no throttling.
    pub write_limit: Option<(u32, Duration)>,
    /// Most requests kept in the log; older ones are dropped.
    pub log_limit: usize,
    /// What Microsoft's documentation leaves open.
    pub rules: Rules,
}

/// A federated identity credential: an issuer that the app trusts for one of its subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Federation {
    /// `iss` of its tokens.
    pub issuer: String,
    /// `sub` of its tokens.
    pub subject: String,
}

/// Behaviour that is not documented, or documented both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether `accountEnabled` of a synced user can be written.
    pub synced_account_enabled: bool,
    /// Whether `passwordProfile` of a synced user can be written.
    pub synced_password: bool,
    /// Whether revoking the sessions of an admin takes a directory role, as a password does.
    pub revoke_needs_role: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { synced_account_enabled: true, synced_password: true, revoke_needs_role: false }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            tenant_id: "3f0c1a52-6f0e-4b7c-9d6e-5a1b2c3d4e5f".to_owned(),
            verified_domains: ["contoso.com", "contoso.onmicrosoft.com", "corp.example"]
                .map(str::to_owned)
                .into(),
            client_id: "a7d2c9e4-1b3f-4c58-8e0a-6f9d7b2c4e11".to_owned(),
            client_secret: "sandbox-client-secret".to_owned(),
            certificates: Vec::new(),
            federation: None,
            app_roles: RELAY_PERMISSIONS.map(str::to_owned).into(),
            directory_roles: vec![DirectoryRole::UserAdministrator],
            token_lifetime: Duration::from_secs(3599),
            latency: Duration::ZERO,
            write_limit: None,
            log_limit: 100_000,
            rules: Rules::default(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("tenant_id", &self.tenant_id)
            .field("client_id", &self.client_id)
            .field("app_roles", &self.app_roles)
            .field("directory_roles", &self.directory_roles)
            .finish_non_exhaustive()
    }
}
