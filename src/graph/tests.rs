//! The client over TCP, against a server that answers as each test says.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use futures_util::future::join_all;
use reqwest::{
    StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::{Value, json};

use super::{
    Access, ErrorKind, Filter, GraphClient, GraphError, Group, Operation, User,
    credential::parse_grant,
    stub::{Stub, grant},
};
use crate::{
    fuzz::{fuzz, lines},
    text::is_command,
};

fn client(stub: &Stub) -> GraphClient {
    GraphClient::new(&stub.config).expect("client")
}

fn unauthorized() -> (u16, Value) {
    (401, json!({ "error": { "code": "InvalidAuthenticationToken", "message": "expired" } }))
}

#[tokio::test]
async fn many_callers_cause_one_token_request() {
    let stub = Stub::start(|seen, _| match seen.is_token() {
        true => grant("t1", 3600),
        false => (204, Value::Null),
    })
    .await;
    let client = client(&stub);
    let results = join_all((0..20).map(|_| client.set_enabled("u", false))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(stub.tokens(), 1);
    let seen = stub.seen();
    assert!(seen[0].target.starts_with("/contoso/oauth2/v2.0/token"));
    assert!(seen[0].body.contains("client_secret=s3cret"));
    assert!(seen[0].body.contains("grant_type=client_credentials"));
    assert!(seen[0].body.contains("%2F.default"), "{}", seen[0].body);
    let patch = &seen[1];
    assert_eq!((patch.method.as_str(), patch.target.as_str()), ("PATCH", "/v1.0/users/u"));
    assert_eq!(patch.body, r#"{"accountEnabled":false}"#);
    assert_eq!(patch.header("authorization"), "Bearer t1");
    assert!(patch.header("user-agent").starts_with("entra-relay/"));
    assert_ne!(patch.header("client-request-id"), seen[2].header("client-request-id"));
}

#[tokio::test]
async fn a_token_is_renewed_at_its_end_and_the_secret_file_is_read_again() {
    let mut stub = Stub::start(|seen, _| match seen.is_token() {
        true => grant("t", 0),
        false => (204, Value::Null),
    })
    .await;
    let dir = tempfile::tempdir().expect("tempdir");
    let file = dir.path().join("secret");
    std::fs::write(&file, "first").expect("write");
    stub.config.client_secret_file = Some(file.clone());
    let client = client(&stub);
    client.revoke_sessions("u").await.expect("accepted");
    std::fs::write(&file, "second").expect("write");
    client.revoke_sessions("u").await.expect("accepted");
    let tokens: Vec<_> = stub.seen().into_iter().filter(super::stub::Seen::is_token).collect();
    assert!(tokens[0].body.contains("client_secret=first"));
    assert!(tokens[1].body.contains("client_secret=second"));
    let revoke = &stub.seen()[1];
    assert_eq!((revoke.method.as_str(), revoke.header("content-length")), ("POST", "0"));
    std::fs::remove_file(&file).expect("remove");
    let error = client.revoke_sessions("u").await.expect_err("no secret");
    assert_eq!(error.kind, ErrorKind::TokenRefused);
    assert!(error.remedy().contains("graph.client_secret_file"));
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let stub = Stub::start(|seen, before| match seen.is_token() {
        true => grant(if before == 0 { "old" } else { "new" }, 3600),
        false if seen.header("authorization") == "Bearer old" => unauthorized(),
        false => (204, Value::Null),
    })
    .await;
    let client = client(&stub);
    client.probe().await.expect("the new token serves");
    client.probe().await.expect("and is kept");
    assert_eq!((stub.tokens(), stub.seen().len()), (2, 5));

    let stub = Stub::start(|seen, _| match seen.is_token() {
        true => grant("t", 3600),
        false => unauthorized(),
    })
    .await;
    let error = super::GraphClient::new(&stub.config).expect("client").probe().await;
    let error = error.expect_err("refused twice");
    assert_eq!((error.kind, stub.seen().len()), (ErrorKind::Unauthorized, 4));
}

#[tokio::test]
async fn a_failed_token_request_is_shared_by_those_who_waited() {
    let stub = Stub::start(|_, _| {
        let text = "AADSTS7000222: The provided client secret keys are expired.";
        (
            401,
            json!({ "error": "invalid_client", "error_codes": [7_000_222],
            "error_description": text }),
        )
    })
    .await;
    let client = client(&stub);
    let results = join_all((0..20).map(|_| client.probe())).await;
    for result in results {
        let error = result.expect_err("refused");
        assert_eq!((&error.kind, error.operation), (&ErrorKind::TokenRefused, Operation::Token));
        assert!(error.remedy().contains("expired"), "{}", error.remedy());
    }
    assert_eq!(stub.tokens(), 1);
}

#[tokio::test]
async fn after_a_503_a_new_connection_is_used() {
    static DOWN: AtomicBool = AtomicBool::new(false);
    let stub = Stub::start(|seen, _| match seen.is_token() {
        true => grant("t", 3600),
        false if DOWN.load(Relaxed) => (503, Value::Null),
        false => (200, json!({ "value": [] })),
    })
    .await;
    let client = client(&stub);
    client.probe().await.expect("up");
    DOWN.store(true, Relaxed);
    let error = client.probe().await.expect_err("down");
    assert_eq!(error.status, Some(503));
    assert_eq!(error.request_id.as_deref(), Some("r-1"));
    DOWN.store(false, Relaxed);
    client.probe().await.expect("up again");
    let from: Vec<_> = stub.seen().iter().map(|seen| seen.from).collect();
    assert_eq!(from[1], from[2], "connections are reused");
    assert_ne!(from[2], from[3], "but not after a 503");
}

#[tokio::test]
async fn searches_follow_pages_but_never_to_another_host() {
    let stub = Stub::start(|seen, _| {
        if seen.is_token() {
            return grant("t", 3600);
        }
        if seen.target.contains("skiptoken") {
            let next = "https://elsewhere.example/v1.0/users?$skiptoken=2";
            return (200, json!({ "value": [{ "id": "1" }], "@odata.nextLink": next }));
        }
        let next = format!("http://{}/v1.0/users?$skiptoken=1", seen.header("host"));
        (200, json!({ "value": [], "@odata.nextLink": next }))
    })
    .await;
    let client = client(&stub);
    let filter = Filter::UserPrincipalName("o'h+ra@x".into());
    let error = client.find_users(&filter, &User::select(["jobTitle"])).await.expect_err("partial");
    assert!(error.to_string().contains("another address"), "{error}");
    let seen = stub.seen();
    assert_eq!(
        seen[1].target,
        "/v1.0/users?$filter=userPrincipalName%20eq%20%27o%27%27h%2Bra%40x%27&$select=id%2C\
         userPrincipalName%2CaccountEnabled%2ConPremisesSyncEnabled%2ConPremisesImmutableId%2C\
         jobTitle"
    );
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn nobody_there_is_an_outage_that_names_the_cause_and_not_the_user() {
    let stub = Stub::start(|_, _| grant("t", 3600)).await;
    let mut config = stub.config.clone();
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    config.endpoint = format!("http://{}/v1.0", unused.local_addr().expect("address"));
    drop(unused);
    let client = GraphClient::new(&config).expect("client");
    let filter = Filter::UserPrincipalName("alice@x".into());
    let error = client.find_users(&filter, "id").await.expect_err("nobody there");
    assert!(error.may_be_outage() && error.status.is_none());
    let text = error.to_string();
    assert!(text.contains("refused") && !text.contains("alice"), "{text}");
}

#[test]
fn no_answer_makes_a_decoder_panic() {
    fuzz("Graph", &lines(include_str!("../../tests/corpus/graph.txt")), decode);
}

/// Everything that reads bytes of Graph or of the authority, as a body or as the value of a header.
fn decode(bytes: &[u8]) {
    let value = HeaderValue::from_bytes(bytes).ok();
    let names = ["retry-after", "request-id", "x-ms-throttle-scope", "x-ms-throttle-information"];
    let headers: HeaderMap = names
        .into_iter()
        .filter_map(|name| Some((HeaderName::from_static(name), value.clone()?)))
        .collect();
    for operation in [Operation::UpdateUser, Operation::Token, Operation::ManagedToken] {
        for (status, body) in [(400, bytes), (429, b"".as_slice()), (409, bytes), (503, bytes)] {
            let status = StatusCode::from_u16(status).expect("a status");
            let error = GraphError::answered(operation, status, &headers, body);
            let told = format!("{error} {:?} {}", error.request_id, error.remedy());
            assert!(!told.chars().any(is_command), "{told:?}");
        }
        // A token may be anything, and is shown nowhere.
        let _grant = parse_grant(operation, bytes);
    }
    if let Ok(header) = HeaderValue::from_bytes(&[b"Bearer ", bytes].concat()) {
        Access::of(&header);
    }
    let _read = serde_json::from_slice::<User>(bytes);
    let _read = serde_json::from_slice::<Group>(bytes);
}
