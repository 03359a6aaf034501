//! The token endpoint: the client credentials grant of the Microsoft identity platform.
//!
//! Source: RFC 6749 section 4.4, and "OAuth 2.0 client credentials flow" and "Microsoft Entra
//! authentication error codes" on learn.microsoft.com.

use std::collections::HashMap;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use url::form_urlencoded;
use uuid::Uuid;

use super::assertion;
use super::options::Options;
use super::token::is_graph;

/// RFC 7523 section 2.2.
const BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A refusal of the token endpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SignInError {
    pub(super) status: StatusCode,
    error: &'static str,
    code: u32,
    message: String,
}

impl SignInError {
    fn new(error: &'static str, code: u32, message: impl Into<String>) -> Self {
        let status = match error {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::with_status(status, error, code, message)
    }

    pub(super) fn with_status(
        status: StatusCode,
        error: &'static str,
        code: u32,
        message: impl Into<String>,
    ) -> Self {
        Self { status, error, code, message: message.into() }
    }

    /// The endpoint is switched off.
    pub(super) fn unavailable() -> Self {
        Self::new("temporarily_unavailable", 90033, "A transient error has occurred.")
    }

    /// The error object.
    pub(super) fn body(&self, request_id: Uuid, now: Timestamp) -> Value {
        let (code, message) = (self.code, &self.message);
        json!({
            "error": self.error,
            "error_description": format!(
                "AADSTS{code}: {message} Trace ID: {request_id} Correlation ID: {request_id} \
                 Timestamp: {}",
                now.strftime("%Y-%m-%d %H:%M:%SZ")
            ),
            "error_codes": [code],
            "timestamp": now.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            "trace_id": request_id,
            "correlation_id": request_id,
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
        })
    }
}

/// Checks a token request and returns the audience the token is for.
pub(super) fn check(
    options: &Options,
    tenant: &str,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<String, SignInError> {
    let domain = |name: &String| name.eq_ignore_ascii_case(tenant);
    if !options.tenant_id.eq_ignore_ascii_case(tenant)
        && !options.verified_domains.iter().any(domain)
    {
        return Err(SignInError::new(
            "invalid_request",
            90002,
            format!(
                "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
            ),
        ));
    }
    let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    let form: HashMap<_, _> = match media.trim() {
        "application/x-www-form-urlencoded" => form_urlencoded::parse(body).into_owned().collect(),
        // Entra does not look into other bodies, so it misses the first parameter.
        _ => HashMap::new(),
    };
    let field = |name: &str| form.get(name).map(String::as_str).filter(|v| !v.is_empty());
    let needed = |name: &str| field(name).ok_or_else(|| missing(name));

    let grant = needed("grant_type")?;
    if grant != "client_credentials" {
        return Err(SignInError::new(
            "unsupported_grant_type",
            70003,
            format!("The app requested an unsupported grant type '{grant}'."),
        ));
    }
    let client = needed("client_id")?;
    if !options.client_id.eq_ignore_ascii_case(client) {
        return Err(SignInError::new(
            "unauthorized_client",
            700016,
            format!("Application with identifier '{client}' was not found in the directory."),
        ));
    }
    let audience = audience(needed("scope")?)?;
    Credential::read(&field)?.check(options, tenant)?;
    Ok(audience)
}

/// How the app proves who it is.
enum Credential<'f> {
    Secret(&'f str),
    /// A JWT signed with a registered certificate, or of a federated identity.
    Assertion(&'f str),
}

impl<'f> Credential<'f> {
    fn read(field: &impl Fn(&str) -> Option<&'f str>) -> Result<Self, SignInError> {
        match (field("client_secret"), field("client_assertion")) {
            (Some(secret), _) => Ok(Self::Secret(secret)),
            (None, Some(assertion)) if field("client_assertion_type") == Some(BEARER) => {
                Ok(Self::Assertion(assertion))
            }
            (None, Some(_)) => Err(missing("client_assertion_type")),
            (None, None) => Err(SignInError::new(
                "invalid_client",
                7000218,
                "The request body must contain the following parameter: 'client_assertion' or \
                 'client_secret'.",
            )),
        }
    }

    fn check(&self, options: &Options, tenant: &str) -> Result<(), SignInError> {
        match self {
            Self::Secret(secret) if *secret == options.client_secret => Ok(()),
            Self::Secret(_) => Err(SignInError::new(
                "invalid_client",
                7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is \
                 the client secret value, not the client secret ID.",
            )),
            Self::Assertion(jwt) => assertion::check(options, tenant, jwt),
        }
    }
}

fn audience(scope: &str) -> Result<String, SignInError> {
    let resource = scope.strip_suffix("/.default").ok_or_else(|| {
        SignInError::new(
            "invalid_scope",
            1002012,
            format!(
                "The provided value for scope {scope} is not valid. Client credential flows must \
                 have a scope value with /.default suffixed to the resource identifier."
            ),
        )
    })?;
    if is_graph(resource) {
        Ok(resource.to_owned())
    } else {
        Err(SignInError::new(
            "invalid_resource",
            500011,
            format!("The resource principal named {resource} was not found in the tenant."),
        ))
    }
}

fn missing(name: &str) -> SignInError {
    SignInError::new(
        "invalid_request",
        900144,
        format!("The request body must contain the following parameter: '{name}'."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

    fn code(tenant: &str, content_type: Option<&str>, body: &str) -> (u16, u32) {
        match check(&Options::default(), tenant, content_type, body.as_bytes()) {
            Ok(_) => (200, 0),
            Err(error) => (error.status.as_u16(), error.code),
        }
    }

    #[test]
    fn each_mistake_has_its_code() {
        let options = Options::default();
        let tenant = options.tenant_id.as_str();
        let good = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
            options.client_id, options.client_secret
        );
        assert_eq!(code(tenant, FORM, &good), (200, 0));
        assert_eq!(code("contoso.com", FORM, &good), (200, 0));
        assert_eq!(code("nobody", FORM, &good), (400, 90002));
        assert_eq!(code(tenant, Some("application/json"), &good), (400, 900144));
        let with = |from: &str, to: &str| code(tenant, FORM, &good.replace(from, to));
        assert_eq!(with("client_credentials", "password"), (400, 70003));
        assert_eq!(with(&options.client_id, "nobody"), (400, 700016));
        assert_eq!(with(&options.client_secret, "guess"), (401, 7000215));
        assert_eq!(with("client_secret", "secret"), (401, 7000218));
        assert_eq!(with("client_secret", "client_assertion"), (400, 900144));
        assert_eq!(with(".default", "User.Read"), (400, 1002012));
        assert_eq!(with("graph.microsoft.com", "vault.azure.net"), (400, 500011));
        assert_eq!(
            with("https%3A%2F%2Fgraph.microsoft.com", "http%3A%2F%2F127.0.0.1%3A1"),
            (200, 0)
        );
    }
}
