//! The client: builds requests safely and sends them with a token that is good.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::{
    Method, Request,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;
use url::{Host, Url, form_urlencoded};
use uuid::Uuid;

use super::{
    credential::{Credential, Environment},
    error::{ErrorKind, GraphError},
    operation::Operation,
    quota::{self, Quota},
    retry,
    token::{Token, Tokens},
    transport::{Reply, Transport},
};
use crate::{
    config::model::{self, Graph},
    event::Lane,
    net::tls::{self, TlsError},
};

const PRIORITY: HeaderName = HeaderName::from_static("x-ms-throttle-priority");
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");

/// Why a client could not be made. Nothing was sent yet.
#[derive(Debug, Error)]
pub enum SetupError {
    /// No trust.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address is no usable URL.
    #[error("{key}: {value:?} {what}")]
    Address {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong and what would be right.
        what: &'static str,
    },
    /// A key without which no token can be asked for.
    #[error("{0} is missing; set it to what the app registration in Entra shows")]
    Missing(&'static str),
    /// The certificate or its private key cannot be used.
    #[error("graph.certificate_file: {0}")]
    Certificate(String),
    /// The HTTP client could not be set up.
    #[error("cannot set up the HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

/// A client of Microsoft Graph for one tenant and one app.
pub struct GraphClient {
    endpoint: Url,
    tokens: Tokens,
    transport: Arc<Transport>,
    quota: Quota,
}

impl GraphClient {
    /// Makes a client. `config.endpoint` and `config.authority` are URLs: whoever starts the
    /// sandbox puts its addresses there. Nothing is sent yet.
    pub fn new(config: &Graph) -> Result<GraphClient, SetupError> {
        GraphClient::within(config, &|name| std::env::var(name).ok())
    }

    /// As [`GraphClient::new`], in this environment.
    pub(super) fn within(
        config: &Graph,
        environment: Environment<'_>,
    ) -> Result<GraphClient, SetupError> {
        let endpoint = base_url("graph.endpoint", &config.endpoint)?;
        let tls = tls::client_config(config.tls.ca_file.as_deref())?;
        let transport = Arc::new(Transport::new((*tls).clone(), !is_loopback(&endpoint))?);
        let authority = match config.credential {
            // It is beside this machine, where no proxy leads.
            model::Credential::ManagedIdentity => Arc::new(Transport::new((*tls).clone(), false)?),
            _ => Arc::clone(&transport),
        };
        let credential = Credential::new(config, &endpoint, environment)?;
        let tokens = Tokens::new(credential, authority);
        Ok(GraphClient { endpoint, tokens, transport, quota: Quota::new(&config.quota) })
    }

    /// A client of a server in this process.
    #[cfg(all(test, feature = "sandbox"))]
    pub(crate) fn local(config: &Graph, server: super::stub::Local) -> GraphClient {
        let endpoint = base_url("graph.endpoint", &config.endpoint).expect("an address");
        let transport = Arc::new(Transport::local(server));
        let credential = Credential::new(config, &endpoint, &|_| None).expect("a credential");
        let tokens = Tokens::new(credential, Arc::clone(&transport));
        GraphClient { endpoint, tokens, transport, quota: Quota::new(&config.quota) }
    }

    /// What may be sent, and how fast.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    /// The URL of a resource. Segments are percent-encoded, so whatever they hold stays within
    /// its segment.
    pub(super) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.endpoint.clone();
        push(&mut url, segments);
        url
    }

    /// The token in use, or a new one.
    pub(super) async fn token(&self) -> Result<Token, GraphError> {
        self.tokens.current().await
    }

    /// Sends a request when the quota lets it go, and after a 401 once more with a new token.
    pub(super) async fn call(
        &self,
        operation: Operation,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Reply, GraphError> {
        self.call_with(operation, method, url, body.map(|body| body.to_string().into())).await
    }

    /// As [`GraphClient::call`], with a body that is JSON already.
    pub(super) async fn call_with(
        &self,
        operation: Operation,
        method: Method,
        url: Url,
        body: Option<Bytes>,
    ) -> Result<Reply, GraphError> {
        let token = self.tokens.current().await?;
        let first = request(method.clone(), url.clone(), body.clone(), &token);
        match self.send(operation, first).await {
            Err(error) if error.status == Some(401) => {
                let token = self.tokens.instead_of(&token).await?;
                self.send(operation, request(method, url, body, &token)).await
            }
            result => result,
        }
    }

    async fn send(&self, operation: Operation, request: Request) -> Result<Reply, GraphError> {
        // The probe asks whether Graph answers at all, so it waits for nothing.
        if operation != Operation::Probe {
            self.quota.take(request.method() != Method::GET).await;
        }
        let result = self.transport.send(operation, request).await;
        match &result {
            Ok(Reply { limit_used: Some(used), .. }) => self.quota.used(*used),
            Err(GraphError { kind: ErrorKind::Throttled { retry_after, scope }, .. }) => {
                self.quota.throttled(retry_after.unwrap_or(retry::THROTTLED), *scope);
            }
            _ => {}
        }
        result
    }

    /// Sends a GET and reads its JSON.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        operation: Operation,
        url: Url,
    ) -> Result<T, GraphError> {
        read(operation, self.call(operation, Method::GET, url, None).await?)
    }

    /// Where an answer goes on (`@odata.nextLink`). Another host is not given the token; and without
    /// its rest an answer is none, for whom it does not name would be taken for missing.
    pub(super) fn next_page(
        &self,
        operation: Operation,
        link: Option<&str>,
    ) -> Result<Option<Url>, GraphError> {
        let Some(link) = link else { return Ok(None) };
        match Url::parse(link) {
            Ok(url) if url.origin() == self.endpoint.origin() => Ok(Some(url)),
            _ => {
                let what = "the answer goes on at another address than graph.endpoint";
                Err(GraphError::unanswered(operation, what.into()))
            }
        }
    }
}

/// Reads the JSON of an answer.
pub(super) fn read<T: DeserializeOwned>(
    operation: Operation,
    reply: Reply,
) -> Result<T, GraphError> {
    serde_json::from_slice(&reply.body).map_err(|error| GraphError {
        request_id: reply.request_id,
        ..GraphError::unanswered(operation, format!("the answer cannot be read: {error}"))
    })
}

fn request(method: Method, url: Url, body: Option<Bytes>, token: &Token) -> Request {
    let mut request = Request::new(method, url);
    let id = Uuid::new_v4().to_string();
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, token.header.clone());
    headers.insert(CLIENT_REQUEST_ID, HeaderValue::from_str(&id).expect("a UUID is a header"));
    // Where Graph throttles, it begins with the low ones (Graph throttling guidance).
    let priority = if quota::lane() == Lane::Urgent { "High" } else { "Low" };
    headers.insert(PRIORITY, HeaderValue::from_static(priority));
    match body {
        Some(body) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.into());
        }
        // Not sent by itself, and gateways may answer 411 without it (RFC 9110 section 8.6).
        None if request.method() == Method::POST => {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        None => {}
    }
    request
}

