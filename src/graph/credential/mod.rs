//! How the app proves who it is. Whatever the credential, it comes down to one request that is
//! answered with a token.
//!
//! The azure_identity crate would serve, but signs with OpenSSL and brings a second HTTP stack
//! with retries of its own; what is needed of it is these few requests.

mod certificate;
mod managed;
#[cfg(all(test, feature = "sandbox"))]
mod tests;

use std::{path::PathBuf, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use reqwest::{
    Method, Request,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde::Deserialize;
use serde_json::Value;
use url::{Url, form_urlencoded};

use self::{certificate::Certificate, managed::Identity};
use super::{
    client::{SetupError, base_url, push},
    error::{ErrorKind, GraphError},
    operation::Operation,
};
use crate::{
    config::{
        Secret,
        model::{Credential as Kind, Graph},
    },
    ops::metrics::METRICS,
};

/// A variable of the environment.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A credential of the app.
pub(super) enum Credential {
    /// OAuth 2.0 client credentials (RFC 6749 section 4.4).
    Client { app: App, proof: Proof },
    /// The identity of the machine in Azure, which knows tenant and app.
    Managed(Identity),
}

/// The app registration, and where it signs in.
pub(super) struct App {
    token_url: Url,
    client_id: String,
    scope: String,
}

/// By what the app proves that it is the app. Files are read for each token, so that a new secret
/// or certificate needs no restart.
pub(super) enum Proof {
    Secret(Secret),
    SecretFile(PathBuf),
    Certificate(Certificate),
    /// A JWT of another issuer that Entra trusts for this app.
    FederatedToken(PathBuf),
}

/// A token as granted.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) token: Secret,
    pub(super) lifetime: Duration,
}

impl Credential {
    pub(super) fn new(
        config: &Graph,
        endpoint: &Url,
        environment: Environment<'_>,
    ) -> Result<Credential, SetupError> {
        let needed = |file: &Option<PathBuf>, key| file.clone().ok_or(SetupError::Missing(key));
        let proof = match config.credential {
            Kind::ManagedIdentity => {
                return Ok(Credential::Managed(Identity::new(config, endpoint, environment)?));
            }
            Kind::ClientSecret => {
                if let Some(day) = config.client_secret_expires {
                    let ends =
                        day.to_zoned(TimeZone::UTC).map_or(0, |ends| ends.timestamp().as_second());
                    METRICS.credential_expires("client_secret", ends);
                }
                match (&config.client_secret_file, &config.client_secret) {
                    (Some(path), _) => Proof::SecretFile(path.clone()),
                    (None, Some(secret)) => Proof::Secret(secret.clone()),
                    (None, None) => return Err(SetupError::Missing("graph.client_secret_file")),
                }
            }
            Kind::Certificate => {
                let certificate = needed(&config.certificate_file, "graph.certificate_file")?;
                let key = config.private_key_file.clone();
                let certificate = Certificate::new(certificate, key);
                certificate.load().map_err(|error| SetupError::Certificate(error.message))?;
                Proof::Certificate(certificate)
            }
            Kind::WorkloadIdentity => {
                let key = "graph.federated_token_file";
                Proof::FederatedToken(needed(&config.federated_token_file, key)?)
            }
        };
        if config.tenant_id.is_empty() {
            return Err(SetupError::Missing("graph.tenant_id"));
        }
        if config.client_id.is_empty() {
            return Err(SetupError::Missing("graph.client_id"));
        }
        let mut token_url = base_url("graph.authority", &config.authority)?;
        push(&mut token_url, &[&config.tenant_id, "oauth2", "v2.0", "token"]);
        let client_id = config.client_id.clone();
        let scope = format!("{}/.default", endpoint.origin().ascii_serialization());
        Ok(Credential::Client { app: App { token_url, client_id, scope }, proof })
    }

    /// Who is asked.
    pub(super) fn operation(&self) -> Operation {
        match self {
            Credential::Client { .. } => Operation::Token,
            Credential::Managed(_) => Operation::ManagedToken,
        }
    }

    /// The request for a token.
    pub(super) fn request(&self) -> Result<Request, GraphError> {
        match self {
            Credential::Client { app, proof } => app.request(proof),
            Credential::Managed(identity) => Ok(identity.request()),
        }
    }
}

impl App {
    fn request(&self, proof: &Proof) -> Result<Request, GraphError> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.client_id)
            .append_pair("scope", &self.scope);
        match proof {
            Proof::Secret(secret) => form.append_pair("client_secret", secret.expose()),
            Proof::SecretFile(path) => {
                form.append_pair("client_secret", read(path, "secret_file")?.expose())
            }
            Proof::Certificate(certificate) => {
                let assertion =
                    certificate.load()?.assertion(self.token_url.as_str(), &self.client_id)?;
                assert_by(&mut form, &assertion)
            }
            Proof::FederatedToken(path) => {
                let token = read(path, "federated_token_file")?;
                assert_by(&mut form, token.expose().trim())
            }
        };
        let mut request = Request::new(Method::POST, self.token_url.clone());
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, form_type);
        *request.body_mut() = Some(form.finish().into());
        Ok(request)
    }
}

type Form = form_urlencoded::Serializer<'static, String>;

/// RFC 7523 section 2.2.
fn assert_by<'a>(form: &'a mut Form, assertion: &str) -> &'a mut Form {
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    form.append_pair("client_assertion_type", kind).append_pair("client_assertion", assertion)
}

fn read(path: &std::path::Path, code: &str) -> Result<Secret, GraphError> {
    Secret::read(path).map_err(|error| unusable(code, error.to_string()))
}

/// What is to prove who we are cannot be used; nothing was sent.
fn unusable(code: &str, message: String) -> GraphError {
    GraphError {
        kind: ErrorKind::TokenRefused,
        code: Some(code.into()),
        ..GraphError::unanswered(Operation::Token, message)
    }
}

/// Reads a granted token (RFC 6749 section 5.1). Managed identities tell numbers as text, and
/// some of them only when the token ends.
pub(super) fn parse_grant(operation: Operation, body: &[u8]) -> Result<Grant, GraphError> {
    #[derive(Deserialize)]
    struct Wire {
        access_token: Secret,
        expires_in: Option<Value>,
        expires_on: Option<Value>,
    }
    // serde's message might quote the body, so it is not told.
    let unreadable = || {
        let message = "the answer holds no token".to_owned();
        GraphError::unanswered(operation, message)
    };
    let number = |value: &Value| match value {
        Value::String(text) => text.parse::<u64>().ok(),
        number => number.as_u64(),
    };
    let wire: Wire = serde_json::from_slice(body).map_err(|_| unreadable())?;
    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
    let seconds = match (&wire.expires_in, &wire.expires_on) {
        (Some(lifetime), _) => number(lifetime),
        (None, Some(end)) => number(end).map(|end| end.saturating_sub(now)),
        (None, None) => None,
    };
    let lifetime = Duration::from_secs(seconds.ok_or_else(unreadable)?.min(24 * 3600));
    Ok(Grant { token: wire.access_token, lifetime })
}
