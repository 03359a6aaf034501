//! What Graph and the authority may answer, and what becomes of it: the answer, the decision, and
//! what the operator reads. Each row is played through a consumer.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use reqwest::{
    Request, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::*;
use crate::{
    config::model::OnDeleted,
    graph::{self, GraphError, User, stub::Local},
};

/// What is answered so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Token,
    /// Every request to Graph.
    Everything,
    Find,
    Block,
    Revoke,
    ReadBack,
    Update,
    Delete,
}
use Ask::*;

/// What becomes of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// It is done.
    Accept,
    /// Nobody else's: the property is left to its master.
    Cede,
    /// Tried again; given up when that does not help, done when it does.
    Retry,
    /// Told anew later.
    Park,
    /// Everything waits, nothing is given up.
    Stop,
    /// A dead letter at once, of this reason.
    Dead(&'static str),
}
use Decision::*;

/// A row.
#[derive(Debug, Clone, Copy)]
struct Case {
    ask: Ask,
    status: u16,
    code: &'static str,
    message: &'static str,
    decision: Decision,
    /// In the remedy.
    remedy: &'static str,
    /// Another object's property, in `details`.
    conflict: &'static str,
    headers: &'static [(&'static str, &'static str)],
}

const fn case(
    ask: Ask,
    status: u16,
    code: &'static str,
    message: &'static str,
    decision: Decision,
    remedy: &'static str,
) -> Case {
    Case { ask, status, code, message, decision, remedy, conflict: "", headers: &[] }
}

impl Case {
    const fn conflict(self, conflict: &'static str) -> Case {
        Case { conflict, ..self }
    }
    const fn headers(self, headers: &'static [(&'static str, &'static str)]) -> Case {
        Case { headers, ..self }
    }

    fn body(&self) -> Value {
        let Case { code, message, .. } = self;
        match self.ask {
            _ if self.status < 300 => Value::Null,
            _ if self.code == "html" => json!(message),
            Token if code.starts_with("AADSTS") => {
                let number: u64 = code["AADSTS".len()..].parse().expect("a number");
                json!({ "error": "invalid_client", "error_codes": [number],
                    "error_description": format!("{code}: {message} Trace ID: 1") })
            }
            Token => json!({ "error": code, "error_description": message }),
            _ if !self.conflict.is_empty() => json!({ "error": { "code": code, "message": message,
                "details": [{ "code": "ObjectConflict", "target": self.conflict }] } }),
            _ => json!({ "error": { "code": code, "message": message } }),
        }
    }
}

const BAD: &str = "Request_BadRequest";
const DENIED: &str = "Authorization_RequestDenied";
const PRIVILEGES: &str = "Insufficient privileges to complete the operation.";
const MASTERED: &str = "Unable to update the specified properties for on-premises mastered \
    Directory Sync objects or objects currently undergoing migration.";
const EXTERNAL: &str = "Unable to update the specified properties for objects that have \
    originated within an external service.";
const GONE: &str = "Resource 'x' does not exist or one of its queried reference-property objects \
    are not present.";
const WEAK: &str = "The specified password does not comply with password complexity requirements. \
    Please provide a different password.";
const DOMAIN: &str = "The domain portion of the userPrincipalName property is invalid. You must \
    use one of the verified domain names in your organization.";
