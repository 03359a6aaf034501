//! The files: relay.yaml with comments, secrets for the relay's user alone, keys.

use std::{
    fs::{self, DirBuilder, File},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::json;

use super::answers::Answers;
use crate::{
    config::{self, Config, Role, model::BrokerKind},
    signing::Signer,
};

/// Where everything goes.
pub(super) struct Place {
    file: PathBuf,
    folder: PathBuf,
}

/// What was written.
pub(super) struct Written(Vec<PathBuf>);

impl Place {
    /// Beside the configuration file, which must not be there yet.
    pub(super) fn new(path: &Path) -> anyhow::Result<Place> {
        let file = std::path::absolute(path)?;
        anyhow::ensure!(
            !file.exists(),
            "{} exists and is left as it is; name another file with --config",
            file.display()
        );
        let folder = file.parent().context("the configuration needs a folder")?.to_owned();
        Ok(Place { file, folder })
    }

    /// Writes it all. What is written is read as the relay would read it before.
    pub(super) fn write(&self, answers: &Answers, role: Role) -> anyhow::Result<Written> {
        let secrets = self.folder.join("secrets");
        let mut config = answers.with_files(&secrets);
        config.state.path = self.folder.join("data/watcher.redb");
        config.broker.path = self.folder.join("data/queue.redb");
        config.control.listen = format!("unix:{}", self.folder.join("data/control.sock").display());
        let signs = role.watches() && answers.needs_keys();
        let (private, public) = (secrets.join("signing.key"), secrets.join("signing.pub"));
        if signs {
            config.security.signing_key_file = Some(private.clone());
        }
        let text = text(&config, role);
        config::parse(&self.file, &text, std::env::vars(), role)?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&secrets);
        made.with_context(|| format!("cannot make {}", secrets.display()))?;
        DirBuilder::new().recursive(true).mode(0o700).create(self.folder.join("data"))?;
        let mut written = Vec::new();
        for (name, secret) in answers.secrets() {
            let file = secrets.join(name);
            write_new(&file, 0o600, secret.expose())?;
            written.push(file);
        }
        if signs {
            Signer::generate().save(&private, &public)?;
            written.extend([private, public]);
        }
        // The last, for without it the rest is nothing yet.
        write_new(&self.file, 0o644, &text)?;
        written.push(self.file.clone());
        Ok(Written(written))
    }
}

impl Written {
    pub(super) fn report(&self) -> String {
        let lines = self.0.iter().map(|path| format!("wrote {}\n", path.display()));
        lines.collect()
    }
}

