//! One HTTP exchange: bounded in time and size, measured, over connections that can be retired.

use std::{
    error::Error,
    fmt::Write,
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use reqwest::{Client, Request, Response, StatusCode, header::HeaderMap, redirect};
use rustls::ClientConfig;

use super::{
    error::{GraphError, request_id},
    operation::Operation,
};
use crate::ops::metrics::METRICS;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A request that has no answer after this time is given up.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 << 20;

/// A successful answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) body: Vec<u8>,
    pub(super) request_id: Option<String>,
}

/// Sends requests over pooled connections.
pub(super) struct Transport {
    tls: ClientConfig,
    /// Whether the proxy that the environment names is used.
    proxied: bool,
    pool: RwLock<Pool>,
}

#[derive(Clone)]
struct Pool {
    generation: u64,
    http: Client,
}

/// Why no answer came.
struct Silence {
    message: String,
    timed_out: bool,
}

impl Transport {
    pub(super) fn new(mut tls: ClientConfig, proxied: bool) -> Result<Transport, reqwest::Error> {
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let http = build(&tls, proxied)?;
        Ok(Transport { tls, proxied, pool: RwLock::new(Pool { generation: 0, http }) })
    }

    /// Sends one request; an answer other than a success is an error.
    pub(super) async fn send(
        &self,
        operation: Operation,
        request: Request,
    ) -> Result<Reply, GraphError> {
        let pool = self.pool.read().unwrap_or_else(PoisonError::into_inner).clone();
        let started = Instant::now();
        let outcome = exchange(&pool.http, request).await;
        let status = outcome.as_ref().map_or(0, |(status, ..)| status.as_u16());
        METRICS.graph_request(operation.as_str(), status, started.elapsed().as_secs_f64());
        match outcome {
            Ok((status, headers, body)) if status.is_success() => {
                Ok(Reply { body, request_id: request_id(&headers) })
            }
            Ok((status, headers, body)) => {
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    self.retire(pool.generation);
                }
                Err(GraphError::answered(operation, status, &headers, &body))
            }
            Err(silence) => {
                if silence.timed_out {
                    self.retire(pool.generation);
                }
                Err(GraphError::unanswered(operation, silence.message))
            }
        }
    }

    /// Leaves the connections of a generation to the requests in flight and lets later requests
    /// open new ones: a 503 is to be retried on a new connection (Graph best practices), and a
    /// connection that a firewall forgot answers nothing more.
    fn retire(&self, generation: u64) {
        let mut pool = self.pool.write().unwrap_or_else(PoisonError::into_inner);
        if pool.generation == generation
            && let Ok(http) = build(&self.tls, self.proxied)
        {
            *pool = Pool { generation: generation + 1, http };
        }
    }
}

fn build(tls: &ClientConfig, proxied: bool) -> Result<Client, reqwest::Error> {
    let builder = Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .user_agent(concat!("entra-relay/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        // A redirect would carry the token or the secret elsewhere.
        .redirect(redirect::Policy::none());
    if proxied { builder } else { builder.no_proxy() }.build()
}

async fn exchange(
    http: &Client,
    request: Request,
) -> Result<(StatusCode, HeaderMap, Vec<u8>), Silence> {
    let mut response = http.execute(request).await?;
    let body = read(&mut response).await?;
    let headers = std::mem::take(response.headers_mut());
    Ok((response.status(), headers, body))
}

async fn read(response: &mut Response) -> Result<Vec<u8>, Silence> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            let message = format!("the answer has more than {MAX_ANSWER} bytes");
            return Err(Silence { message, timed_out: false });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

impl From<reqwest::Error> for Silence {
    /// The URL is left out, for its query names users; the causes are told instead.
    fn from(error: reqwest::Error) -> Silence {
        let timed_out = error.is_timeout();
        let error = error.without_url();
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let _infallible = write!(message, ": {error}");
            cause = error.source();
        }
        Silence { message, timed_out }
    }
}
