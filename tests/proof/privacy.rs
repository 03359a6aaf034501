//! Attributes that never leave, and those that leave as a keyed hash alone: nothing of their values
//! is in the store, in the queue, in Entra or in the log.

use std::fs;

use entra_relay::sandbox::Sandbox;
use entra_relay::sandbox::administrator::Administrator;
use serde_json::json;

use crate::support::relay::Setup;
use crate::support::twins::people;
use crate::support::wait::eventually;

/// Values that are found nowhere else.
const NEVER: &str = "N9-never-7f3a";
const HIDDEN: &str = "Division of hidden things 8c1d";
const PLAIN: &str = "Teller of plain things 5e2b";

#[tokio::test]
async fn what_is_private_is_nowhere() {
    let sandbox = Sandbox::start(4).await.unwrap();
    let user = people(&sandbox).remove(0);
    let setup = Setup::new();
    let key = setup.secret("anonymize", "a key of a test, as long as keys should be");
    let setup = setup
        .sandbox(&sandbox)
        .set("apply.attributes", json!({ "jobTitle": "title", "department": "department" }))
        .set("apply.never", ["employeeID", "description"])
        .set("apply.anonymize", ["Department"])
        .set("apply.anonymize_key_file", key);
    let mut administrator = Administrator::connect(&sandbox.directory).await.unwrap();
    // Before the first read, and as a change.
    administrator.set(&user.dn, "employeeID", NEVER).await.unwrap();
    administrator.set(&user.dn, "department", HIDDEN).await.unwrap();
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    assert!(setup.run(&["pause"]).await.status.success());
    relay.logged("paused by command").await;
    administrator.set(&user.dn, "department", &format!("{HIDDEN}, second floor")).await.unwrap();
    administrator.set(&user.dn, "employeeID", &format!("{NEVER}b")).await.unwrap();
    administrator.set(&user.dn, "title", PLAIN).await.unwrap();
    let queue = setup.folder().join("queue.redb");
    let holds = |text: &str| {
        fs::read(&queue).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes())
    };
    eventually("what is told waits in the queue", async || holds(PLAIN)).await;
    let secrets = [NEVER, HIDDEN];
    assert!(!secrets.into_iter().any(&holds), "in the queue");
    assert!(setup.run(&["resume"]).await.status.success());
    let twin = sandbox.twins[&user.guid];
    eventually("it is applied", async || {
        let twin = sandbox.graph.user(twin).unwrap();
        twin.get("jobTitle") == PLAIN && twin.get("department").as_str().unwrap().len() == 43
    })
    .await;
    relay.terminate().await;
    for file in fs::read_dir(setup.folder()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            for secret in secrets {
                let found = bytes.windows(secret.len()).any(|it| it == secret.as_bytes());
                assert!(!found, "{secret} is in {}", path.display());
            }
        }
    }
    for request in sandbox.graph.log() {
        let text = format!("{} {:?}", request.path, request.body);
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    }
}
