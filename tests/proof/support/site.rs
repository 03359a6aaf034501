//! A directory, a queue and a tenant, with the two halves of the relay between them.

use entra_relay::sandbox::graph::{LoggedRequest, NewUser, Options, SandboxGraph};
use serde_json::json;
use uuid::Uuid;

use super::rabbit::{Rabbit, Vhost};
use super::relay::{Relay, Setup};
use super::samba::{Admin, BASE_DN, Samba, User};
use super::wait::eventually;

/// Everything that the relay stands between.
pub struct Site {
    /// The directory.
    pub samba: Samba,
    /// The tenant.
    pub graph: SandboxGraph,
    /// The queues.
    pub vhost: Vhost,
    /// For `watch`.
    pub watch: Setup,
    /// For `apply`.
    pub apply: Setup,
}

impl Site {
    /// A domain and a tenant of its own, on a virtual host of this node.
    pub async fn new(rabbit: &Rabbit) -> Site {
        Site::with(rabbit, Options::default()).await
    }

    /// As [`Site::new`], with a tenant of this kind.
    pub async fn with(rabbit: &Rabbit, options: Options) -> Site {
        let samba = Samba::start().await;
        let graph = SandboxGraph::start(options).await.unwrap();
        let vhost = rabbit.vhost();
        let watch = watcher(&samba, &vhost).await;
        let apply = consumer(&graph, &vhost);
        Site { samba, graph, vhost, watch, apply }
    }

    /// For one more `watch`, with a store of its own.
    pub async fn second_watcher(&self) -> Setup {
        watcher(&self.samba, &self.vhost).await
    }

    /// For one more `apply`.
    pub fn second_consumer(&self) -> Setup {
        consumer(&self.graph, &self.vhost)
    }

    /// Adds a user to both sides, linked or to be found by its UPN.
    pub async fn add_user(&self, name: &str, linked: bool) -> (User, Uuid) {
        self.add_user_as(&mut self.samba.admin().await, name, linked).await
    }

    /// As [`Site::add_user`], over a connection that is there already.
    pub async fn add_user_as(&self, admin: &mut Admin, name: &str, linked: bool) -> (User, Uuid) {
        let user = admin.add_user(&format!("CN=Users,{BASE_DN}"), name).await;
        let mut twin = NewUser::new(&user.upn);
        if linked {
            twin = twin.immutable_id(&user.immutable_id());
        }
        let twin = self.graph.add_user(twin);
        (user, twin)
    }

    /// Starts both halves and waits until they work.
    pub async fn start(&self) -> (Relay<'_>, Relay<'_>) {
        let mut watch = self.watch.start(&["watch"]);
        let mut apply = self.apply.start(&["apply"]);
        watch.ready().await;
        apply.ready().await;
        (watch, apply)
    }

    /// Waits until Graph has this state of the account.
    pub async fn enabled(&self, twin: Uuid, enabled: bool) {
        let what = format!("Graph has accountEnabled = {enabled}");
        eventually(&what, async || self.graph.user(twin).unwrap().account_enabled() == enabled)
            .await;
    }

    /// Requests that changed this user, or read it by its object id.
    pub fn requests(&self, twin: Uuid) -> Vec<LoggedRequest> {
        let mut log = self.graph.log();
        log.retain(|request| request.user == Some(twin));
        log
    }

    /// How often the user's sessions were revoked.
    pub fn revocations(&self, twin: Uuid) -> usize {
        let requests = self.requests(twin);
        requests.iter().filter(|r| r.path.ends_with("/revokeSignInSessions")).count()
    }

    /// How many dead letters there are.
    pub async fn dead_letters(&self) -> u32 {
        self.vhost.waiting("relay.dead-letters").await.unwrap()
    }
}

async fn watcher(samba: &Samba, vhost: &Vhost) -> Setup {
    let account = samba.service_account().await;
    // What these tests do to a few users, the guard would hold as a mass change.
    let guard = json!({ "max_disables": 100_000, "max_blanked": 100_000, "max_percent": 100 });
    shared_keys(Setup::new().directory(samba, account).rabbit(vhost)).set("guard", guard)
}

fn consumer(graph: &SandboxGraph, vhost: &Vhost) -> Setup {
    shared_keys(Setup::new().rabbit(vhost).graph(graph)).set("directory.base_dn", BASE_DN)
}

fn shared_keys(setup: Setup) -> Setup {
    setup.set("apply.attributes", json!({ "jobTitle": "title", "mobilePhone": "mobile" }))
}
