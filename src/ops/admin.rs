//! The read-only HTTP listener.
//!
//! - `GET /`: the status page, for people
//! - `GET /status.json`: what it shows; see `deploy/STATUS.md`
//! - `GET /metrics`: Prometheus text format
//! - `GET /livez`: 200 while every loop of the process turns, else 503
//! - `GET /readyz`: 200 once every part has worked, else 503; JSON with each part's state
//!
//! Nothing here changes anything: what is not GET or HEAD is answered with 405.

use std::{io, net::SocketAddr};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{health::Health, metrics::METRICS, page, status::Status};

/// A listener that is bound but does not serve yet.
pub struct Admin {
    listener: TcpListener,
}

impl Admin {
    /// Binds the address, so that a port in use is told before anything else starts.
    pub async fn bind(address: &str) -> io::Result<Admin> {
        let listener = TcpListener::bind(address).await.map_err(|cause| {
            io::Error::new(
                cause.kind(),
                format!("cannot listen on {address}: {cause}; set another address in admin.listen"),
            )
        })?;
        Ok(Admin { listener })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the shutdown.
    pub async fn serve(
        self,
        health: Health,
        status: Status,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        axum::serve(self.listener, routes(health, status))
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await
    }
}

fn routes(health: Health, status: Status) -> Router {
    let probes = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health);
    page::routes(status).merge(probes)
}

async fn metrics() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], METRICS.render())
}

async fn livez(State(health): State<Health>) -> impl IntoResponse {
    if health.is_live() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a loop of the process is stuck\n")
    }
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    let (ready, parts) = health.report();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(parts))
}

#[cfg(test)]
mod tests {
    use reqwest::{Client, Method};

    use super::*;
    use crate::config::{Config, Role};

    #[tokio::test]
    async fn the_admin_listener_changes_nothing() {
        crate::net::tls::install_provider();
        let admin = Admin::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}", admin.address().expect("an address"));
        let shutdown = CancellationToken::new();
        let health = Health::new([]);
        let status = Status::new(&Config::default(), Role::Run, health.clone());
        tokio::spawn(admin.serve(health, status, shutdown.clone()));
        let client = Client::builder().no_proxy().build().expect("a client");
        let ask = async |method: Method, path: &str| {
            let request = client.request(method, format!("{url}{path}")).body("x");
            request.send().await.expect("an answer").status()
        };
        for path in ["/", "/status.json", "/metrics", "/livez", "/readyz"] {
            assert_eq!(ask(Method::GET, path).await, StatusCode::OK, "{path}");
            for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
                let method = Method::from_bytes(method.as_bytes()).expect("a method");
                let status = ask(method.clone(), path).await;
                assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            }
        }
        for path in ["/pause", "/resume", "/status", "/metrics/x", "/..%2fmetrics", "/config"] {
            for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
                let status = ask(method.clone(), path).await;
                assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}");
            }
        }
        shutdown.cancel();
    }
}
