//! How the app proves who it is. Whatever the credential, it comes down to one request that is
//! answered with a token.

use std::{path::PathBuf, time::Duration};

use reqwest::{
    Method, Request,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde::Deserialize;
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::{
    client::SetupError,
    error::{ErrorKind, GraphError},
    operation::Operation,
};
use crate::config::{
    Secret,
    model::{Credential as CredentialKind, Graph},
};

/// A credential of the app.
pub(super) enum Credential {
    /// OAuth 2.0 client credentials with a secret (RFC 6749 section 4.4).
    ClientSecret { token_url: Url, client_id: String, scope: String, secret: SecretSource },
}

/// Where the secret is.
pub(super) enum SecretSource {
    Value(Secret),
    /// Read for each token, so that a new secret needs no restart.
    File(PathBuf),
}

/// A token as granted.
pub(super) struct Grant {
    pub(super) token: Secret,
    pub(super) lifetime: Duration,
}

impl Credential {
    pub(super) fn new(config: &Graph, endpoint: &Url) -> Result<Credential, SetupError> {
        match config.credential {
            CredentialKind::ClientSecret => {}
            CredentialKind::Certificate
            | CredentialKind::WorkloadIdentity
            | CredentialKind::ManagedIdentity => {
                return Err(SetupError::Credential);
            }
        }
        let secret = match (&config.client_secret_file, &config.client_secret) {
            (Some(path), _) => SecretSource::File(path.clone()),
            (None, Some(secret)) => SecretSource::Value(secret.clone()),
            (None, None) => return Err(SetupError::Missing("graph.client_secret_file")),
        };
        if config.tenant_id.is_empty() {
            return Err(SetupError::Missing("graph.tenant_id"));
        }
        if config.client_id.is_empty() {
            return Err(SetupError::Missing("graph.client_id"));
        }
        let mut token_url = super::client::base_url("graph.authority", &config.authority)?;
        super::client::push(&mut token_url, &[&config.tenant_id, "oauth2", "v2.0", "token"]);
        let client_id = config.client_id.clone();
        let scope = format!("{}/.default", endpoint.origin().ascii_serialization());
        Ok(Credential::ClientSecret { token_url, client_id, scope, secret })
    }

    /// The request for a token.
    pub(super) fn request(&self) -> Result<Request, GraphError> {
        match self {
            Credential::ClientSecret { token_url, client_id, scope, secret } => {
                let secret = secret.read()?;
                let form = form_urlencoded::Serializer::new(String::new())
                    .append_pair("grant_type", "client_credentials")
                    .append_pair("client_id", client_id)
                    .append_pair("client_secret", secret.expose())
                    .append_pair("scope", scope)
                    .finish();
                let mut request = Request::new(Method::POST, token_url.clone());
                let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
                request.headers_mut().insert(CONTENT_TYPE, form_type);
                *request.body_mut() = Some(form.into());
                Ok(request)
            }
        }
    }
}

impl SecretSource {
    fn read(&self) -> Result<Secret, GraphError> {
        match self {
            SecretSource::Value(secret) => Ok(secret.clone()),
            SecretSource::File(path) => Secret::read(path).map_err(|error| GraphError {
                kind: ErrorKind::TokenRefused,
                code: Some("secret_file".into()),
                ..GraphError::unanswered(Operation::Token, error.to_string())
            }),
        }
    }
}

/// Reads a granted token (RFC 6749 section 5.1). Managed identities tell the lifetime as text.
pub(super) fn parse_grant(body: &[u8]) -> Result<Grant, GraphError> {
    #[derive(Deserialize)]
    struct Wire {
        access_token: Secret,
        expires_in: Value,
    }
    // serde's message might quote the body, so it is not told.
    let unreadable = || {
        let message = "the authority's answer holds no token".to_owned();
        GraphError::unanswered(Operation::Token, message)
    };
    let wire: Wire = serde_json::from_slice(body).map_err(|_| unreadable())?;
    let seconds = match &wire.expires_in {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    };
    let lifetime = Duration::from_secs(seconds.ok_or_else(unreadable)?.min(24 * 3600));
    Ok(Grant { token: wire.access_token, lifetime })
}
