//! The simulator without sockets, for tests that turn the clock.

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::Request;
use tower::ServiceExt;

use super::connection::Connection;
use super::{SandboxGraph, server};
use crate::graph::stub::Local;

impl SandboxGraph {
    /// What answers a client in this process.
    pub(crate) fn local(&self) -> Local {
        let router = server::router(std::sync::Arc::clone(&self.shared));
        std::sync::Arc::new(move |sent| {
            let router = router.clone();
            Box::pin(async move {
                let connection = Connection::default();
                let target = &sent.url()[url::Position::BeforePath..url::Position::AfterQuery];
                let mut request = Request::builder().method(sent.method()).uri(target);
                for (name, value) in sent.headers() {
                    request = request.header(name, value);
                }
                let body = sent.body().and_then(|body| body.as_bytes()).unwrap_or_default();
                let request = request
                    .header("host", sent.url().authority())
                    .extension(ConnectInfo(connection.clone()))
                    .body(Body::from(body.to_vec()))
                    .expect("what a client built is a request");
                let Ok(response) = router.oneshot(request).await;
                let (head, body) = response.into_parts();
                let body = to_bytes(body, usize::MAX).await.expect("a body in memory");
                (!connection.is_cut()).then(|| (head.status, head.headers, body.to_vec()))
            })
        })
    }
}