/// Reads a configured address. Tokens and secrets travel to it, so it must be HTTPS, or this
/// machine.
pub(super) fn base_url(key: &'static str, value: &str) -> Result<Url, SetupError> {
    let refuse = |what| SetupError::Address { key, value: value.to_owned(), what };
    let url = Url::parse(value)
        .map_err(|_| refuse("is no URL; it looks like https://graph.microsoft.com/v1.0"))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(refuse("must begin with https://")),
    }
}

/// Appends percent-encoded path segments.
pub(super) fn push(url: &mut Url, segments: &[&str]) {
    url.path_segments_mut()
        .expect("base_url lets only http and https through, and these have paths")
        .pop_if_empty()
        .extend(segments);
}

/// Encodes a value of a query. Spaces become `%20`: not every OData service takes `+` for one.
pub(super) fn query_value(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>().replace('+', "%20")
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_https_or_this_machine() {
        let refuse = |value: &str| base_url("graph.endpoint", value).expect_err("refused");
        assert!(refuse("http://graph.example/v1.0").to_string().contains("graph.endpoint"));
        assert!(refuse("http://localhost.example/").to_string().contains("https://"));
        assert!(refuse("graph").to_string().contains("is no URL"));
        for value in ["https://graph.example/v1.0", "http://127.0.0.1:1/", "http://[::1]:1"] {
            base_url("graph.endpoint", value).expect("accepted");
        }
    }

    #[test]
    fn segments_and_values_cannot_leave_their_place() {
        let mut url = Url::parse("https://graph.example/v1.0/").expect("url");
        push(&mut url, &["users", "a#EXT#@x/../y?z ü"]);
        assert_eq!(
            url.as_str(),
            "https://graph.example/v1.0/users/a%23EXT%23@x%2F..%2Fy%3Fz%20%C3%BC"
        );
        assert_eq!(query_value("a eq 'b+c/=&'"), "a%20eq%20%27b%2Bc%2F%3D%26%27");
    }
}
