//! Traces: one for each change, over both halves, received by a collector of OTLP; and a collector
//! that is away or hangs is nobody's concern.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use entra_relay::sandbox::administrator::Administrator;
use entra_relay::sandbox::{Sandbox, is_enabled};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio_util::task::AbortOnDropHandle;

use crate::support::rabbit::Rabbit;
use crate::support::relay::Setup;
use crate::support::twins::{name, people};
use crate::support::wait::eventually;

const PROTOBUF: &str = "application/x-protobuf";
const HEADER: &str = "Authorization: Basic cmVsYXk6aHVudGVyMg==";

/// What `check` finds of the collector.
async fn checked(setup: &Setup) -> (String, String) {
    let output = setup.run(&["--output", "json", "check"]).await;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["checks"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == "traces").expect("a row");
    let part = |key: &str| row[key].as_str().unwrap().to_owned();
    (part("verdict"), part("told"))
}

/// A collector: what it was sent, by service.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<(String, Span)>>>,
    /// Everything that came in, for what must not be in it.
    raw: Arc<Mutex<Vec<u8>>>,
    hangs: bool,
}

impl Collector {
    /// Serves OTLP over HTTP at the address that it returns.
    async fn start(&self) -> (String, AbortOnDropHandle<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", post(take)).with_state(self.clone());
        let serve = async move { axum::serve(listener, router).await.unwrap() };
        (endpoint, AbortOnDropHandle::new(tokio::spawn(serve)))
    }

    fn spans(&self) -> Vec<(String, Span)> {
        self.spans.lock().unwrap().clone()
    }

    fn was_asked(&self) -> bool {
        !self.raw.lock().unwrap().is_empty()
    }
}

async fn take(
    State(collector): State<Collector>,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    collector.raw.lock().unwrap().extend_from_slice(&body);
    if collector.hangs {
        std::future::pending::<()>().await;
    }
    let authorized = format!("Authorization: {}", headers["authorization"].to_str().unwrap());
    assert_eq!(
        (authorized.as_str(), &headers["content-type"]),
        (HEADER, &PROTOBUF.parse().unwrap())
    );
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for resource in request.resource_spans {
        let of = resource.resource.unwrap().attributes;
        let service = of.into_iter().find(|it| it.key == "service.name").unwrap();
        let Some(Value::StringValue(service)) = service.value.unwrap().value else {
            panic!("text")
        };
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        let mut all = collector.spans.lock().unwrap();
        all.extend(spans.map(|span| (service.clone(), span)));
    }
    let answer = ExportTraceServiceResponse::default().encode_to_vec();
    (StatusCode::OK, [(header::CONTENT_TYPE, PROTOBUF)], answer)
}

