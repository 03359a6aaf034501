//! HTTP in, HTTP out: reading requests, faults, authentication, quota, log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{ConnectInfo, Path, State as Shares};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header, request};
use axum::routing::{any, post};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::call::Call;
use super::connection::Connection;
use super::error::GraphError;
use super::exchange::{Answer, Cost, Exchange, is_json, text};
use super::faults::{Faults, Verdict};
use super::log::{Log, LoggedBody, LoggedRequest};
use super::options::Options;
use super::resource::Resource;
use super::roles::DirectoryRole;
use super::signin;
use super::store::Store;
use super::throttle::Quota;
use super::token::Tokens;

/// Largest request body, as in the cloud.
const BODY_LIMIT: usize = 4 * 1024 * 1024;
/// How long a request body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Everything a running simulator shares between requests and its owner.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) tokens: Tokens,
    pub(super) faults: Faults,
    /// Counts changes of the state, for those who wait for one.
    pub(super) changes: watch::Sender<u64>,
    pub(super) closing: CancellationToken,
    state: Mutex<State>,
}

/// What requests change.
pub(super) struct State {
    pub(super) store: Store,
    pub(super) log: Log,
    pub(super) app_roles: Vec<String>,
    pub(super) directory_roles: Vec<DirectoryRole>,
    /// Starts full with the first call, when the size of the tenant is known.
    quota: Option<Quota>,
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        let state = State {
            store: Store::default(),
            log: Log::new(options.log_limit),
            app_roles: options.app_roles.clone(),
            directory_roles: options.directory_roles.clone(),
            quota: None,
        };
        Self {
            options,
            tokens: Tokens::new(),
            faults: Faults::default(),
            changes: watch::Sender::new(0),
            closing: CancellationToken::new(),
            state: Mutex::new(state),
        }
    }

    /// The state; it stays usable if a test panicked while it held it.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who wait for a change.
    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn log(&self, entry: LoggedRequest) {
        self.state().log.push(entry);
        self.changed();
    }

    /// Serves a request and logs it, in one step: the log has the order of the effects.
    /// `answered` says whether the caller will see the answer.
    fn serve(
        &self,
        head: &request::Parts,
        path: &str,
        body: Result<Option<Arc<Value>>, GraphError>,
        mut entry: LoggedRequest,
        answered: bool,
    ) -> (Result<Answer, GraphError>, Cost) {
        let mut cost = Cost::default();
        let mut state = self.state();
        let answer = self.decide(&mut state, head, path, body, &mut entry, &mut cost);
        entry.at = Instant::now().into_std();
        let status = answer.as_ref().map_or_else(|error| error.status, |answer| answer.status);
        entry.status = answered.then_some(status.as_u16());
        state.log.push(entry);
        drop(state);
        self.changed();
        (answer, cost)
    }

    fn decide(
        &self,
        state: &mut State,
        head: &request::Parts,
        path: &str,
        body: Result<Option<Arc<Value>>, GraphError>,
        entry: &mut LoggedRequest,
        cost: &mut Cost,
    ) -> Result<Answer, GraphError> {
        let claims = self.tokens.check(bearer(&head.headers))?;
        let resource = Resource::parse(path)?;
        let key = resource.user_key();
        entry.user = key.and_then(|key| state.store.by_key(key)).map(|user| user.id);
        let query = head.uri.query().unwrap_or_default();
        self.count(state, &head.method, resource.units(&head.method, query), cost)?;
        if let Some(refusal) = entry.user.and_then(|user| self.faults.of_user(user)) {
            return Err(refusal);
        }
        let body = body?;
        let mut call = Call {
            tenant: &self.options,
            granted: claims.granted(),
            app: &state.directory_roles,
            store: &mut state.store,
            root: format!("http://{}/v1.0", text(&head.headers, "host").unwrap_or("localhost")),
            path: head.uri.path().strip_prefix("/v1.0/").unwrap_or_default(),
            query,
            body: body.as_deref(),
            eventual: text(&head.headers, "consistencylevel")
                .is_some_and(|level| level.eq_ignore_ascii_case("eventual")),
            lag: self.faults.create_lag(),
            now: Timestamp::now(),
            concerned: entry.user,
        };
        let answer = call.serve(&head.method, &resource);
        entry.user = call.concerned;
        answer
    }

    /// Counts a call against the quota, if there is one.
    fn count(
        &self,
        state: &mut State,
        method: &Method,
        units: u32,
        cost: &mut Cost,
    ) -> Result<(), GraphError> {
        cost.units = Some(units);
        let Some(limit) = self.options.write_limit else { return Ok(()) };
        let now = Instant::now();
        let users = state.store.len();
        let quota = state.quota.get_or_insert_with(|| Quota::new(limit, users, now));
        let taken = quota.take(units, method != Method::GET, now);
        cost.percentage = quota.percentage();
        taken.map_err(|throttled| {
            let mut error = GraphError::throttled(throttled.retry_after);
            let (app, tenant) = (&self.options.client_id, &self.options.tenant_id);
            let scope = format!("Tenant_Application/{}/{app}/{tenant}", throttled.kind);
            error.headers.push(("x-ms-throttle-scope", scope));
            error.headers.push(("x-ms-throttle-information", throttled.reason.to_owned()));
            error
        })
    }
}