const ADMIN: &str = "Privileged Authentication Administrator";
const HEALTH: &str = "service health";

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Successes.
    case(Block,      204, "", "", Accept, ""),
    case(Block,      200, "", "", Accept, ""),
    case(Revoke,     200, "", "", Accept, ""),
    case(Revoke,     204, "", "", Accept, ""),
    case(Update,     204, "", "", Accept, ""),
    case(Delete,     204, "", "", Accept, ""),
    // Gone, or never there.
    case(Find,       404, "Request_ResourceNotFound", GONE, Dead("graph_error"), "exists in Entra"),
    case(Block,      404, "Request_ResourceNotFound", GONE, Park, "was not deleted"),
    case(Revoke,     404, "Request_ResourceNotFound", GONE, Park, "was not deleted"),
    case(Update,     404, "Request_ResourceNotFound", GONE, Park, "was not deleted"),
    case(ReadBack,   404, "Request_ResourceNotFound", GONE, Park, "was not deleted"),
    // Permissions and roles.
    case(Find,       403, DENIED, PRIVILEGES, Dead("permission_denied"), "User.Read.All"),
    case(Block,      403, DENIED, PRIVILEGES, Dead("permission_denied"), "User.EnableDisableAccount.All"),
    case(Block,      403, DENIED, PRIVILEGES, Dead("permission_denied"), ADMIN),
    case(Revoke,     403, DENIED, PRIVILEGES, Dead("permission_denied"), "User.RevokeSessions.All"),
    case(Update,     403, DENIED, PRIVILEGES, Dead("permission_denied"), "User.ReadWrite.All"),
    case(Update,     403, DENIED, PRIVILEGES, Dead("permission_denied"), ADMIN),
    case(Delete,     403, DENIED, PRIVILEGES, Dead("permission_denied"), "User.DeleteRestore.All"),
    case(Delete,     403, DENIED, PRIVILEGES, Dead("permission_denied"), ADMIN),
    case(Block,      403, "Authorization_IdentityNotFound", "The identity of the calling application could not be established.", Dead("permission_denied"), "service principal"),
    case(Update,     403, "Directory_QuotaExceeded", "The directory object quota limit has been exceeded.", Dead("permission_denied"), "limit of objects"),
    case(Find,       403, "AccessDenied", "insufficient_claims", Dead("permission_denied"), "Conditional Access"),
    // Values.
    case(Update,     400, BAD, "Invalid value specified for property 'usageLocation' of resource 'User'.", Dead("value_refused"), "that usageLocation is made of"),
    case(Update,     400, BAD, "Property 'createdDateTime' is read-only and cannot be set.", Dead("value_refused"), "nobody can write createdDateTime"),
    case(Update,     400, BAD, "Property 'shoeSize' does not exist as a declared property or extension property.", Dead("value_refused"), "no property shoeSize"),
    case(Update,     400, BAD, "Cannot convert a value of JSON type 'array' to the expected type 'Edm.String'.", Dead("value_refused"), "mapping in apply.attributes"),
    case(Update,     400, BAD, WEAK, Dead("value_refused"), "Entra's policy"),
    case(Update,     400, BAD, DOMAIN, Dead("value_refused"), "apply.upn_suffixes"),
    case(Update,     400, BAD, "Another object with the same value for property userPrincipalName already exists.", Dead("value_refused"), "the same userPrincipalName").conflict("userPrincipalName"),
    case(Update,     400, BAD, "Another object with the same value for property onPremisesImmutableId already exists.", Dead("value_refused"), "onPremisesImmutableId").conflict("onPremisesImmutableId"),
    case(Update,     409, "Request_MultipleObjectsWithSameKeyValue", "A conflicting object is present.", Dead("value_refused"), "the same value"),
    case(Update,     400, "", "", Dead("value_refused"), "mapping in apply.attributes"),
    case(Block,      400, BAD, "Invalid object identifier 'x'.", Dead("value_refused"), "report the code"),
    case(Find,       400, "Request_UnsupportedQuery", "Unsupported or invalid query filter clause specified for property 'x' of resource 'User'.", Dead("value_refused"), "report the code"),
    case(Find,       400, "BadRequest", "Could not find a property named 'shoeSize' on type 'microsoft.graph.user'.", Dead("value_refused"), "no property shoeSize"),
    case(Update,     405, BAD, "Specified HTTP method is not allowed for the request target.", Dead("value_refused"), "mapping"),
    case(Revoke,     405, BAD, "Specified HTTP method is not allowed for the request target.", Dead("value_refused"), "graph.endpoint"),
    case(Update,     410, "", "Gone.", Dead("value_refused"), "mapping"),
    case(Update,     412, "", "Precondition failed.", Dead("value_refused"), "mapping"),
    case(Update,     413, "RequestEntityTooLarge", "The request body is too large.", Dead("value_refused"), "mapping"),
    case(Update,     415, "UnsupportedMediaType", "The content type is not supported.", Dead("value_refused"), "mapping"),
    case(Update,     422, "", "Unprocessable.", Dead("value_refused"), "mapping"),
    case(Update,     507, "", "Quota.", Dead("value_refused"), "reached its quota"),
    case(Update,     302, "", "Elsewhere.", Dead("value_refused"), "mapping"),
    // Somebody else's properties.
    case(Update,     400, BAD, MASTERED, Cede, "directory-sync tool"),
    case(Update,     400, BAD, EXTERNAL, Cede, "Exchange"),
    // What passes.
    case(Block,      409, "Directory_ConcurrencyViolation", "Error due to concurrent requests being made to the tenant.", Retry, HEALTH),
    case(Update,     423, "", "Locked.", Retry, HEALTH),
    case(Block,      408, "RequestTimeout", "The request timed out.", Retry, HEALTH),
    case(Block,      500, "Service_InternalServerError", "Encountered an internal error.", Retry, HEALTH),
    case(Revoke,     502, "html", "<html>Bad gateway</html>", Retry, HEALTH),
    case(Update,     503, "ServiceUnavailable", "The service is unavailable.", Retry, HEALTH).headers(&[("retry-after", "3")]),
    case(ReadBack,   504, "UnknownError", "", Retry, HEALTH),
    case(Find,       503, "ServiceUnavailable", "The service is unavailable.", Retry, HEALTH),
    case(Delete,     500, "", "", Retry, HEALTH),
    case(Block,      401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.", Retry, "clock"),
    // Graph asks to wait.
    case(Block,      429, "TooManyRequests", "Please retry again later.", Stop, "lower graph.quota").headers(&[("retry-after", "7")]),
    case(Update,     429, "TooManyRequests", "Please retry again later.", Stop, "lower graph.quota").headers(&[("x-ms-throttle-scope", "Tenant_Application/Write/a/t"), ("x-ms-throttle-information", "WriteLimitExceeded")]),
    case(Find,       429, "TooManyRequests", "Please retry again later.", Stop, "lower graph.quota").headers(&[("retry-after", "soon")]),
    case(Update,     400, "Request_ThrottledTemporarily", "Your request is throttled temporarily.", Stop, "lower graph.quota"),
    case(Update,     509, "", "Bandwidth limit exceeded.", Stop, "lower graph.quota"),
    // Graph is away.
    case(Everything, 503, "ServiceUnavailable", "The service is unavailable.", Stop, HEALTH),
    case(Everything, 500, "Service_InternalServerError", "Encountered an internal error.", Stop, HEALTH),
    case(Everything, 502, "html", "<html>Bad gateway</html>", Stop, HEALTH),
    case(Everything, 401, "InvalidAuthenticationToken", "Access token validation failure. Invalid audience.", Stop, "same cloud"),
    case(Everything, 429, "TooManyRequests", "Please retry again later.", Stop, "lower graph.quota").headers(&[("retry-after", "30")]),
    // No token.
    case(Token,      401, "AADSTS7000215", "Invalid client secret provided.", Stop, "the secret's value"),
    case(Token,      401, "AADSTS7000222", "The provided client secret keys are expired.", Stop, "has expired"),
    case(Token,      401, "AADSTS700027", "The certificate is not registered.", Stop, "app registration"),
    case(Token,      401, "AADSTS700024", "Client assertion is not within its valid time range.", Stop, "clock"),
    case(Token,      401, "AADSTS700213", "No matching federated identity record found.", Stop, "federated credential"),
    case(Token,      401, "AADSTS7000218", "The request body must contain a secret.", Stop, "graph.credential"),
    case(Token,      400, "AADSTS700016", "Application was not found in the directory.", Stop, "graph.client_id"),
    case(Token,      400, "AADSTS90002", "Tenant not found.", Stop, "graph.tenant_id"),
    case(Token,      401, "AADSTS7000112", "Application is disabled.", Stop, "enable its service principal"),
    case(Token,      400, "AADSTS500011", "The resource principal was not found.", Stop, "same cloud"),
    case(Token,      400, "AADSTS53003", "Access has been blocked by Conditional Access policies.", Stop, "Conditional Access"),
    case(Token,      400, "AADSTS90033", "A transient error has occurred.", Stop, HEALTH),
    case(Token,      503, "temporarily_unavailable", "Try again.", Stop, HEALTH),
    case(Token,      400, "invalid_request", "Something else.", Stop, "graph.tenant_id"),
    case(Token,      429, "too_many", "Slow down.", Stop, "waits as long"),
];

