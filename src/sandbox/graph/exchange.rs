//! One request and its answer: ids, and the headers around the body.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::error::GraphError;

const DIAGNOSTIC: &str = r#"{"ServerInfo":{"DataCenter":"Sandbox","Slice":"E","Ring":"1","ScaleUnit":"001","RoleInstance":"SANDBOX01"}}"#;
const JSON: &str = "application/json;odata.metadata=minimal;odata.streaming=true;\
    IEEE754Compatible=false;charset=utf-8";

/// The ids of one request.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) request_id: Uuid,
    /// As the caller sent it; the request id where it sent none.
    pub(super) client_request_id: String,
    /// Whether the caller sent one.
    pub(super) identified: bool,
}

impl Exchange {
    pub(super) fn new(headers: &HeaderMap) -> Self {
        let request_id = Uuid::new_v4();
        let sent = text(headers, "client-request-id").filter(|id| !id.is_empty());
        Self {
            request_id,
            identified: sent.is_some(),
            client_request_id: sent.map_or_else(|| request_id.to_string(), str::to_owned),
        }
    }

    /// Writes the answer as HTTP.
    pub(super) fn respond(
        &self,
        answer: Result<Answer, GraphError>,
        cost: &Cost,
    ) -> Response<Body> {
        let (status, json, mut headers) = match answer {
            Ok(answer) => (answer.status, answer.body, Vec::new()),
            Err(error) => (error.status, Some(error.body(self, Timestamp::now())), error.headers),
        };
        let content_type = if status.is_success() { JSON } else { "application/json" };
        headers.push(("request-id", self.request_id.to_string()));
        headers.push(("client-request-id", self.client_request_id.clone()));
        headers.push(("x-ms-ags-diagnostic", DIAGNOSTIC.to_owned()));
        headers.push(("strict-transport-security", "max-age=31536000".to_owned()));
        headers.push(("cache-control", "no-cache".to_owned()));
        headers.extend(cost.units.map(|units| ("x-ms-resource-unit", units.to_string())));
        headers.extend(
            cost.percentage.map(|used| ("x-ms-throttle-limit-percentage", format!("{used:.1}"))),
        );
        if json.is_some() {
            headers.push(("content-type", content_type.to_owned()));
            if status.is_success() {
                headers.push(("odata-version", "4.0".to_owned()));
            }
        }
        let body = json.map_or_else(Body::empty, |json| Body::from(json.to_string()));
        let mut response = Response::new(body);
        *response.status_mut() = status;
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// A success: with a JSON body, or without one.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Option<Value>,
}

impl Answer {
    pub(super) fn json(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Some(body) }
    }

    pub(super) fn created(body: Value) -> Self {
        Self { status: StatusCode::CREATED, body: Some(body) }
    }

    pub(super) fn empty() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None }
    }
}

/// What a request cost, told in headers.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cost {
    /// Resource units; none where the request was refused before it was counted.
    pub(super) units: Option<u32>,
    /// Share of the quota in use, told above 0.8 only.
    pub(super) percentage: Option<f64>,
}

/// A header as text, if it is there and is text.
pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether the body claims to be JSON; none without a content type.
pub(super) fn is_json(headers: &HeaderMap) -> Option<bool> {
    let media = text(headers, header::CONTENT_TYPE.as_str())?;
    Some(
        media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json"),
    )
}
