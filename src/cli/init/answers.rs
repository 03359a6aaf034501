//! What was answered: a configuration, and the secrets in it.

use std::path::Path;

use url::Url;

use super::{
    Arguments,
    ask::{Asker, Kept},
    found::{Found, domain_of},
};
use crate::{
    config::{Config, Role, Secret, model::BrokerKind},
    directory::Login,
};

/// The properties that are mapped by one yes.
const COMMON: [(&str, &str); 4] = [
    ("displayName", "displayName"),
    ("jobTitle", "title"),
    ("department", "department"),
    ("mobilePhone", "mobile"),
];

/// A configuration that can be tried at once: its secrets are in it. Of the files that are written
/// for them it knows nothing.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) config: Config,
}

impl Answers {
    /// Which domain it is: consumers refuse the events of another one.
    pub(super) fn of_the_domain(
        &mut self,
        ask: &Asker,
        options: &Arguments,
        found: &Found,
    ) -> anyhow::Result<()> {
        let option = ("--base-dn", options.base_dn.as_deref());
        let before = given(&self.config.directory.base_dn).or_else(|| found.base_dn());
        let base_dn = ask.text(option, "Base DN of the domain", before)?;
        self.config.directory.base_dn = base_dn;
        Ok(())
    }

    pub(super) async fn of_the_directory(
        &mut self,
        ask: &Asker,
        options: &Arguments,
    ) -> anyhow::Result<()> {
        let directory = &mut self.config.directory;
        if options.urls.is_empty() {
            let before = match directory.urls.as_slice() {
                [] => Login::from_config(directory).servers.candidates().await.ok(),
                urls => Some(urls.to_vec()),
            };
            let question = "Domain controllers (ldaps://...), in the order of preference";
            let urls = ask.text(("--url", None), question, before.map(|urls| urls.join(" ")))?;
            let urls = urls.split([' ', ',']).filter(|url| !url.is_empty());
            directory.urls = urls.map(str::to_owned).collect();
        } else {
            directory.urls.clone_from(&options.urls);
        }
        let question = "CA of their certificates, a PEM file (empty: the system's)";
        let option = ("--ca-file", options.ca_file.as_deref());
        directory.tls.ca_file = ask.file(option, question, directory.tls.ca_file.take())?;
        let user = format!("svc-relay@{}", domain_of(&directory.base_dn));
        let before = given(&directory.bind.user).unwrap_or(user);
        let option = ("--bind-user", options.bind_user.as_deref());
        directory.bind.user = ask.text(option, "Account of the relay", Some(before))?;
        let option = ("--bind-password-file", options.bind_password_file.as_deref());
        let kept = ask.secret(option, "Its password")?;
        (directory.bind.password, directory.bind.password_file) = parts(kept);
        Ok(())
    }

    pub(super) fn of_the_broker(
        &mut self,
        ask: &Asker,
        options: &Arguments,
        role: Role,
    ) -> anyhow::Result<()> {
        const EMBEDDED: &str = "embedded";
        let before = std::mem::take(&mut self.config.broker);
        let broker = &mut self.config.broker;
        let (question, default) = match role {
            Role::Run => (
                "Queue (amqps://USER@HOST/VHOST, or embedded: a file, without a server)",
                Some(EMBEDDED.to_owned()),
            ),
            _ => ("Queue (amqps://USER@HOST/VHOST)", None),
        };
        let option = ("--broker", options.broker.as_deref());
        let url = ask.text(option, question, given(&before.url).or(default))?;
        if url == EMBEDDED {
            broker.kind = BrokerKind::Embedded;
            return Ok(());
        }
        broker.url = url;
        if broker.url.starts_with("amqps") {
            let question = "CA of its certificate, a PEM file (empty: the system's)";
            let option = ("--broker-ca-file", options.broker_ca_file.as_deref());
            broker.tls.ca_file = ask.file(option, question, before.tls.ca_file)?;
        }
        let option = ("--broker-password-file", options.broker_password_file.as_deref());
        let kept = ask.secret(option, "Password of that user")?;
        (broker.password, broker.password_file) = parts(kept);
        Ok(())
    }

    pub(super) fn of_graph(
        &mut self,
        ask: &Asker,
        options: &Arguments,
        found: &Found,
    ) -> anyhow::Result<()> {
        let graph = &mut self.config.graph;
        if let Some(endpoint) = &options.graph_endpoint {
            graph.endpoint.clone_from(endpoint);
        }
        if let Some(authority) = &options.graph_authority {
            graph.authority.clone_from(authority);
        }
        let option = ("--tenant-id", options.tenant_id.as_deref());
        let before = given(&graph.tenant_id).or_else(|| found.tenant_id.clone());
        graph.tenant_id = ask.text(option, "Tenant id", before)?;
        let option = ("--client-id", options.client_id.as_deref());
        let before = given(&graph.client_id).or_else(|| found.client_id.clone());
        graph.client_id = ask.text(option, "Client id of the app", before)?;
        let option = ("--client-secret-file", options.client_secret_file.as_deref());
        let kept = ask.secret(option, "Client secret of the app")?;
        (graph.client_secret, graph.client_secret_file) = parts(kept);
        Ok(())
    }

    pub(super) fn of_the_rest(
        &mut self,
        ask: &Asker,
        options: &Arguments,
        role: Role,
    ) -> anyhow::Result<()> {
        let question = "Map names, job titles, departments and mobile phones too?";
        if options.attributes || ask.confirm(question)? {
            let own = |(property, name): (&str, &str)| (property.to_owned(), name.to_owned());
            self.config.apply.attributes = COMMON.map(own).into();
        }
        if role == Role::Apply && self.needs_keys() {
            let option = ("--verify-key-file", options.verify_key_file.as_deref());
            let file = ask.file(option, "signing.pub of the watcher", None)?;
            self.config.security.verify_key_files = file.into_iter().collect();
        }
        Ok(())
    }

    /// Whether events pass a machine that others can put theirs into.
    pub(super) fn needs_keys(&self) -> bool {
        let broker = &self.config.broker;
        let host = Url::parse(&broker.url).ok();
        let host = host.as_ref().and_then(Url::host_str).unwrap_or_default();
        let is_here = host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse()
                .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        broker.kind == BrokerKind::Rabbitmq && !is_here
    }

    /// The secrets that no file holds yet: the name of the file, and the value.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (&'static str, &Secret)> {
        let config = &self.config;
        [
            ("bind", config.directory.bind.password.as_ref()),
            ("broker", config.broker.password.as_ref()),
            ("graph", config.graph.client_secret.as_ref()),
        ]
        .into_iter()
        .filter_map(|(name, secret)| Some((name, secret?)))
    }

    /// The same, with the secrets in files of this folder.
    pub(super) fn with_files(&self, folder: &Path) -> Config {
        let mut config = self.config.clone();
        for (value, file, name) in [
            (&mut config.directory.bind.password, &mut config.directory.bind.password_file, "bind"),
            (&mut config.broker.password, &mut config.broker.password_file, "broker"),
            (&mut config.graph.client_secret, &mut config.graph.client_secret_file, "graph"),
        ] {
            if value.take().is_some() {
                *file = Some(folder.join(name));
            }
        }
        config
    }
}

/// An answer of before.
fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn parts(kept: Kept) -> (Option<Secret>, Option<std::path::PathBuf>) {
    match kept {
        Kept::File(path) => (None, Some(path)),
        Kept::Value(secret) => (Some(secret), None),
    }
}
