//! With nothing installed: the demo, and the shipped configuration.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::support::process::Process;
use crate::support::relay::Setup;
use crate::support::wait::eventually;

#[tokio::test]
async fn the_demo_ends_in_agreement() {
    let setup = Setup::new();
    let output = setup.run(&["demo", "--output", "json"]).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["agree"], true, "{report}");
    assert_eq!(report["users"], 500, "{report}");
    let latencies = report["latencies"].as_array().unwrap();
    let burst = latencies.iter().find(|row| row["change"] == "attribute edit in the burst");
    assert_eq!(burst.unwrap()["count"], 200, "{report}");
    assert_eq!(told, "", "a demo that works has nothing to complain of");
}

#[tokio::test]
async fn the_shipped_configuration_runs_and_stops() {
    let setup = Setup::new();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("relay.yaml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_entra-relay"));
    command.env_clear().current_dir(setup.folder()).arg("--config").arg(shipped).arg("run");
    command.env("RELAY_ADMIN__LISTEN", "127.0.0.1:0");
    let mut relay = Process::start("shipped", command, setup.folder());
    eventually("the baseline is read", async || {
        relay.output().contains("read the whole directory")
    })
    .await;
    relay.signal(rustix::process::Signal::TERM);
    let status = relay.exit().await;
    assert!(status.success(), "{status}: {}", relay.output());
    assert!(setup.folder().join("data/watcher.redb").exists());
}
