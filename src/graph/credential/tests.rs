//! Each kind of credential, against the sandbox's authority and against a metadata service.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use futures_util::future::join_all;
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use reqwest::{Request, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    config::{
        Secret,
        model::{Credential, Graph},
    },
    graph::{ErrorKind, GraphClient, GraphError, SetupError, client::base_url, stub::Local},
    sandbox::graph::{Federation, Options, SandboxGraph},
};

/// For tests alone, and known to everybody.
const RSA: &str = include_str!("testdata/rsa.pem");

/// The bodies of the token requests.
type Forms = Arc<Mutex<Vec<String>>>;

/// A tenant, a folder of credentials, and a client of that configuration.
struct Site {
    graph: SandboxGraph,
    config: Graph,
    folder: TempDir,
    forms: Forms,
}

impl Site {
    async fn new(options: Options, credential: Credential) -> Site {
        let graph = SandboxGraph::start(options).await.expect("graph");
        let options = graph.options();
        let config = Graph {
            endpoint: graph.endpoint(),
            authority: graph.authority(),
            tenant_id: options.tenant_id.clone(),
            client_id: options.client_id.clone(),
            credential,
            ..Graph::default()
        };
        let folder = tempfile::tempdir().expect("folder");
        Site { graph, config, folder, forms: Forms::default() }
    }

    fn put(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("write");
        path
    }

    /// A client whose token requests are noted.
    fn client(&self) -> GraphClient {
        let (server, forms) = (self.graph.local(), Arc::clone(&self.forms));
        let noting: Local = Arc::new(move |request: Request| {
            if request.url().path().ends_with("/token") {
                let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default();
                let form = String::from_utf8(body.to_vec()).expect("a form");
                forms.lock().expect("forms").push(form);
            }
            server(request)
        });
        GraphClient::local(&self.config, noting)
    }

    fn forms(&self) -> Vec<String> {
        self.forms.lock().expect("forms").clone()
    }

    /// The header of the assertion in the last token request.
    fn assertion_header(&self) -> Value {
        let form = self.forms().pop().expect("a token request");
        let pairs = url::form_urlencoded::parse(form.as_bytes());
        let (_, jwt) = pairs.into_iter().find(|(name, _)| name == "client_assertion").expect("one");
        let header = BASE64.decode(jwt.split('.').next().expect("a part")).expect("base64");
        serde_json::from_slice(&header).expect("JSON")
    }
}

/// A certificate of the test key, as PEM and DER.
fn certificate(years: std::ops::Range<i32>) -> (String, Vec<u8>) {
    let key = KeyPair::from_pem(RSA).expect("a key");
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.pem(), certificate.der().to_vec())
}

#[tokio::test]
async fn a_certificate_signs_the_request_and_a_new_one_needs_no_restart() {
    let ((old, old_der), (new, new_der)) = (certificate(2020..2090), certificate(2021..2091));
    let certificates = vec![old_der, new_der];
    let options = Options { certificates, ..Options::default() };
    let mut site = Site::new(options, Credential::Certificate).await;
    site.config.certificate_file = Some(site.put("app.pem", &old));
    site.config.private_key_file = Some(site.put("app.key", RSA));
    let client = site.client();
    client.probe().await.expect("signed in");
    let first = site.assertion_header();
    assert_eq!((&first["alg"], &first["typ"]), (&json!("PS256"), &json!("JWT")));

    // Both in one file will do.
    site.put("app.pem", &format!("{new}{RSA}"));
    site.graph.expire_tokens();
    client.probe().await.expect("signed in with the new one");
    assert_ne!(first["x5t#S256"], site.assertion_header()["x5t#S256"]);

    let (unknown, _) = certificate(2022..2092);
    site.put("app.pem", &unknown);
    site.graph.expire_tokens();
    let error = client.probe().await.expect_err("not registered");
    assert_eq!(error.code.as_deref(), Some("AADSTS700027"));
    assert!(error.remedy().contains("app registration"), "{}", error.remedy());
    site.put("app.pem", &old);
    client.probe().await.expect("mended, and taken up at once");
}

