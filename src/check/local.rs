//! Files that are named and folders that are written to.

use std::{
    fs::File,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{Area, Check, Subject};
use crate::{
    config::{
        Config, Role, Secret,
        model::{BindMethod, BrokerKind, Credential},
    },
    net::tls,
};

/// A file that the configuration names.
struct Named<'a> {
    area: Area,
    key: &'static str,
    path: &'a Path,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Secret,
    /// A secret that is no text.
    Keytab,
    Authority,
}

/// The secrets and the certificates of authorities that the role uses.
fn named(config: &Config, role: Role) -> Vec<Named<'_>> {
    let (directory, graph, broker) = (&config.directory, &config.graph, &config.broker);
    let traces = &config.traces;
    let remote = broker.kind == BrokerKind::Rabbitmq;
    let method = directory.bind.method;
    let watches = role.watches() && directory.source != crate::config::model::Source::Sandbox;
    let applies = role.applies() && !graph.is_sandbox();
    use Kind::{Authority, Keytab, Secret};
    let rows: [(bool, Area, &'static str, &Option<PathBuf>, Kind); 12] = [
        (
            watches && method == BindMethod::Simple,
            Area::Directory,
            "directory.bind.password_file",
            &directory.bind.password_file,
            Secret,
        ),
        (
            watches && method == BindMethod::Kerberos,
            Area::Directory,
            "directory.bind.keytab_file",
            &directory.bind.keytab_file,
            Keytab,
        ),
        (
            watches,
            Area::Directory,
            "directory.tls.private_key_file",
            &directory.tls.private_key_file,
            Secret,
        ),
        (watches, Area::Directory, "directory.tls.ca_file", &directory.tls.ca_file, Authority),
        (
            role.watches(),
            Area::Configuration,
            "apply.anonymize_key_file",
            &config.apply.anonymize_key_file,
            Secret,
        ),
        (remote, Area::Broker, "broker.password_file", &broker.password_file, Secret),
        (remote, Area::Broker, "broker.tls.ca_file", &broker.tls.ca_file, Authority),
        (
            applies && graph.credential == Credential::ClientSecret,
            Area::Graph,
            "graph.client_secret_file",
            &graph.client_secret_file,
            Secret,
        ),
        (applies, Area::Graph, "graph.private_key_file", &graph.private_key_file, Secret),
        (applies, Area::Graph, "graph.tls.ca_file", &graph.tls.ca_file, Authority),
        (
            traces.endpoint.is_some(),
            Area::Configuration,
            "traces.headers_file",
            &traces.headers_file,
            Secret,
        ),
        (
            traces.endpoint.is_some(),
            Area::Configuration,
            "traces.tls.ca_file",
            &traces.tls.ca_file,
            Authority,
        ),
    ];
    let used = rows.into_iter().filter(|(used, ..)| *used);
    used.filter_map(|(_, area, key, path, kind)| {
        Some(Named { area, key, path: path.as_deref()?, kind })
    })
    .collect()
}

/// Whether the files can be used. What is right is told in one row.
pub(super) fn files(config: &Config, role: Role) -> Vec<Check> {
    let files = named(config, role);
    let mut checks: Vec<_> = files.iter().filter_map(problem).collect();
    if checks.is_empty() {
        let told = match files.len() {
            0 => "none is named".into(),
            count => format!("{count} can be read, the secret ones by nobody else"),
        };
        checks.push(Subject(Area::Local, "files").pass(told));
    }
    checks
}

fn problem(file: &Named<'_>) -> Option<Check> {
    let Named { area, key, path, kind } = file;
    let subject = Subject(*area, "file");
    if *kind == Kind::Authority {
        let error = tls::read_ca_file(path).err()?;
        return Some(subject.failed(format!("{key}: {error}"), "name a readable PEM file"));
    }
    let error = match kind {
        // What is in it, the login shows.
        Kind::Keytab => File::open(path).err().map(|error| format!("{}: {error}", path.display())),
        _ => Secret::read(path).err().map(|error| error.to_string()),
    };
    if let Some(error) = error {
        let remedy = "write the secret into it, readable for the relay's user alone (mode 0600)";
        return Some(subject.fail(format!("{key}: {error}"), remedy));
    }
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o007 != 0).then(|| {
        let told = format!("{key}: everybody may use {} (mode {mode:03o})", path.display());
        subject.warn(told, format!("chmod 600 {}", path.display()))
    })
}

/// Whether the relay can write where it keeps its state. The files themselves belong to a process
/// that may run and are not touched.
pub(super) fn folders(config: &Config, role: Role) -> Vec<Check> {
    let mut paths = vec![("control.listen", config.control.path().map(Path::to_owned))];
    if role.watches() {
        paths.push(("state.path", Some(config.state.path.clone())));
    }
    if config.broker.kind == BrokerKind::Embedded {
        paths.push(("broker.path", Some(config.broker.path.clone())));
    }
    let subject = Subject(Area::Local, "folders");
    let bad: Vec<_> = paths
        .into_iter()
        .filter_map(|(key, path)| {
            let path = path?;
            let folder = nearest_folder(&path)?;
            let told = format!("{key}: {} cannot be written to", folder.display());
            let remedy = format!("give the relay's user the folder {}", folder.display());
            (!is_writable(&folder)).then(|| subject.fail(told, remedy))
        })
        .collect();
    if bad.is_empty() { vec![subject.pass("can be written to")] } else { bad }
}

/// The folder of a file, or of those above it the first that is there: the rest will be made.
fn nearest_folder(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    absolute.ancestors().skip(1).find(|folder| folder.is_dir()).map(Path::to_owned)
}

/// Permissions do not tell of read-only mounts, nor of root: a file that has no name tells.
fn is_writable(folder: &Path) -> bool {
    let probe = folder.join(format!(".entra-relay-check-{}", std::process::id()));
    let made = File::options().write(true).create_new(true).open(&probe).is_ok();
    made && std::fs::remove_file(&probe).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Verdict;

    #[test]
    fn files_are_named_by_their_key() {
        let folder = tempfile::tempdir().expect("folder");
        let mut config = Config::default();
        let path = folder.path().join("bind");
        config.directory.bind.password_file = Some(path.clone());
        let told = |config: &Config| files(config, Role::Watch);
        let missing = told(&config);
        assert_eq!((missing[0].verdict, missing[0].area), (Verdict::Fail, Area::Directory));
        assert!(missing[0].told.starts_with("directory.bind.password_file"), "{missing:?}");
        std::fs::write(&path, "x").expect("write");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("mode");
        assert_eq!(told(&config)[0].verdict, Verdict::Warn);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("mode");
        assert_eq!(told(&config)[0].verdict, Verdict::Pass);
        config.broker.tls.ca_file = Some(path);
        assert_eq!(told(&config)[0].area, Area::Broker);
    }

    #[test]
    fn folders_that_will_be_made_count_as_those_above_them() {
        let folder = tempfile::tempdir().expect("folder");
        let mut config = Config::default();
        config.control.listen = format!("unix:{}/a/b/control.sock", folder.path().display());
        config.state.path = folder.path().join("watcher.redb");
        assert_eq!(folders(&config, Role::Watch)[0].verdict, Verdict::Pass);
        config.state.path = "/proc/none/watcher.redb".into();
        let told = folders(&config, Role::Watch);
        assert_eq!(told.len(), 1);
        assert!(told[0].told.contains("state.path: /proc"), "{told:?}");
    }
}
