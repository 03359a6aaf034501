//! A Prometheus with the rules that are shipped.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use url::form_urlencoded::byte_serialize;

use super::http::get;
use super::loopback::Loopback;
use super::process::Process;
use super::rabbit::Vhost;
use super::wait::eventually;

const PORT: u16 = 9090;

/// A running server.
pub struct Prometheus {
    address: SocketAddr,
    _loopback: Loopback,
    // Before the folder: fields are dropped in this order.
    _process: Process,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts with the shipped configuration and rules, on these targets instead of the shipped
    /// ones, and in a hurry: what the shipped files wait and average for minutes, this one does
    /// for seconds. That the rules are right at their real pace is for `promtool` to show.
    pub async fn start(relays: &[SocketAddr], rabbit: SocketAddr, vhost: &Vhost) -> Prometheus {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
        let folder = tempfile::Builder::new().prefix("relay-prom-").tempdir().expect("a folder");
        let relays: Vec<_> = relays.iter().map(|address| format!("\"{address}\"")).collect();
        let hurry = |file: &str, changes: &[(&str, &str)]| {
            let mut text = fs::read_to_string(shipped.join(file)).expect("a shipped file");
            for (from, to) in changes {
                assert!(text.contains(from), "{file} has no {from}");
                text = text.replace(from, to);
            }
            fs::write(folder.path().join(file), text).expect("a file of Prometheus");
        };
        hurry(
            "prometheus.yml",
            &[
                ("15s", "1s"),
                (r#""watcher:9464", "consumer-1:9464", "consumer-2:9464""#, &relays.join(", ")),
                ("rabbitmq:15692", &rabbit.to_string()),
                ("vhost: [relay]", &format!("vhost: [{}]", vhost.name)),
            ],
        );
        hurry("rules.yml", &[("for: 1m", "for: 1s"), ("for: 2m", "for: 1s"), ("[2m]", "[5s]")]);

        let loopback = Loopback::take(&[PORT]);
        let address = SocketAddr::from((loopback.ip(), PORT));
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn");
        let process = Process::start("prometheus", command, folder.path());
        let prometheus =
            Prometheus { address, _loopback: loopback, _process: process, _folder: folder };
        eventually("Prometheus is ready", async || {
            let (status, body) = get(address, "/-/ready").await.map_err(|e| e.to_string())?;
            if status == 200 { Ok(()) } else { Err(body) }
        })
        .await;
        prometheus
    }

    /// What a query gives now, or why it cannot be asked.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let query: String = byte_serialize(query.as_bytes()).collect();
        let answer = self.api(&format!("query?query={query}")).await?;
        Ok(answer["result"].as_array().cloned().unwrap_or_default())
    }

    /// Every name of a series that was scraped.
    pub async fn series(&self) -> Result<BTreeSet<String>, String> {
        let names = self.api("label/__name__/values").await?;
        serde_json::from_value(names).map_err(|error| error.to_string())
    }

    /// The alerts that fire now.
    pub async fn firing(&self) -> Result<BTreeSet<String>, String> {
        let found = self.query("ALERTS{alertstate=\"firing\"}").await?;
        let name = |alert: &Value| alert["metric"]["alertname"].as_str().map(str::to_owned);
        Ok(found.iter().filter_map(name).collect())
    }

    async fn api(&self, path: &str) -> Result<Value, String> {
        let answer = get(self.address, &format!("/api/v1/{path}")).await;
        let (_, body) = answer.map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(body) }
    }
}
