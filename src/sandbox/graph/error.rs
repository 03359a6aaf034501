//! Graph's refusals: status, code, message, and the body and headers they travel in.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::exchange::Exchange;

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GraphError {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    /// The property whose value another object has: told in `details` as `ObjectConflict`.
    pub(super) conflict: Option<&'static str>,
    /// Headers beyond the usual ones.
    pub(super) headers: Vec<(&'static str, String)>,
}

const READ_ONLY_OBJECT: &str = "Unable to update the specified properties for on-premises \
    mastered Directory Sync objects or objects currently undergoing migration.";
const EXTERNAL_OBJECT: &str = "Unable to update the specified properties for objects that have \
    originated within an external service.";
const WEAK_PASSWORD: &str = "The specified password does not comply with password complexity \
    requirements. Please provide a different password.";
const ADVANCED_QUERY: &str = "is not supported because the required parameters might be missing. \
    Try adding $count=true query parameter and ConsistencyLevel:eventual header. \
    Refer to https://aka.ms/graph-docs/advanced-queries for more information";

impl GraphError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), conflict: None, headers: Vec::new() }
    }

    /// 400 with the directory's usual code.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Request_BadRequest", message)
    }

    /// 400 from the gateway: the request cannot be understood.
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 400 for a query the directory does not serve.
    pub(super) fn unsupported_query(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Request_UnsupportedQuery", message)
    }

    pub(super) fn unsupported_filter(property: &str) -> Self {
        Self::unsupported_query(format!(
            "Unsupported or invalid query filter clause specified for property '{property}' of \
             resource 'User'."
        ))
    }

    pub(super) fn needs_advanced_query(operator: &str) -> Self {
        Self::unsupported_query(format!("Operator '{operator}' {ADVANCED_QUERY}"))
    }

    pub(super) fn no_such_property(name: &str) -> Self {
        Self::unsupported_query(format!(
            "Could not find a property named '{name}' on type 'microsoft.graph.user'."
        ))
    }

    pub(super) fn undeclared_property(name: &str) -> Self {
        Self::bad_request(format!(
            "Property '{name}' does not exist as a declared property or extension property."
        ))
    }

    pub(super) fn read_only(property: &str) -> Self {
        Self::bad_request(format!("Property '{property}' is read-only and cannot be set."))
    }

    pub(super) fn invalid_value(property: &str) -> Self {
        Self::bad_request(format!(
            "Invalid value specified for property '{property}' of resource 'User'."
        ))
    }

    pub(super) fn wrong_type(value: &Value, expected: &str) -> Self {
        // Only the kind of the value is told: it might be part of a password.
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        Self::bad_request(format!(
            "Cannot convert a value of JSON type '{kind}' to the expected type '{expected}'."
        ))
    }

    pub(super) fn on_premises_mastered() -> Self {
        Self::bad_request(READ_ONLY_OBJECT)
    }

    pub(super) fn external_service() -> Self {
        Self::bad_request(EXTERNAL_OBJECT)
    }

    pub(super) fn weak_password() -> Self {
        Self::bad_request(WEAK_PASSWORD)
    }

    pub(super) fn unverified_domain() -> Self {
        Self::bad_request(
            "The domain portion of the userPrincipalName property is invalid. You must use one \
             of the verified domain names in your organization.",
        )
    }

    pub(super) fn conflict(property: &'static str) -> Self {
        let message =
            format!("Another object with the same value for property {property} already exists.");
        Self { conflict: Some(property), ..Self::bad_request(message) }
    }

    pub(super) fn invalid_identifier(key: &str) -> Self {
        Self::bad_request(format!("Invalid object identifier '{key}'."))
    }

    pub(super) fn not_found(key: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Request_ResourceNotFound",
            format!(
                "Resource '{key}' does not exist or one of its queried reference-property \
                 objects are not present."
            ),
        )
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "Request_BadRequest",
            "Specified HTTP method is not allowed for the request target.",
        )
    }

    pub(super) fn unsupported_media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            "The content type of the request body is not supported; use application/json.",
        )
    }

    pub(super) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            "The request body is too large.",
        )
    }

    pub(super) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", "The request body did not arrive.")
    }

    pub(super) fn denied() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "Authorization_RequestDenied",
            "Insufficient privileges to complete the operation.",
        )
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        let mut error = Self::new(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", message);
        error.headers.push(("www-authenticate", "Bearer realm=\"\"".to_owned()));
        error
    }

    pub(super) fn throttled(retry_after: u64) -> Self {
        let mut error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            "Please retry again later.",
        );
        error.headers.push(("retry-after", retry_after.to_string()));
        error
    }

    /// What Graph says with a status that a fault switch asks for.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => {
                Self::unauthorized("Lifetime validation failed, the token is expired.")
            }
            StatusCode::FORBIDDEN => Self::denied(),
            StatusCode::CONFLICT => Self::new(
                status,
                "Directory_ConcurrencyViolation",
                "Error due to concurrent requests being made to the tenant. Please wait briefly \
                 and retry.",
            ),
            StatusCode::TOO_MANY_REQUESTS => Self::throttled(1),
            StatusCode::INTERNAL_SERVER_ERROR => {
                Self::new(status, "Service_InternalServerError", "Encountered an internal error.")
            }
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                Self::new(status, "ServiceUnavailable", "The service is unavailable.")
            }
            _ => Self::new(status, "Request_BadRequest", "The request was refused."),
        }
    }

    /// The error object, with the ids that are in the headers too.
    pub(super) fn body(&self, exchange: &Exchange, now: Timestamp) -> Value {
        let mut inner = json!({
            "date": now.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
            "request-id": exchange.request_id,
            "client-request-id": exchange.client_request_id,
        });
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            inner["code"] = json!("429");
            inner["status"] = json!("429");
            inner["message"] = json!("Please retry after");
        }
        let mut error = json!({ "code": self.code, "message": self.message, "innerError": inner });
        if let Some(property) = self.conflict {
            error["details"] = json!([
                { "code": "ObjectConflict", "message": self.message, "target": property }
            ]);
        }
        json!({ "error": error })
    }
}
