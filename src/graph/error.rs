//! Errors of Graph, typed by what there is to do about them.

use std::{fmt, time::Duration};

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;

use super::{operation::Operation, quota::Scope, retry::retry_after};
use crate::text::one_line;

/// The longest message that is kept, in characters.
const MAX_MESSAGE: usize = 500;

/// What there is to do about an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// Too many requests: wait, then go on (HTTP 429).
    Throttled {
        /// What Graph asks to wait, if it says so.
        retry_after: Option<Duration>,
        /// Which limit was reached.
        scope: Scope,
    },
    /// No answer, a failure of the service, or a concurrent write: the same may succeed later.
    Transient {
        /// What Graph asks to wait, if it says so.
        retry_after: Option<Duration>,
    },
    /// A new token was refused as well (HTTP 401).
    Unauthorized,
    /// A permission or a directory role is missing (HTTP 403).
    Forbidden,
    /// There is no such object (HTTP 404).
    NotFound,
    /// Another object has the value already.
    Conflict {
        /// The property, where Graph names it.
        property: Option<String>,
    },
    /// The property belongs to another source, such as a directory-sync tool or Exchange.
    Mastered,
    /// The request itself is refused: value, property or shape.
    Refused,
    /// The authority gives no token to this application.
    TokenRefused,
}

/// A request that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphError {
    /// What to do about it.
    pub kind: ErrorKind,
    /// What was asked.
    pub operation: Operation,
    /// HTTP status; none where no answer came.
    pub status: Option<u16>,
    /// Error code, such as `Authorization_RequestDenied` or `AADSTS7000215`.
    pub code: Option<String>,
    /// What Graph, or the network, said.
    pub message: String,
    /// Graph's `request-id`, by which Microsoft finds the request.
    pub request_id: Option<String>,
}

impl GraphError {
    /// No usable answer came.
    pub(super) fn unanswered(operation: Operation, message: String) -> GraphError {
        GraphError {
            kind: ErrorKind::Transient { retry_after: None },
            operation,
            status: None,
            code: None,
            message,
            request_id: None,
        }
    }

