//! An OpenLDAP server with the overlays `syncprov` and `ppolicy`.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::ca::ServerCertificate;
use super::loopback::Loopback;
use super::people::{Admin, ROOT_DN, ROOT_PASSWORD, SERVICE_DN, SUFFIX};
use super::process::Process;
use super::samba::{BASE_DN, REALM, Samba};

/// LDAP, LDAPS.
const PORTS: [u16; 2] = [389, 636];

/// A running server on an address of its own, with a directory of its own.
pub struct Slapd {
    loopback: Loopback,
    certificate: ServerCertificate,
    environment: Vec<(&'static str, PathBuf)>,
    // Before the folder: fields are dropped in this order.
    process: Process,
    folder: TempDir,
}

impl Slapd {
    /// Starts a server with nobody in it but the relay's account.
    pub async fn start() -> Slapd {
        let (folder, loopback) = (new_folder(), Loopback::take(&PORTS));
        Slapd::serve(folder, loopback, Vec::new(), "").await
    }

    /// As [`Slapd::start`], and whoever shows a ticket of this domain for `svc-relay` is the relay.
    /// The ticket must have been shown to this server and not to someone in between.
    pub async fn start_in(domain: &Samba) -> Slapd {
        let (folder, loopback) = (new_folder(), Loopback::take(&PORTS));
        let service = format!("ldap/{}", loopback.ip());
        let mut admin = domain.admin().await;
        let users = format!("CN=Users,{BASE_DN}");
        let account = admin.add_user(&users, &format!("svc-slapd-{}", loopback.ip())).await;
        admin.replace(&account, "servicePrincipalName", &[&service]).await;
        // AES alone.
        admin.replace(&account, "msDS-SupportedEncryptionTypes", &["24"]).await;
        let [keytab, config] = ["slapd.keytab", "krb5.conf"].map(|name| folder.path().join(name));
        domain.export_keytab(&service, &keytab).await;
        // Addresses are what services are called here, and nothing else.
        let krb5 = format!(
            "[libdefaults]\n default_realm = {REALM}\n dns_canonicalize_hostname = false\n \
             rdns = false\n ignore_acceptor_hostname = true\n"
        );
        fs::write(&config, krb5).expect("krb5.conf");
        let more = format!(
            "sasl-host {}\nsasl-cbinding tls-endpoint\n\
             authz-regexp \"^uid=svc-relay[,@].*cn=gssapi,cn=auth$\" \"{SERVICE_DN}\"\n",
            loopback.ip()
        );
        let environment = vec![("KRB5_KTNAME", keytab), ("KRB5_CONFIG", config)];
        Slapd::serve(folder, loopback, environment, &more).await
    }

    async fn serve(
        folder: TempDir,
        loopback: Loopback,
        environment: Vec<(&'static str, PathBuf)>,
        more: &str,
    ) -> Slapd {
        let certificate = ServerCertificate::issue(folder.path(), &[loopback.ip().to_string()]);
        let database = folder.path().join("db");
        fs::create_dir(&database).expect("a folder");
        let config = config(&database, &certificate, more);
        fs::write(folder.path().join("slapd.conf"), config).expect("slapd.conf");
        let process = spawn(folder.path(), loopback.ip(), &environment);
        let server = Slapd { loopback, certificate, environment, process, folder };
        server.admin().await.fill(&[]).await;
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

    /// Certificates of the server and of a client that it takes for the relay's account.
    pub fn certificate(&self) -> &ServerCertificate {
        &self.certificate
    }

    /// Kills the server as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts a killed server again, with what it had stored.
    pub fn restart(&mut self) {
        self.process = spawn(self.folder.path(), self.loopback.ip(), &self.environment);
    }
}

fn new_folder() -> TempDir {
    tempfile::Builder::new().prefix("relay-slapd-").tempdir().expect("a folder")
}

fn spawn(folder: &Path, ip: Ipv4Addr, environment: &[(&str, PathBuf)]) -> Process {
    let mut command = Command::new("slapd");
    let urls = format!("ldap://{ip} ldaps://{ip}");
    command.arg("-f").arg(folder.join("slapd.conf")).args(["-h", &urls, "-d", "0"]);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    Process::start("slapd", command, folder)
}

fn config(database: &Path, tls: &ServerCertificate, more: &str) -> String {
    let path = |path: &PathBuf| path.display().to_string();
    let (ca, certificate, key) = (path(&tls.ca), path(&tls.certificate), path(&tls.key));
    let database = database.display();
    format!(
        r#"include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload syncprov
moduleload ppolicy
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
TLSVerifyClient allow
authz-regexp "^cn=relay$" "{SERVICE_DN}"
{more}
database mdb
suffix "{SUFFIX}"
rootdn "{ROOT_DN}"
rootpw "{ROOT_PASSWORD}"
directory {database}
index entryUUID,entryCSN,uid eq
limits dn.exact="{SERVICE_DN}" size=unlimited time=unlimited
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{SERVICE_DN}" read by * none
overlay syncprov
syncprov-sessionlog 1000
overlay ppolicy
"#
    )
}
