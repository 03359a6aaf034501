//! Sends spans to a collector: OTLP over HTTP, many together, and never for long.

use std::{collections::HashMap, path::Path, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use reqwest::{
    Client,
    header::{HeaderName, HeaderValue},
    redirect,
};
use thiserror::Error;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::{BUFFER, Span, Traces};
use crate::{
    config::{Role, Secret, is_loopback, model, secret::SecretError},
    net::tls::{self, TlsError},
    ops::metrics::METRICS,
};

/// The most spans in one request.
const MOST: usize = 512;

/// How long others are waited for that can travel along.
const LINGER: Duration = Duration::from_millis(500);

/// A request that has no answer after this time is given up.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the last spans may take at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// How often it is told that the collector does not take them.
const COMPLAIN: Duration = Duration::from_secs(5 * 60);

/// The largest answer that is read, in bytes: one is a few.
const MAX_ANSWER: usize = 64 << 10;

/// The longest part of an error that is told.
const MAX_ERROR: usize = 300;

/// Why traces cannot be sent as configured.
#[derive(Debug, Error)]
pub enum TracesError {
    /// The file with the headers cannot be read.
    #[error("traces.headers_file: {0}")]
    Secret(#[from] SecretError),
    /// A line of it is no header.
    #[error("traces.headers_file: line {0} is no header; write each as NAME: VALUE")]
    Header(usize),
    /// No trust.
    #[error("traces.tls: {0}")]
    Tls(#[from] TlsError),
    /// The address cannot be used.
    #[error("traces.endpoint: {0}")]
    Endpoint(#[from] url::ParseError),
    /// The HTTP client could not be set up.
    #[error("traces: cannot set up the HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// The exporter, which also looks at `OTEL_EXPORTER_OTLP_*` in the environment.
    #[error("traces: {0}")]
    Exporter(#[from] ExporterBuildError),
}

/// Where spans are handed in, and what sends them; neither where none are configured.
pub fn open(config: &model::Traces, role: Role) -> Result<(Traces, Option<Exporter>), TracesError> {
    let Some(endpoint) = &config.endpoint else { return Ok((Traces::default(), None)) };
    let url = Url::parse(endpoint)?;
    let tls = tls::client_config(config.tls.ca_file.as_deref())?;
    let client = Client::builder()
        .tls_backend_preconfigured((*tls).clone())
        .user_agent(concat!("entra-relay/", env!("CARGO_PKG_VERSION")))
        .timeout(TIMEOUT)
        // A redirect would carry the headers elsewhere.
        .redirect(redirect::Policy::none());
    let client = if is_loopback(&url) { client.no_proxy() } else { client }.build()?;
    let headers = config.headers_file.as_deref().map_or(Ok(HashMap::new()), read_headers)?;
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Collector(client))
        .with_protocol(Protocol::HttpBinary)
        // The path of OTLP/HTTP for traces below the base URL.
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_headers(headers)
        // The next spans are tried anyway.
        .with_retry_policy(RetryPolicy::disabled())
        .build()?;
    exporter.set_resource(&resource(role));
    let (sender, receiver) = mpsc::channel(BUFFER);
    let exporter = Exporter { receiver, exporter, complained: None };
    Ok((Traces::to(sender, config.sample.0), Some(exporter)))
}

/// Who made the spans; the environment adds to it by `OTEL_RESOURCE_ATTRIBUTES`.
fn resource(role: Role) -> Resource {
    let service = match role {
        Role::Watch => "entra-relay-watcher",
        Role::Apply => "entra-relay-consumer",
        _ => "entra-relay",
    };
    Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", Uuid::new_v4().to_string()))
        .build()
}

/// Headers as a file has them: one on each line.
fn read_headers(path: &Path) -> Result<HashMap<String, String>, TracesError> {
    let text = Secret::read(path)?;
    let lines = text.expose().lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let (name, value) = (name.trim(), value.trim());
        let is_sound = HeaderName::try_from(name).is_ok() && HeaderValue::from_str(value).is_ok();
        is_sound.then(|| (name.to_owned(), value.to_owned()))
    };
    lines.map(|(index, line)| header(line).ok_or(TracesError::Header(index + 1))).collect()
}

/// Sends what is handed in.
pub struct Exporter {
    receiver: mpsc::Receiver<Span>,
    exporter: SpanExporter,
    /// When it was last told that the collector does not take them, if that is still so.
    complained: Option<Instant>,
}

impl Exporter {
    /// Sends until nobody can hand in any more, or until the collector does not take what is left
    /// after the shutdown.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut spans = Vec::with_capacity(MOST);
        while self.receiver.recv_many(&mut spans, MOST).await > 0 {
            if spans.len() < MOST && !shutdown.is_cancelled() {
                let _stopped = shutdown.run_until_cancelled(sleep(LINGER)).await;
                while spans.len() < MOST
                    && let Ok(span) = self.receiver.try_recv()
                {
                    spans.push(span);
                }
            }
            let late = async {
                shutdown.cancelled().await;
                sleep(FAREWELL).await;
            };
            let number = spans.len();
            let batch = spans.drain(..).map(|Span(data)| data).collect();
            let sent = tokio::select! {
                sent = self.export(batch) => sent,
                () = late => {
                    METRICS.traces.dropped(number + self.receiver.len());
                    return;
                }
            };
            match sent {
                Ok(()) => self.succeeded(number),
                Err(error) => self.failed(number, &error),
            }
        }
    }

    /// Sends nothing, to see whether the collector would take something; else tells why not.
    pub async fn try_out(&self) -> Result<(), String> {
        self.export(Vec::new()).await
    }

    async fn export(&self, batch: Vec<SpanData>) -> Result<(), String> {
        match timeout(TIMEOUT, self.exporter.export(batch)).await {
            Ok(Ok(())) => Ok(()),
            // It quotes the collector: not at any length.
            Ok(Err(error)) => Err(error.to_string().chars().take(MAX_ERROR).collect()),
            Err(_elapsed) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
        }
    }

    fn succeeded(&mut self, spans: usize) {
        METRICS.traces.sent(spans);
        if self.complained.take().is_some() {
            tracing::info!("the collector takes traces again");
        }
    }

    fn failed(&mut self, spans: usize, error: &str) {
        METRICS.traces.dropped(spans);
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN) {
            self.complained = Some(Instant::now());
            // Escaped, for it quotes the collector.
            tracing::warn!(
                ?error,
                "the collector does not take traces, which are dropped; changes are carried on"
            );
        }
    }
}

/// The collector, over HTTP.
#[derive(Debug)]
struct Collector(Client);

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut response = self.0.execute(request.try_into()?).await?;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(format!("the answer has more than {MAX_ANSWER} bytes").into());
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = Response::new(body.freeze());
        *answer.status_mut() = response.status();
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_or_refused_by_line() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("headers");
        std::fs::write(&path, "Authorization: Basic YTpi\n\nX-Scope-OrgID:1\n").expect("write");
        let headers = read_headers(&path).expect("headers");
        assert_eq!(headers["Authorization"], "Basic YTpi");
        assert_eq!(headers["X-Scope-OrgID"], "1");
        std::fs::write(&path, "a: b\nsecret\n").expect("write");
        let error = read_headers(&path).expect_err("refused").to_string();
        assert!(error.contains("line 2") && !error.contains("secret\n"), "{error}");
    }

    #[test]
    fn without_an_endpoint_there_is_nothing() {
        let (traces, exporter) = open(&model::Traces::default(), Role::Run).expect("off");
        assert!(!traces.are_made() && exporter.is_none());
    }
}