    /// Graph answered something other than a success.
    pub(super) fn answered(
        operation: Operation,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> GraphError {
        let mut told = Told::parse(body);
        let kind = match kind_of(operation, status, &told, retry_after(headers)) {
            ErrorKind::Throttled { retry_after, .. } => {
                let scope = header(headers, "x-ms-throttle-scope");
                if let Some(limit) = header(headers, "x-ms-throttle-information").or(scope) {
                    let message = told.message.unwrap_or_default();
                    told.message = Some(bounded(&format!("{message} ({limit})")));
                }
                ErrorKind::Throttled { retry_after, scope: Scope::parse(scope) }
            }
            kind => kind,
        };
        GraphError {
            kind,
            operation,
            status: Some(status.as_u16()),
            request_id: request_id(headers).or(told.request_id),
            message: told.message.unwrap_or_else(|| "no further explanation".into()),
            code: told.code,
        }
    }

    /// Whether Graph as a whole may be the cause rather than this request. Only a request that
    /// concerns no user can tell.
    pub fn may_be_outage(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Transient { .. } | ErrorKind::Unauthorized | ErrorKind::TokenRefused
        )
    }
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: ", self.operation)?;
        if let Some(status) = self.status {
            write!(f, "HTTP {status} ")?;
        }
        if let Some(code) = &self.code {
            write!(f, "{code} ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for GraphError {}

/// The `request-id` of an answer.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    Some(header(headers, "request-id")?.chars().take(64).collect())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What Graph says, fit for one line.
pub(super) fn bounded(text: &str) -> String {
    one_line(text, MAX_MESSAGE)
}

/// Decides by status and code; by the message only where Graph gives the same code to different
/// cases.
fn kind_of(
    operation: Operation,
    status: StatusCode,
    told: &Told,
    retry_after: Option<Duration>,
) -> ErrorKind {
    let code = told.code.as_deref().unwrap_or_default();
    let message = told.message.as_deref().unwrap_or_default().to_ascii_lowercase();
    let mastered = message.contains("on-premises mastered")
        || message.contains("originated within an external service");
    match status.as_u16() {
        // "Not yet", from the metadata service.
        404 | 410 | 429 if operation == Operation::ManagedToken => {
            ErrorKind::Transient { retry_after }
        }
        429 | 509 => ErrorKind::Throttled { retry_after, scope: Scope::parse(None) },
        _ if code == "Request_ThrottledTemporarily" => {
            ErrorKind::Throttled { retry_after, scope: Scope::parse(None) }
        }
        400..=407 if matches!(operation, Operation::Token | Operation::ManagedToken) => {
            token_kind(code)
        }
        401 => ErrorKind::Unauthorized,
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        400 | 409 if told.conflict.is_some() => {
            ErrorKind::Conflict { property: told.conflict.clone().flatten() }
        }
        400 if mastered => ErrorKind::Mastered,
        409 if code == "Request_MultipleObjectsWithSameKeyValue" => {
            ErrorKind::Conflict { property: None }
        }
        408 | 409 | 423 => ErrorKind::Transient { retry_after },
        507 => ErrorKind::Refused,
        500.. => ErrorKind::Transient { retry_after },
        _ => ErrorKind::Refused,
    }
}

/// The authority tells its passing troubles by code, whatever the status.
fn token_kind(code: &str) -> ErrorKind {
    match code {
        "AADSTS90033" | "AADSTS90024" | "temporarily_unavailable" => {
            ErrorKind::Transient { retry_after: None }
        }
        _ => ErrorKind::TokenRefused,
    }
}

/// What an error body says. Gateways answer with all sorts of bodies, so nothing is required.
#[derive(Debug, Default)]
struct Told {
    code: Option<String>,
    message: Option<String>,
    /// Set where another object has the value; holds the property, where it is named.
    conflict: Option<Option<String>>,
    request_id: Option<String>,
}

impl Told {
    fn parse(body: &[u8]) -> Told {
        let Ok(json) = serde_json::from_slice::<Value>(body) else {
            let text = bounded(&String::from_utf8_lossy(body));
            return Told { message: (!text.is_empty()).then_some(text), ..Told::default() };
        };
        let error = &json["error"];
        if error.is_string() {
            return Told::parse_token_error(&json);
        }
        let inner = if error["innerError"].is_object() {
            &error["innerError"]
        } else {
            &error["innererror"]
        };
        let conflict = error["details"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|detail| detail["code"] == "ObjectConflict")
            .map(|detail| text(&detail["target"]));
        Told {
            code: text(&error["code"]).or_else(|| text(&inner["code"])),
            message: text(&error["message"]),
            conflict,
            request_id: text(&inner["request-id"]),
        }
    }

    /// The authority's form (RFC 6749 section 5.2): code, ids and time are part of the text.
    fn parse_token_error(json: &Value) -> Told {
        let number = json["error_codes"][0].as_u64();
        let message = text(&json["error_description"]).map(|text| {
            let text = text.split(" Trace ID:").next().unwrap_or_default();
            match text.split_once(": ") {
                Some((code, rest)) if code.starts_with("AADSTS") => rest.to_owned(),
                _ => text.to_owned(),
            }
        });
        Told {
            code: number.map(|n| format!("AADSTS{n}")).or_else(|| text(&json["error"])),
            message,
            conflict: None,
            request_id: text(&json["trace_id"]),
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(bounded)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(status: u16, body: &Value) -> GraphError {
        let status = StatusCode::from_u16(status).expect("status");
        let body = body.to_string();
        GraphError::answered(Operation::UpdateUser, status, &HeaderMap::new(), body.as_bytes())
    }

    fn coded(status: u16, code: &str, message: &str) -> ErrorKind {
        error(status, &json!({ "error": { "code": code, "message": message } })).kind
    }

    #[test]
    fn the_kind_says_what_to_do() {
        let transient = ErrorKind::Transient { retry_after: None };
        let scope = Scope::parse(None);
        let throttled = ErrorKind::Throttled { retry_after: None, scope };
        let mastered = "Unable to update the specified properties for on-premises mastered \
                        Directory Sync objects or objects currently undergoing migration.";
        let external = "Unable to update the specified properties for objects that have \
                        originated within an external service.";
        for (status, code, message, kind) in [
            (400, "Request_BadRequest", "Property 'x' is read-only.", ErrorKind::Refused),
            (400, "Request_BadRequest", mastered, ErrorKind::Mastered),
            (400, "Request_BadRequest", external, ErrorKind::Mastered),
            (400, "Request_UnsupportedQuery", "", ErrorKind::Refused),
            (401, "InvalidAuthenticationToken", "", ErrorKind::Unauthorized),
            (403, "Authorization_RequestDenied", "", ErrorKind::Forbidden),
            (404, "Request_ResourceNotFound", "", ErrorKind::NotFound),
            (405, "Request_BadRequest", "", ErrorKind::Refused),
            (409, "Directory_ConcurrencyViolation", "", transient.clone()),
            (
                409,
                "Request_MultipleObjectsWithSameKeyValue",
                "",
                ErrorKind::Conflict { property: None },
            ),
            (410, "", "", ErrorKind::Refused),
            (415, "", "", ErrorKind::Refused),
            (423, "", "", transient.clone()),
            (429, "TooManyRequests", "", throttled.clone()),
            (400, "Request_ThrottledTemporarily", "", throttled),
            (500, "Service_InternalServerError", "", transient.clone()),
            (503, "ServiceUnavailable", "", transient),
            (507, "", "", ErrorKind::Refused),
        ] {
            assert_eq!(coded(status, code, message), kind, "{status} {code} {message}");
        }
    }

    #[test]
    fn a_conflict_names_the_property() {
        let body = json!({ "error": {
            "code": "Request_BadRequest",
            "message": "Another object with the same value exists.",
            "details": [
                { "code": "Other" },
                { "code": "ObjectConflict", "target": "employeeId" },
            ],
        }});
        let property = Some("employeeId".to_owned());
        assert_eq!(error(400, &body).kind, ErrorKind::Conflict { property });
    }

    #[test]
    fn the_authority_refuses_by_code() {
        let token = |status: u16, code: u64, text: &str| {
            let body = json!({ "error": "invalid_client", "error_codes": [code],
                "error_description": text, "trace_id": "t" })
            .to_string();
            let status = StatusCode::from_u16(status).expect("status");
            let headers = HeaderMap::new();
            GraphError::answered(Operation::Token, status, &headers, body.as_bytes())
        };
        let text = "AADSTS7000215: Invalid client secret provided. Trace ID: x Correlation ID: y";
        let error = token(401, 7_000_215, text);
        assert_eq!(error.kind, ErrorKind::TokenRefused);
        assert_eq!(
            error.to_string(),
            "getting a token failed: HTTP 401 AADSTS7000215 Invalid client secret provided."
        );
        assert_eq!(token(404, 90_002, "no tenant").kind, ErrorKind::TokenRefused);
        assert_eq!(token(400, 90_033, "").kind, ErrorKind::Transient { retry_after: None });
        assert_eq!(token(503, 90_033, "").kind, ErrorKind::Transient { retry_after: None });
    }

    #[test]
    fn odd_bodies_are_read_as_far_as_they_go() {
        let inner = json!({ "error": { "code": "", "innererror": {
            "code": "inner", "request-id": "7" } } });
        let error = error(400, &inner);
        assert_eq!(error.code.as_deref(), Some("inner"));
        assert_eq!(error.request_id.as_deref(), Some("7"));
        let page = b"<html>\n  <h1>Bad gateway</h1></html>";
        let gateway = StatusCode::BAD_GATEWAY;
        let error = GraphError::answered(Operation::Probe, gateway, &HeaderMap::new(), page);
        assert_eq!(
            error.to_string(),
            "probing Graph failed: HTTP 502 <html> <h1>Bad gateway</h1></html>"
        );
        assert!(error.may_be_outage());
        let body = json!(["not", { "an": "object" }]).to_string();
        let error =
            GraphError::answered(Operation::Probe, gateway, &HeaderMap::new(), body.as_bytes());
        assert_eq!(error.code, None);
    }
}