fn write_new(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    let write = || {
        let mut file = File::options().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write()
        .inspect_err(|error| {
            if error.kind() != std::io::ErrorKind::AlreadyExists {
                // Half a file only stands in the way of the next attempt.
                drop(fs::remove_file(path));
            }
        })
        .with_context(|| format!("cannot write {}", path.display()))
}

/// relay.yaml. A JSON value is a YAML one, whatever is in it.
fn text(config: &Config, role: Role) -> String {
    let (directory, broker, graph) = (&config.directory, &config.broker, &config.graph);
    let mut text = "# entra-relay, as `entra-relay init` made it. Every key and its default: the relay.yaml that comes\n\
                    # with the program. `entra-relay check` says whether it works.\n\n\
                    directory:\n".to_owned();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    line(format!("  base_dn: {}          # both halves need the same", json!(directory.base_dn)));
    if role.watches() {
        line(format!("  urls: {}            # tried in this order", json!(directory.urls)));
        let (user, file) = (json!(directory.bind.user), json!(directory.bind.password_file));
        line(format!("  bind: {{ user: {user}, password_file: {file} }}"));
        line(format!(
            "  tls: {{ ca_file: {} }}          # null: the system's certificates",
            json!(directory.tls.ca_file)
        ));
        line(String::new());
        line("state:".into());
        line(format!(
            "  path: {}          # keep it: without, everything is read and compared anew",
            json!(config.state.path)
        ));
    }
    line(String::new());
    line("broker:".into());
    if broker.kind == BrokerKind::Embedded {
        line("  kind: embedded          # a file, for watcher and consumer in one process".into());
        line(format!("  path: {}", json!(broker.path)));
    } else {
        line("  kind: rabbitmq".into());
        line(format!("  url: {}", json!(broker.url)));
        line(format!("  password_file: {}", json!(broker.password_file)));
        line(format!("  tls: {{ ca_file: {} }}", json!(broker.tls.ca_file)));
    }
    if role.applies() {
        line(String::new());
        line("graph:".into());
        line(format!("  endpoint: {}", json!(graph.endpoint)));
        line(format!("  authority: {}          # of the same cloud", json!(graph.authority)));
        line(format!("  tenant_id: {}", json!(graph.tenant_id)));
        line(format!("  client_id: {}", json!(graph.client_id)));
        line(format!(
            "  client_secret_file: {}          # read anew for each token",
            json!(graph.client_secret_file)
        ));
    }
    line(String::new());
    line("apply:".into());
    if role.applies() {
        line("  mode: apply          # observe: runs everything, writes nothing to Entra, logs what it would do".into());
        line("  upn_suffixes: {}          # { corp.local: contoso.com }: on-premises suffix to the tenant's".into());
    }
    line("  # Graph property: directory attribute, or template of one. {}: account state alone. Both halves need the same.".into());
    line(format!("  attributes: {}", json!(config.apply.attributes)));
    let security = &config.security;
    if security.signing_key_file.is_some() || !security.verify_key_files.is_empty() {
        line(String::new());
        line("security:          # by signatures consumers know the watcher's events".into());
        if let Some(file) = &security.signing_key_file {
            line(format!("  signing_key_file: {}", json!(file)));
        }
        if !security.verify_key_files.is_empty() {
            line(format!("  verify_key_files: {}", json!(security.verify_key_files)));
        }
    }
    line(String::new());
    line("control:".into());
    line(format!(
        "  listen: {}          # how the command line reaches the running process",
        json!(config.control.listen)
    ));
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::Secret;

    fn answers() -> Answers {
        let mut answers = Answers::default();
        let config = &mut answers.config;
        config.directory.base_dn = "DC=corp,DC=example".into();
        config.directory.urls = vec!["ldaps://dc1.corp.example".into()];
        config.directory.bind.user = "svc \"relay\"@corp.example".into();
        config.directory.bind.password = Some(Secret::new("hunter2: #\"".into()));
        config.broker.url = "amqps://relay@mq.example/relay".into();
        config.broker.password_file = Some("/run/secrets/broker".into());
        config.graph.tenant_id = "tenant".into();
        config.graph.client_id = "client".into();
        config.graph.client_secret = Some(Secret::new("s3cret".into()));
        answers
    }

    #[test]
    fn what_is_written_is_what_was_answered() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("deep/relay.yaml");
        let place = Place::new(&file).expect("free");
        let answers = answers();
        let written = place.write(&answers, Role::Run).expect("written");
        assert!(written.report().contains("signing.key"), "the broker is on another host");
        let text = fs::read_to_string(&file).expect("relay.yaml");
        assert!(!text.contains("hunter2") && !text.contains("s3cret"), "{text}");
        let config = config::load(&file, [], Role::Run).expect("valid");
        assert_eq!(config.directory.bind.user, answers.config.directory.bind.user);
        assert_eq!(config.broker.password_file.as_deref(), Some(Path::new("/run/secrets/broker")));
        for (name, value) in [("bind", "hunter2: #\""), ("graph", "s3cret")] {
            let secret = folder.path().join("deep/secrets").join(name);
            let mode = fs::metadata(&secret).expect("a file").permissions().mode() & 0o777;
            assert_eq!((mode, fs::read_to_string(&secret).expect("text").as_str()), (0o600, value));
        }
        let error = Place::new(&file).err().expect("taken").to_string();
        assert!(error.contains("exists and is left"), "{error}");
    }

    #[test]
    fn nothing_is_written_that_the_relay_would_refuse() {
        let folder = tempfile::tempdir().expect("folder");
        let place = Place::new(&folder.path().join("relay.yaml")).expect("free");
        let mut answers = answers();
        answers.config.broker.url = "mq".into();
        place.write(&answers, Role::Run).map(drop).expect_err("refused");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}