#[tokio::test]
async fn unusable_certificates_are_refused_by_name() {
    let mut site = Site::new(Options::default(), Credential::Certificate).await;
    let (good, _) = certificate(2020..2090);
    let (past, _) = certificate(2020..2021);
    let other = KeyPair::generate().expect("an elliptic key");
    let elliptic = CertificateParams::default().self_signed(&other).expect("certificate").pem();
    for (pem, key, what) in [
        (good.as_str(), other.serialize_pem(), "app.key"),
        (elliptic.as_str(), other.serialize_pem(), "no RSA key"),
        (past.as_str(), RSA.to_owned(), "expired"),
        ("no PEM", RSA.to_owned(), "app.pem"),
        (good.as_str(), "no PEM".to_owned(), "app.key"),
    ] {
        site.config.certificate_file = Some(site.put("app.pem", pem));
        site.config.private_key_file = Some(site.put("app.key", &key));
        let error = GraphClient::new(&site.config).err().expect("refused");
        assert!(matches!(error, SetupError::Certificate(_)), "{error}");
        assert!(error.to_string().contains(what), "{what}: {error}");
    }
}

#[tokio::test]
async fn a_federated_token_is_read_again_for_each_request() {
    let federation = Federation { issuer: "https://idp.example".into(), subject: "relay".into() };
    let options = Options { federation: Some(federation), ..Options::default() };
    let mut site = Site::new(options, Credential::WorkloadIdentity).await;
    let token = |subject: &str, jti: u32| {
        let end = Timestamp::now().as_second() + 600;
        let claims = json!({ "iss": "https://idp.example", "sub": subject, "exp": end, "jti": jti,
            "aud": "api://AzureADTokenExchange" });
        let encode = |part: Value| BASE64.encode(part.to_string());
        format!("{}.{}.c2ln\n", encode(json!({ "alg": "RS256" })), encode(claims))
    };
    site.config.federated_token_file = Some(site.put("token", &token("relay", 1)));
    let client = site.client();
    client.probe().await.expect("signed in");
    site.put("token", &token("relay", 2));
    site.graph.expire_tokens();
    client.probe().await.expect("signed in");
    let forms = site.forms();
    assert!(forms.len() == 2 && forms[0] != forms[1]);

    site.put("token", &token("another", 3));
    site.graph.expire_tokens();
    let error = client.probe().await.expect_err("another subject");
    assert_eq!(error.code.as_deref(), Some("AADSTS700213"));
    assert!(error.remedy().contains("subject"), "{}", error.remedy());
    std::fs::remove_file(site.folder.path().join("token")).expect("removed");
    let error = client.probe().await.expect_err("no token");
    assert!(error.remedy().contains("graph.federated_token_file"), "{}", error.remedy());
}