/// A Graph and an authority that answer one request as the case says, the first times or always,
/// and every other one as if all were well.
struct Stage {
    case: Case,
    times: usize,
    asked: AtomicUsize,
    blocked: Mutex<bool>,
}

impl Stage {
    fn local(case: Case, times: usize) -> (Arc<Stage>, Local) {
        let (asked, blocked) = (AtomicUsize::new(0), Mutex::new(false));
        let stage = Arc::new(Stage { case, times, asked, blocked });
        let answering = Arc::clone(&stage);
        let local: Local = Arc::new(move |request| {
            let answer = answering.answer(&request);
            Box::pin(async move { Some(answer) })
        });
        (stage, local)
    }

    fn answer(&self, request: &Request) -> (StatusCode, HeaderMap, Vec<u8>) {
        let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let ask = ask_of(request, &body);
        let hit = ask == Some(self.case.ask)
            || self.case.ask == Everything && ask != Some(Token)
            || self.case.ask == Block && ask == Some(Block);
        let failing = hit && self.asked.fetch_add(1, SeqCst) < self.times;
        if ask == Some(Block) && (!failing || self.case.status < 300) {
            *self.blocked.lock().expect("state") = true;
        }
        let (status, answer) =
            if failing { (self.case.status, self.case.body()) } else { (200, self.good(ask)) };
        let mut headers = HeaderMap::new();
        headers.insert("request-id", HeaderValue::from_static("r-1"));
        for (name, value) in self.case.headers.iter().filter(|_| failing) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let answer = match answer {
            Value::Null => Vec::new(),
            Value::String(text) => text.into_bytes(),
            json => json.to_string().into_bytes(),
        };
        (StatusCode::from_u16(status).expect("a status"), headers, answer)
    }

