//! A real browser: Chromium, driven over WebDriver (W3C) and, where that has no word for it, the
//! DevTools protocol.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use entra_relay::net::tls::install_provider;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use super::process::Process;
use super::wait::eventually;

/// The longest wait for an answer of the driver.
const PATIENCE: Duration = Duration::from_secs(60);

/// It asks nobody but the tests' own servers, and root may run it.
const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.*",
];

/// A window.
pub struct Browser {
    session: String,
    client: Client,
    // Before the folder: fields are dropped in this order.
    _driver: Process,
    _folder: TempDir,
}

impl Browser {
    /// Opens a window of a browser that nobody used before.
    pub async fn start() -> Browser {
        let folder = tempfile::Builder::new().prefix("relay-web-").tempdir().expect("a folder");
        let mut command = Command::new("chromedriver");
        command.args(["--port=0", "--allowed-ips=127.0.0.1"]);
        // What it would read and write of its user is in the folder too.
        command.env("HOME", folder.path()).env_remove("DBUS_SESSION_BUS_ADDRESS");
        let driver = Process::start("chromedriver", command, folder.path());
        let port: u16 = eventually("the driver listens", async || {
            let output = driver.output();
            let (_, rest) = output.split_once("started successfully on port ")?;
            rest.split_once('.')?.0.parse().ok()
        })
        .await;
        // The client wants one, though it never speaks TLS.
        install_provider();
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
        let arguments: Vec<_> = ARGUMENTS.into_iter().chain([&profile[..]]).collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let address = format!("http://127.0.0.1:{port}/session");
        let opened = send(&client, &address, &wanted).await;
        let id = opened["sessionId"].as_str().expect("a session");
        let session = format!("{address}/{id}");
        Browser { session, client, _driver: driver, _folder: folder }
    }

    /// Goes to an address, and returns when the page is there.
    pub async fn open(&self, address: &str) {
        self.post("url", json!({ "url": address })).await;
    }

    /// The value of an expression in the page.
    pub async fn value(&self, expression: &str) -> Value {
        let script = format!("return {expression};");
        self.post("execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// The text that an element shows.
    pub async fn text(&self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector({selector:?}).innerText")).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Makes the window as wide as that, in CSS pixels.
    pub async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1,
            "mobile": width < 600 });
        let command = "Emulation.setDeviceMetricsOverride";
        self.post("goog/cdp/execute", json!({ "cmd": command, "params": size })).await;
    }

    /// What the page complained of since it was last asked for.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.log("browser").await;
        entries.iter().map(|entry| entry["message"].to_string()).collect()
    }

    /// Whom the page asked for something since it was last asked for: schemes and hosts.
    pub async fn asked(&self) -> BTreeSet<String> {
        let entries = self.log("performance").await;
        let address = |entry: &Value| {
            let entry: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &entry["message"];
            (message["method"] == "Network.requestWillBeSent").then_some(())?;
            let url = Url::parse(message["params"]["request"]["url"].as_str()?).ok()?;
            // A picture in the page itself is asked of nobody, nor is the browser's own first page.
            let at_home = url.scheme() == "data" || url.scheme().starts_with("chrome");
            (!at_home).then(|| url.origin().ascii_serialization())
        };
        entries.iter().filter_map(address).collect()
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.post("se/log", json!({ "type": kind })).await;
        entries.as_array().expect("a log").clone()
    }

    async fn post(&self, command: &str, body: Value) -> Value {
        let address = format!("{}/{command}", self.session);
        send(&self.client, &address, &body).await
    }
}

/// The `value` of the answer.
///
/// # Panics
/// When the driver refuses.
async fn send(client: &Client, address: &str, body: &Value) -> Value {
    let answer = client.post(address).json(body).send().await.expect("the driver answers");
    let status = answer.status();
    let mut answer: Value = answer.json().await.expect("JSON");
    assert!(status.is_success(), "{address}: {answer:#}");
    answer["value"].take()
}
