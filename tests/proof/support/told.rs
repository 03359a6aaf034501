//! Both halves of the relay on a domain controller, and what they are seen to tell.

use entra_relay::sandbox::graph::{NewUser, Options, SandboxGraph};
use serde_json::json;
use uuid::Uuid;

use super::relay::{Relay, Setup};
use super::samba::{Samba, User};
use super::wait::eventually;

/// A kind of event.
pub const DISABLED: &str = "account.disabled";
/// A kind of event.
pub const ENABLED: &str = "account.enabled";
/// A kind of event.
pub const MODIFIED: &str = "attributes.modified";
/// A kind of event.
pub const CREATED: &str = "user.created";
/// A kind of event.
pub const DELETED: &str = "user.deleted";
/// A kind of event.
pub const RENAMED: &str = "user.renamed";
/// A kind of event.
pub const PASSWORD: &str = "password.changed";

/// Both halves in one process, with nothing but the doorbell to say when to look.
pub async fn setup(samba: &Samba, graph: &SandboxGraph) -> Setup {
    let account = samba.service_account().await;
    Setup::new()
        .directory(samba, account)
        .graph(graph)
        .set("broker.kind", "embedded")
        .set("directory.sweep_interval", "1h")
        // Of so few users, the guard would hold one as a mass change.
        .set("guard.max_percent", 100)
        .set("apply.attributes", json!({ "jobTitle": "title" }))
}

/// A tenant of the strict kind.
pub async fn tenant() -> SandboxGraph {
    SandboxGraph::start(Options::default()).await.unwrap()
}

/// The lines of the log that have this text.
pub fn lines(relay: &Relay<'_>, text: &str) -> Vec<String> {
    relay.output().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

/// Waits until so many lines of the log have this text.
pub async fn logged(relay: &Relay<'_>, text: &str, count: usize) {
    let what = format!("{count} times {text:?} in the log");
    eventually(&what, async || lines(relay, text).len() == count).await;
}

/// The value of a field in a line of the log.
pub fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!(" {name}=")).unwrap_or_default();
    rest.split(' ').next().unwrap_or_default().trim_matches('"')
}

/// What was told of the users whose name begins so, in its order: kind and user.
pub fn told(relay: &Relay<'_>, prefix: &str) -> Vec<[String; 2]> {
    let told = lines(relay, "change observed");
    let told = told.iter().map(|line| ["kind", "user"].map(|name| field(line, name).to_owned()));
    told.filter(|[_, user]| user.starts_with(prefix)).collect()
}

/// Waits until just this was told.
pub async fn tells(relay: &Relay<'_>, prefix: &str, wanted: &[[&str; 2]]) {
    eventually(&format!("{wanted:?} is told"), async || {
        let told = told(relay, prefix);
        assert!(told.len() <= wanted.len(), "{wanted:?} is wanted, told is {told:?}");
        if told == wanted { Ok(()) } else { Err(format!("told is {told:?}")) }
    })
    .await;
}

/// What is told from the first start on, bit by bit: how much of it was seen.
#[derive(Default)]
pub struct Story(usize);

impl Story {
    /// Waits until this was told too, in any order, and nothing else of anybody.
    pub async fn goes_on(&mut self, relay: &Relay<'_>, more: &[[&str; 2]]) {
        let mut wanted: Vec<_> = more.iter().map(|pair| pair.map(str::to_owned)).collect();
        wanted.sort();
        eventually(&format!("{wanted:?} is told"), async || {
            let told = told(relay, "");
            let mut news = told[self.0..].to_vec();
            news.sort();
            assert!(news.len() <= wanted.len(), "{wanted:?} is wanted, told is {told:?}");
            if news == wanted { Ok(()) } else { Err(format!("told is {told:?}")) }
        })
        .await;
        self.0 += wanted.len();
    }
}

/// Adds the user in the cloud who is this one.
pub fn twin(graph: &SandboxGraph, user: &User) -> Uuid {
    graph.add_user(NewUser::new(&user.upn).immutable_id(&user.immutable_id()))
}

/// Waits until the account in the cloud is in this state.
pub async fn enabled(graph: &SandboxGraph, twin: Uuid, enabled: bool) {
    let what = format!("Graph has accountEnabled = {enabled}");
    eventually(&what, async || graph.user(twin).unwrap().account_enabled() == enabled).await;
}

/// How often something was written of the user in the cloud.
pub fn writes(graph: &SandboxGraph, twin: Uuid) -> usize {
    let log = graph.log();
    log.iter().filter(|request| request.user == Some(twin) && request.method != "GET").count()
}