    fn good(&self, ask: Option<Ask>) -> Value {
        let user = || {
            let enabled = !*self.blocked.lock().expect("state");
            json!({ "id": "u", "userPrincipalName": "user1@contoso.com",
                "accountEnabled": enabled, "onPremisesImmutableId": link(1) })
        };
        match ask {
            Some(Token) => json!({ "access_token": "t", "expires_in": 3600 }),
            Some(Find) => json!({ "value": [user()] }),
            Some(ReadBack) => user(),
            _ => json!({ "value": [] }),
        }
    }
}

fn ask_of(request: &Request, body: &Value) -> Option<Ask> {
    let path = request.url().path();
    Some(match request.method().as_str() {
        "POST" if path.ends_with("/token") => Token,
        "POST" if path.ends_with("/revokeSignInSessions") => Revoke,
        "GET" if path == "/v1.0/users" => Find,
        "GET" if path.starts_with("/v1.0/users/") => ReadBack,
        "PATCH" if body.get("accountEnabled").is_some() => Block,
        "PATCH" => Update,
        "DELETE" => Delete,
        _ => return None,
    })
}

/// What became of an event of the case, and how often its request was sent.
async fn play(case: Case, times: usize) -> (World, Option<Decision>, usize) {
    let mut world = World::timeless(Options::default()).await;
    world.rules.on_deleted = OnDeleted::Delete;
    let (stage, local) = Stage::local(case, times);
    let client = GraphClient::local(&world.config(), local);
    let detail = match case.ask {
        Update => attributes(&[("title", "Clerk")]),
        Delete => Detail::UserDeleted,
        _ => DISABLED,
    };
    world.publish(&event(1, 1, detail));
    world.start_as(client);
    let mut decision = None;
    // Longer than all tries of one request take.
    for _ in 0..600 {
        sleep(Duration::from_secs(1)).await;
        let waiting = Lane::ALL.iter().any(|lane| world.queue.len(Queue::Lane(*lane)) > 0);
        if let Some(letter) = world.dead_letters().first() {
            decision = Some(Dead(letter.cause.reason.as_str()));
        } else if !world.requests(Queue::Parked(ParkingDelay::Seconds15)).is_empty() {
            decision = Some(Park);
        } else if !waiting {
            decision = Some(Accept);
        }
        if decision.is_some() {
            break;
        }
    }
    (world, decision, stage.asked.load(SeqCst))
}

