//! A 389 Directory Server.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::loopback::Loopback;
use super::people::{Admin, ROOT_DN, ROOT_PASSWORD, SUFFIX};
use super::process::{Process, run};

/// The packaged configuration, with `%names%` to be filled in.
const TEMPLATE: &str = "/usr/share/dirsrv/data/template-dse.ldif";
const READABLE: &str = r#"(targetattr="*")(version 3.0; acl "read"; allow (read,search,compare) userdn="ldap:///all";)"#;

/// A running server on an address of its own, with a directory of its own.
pub struct Dirsrv {
    loopback: Loopback,
    // Before the folder: fields are dropped in this order.
    process: Process,
    folder: TempDir,
}

impl Dirsrv {
    /// Starts a server with nobody in it but the relay's account.
    pub async fn start() -> Dirsrv {
        let folder = tempfile::Builder::new().prefix("relay-389-").tempdir().expect("a folder");
        let loopback = Loopback::take(&[389]);
        configure(folder.path(), &loopback).await;
        let process = spawn(folder.path());
        let server = Dirsrv { loopback, process, folder };
        let mut admin = server.admin().await;
        let backend = "cn=people,cn=ldbm database,cn=plugins,cn=config";
        let any = ("objectClass", "extensibleObject");
        let class = ("objectClass", "nsBackendInstance");
        admin.add(backend, &[any, class, ("cn", "people"), ("nsslapd-suffix", SUFFIX)]).await;
        let tree = r"cn=dc\3Dexample\2Cdc\3Dorg,cn=mapping tree,cn=config";
        let class = ("objectClass", "nsMappingTree");
        let state = ("nsslapd-state", "backend");
        admin.add(tree, &[any, class, ("cn", SUFFIX), state, ("nsslapd-backend", "people")]).await;
        admin.fill(&[("aci", READABLE)]).await;
        server
    }

    /// Its address.
    pub fn ip(&self) -> Ipv4Addr {
        self.loopback.ip()
    }

    /// A connection with every right, as soon as the server answers.
    pub async fn admin(&self) -> Admin {
        Admin::connect(self.ip()).await
    }

    /// Kills the server as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts a killed server again, with what it had stored.
    pub fn restart(&mut self) {
        self.process = spawn(self.folder.path());
    }
}

fn spawn(folder: &Path) -> Process {
    let mut command = Command::new("ns-slapd");
    command.arg("-D").arg(folder.join("etc")).arg("-i").arg(folder.join("pid")).args(["-d", "0"]);
    Process::start("ns-slapd", command, folder)
}

async fn configure(folder: &Path, loopback: &Loopback) {
    let etc = folder.join("etc");
    let mut copy = Command::new("cp");
    fs::create_dir(&etc).expect("a folder");
    copy.args(["-r", "/etc/dirsrv/schema", "/etc/dirsrv/config"]).arg(&etc);
    run(copy).await;
    let mut hash = Command::new("pwdhash");
    hash.args(["-s", "SSHA512", ROOT_PASSWORD]);
    let password = run(hash).await;

    let mut settings = fs::read_to_string(TEMPLATE).expect("389-ds-base is installed");
    for name in ["lock", "tmp", "ldif", "bak", "run", "inst", "log", "db", "db_home"] {
        let path = folder.join(name);
        fs::create_dir(&path).expect("a folder");
        settings = settings.replace(&format!("%{name}_dir%"), &path.display().to_string());
    }
    let etc_text = etc.display().to_string();
    for (name, value) in [
        ("schema_dir", &*etc.join("schema").display().to_string()),
        ("cert_dir", &*etc_text),
        ("config_dir", &*etc_text),
        ("fqdn", "localhost"),
        ("ds_port", "389"),
        ("ds_user", "root"),
        ("rootdn", ROOT_DN),
        ("ds_passwd", password.trim()),
        ("ldapi_enabled", "off"),
        ("ldapi_autobind", "off"),
        ("ldapi", "none"),
        ("db_lib", "bdb"),
        ("ds_suffix", SUFFIX),
    ] {
        settings = settings.replace(&format!("%{name}%"), value);
    }
    let listen = format!("cn: config\nnsslapd-listenhost: {}\n", loopback.ip());
    let settings = settings.replacen("cn: config\n", &listen, 1);
    fs::write(etc.join("dse.ldif"), settings).expect("dse.ldif");
}
