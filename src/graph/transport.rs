//! One HTTP exchange: measured, over connections that can be retired.

use std::sync::{PoisonError, RwLock};

use jiff::Timestamp;
use reqwest::{
    Request, StatusCode,
    header::{DATE, HeaderMap, HeaderName},
};
use rustls::ClientConfig;
use tokio::time::Instant;

use super::{
    error::{GraphError, request_id},
    operation::Operation,
    trace,
    wire::Wire,
};
use crate::ops::metrics::METRICS;

const LIMIT_USED: HeaderName = HeaderName::from_static("x-ms-throttle-limit-percentage");

/// A successful answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) body: Vec<u8>,
    pub(super) request_id: Option<String>,
    /// The part of Graph's limit that is used, where Graph tells it.
    pub(super) limit_used: Option<f64>,
    /// When it was answered, by the server's clock.
    pub(super) date: Option<Timestamp>,
}

/// Sends requests.
pub(super) struct Transport {
    tls: ClientConfig,
    /// Whether the proxy that the environment names is used.
    proxied: bool,
    pool: RwLock<Pool>,
}

#[derive(Clone)]
struct Pool {
    generation: u64,
    wire: Wire,
}

impl Transport {
    pub(super) fn new(mut tls: ClientConfig, proxied: bool) -> Result<Transport, reqwest::Error> {
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let wire = Wire::tcp(&tls, proxied)?;
        Ok(Transport { tls, proxied, pool: RwLock::new(Pool { generation: 0, wire }) })
    }

    /// Sends one request; an answer other than a success is an error.
    pub(super) async fn send(
        &self,
        operation: Operation,
        request: Request,
    ) -> Result<Reply, GraphError> {
        let pool = self.pool.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (started, began) = (Instant::now(), Timestamp::now());
        let method = request.method().clone();
        let outcome = pool.wire.exchange(request).await;
        let status = outcome.as_ref().map_or(0, |(status, ..)| status.as_u16());
        METRICS.graph_request(operation.as_str(), status, started.elapsed().as_secs_f64());
        let outcome = match outcome {
            Ok((status, headers, body)) if status.is_success() => {
                let (limit_used, request_id) = (limit_used(&headers), request_id(&headers));
                trace::succeeded(operation, &method, status.as_u16(), request_id.as_ref(), began);
                Ok(Reply { body, request_id, limit_used, date: date(&headers) })
            }
            Ok((status, headers, body)) => {
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    self.retire(&pool);
                }
                Err(GraphError::answered(operation, status, &headers, &body))
            }
            Err(silence) => {
                if silence.timed_out {
                    self.retire(&pool);
                }
                Err(GraphError::unanswered(operation, silence.message))
            }
        };
        outcome.inspect_err(|error| trace::failed(error, began))
    }

    /// Leaves the connections of a pool to the requests in flight and lets later requests open
    /// new ones: a 503 is to be retried on a new connection (Graph best practices), and a
    /// connection that a firewall forgot answers nothing more.
    fn retire(&self, used: &Pool) {
        let mut pool = self.pool.write().unwrap_or_else(PoisonError::into_inner);
        if pool.generation == used.generation
            && let Wire::Tcp(_) = used.wire
            && let Ok(wire) = Wire::tcp(&self.tls, self.proxied)
        {
            *pool = Pool { generation: used.generation + 1, wire };
        }
    }

    /// Sends everything to a server in this process.
    #[cfg(all(test, feature = "sandbox"))]
    pub(super) fn local(server: super::stub::Local) -> Transport {
        crate::net::tls::install_provider();
        let nobody = rustls::RootCertStore::empty();
        let tls = ClientConfig::builder().with_root_certificates(nobody).with_no_client_auth();
        let pool = Pool { generation: 0, wire: Wire::Local(server) };
        Transport { tls, proxied: false, pool: RwLock::new(pool) }
    }
}

/// RFC 9110 section 6.6.1.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp())
}

fn limit_used(headers: &HeaderMap) -> Option<f64> {
    let used: f64 = headers.get(LIMIT_USED)?.to_str().ok()?.parse().ok()?;
    used.is_finite().then_some(used)
}
