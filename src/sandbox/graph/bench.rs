//! A client of the simulator for its tests.

use std::time::Duration;

use reqwest::{Client, Method, Response};
use serde_json::Value;
use uuid::Uuid;

use super::{Options, SandboxGraph};

/// A simulator, a client, and a token.
pub(super) struct Bench {
    pub(super) graph: SandboxGraph,
    pub(super) http: Client,
    pub(super) token: String,
}

impl Bench {
    pub(super) async fn start(options: Options) -> Self {
        // Another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let graph = SandboxGraph::start(options).await.expect("loopback");
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(20));
        let http = http.build().expect("a client");
        let mut bench = Self { graph, http, token: String::new() };
        bench.sign_in().await;
        bench
    }

    pub(super) async fn with_roles(roles: &[&str]) -> Self {
        let app_roles = roles.iter().map(|role| (*role).to_owned()).collect();
        Self::start(Options { app_roles, ..Options::default() }).await
    }

    pub(super) async fn ask_token(&self, secret: &str) -> Response {
        let options = self.graph.options();
        let scope = format!("{}/.default", self.graph.authority());
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &options.client_id),
            ("client_secret", secret),
            ("scope", &scope),
        ];
        let url = format!("{}/{}/oauth2/v2.0/token", self.graph.authority(), options.tenant_id);
        self.http.post(url).form(&form).send().await.expect("an answer")
    }

    pub(super) async fn sign_in(&mut self) {
        let answer = self.ask_token(&self.graph.options().client_secret).await;
        let answer: Value = answer.json().await.expect("JSON");
        self.token = answer["access_token"].as_str().expect("a token").to_owned();
    }

    pub(super) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        self.try_send(method, path, body).await.expect("an answer")
    }

    pub(super) async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<Response> {
        let url = format!("{}/{path}", self.graph.endpoint());
        let request = self.http.request(method, url).bearer_auth(&self.token);
        match body {
            Some(body) => request.json(&body),
            None => request,
        }
        .send()
        .await
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        parts(self.send(Method::GET, path, None).await).await
    }

    pub(super) async fn patch(&self, id: Uuid, body: Value) -> (u16, Value) {
        parts(self.send(Method::PATCH, &format!("users/{id}"), Some(body)).await).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        parts(self.send(Method::POST, path, Some(body)).await).await
    }

    pub(super) async fn delete(&self, path: &str) -> u16 {
        self.send(Method::DELETE, path, None).await.status().as_u16()
    }
}

pub(super) async fn parts(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, if text.is_empty() { Value::Null } else { text.parse().expect("JSON") })
}

pub(super) fn code(body: &Value) -> &str {
    body["error"]["code"].as_str().unwrap_or_default()
}

pub(super) fn message(body: &Value) -> &str {
    body["error"]["message"].as_str().unwrap_or_default()
}
