//! For tests: a Graph and an authority on one port, answering as a test says.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request},
    http::Response,
};
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::config::{Secret, model::Graph};

/// A server in this process, without sockets. None: it closed the connection.
pub(crate) type Local =
    Arc<dyn Fn(reqwest::Request) -> BoxFuture<'static, Option<super::wire::Answer>> + Send + Sync>;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query as sent.
    pub(crate) target: String,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: String,
    /// Distinguishes connections.
    pub(crate) from: SocketAddr,
}

impl Seen {
    pub(crate) fn is_token(&self) -> bool {
        self.target.ends_with("/oauth2/v2.0/token")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// An answer: status and JSON body.
pub(crate) type Answer = (u16, Value);

/// The running server; it ends with the test's runtime.
pub(crate) struct Stub {
    pub(crate) config: Graph,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    /// Starts a server; `answer` gets each request and how many came before it.
    pub(crate) async fn start<F>(answer: F) -> Stub
    where
        F: Fn(&Seen, usize) -> Answer + Send + Sync + 'static,
    {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (seen.clone(), Arc::new(answer));
        let handler = move |ConnectInfo(from): ConnectInfo<SocketAddr>, request: Request| {
            let (log, answer) = (log.clone(), answer.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, 1 << 20).await.expect("a small body");
                let seen = Seen {
                    method: parts.method.to_string(),
                    target: parts.uri.to_string(),
                    headers: parts.headers,
                    body: String::from_utf8(body.to_vec()).expect("text"),
                    from,
                };
                let (status, body) = {
                    let mut log = log.lock().expect("log");
                    log.push(seen.clone());
                    answer(&seen, log.len() - 1)
                };
                let body = if body.is_null() { String::new() } else { body.to_string() };
                Response::builder()
                    .status(status)
                    .header("request-id", "r-1")
                    .body(Body::from(body))
                    .expect("response")
            }
        };
        let app = Router::new().fallback(handler);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let base = format!("http://{}", listener.local_addr().expect("address"));
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let config = Graph {
            endpoint: format!("{base}/v1.0"),
            authority: base,
            tenant_id: "contoso".into(),
            client_id: "app".into(),
            client_secret: Some(Secret::new("s3cret".into())),
            ..Graph::default()
        };
        Stub { config, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("log").clone()
    }

    pub(crate) fn tokens(&self) -> usize {
        self.seen().iter().filter(|seen| seen.is_token()).count()
    }
}

/// The grant of a token that lives for so many seconds.
pub(crate) fn grant(token: &str, seconds: u64) -> Answer {
    let body = serde_json::json!({
        "token_type": "Bearer", "access_token": token, "expires_in": seconds,
    });
    (200, body)
}