#[tokio::test]
async fn a_rotated_secret_is_taken_up_at_once_after_a_refusal() {
    let mut site = Site::new(Options::default(), Credential::ClientSecret).await;
    site.config.client_secret_file = Some(site.put("secret", "stale"));
    let client = site.client();
    let error = client.probe().await.expect_err("wrong");
    assert_eq!(error.code.as_deref(), Some("AADSTS7000215"));
    site.put("secret", "sandbox-client-secret\n");
    client.probe().await.expect("signed in");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_cause_one_token_request_per_expiry() {
    let mut site = Site::new(Options::default(), Credential::ClientSecret).await;
    site.config.client_secret = Some(Secret::new("sandbox-client-secret".into()));
    let client = site.client();
    let thousand = async || {
        let all = join_all((0..1000).map(|_| client.probe())).await;
        assert!(all.iter().all(Result::is_ok));
    };
    thousand().await;
    assert_eq!(site.forms().len(), 1);
    // Within the last five minutes it is renewed, while the old one still serves.
    tokio::time::advance(Duration::from_secs(3400)).await;
    thousand().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(site.forms().len(), 2);
    // Long after its end nothing can go before the new one is there.
    tokio::time::advance(Duration::from_secs(9000)).await;
    thousand().await;
    assert_eq!(site.forms().len(), 3);
    // Revoked by the authority: all are refused, and one asks.
    site.graph.expire_tokens();
    thousand().await;
    assert_eq!(site.forms().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_leaves_the_request_for_a_token_to_the_next() {
    let mut site = Site::new(Options::default(), Credential::ClientSecret).await;
    site.config.client_secret = Some(Secret::new("sandbox-client-secret".into()));
    let (server, forms) = (site.graph.local(), Arc::clone(&site.forms));
    let slow: Local = Arc::new(move |request: Request| {
        let (server, forms) = (Arc::clone(&server), Arc::clone(&forms));
        Box::pin(async move {
            if request.url().path().ends_with("/token") {
                forms.lock().expect("forms").push(String::new());
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
            server(request).await
        })
    });
    let client = GraphClient::local(&site.config, slow);
    let impatient = tokio::time::timeout(Duration::from_secs(1), client.probe()).await;
    assert!(impatient.is_err());
    client.probe().await.expect("signed in");
    assert_eq!(site.forms().len(), 1);
}

/// What a metadata service saw, and a client that asks it.
async fn asked_managed(
    environment: &dyn Fn(&str) -> Option<String>,
    identity: Option<&str>,
) -> Request {
    let config = Graph { identity_client_id: identity.map(Into::into), ..Graph::default() };
    let endpoint = base_url("graph.endpoint", &config.endpoint).expect("an address");
    super::Identity::new(&config, &endpoint, environment).expect("an identity").request()
}

#[tokio::test]
async fn managed_identities_are_asked_as_azure_wants_it() {
    let machine = asked_managed(&|_| None, Some("me")).await;
    assert_eq!(
        machine.url().as_str(),
        "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=\
         https%3A%2F%2Fgraph.microsoft.com%2F&client_id=me"
    );
    assert_eq!(machine.headers()["metadata"], "true");

    let service = |name: &str| match name {
        "IDENTITY_ENDPOINT" => Some("http://127.0.0.1:41741/msi/token".to_owned()),
        "IDENTITY_HEADER" => Some("proof".to_owned()),
        _ => None,
    };
    let app = asked_managed(&service, None).await;
    assert_eq!(
        app.url().as_str(),
        "http://127.0.0.1:41741/msi/token?api-version=2019-08-01&resource=\
         https%3A%2F%2Fgraph.microsoft.com%2F"
    );
    assert_eq!(app.headers()["x-identity-header"], "proof");
    assert!(app.headers()["x-identity-header"].is_sensitive());
}

/// A client with a managed identity, whose metadata service answers so.
async fn managed(status: u16, body: Value) -> Result<(), GraphError> {
    let graph = SandboxGraph::start(Options::default()).await.expect("graph");
    let config = Graph {
        endpoint: graph.endpoint(),
        credential: Credential::ManagedIdentity,
        ..Graph::default()
    };
    let server: Local = Arc::new(move |request: Request| {
        assert!(request.url().path() == "/metadata/identity/oauth2/token" || status == 200);
        let status = StatusCode::from_u16(status).expect("a status");
        let body = if request.url().path().contains("organization") {
            assert_eq!(request.headers()["authorization"], "Bearer managed");
            b"{}".to_vec()
        } else {
            body.to_string().into_bytes()
        };
        Box::pin(async move { Some((status, HeaderMap::new(), body)) })
    });
    GraphClient::local(&config, server).probe().await
}

#[tokio::test]
async fn a_metadata_service_that_is_not_ready_is_asked_again_and_a_refusal_is_told() {
    let token = json!({ "access_token": "managed", "expires_in": "86399", "token_type": "Bearer" });
    managed(200, token).await.expect("lifetimes may be text");
    let end = Timestamp::now().as_second() + 3600;
    let token = json!({ "access_token": "managed", "expires_on": end.to_string() });
    managed(200, token).await.expect("or the time of the end");
    for status in [404, 410, 429, 500, 503] {
        let error = managed(status, json!({ "error": "not_ready" })).await.expect_err("not ready");
        assert!(matches!(error.kind, ErrorKind::Transient { .. }), "{status}: {error}");
    }
    let body = json!({ "error": "invalid_request", "error_description": "Identity not found" });
    let error = managed(400, body).await.expect_err("no identity");
    assert_eq!(error.kind, ErrorKind::TokenRefused);
    assert!(error.remedy().contains("graph.identity_client_id"), "{}", error.remedy());
}