/// The routes of both hosts: sign-in and Graph.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .route("/v1.0/{*path}", any(graph))
        .fallback(elsewhere)
        .with_state(shared)
}

/// Other versions, such as beta, are not simulated.
async fn elsewhere(request: Request<Body>) -> Response<Body> {
    let path = request.uri().path();
    let version = path.split('/').nth(1).unwrap_or_default();
    let refused = GraphError::malformed(format!("Invalid version: {version}."));
    Exchange::new(request.headers()).respond(Err(refused), &Cost::default())
}

async fn graph(
    Shares(shared): Shares<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    Path(path): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    let exchange = Exchange::new(request.headers());
    let (head, body) = request.into_parts();
    let body = read(body).await.and_then(|bytes| payload(&head.headers, &bytes));
    let mut entry = entry(&head, &exchange);
    entry.body = LoggedBody(body.clone().ok().flatten());
    if !shared.options.latency.is_zero() {
        // Even no time at all is rounded up to a tick of the timer.
        sleep(shared.options.latency).await;
    }
    let (answer, cost) = match shared.faults.verdict() {
        Verdict::Serve => shared.serve(&head, &path, body, entry, true),
        Verdict::ServeGarbled => {
            let (answer, cost) = shared.serve(&head, &path, body, entry, true);
            return exchange.respond(answer, &cost).map(garbled);
        }
        Verdict::ServeUnanswered => {
            connection.cut();
            shared.serve(&head, &path, body, entry, false)
        }
        Verdict::Refuse(error) => {
            entry.status = Some(error.status.as_u16());
            shared.log(entry);
            (Err(error), Cost::default())
        }
        fault => {
            shared.log(entry);
            if fault == Verdict::Hang {
                tokio::select! {
                    () = shared.faults.released() => {}
                    () = shared.closing.cancelled() => {}
                }
            }
            connection.cut();
            (Ok(Answer::empty()), Cost::default())
        }
    };
    exchange.respond(answer, &cost)
}

/// What is left of a body, if there is one.
fn garbled(body: Body) -> Body {
    if body.size_hint().exact() == Some(0) { body } else { Body::from(r#"{"@odata.context": "ht"#) }
}

async fn token(
    Shares(shared): Shares<Arc<Shared>>,
    Path(tenant): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    let exchange = Exchange::new(request.headers());
    let (head, body) = request.into_parts();
    let body = read(body).await.unwrap_or_default();
    let checked = if shared.faults.token_down() {
        Err(signin::SignInError::unavailable())
    } else {
        let content_type = text(&head.headers, header::CONTENT_TYPE.as_str());
        signin::check(&shared.options, &tenant, content_type, &body)
    };
    let (status, body) = match checked {
        Ok(audience) => {
            let options = &shared.options;
            let roles = shared.state().app_roles.clone();
            let (tenant, client) = (&options.tenant_id, &options.client_id);
            let lifetime = options.token_lifetime;
            let token = shared.tokens.issue(&audience, tenant, client, roles, lifetime);
            let seconds = lifetime.as_secs();
            let body = json!({
                "token_type": "Bearer",
                "expires_in": seconds,
                "ext_expires_in": seconds,
                "access_token": token,
            });
            (StatusCode::OK, body)
        }
        Err(error) => (error.status, error.body(exchange.request_id, Timestamp::now())),
    };
    let mut entry = entry(&head, &exchange);
    entry.status = Some(status.as_u16());
    shared.log(entry);
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The log entry of a request that has not been answered.
fn entry(head: &request::Parts, exchange: &Exchange) -> LoggedRequest {
    LoggedRequest {
        order: 0,
        at: Instant::now().into_std(),
        method: head.method.to_string(),
        path: head.uri.to_string(),
        body: LoggedBody::default(),
        status: None,
        user: None,
        request_id: exchange.request_id,
        client_request_id: exchange.identified.then(|| exchange.client_request_id.clone()),
    }
}

async fn read(body: Body) -> Result<Bytes, GraphError> {
    match timeout(BODY_TIMEOUT, to_bytes(body, BODY_LIMIT)).await {
        Ok(read) => read.map_err(|_| GraphError::too_large()),
        Err(_) => Err(GraphError::too_slow()),
    }
}

/// The JSON in a body; none if it is empty.
fn payload(headers: &HeaderMap, bytes: &[u8]) -> Result<Option<Arc<Value>>, GraphError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    match is_json(headers) {
        None => Err(GraphError::malformed(
            "Write requests (excluding DELETE) must contain the Content-Type header declaration.",
        )),
        Some(false) => Err(GraphError::unsupported_media_type()),
        Some(true) => {
            serde_json::from_slice(bytes).map(|json| Some(Arc::new(json))).map_err(|_| {
                GraphError::malformed(
                    "Unable to read JSON request payload. Please ensure Content-Type header is set \
                 and payload is of valid JSON format.",
                )
            })
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, "authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