#[tokio::test]
async fn one_trace_leads_from_the_directory_to_graph() {
    let vhost = Rabbit::shared().await.vhost();
    let sandbox = Sandbox::start(4).await.unwrap();
    let collector = Collector::default();
    let (endpoint, _serving) = collector.start().await;
    let halves = [Setup::new(), Setup::new()].map(|setup| {
        let headers = setup.secret("headers", &format!("{HEADER}\n"));
        setup
            .sandbox(&sandbox)
            .rabbit(&vhost)
            .set("guard.max_percent", 100)
            .set("traces.endpoint", &endpoint)
            .set("traces.headers_file", headers)
    });
    let [watch, apply] = &halves;
    let (mut watching, mut applying) = (watch.start(&["watch"]), apply.start(&["apply"]));
    watching.ready().await;
    applying.ready().await;

    let user = people(&sandbox).into_iter().find(is_enabled).unwrap();
    let mut admin = Administrator::connect(&sandbox.directory).await.unwrap();
    admin.set_enabled(&user.dn, false).await.unwrap();
    let spans = eventually("both halves have told", async || {
        let spans = collector.spans();
        let names: BTreeSet<_> = spans.iter().map(|(_, span)| span.name.clone()).collect();
        let all = ["account.disabled", "apply", "receive and verify"];
        let complete = all.iter().all(|name| names.contains(*name));
        if complete { Ok(spans) } else { Err(format!("{names:?}")) }
    })
    .await;

    let trace = &spans[0].1.trace_id;
    assert!(spans.iter().all(|(_, span)| span.trace_id == *trace), "one trace: {spans:?}");
    // Whoever has the event's id has the trace.
    let id: String = trace.iter().map(|byte| format!("{byte:02x}")).collect();
    let output = watching.output().replace('-', "");
    assert!(output.contains(&id), "{id}: {output}");
    let tree: BTreeMap<_, _> = spans
        .iter()
        .map(|(service, span)| {
            let above = spans.iter().find(|(_, it)| it.span_id == span.parent_span_id);
            assert_eq!(above.is_none(), span.parent_span_id.is_empty(), "an orphan: {span:?}");
            assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
            let above = above.map(|(_, span)| span.name.as_str());
            (span.name.as_str(), (service.as_str(), above))
        })
        .collect();
    let (watcher, consumer) = ("entra-relay-watcher", "entra-relay-consumer");
    let change = Some("account.disabled");
    assert_eq!(tree["account.disabled"], (watcher, None));
    for step in ["compare", "write to outbox", "publish", "commit"] {
        assert_eq!(tree[step], (watcher, change), "{step}");
    }
    for step in ["receive and verify", "apply"] {
        assert_eq!(tree[step], (consumer, change), "{step}");
    }
    for request in ["graph find_users", "graph set_enabled", "graph revoke_sessions"] {
        assert_eq!(tree[request], (consumer, Some("apply")), "{request}: {tree:?}");
    }

    // Ids and kinds, and neither names nor secrets.
    let raw = String::from_utf8_lossy(&collector.raw.lock().unwrap()).into_owned();
    let upn = user.user_principal_name.clone().unwrap();
    let options = sandbox.graph.options();
    let secrets = [&options.client_secret, sandbox.directory.bind_password(), "hunter2"];
    let people = [name(&user), &upn, &user.guid.to_string()];
    for hidden in secrets.into_iter().chain(people) {
        assert!(!raw.contains(hidden), "{hidden}: {raw}");
    }
    for relay in [&watching, &applying] {
        let dropped = relay.metric("relay_trace_spans_dropped_total").await;
        assert_eq!(dropped, Some(0.0));
        assert!(!relay.output().contains("cmVsYXk6"), "{}", relay.output());
    }
    assert!(watching.terminate().await.success() && applying.terminate().await.success());
    assert_eq!(checked(apply).await.0, "pass");
}

#[tokio::test]
async fn a_collector_that_is_away_or_hangs_holds_up_nothing() {
    let sandbox = Sandbox::start(4).await.unwrap();
    let hanging = Collector { hangs: true, ..Collector::default() };
    let (endpoint, _serving) = hanging.start().await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let user = people(&sandbox).into_iter().find(is_enabled).unwrap();
    let twin = sandbox.twins[&user.guid];
    let mut admin = Administrator::connect(&sandbox.directory).await.unwrap();
    for (endpoint, enabled) in [(endpoint, false), (format!("http://{free}"), true)] {
        let setup = Setup::new()
            .sandbox(&sandbox)
            .set("guard.max_percent", 100)
            .set("traces.endpoint", &endpoint);
        let mut relay = setup.start(&["run"]);
        relay.ready().await;
        let change = async |admin: &mut Administrator, enabled| {
            admin.set_enabled(&user.dn, enabled).await.unwrap();
            eventually("it is applied", async || {
                sandbox.graph.user(twin).unwrap().account_enabled() == enabled
            })
            .await;
        };
        change(&mut admin, enabled).await;
        if enabled {
            let dropped = "relay_trace_spans_dropped_total";
            eventually("spans are dropped and counted", async || {
                relay.metric(dropped).await.is_some_and(|spans| spans > 0.0)
            })
            .await;
            let complaint = "the collector does not take traces";
            let (verdict, told) = checked(&setup).await;
            assert_eq!(verdict, "warn", "{told}");
            assert_eq!(relay.output().matches(complaint).count(), 1, "{}", relay.output());
        } else {
            eventually("the collector was asked", async || hanging.was_asked()).await;
            // While that request is answered by nobody.
            change(&mut admin, true).await;
            change(&mut admin, false).await;
        }
        assert!(relay.terminate().await.success());
        assert!(!relay.output().contains("grace period is over"), "{}", relay.output());
    }
}