/// The error itself, as the client tells it.
async fn told(case: Case) -> Option<GraphError> {
    let world = World::timeless(Options::default()).await;
    let (_, local) = Stage::local(case, usize::MAX);
    let client = GraphClient::local(&world.config(), local);
    let (select, filter) = (User::select([]), graph::Filter::EmployeeId("1".into()));
    match case.ask {
        Token | Everything => client.probe().await.err(),
        Find => client.find_users(&filter, &select).await.err(),
        ReadBack => client.read_user("u", &select).await.err(),
        Block => client.set_enabled("u", false).await.err(),
        Revoke => client.revoke_sessions("u").await.err(),
        Update => client.update_user("u", &serde_json::Map::new()).await.err(),
        Delete => client.delete_user("u").await.err(),
    }
}

#[tokio::test(start_paused = true)]
async fn every_answer_has_its_decision_and_its_remedy() {
    let mut wrong = Vec::new();
    for case in CASES {
        let (world, decision, asked) = play(*case, usize::MAX).await;
        let row = format!("{:?} {} {} {}", case.ask, case.status, case.code, case.message);
        let right = match case.decision {
            Accept | Cede => decision == Some(Accept) && asked == 1,
            Park => decision == Some(Park) && asked == 1,
            Dead(_) => decision == Some(case.decision) && asked == 1,
            Retry => decision == Some(Dead("graph_error")) && asked >= 8,
            Stop => decision.is_none() && asked > 1,
        };
        if !right {
            wrong.push(format!("{row}: {decision:?} after {asked} requests"));
        }
        let error = told(*case).await;
        let remedy = error.as_ref().map(GraphError::remedy).unwrap_or_default();
        if !remedy.contains(case.remedy) || error.is_none() != (case.decision == Accept) {
            wrong.push(format!("{row}: the remedy is {remedy:?}"));
        }
        if let (Some(letter), Some(error)) = (world.dead_letters().first(), &error) {
            let sentence = &letter.cause.sentence;
            let status = format!("HTTP {}", case.status);
            let told = sentence.contains("user1@contoso.com: ")
                && sentence.contains(&error.operation.to_string())
                && sentence.contains(&status)
                && (case.code == "html" || sentence.contains(case.code))
                && letter.cause.remedy == remedy
                && letter.cause.request_id.as_deref() == Some("r-1");
            if !told {
                wrong.push(format!("{row}: the operator reads {sentence:?}; {:?}", letter.cause));
            }
        }
    }
    println!("{} answers", CASES.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
    assert!(CASES.len() >= 60);
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_applied_when_it_has_passed() {
    for case in CASES.iter().filter(|case| matches!(case.decision, Retry | Stop)) {
        let (_, decision, asked) = play(*case, 2).await;
        assert_eq!(decision, Some(Accept), "{case:?}, asked {asked} times");
    }
}
