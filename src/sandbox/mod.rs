//! A directory and a Graph that run in-process, reached over the wire like the real ones.

pub mod administrator;
pub mod directory;
pub mod everyday;
pub mod graph;

use std::{collections::HashMap, io};

use base64::{Engine, prelude::BASE64_STANDARD};
use uuid::Uuid;

use crate::config::{Config, Secret, model};
use directory::{SandboxDirectory, UserSnapshot};
use graph::{NewUser, SandboxGraph};

/// A directory and a tenant with the same people in them.
#[derive(Debug)]
pub struct Sandbox {
    /// The directory.
    pub directory: SandboxDirectory,
    /// The tenant.
    pub graph: SandboxGraph,
    /// objectGUID → the object id in the tenant.
    pub twins: HashMap<Uuid, Uuid>,
}

impl Sandbox {
    /// Starts both, with so many people. Every other one is linked by `onPremisesImmutableId`, as
    /// a synchronisation tool would have done; the rest are to be found by their UPN.
    pub async fn start(users: usize) -> io::Result<Sandbox> {
        let directory = directory::Options { users, ..Default::default() };
        Sandbox::with(directory, graph::Options::default()).await
    }

    /// As [`Sandbox::start`], set up like this.
    pub async fn with(directory: directory::Options, graph: graph::Options) -> io::Result<Sandbox> {
        let directory = SandboxDirectory::start(directory).await?;
        let graph = SandboxGraph::start(graph).await?;
        let everybody = directory.users();
        // Built-in and service accounts have no display name, and no counterpart in the cloud.
        let people = everybody.iter().filter(|user| value(user, "displayName").is_some());
        let twins = people
            .enumerate()
            .filter_map(|(index, user)| {
                let twin = twin(user, index % 2 == 0)?;
                Some((user.guid, graph.add_user(twin)))
            })
            .collect();
        Ok(Sandbox { directory, graph, twins })
    }

    /// Points a configuration at the directory.
    pub fn configure_directory(&self, config: &mut model::Directory) {
        config.source = model::Source::Dirsync;
        config.urls = vec![self.directory.url()];
        config.base_dn = self.directory.base_dn().to_owned();
        config.bind.user = self.directory.bind_name().to_owned();
        config.bind.password = Some(Secret::new(self.directory.bind_password().to_owned()));
        config.bind.password_file = None;
    }

    /// Points a configuration at the tenant.
    pub fn configure_graph(&self, config: &mut model::Graph) {
        let options = self.graph.options();
        config.endpoint = self.graph.endpoint();
        config.authority = self.graph.authority();
        config.tenant_id.clone_from(&options.tenant_id);
        config.client_id.clone_from(&options.client_id);
        config.credential = model::Credential::ClientSecret;
        config.client_secret = Some(Secret::new(options.client_secret.clone()));
        config.client_secret_file = None;
    }

    /// Starts what the configuration calls `sandbox`, and points it there. None if it calls
    /// nothing so.
    pub async fn for_config(config: &mut Config) -> io::Result<Option<Sandbox>> {
        const USERS: usize = 500;
        let directory = config.directory.source == model::Source::Sandbox;
        let graph = config.graph.is_sandbox();
        if !directory && !graph {
            return Ok(None);
        }
        let sandbox = Sandbox::start(USERS).await?;
        if directory {
            sandbox.configure_directory(&mut config.directory);
        }
        if graph {
            sandbox.configure_graph(&mut config.graph);
        }
        Ok(Some(sandbox))
    }
}

/// The same person in the cloud. None without a UPN, which every cloud user has.
fn twin(user: &UserSnapshot, linked: bool) -> Option<NewUser> {
    let mut twin = NewUser::new(user.user_principal_name.as_deref()?);
    if linked {
        twin = twin.immutable_id(&BASE64_STANDARD.encode(user.guid.to_bytes_le()));
    }
    if !is_enabled(user) {
        twin = twin.disabled();
    }
    for (property, attribute) in ATTRIBUTES {
        if let Some(value) = value(user, attribute) {
            twin = twin.with(property, value);
        }
    }
    Some(twin)
}

/// The attributes that people have on both sides: Graph's property and the directory's attribute.
pub const ATTRIBUTES: [(&str, &str); 4] = [
    ("displayName", "displayName"),
    ("jobTitle", "title"),
    ("department", "department"),
    ("mobilePhone", "mobile"),
];

/// The first value of a directory attribute.
pub fn value<'a>(user: &'a UserSnapshot, attribute: &str) -> Option<&'a str> {
    let (_, values) =
        user.attributes.iter().find(|(name, _)| name.eq_ignore_ascii_case(attribute))?;
    values.first().map(String::as_str)
}

/// Whether an account of the directory is neither disabled nor deleted.
pub fn is_enabled(user: &UserSnapshot) -> bool {
    use crate::directory::attributes::uac::ACCOUNT_DISABLE;
    !user.deleted && user.user_account_control & ACCOUNT_DISABLE == 0
}
