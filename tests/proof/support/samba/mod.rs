//! A Samba Active Directory domain controller.

mod admin;
mod kerberos;
mod rights;
mod template;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use entra_relay::net::tls::client_config;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::OnceCell;

pub use admin::{Account, Admin, User};
pub use rights::Right;

use super::ca::ServerCertificate;
use super::loopback::{Loopback, is_free};
use super::process::{Process, run};
use super::wait::eventually;

/// The naming context of the domain.
pub const BASE_DN: &str = "DC=corp,DC=example";
/// The suffix of the users' principal names.
pub const UPN_SUFFIX: &str = "corp.example";
/// The password of `Administrator`.
pub const ADMIN_PASSWORD: &str = "Adm1n-Passw0rd";

/// The Kerberos realm.
pub const REALM: &str = "CORP.EXAMPLE";
const DOMAIN: &str = "CORP";
const HOST: &str = "dc1";
const SECOND_HOST: &str = "dc2";
/// LDAP, LDAPS, Kerberos.
const PORTS: [u16; 3] = [389, 636, 88];
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How a client reaches the domain controller.
#[derive(Clone, Copy, Debug)]
pub enum Transport {
    /// TLS from the first byte.
    Ldaps,
    /// Plain LDAP that becomes TLS by the StartTLS operation.
    StartTls,
    /// Plain LDAP.
    Plain,
}

/// A running domain controller on an address of its own, with a domain of its own.
pub struct Samba {
    loopback: Loopback,
    certificate: ServerCertificate,
    service: OnceCell<Account>,
    // Before the folder: fields are dropped in this order.
    process: Process,
    folder: TempDir,
}

impl Samba {
    /// Starts a domain controller for one test, which may kill it.
    pub async fn start() -> Samba {
        Samba::start_with(&[]).await
    }

    /// As [`Samba::start`], with more settings in `smb.conf`.
    pub async fn start_with(settings: &[(&str, String)]) -> Samba {
        Samba::copy_of(0, settings).await
    }

    /// As [`Samba::start`], with so many enabled users whom no test names.
    pub async fn start_with_users(users: u32) -> Samba {
        Samba::copy_of(users, &[]).await
    }

    async fn copy_of(users: u32, settings: &[(&str, String)]) -> Samba {
        let template = template::template(users).await;
        let folder = new_folder();
        template::copy(&template, folder.path()).await;
        Samba::serve(HOST, folder, Loopback::take(&PORTS), settings).await
    }

    /// Starts a second domain controller of this domain, which has what this one has now.
    pub async fn join(&self) -> Samba {
        let (folder, loopback) = self.join_as("DC").await;
        Samba::serve(SECOND_HOST, folder, loopback, &[]).await
    }

    /// Starts a read-only domain controller of this domain, at which `account` can log in.
    pub async fn join_read_only(&self, account: &Account) -> Samba {
        let allowed = format!("CN=Allowed RODC Password Replication Group,CN=Users,{BASE_DN}");
        self.admin().await.add_member(&allowed, account.dn()).await;
        let (folder, loopback) = self.join_as("RODC").await;
        let samba = Samba::spawn(SECOND_HOST, folder, loopback, &[]);
        let mut preload = Command::new("samba-tool");
        preload
            .args(["rodc", "preload", account.dn()])
            .arg(format!("--server={}", self.loopback.ip()))
            .arg(format!("--configfile={}", samba.smb_conf().display()));
        as_administrator(&mut preload);
        run(preload).await;
        samba.lets_in(&account.upn, &account.password).await;
        samba
    }

    async fn join_as(&self, role: &str) -> (TempDir, Loopback) {
        let (folder, loopback) = (new_folder(), Loopback::take(&PORTS));
        // Without a file of its own, joining reads and writes the system's smb.conf.
        let config = folder.path().join("empty.conf");
        fs::write(&config, "[global]\n").expect("an empty smb.conf");
        let mut join = Command::new("samba-tool");
        join.args(["domain", "join", REALM, role, "--site=Default-First-Site-Name"])
            .args(["--dns-backend=NONE", "--option=bind interfaces only=yes"])
            .arg(format!("--option=netbios name={SECOND_HOST}"))
            .arg(format!("--option=interfaces={}/8", loopback.ip()))
            .arg(format!("--server={}", self.loopback.ip()))
            .arg(format!("--configfile={}", config.display()))
            .arg(format!("--targetdir={}", folder.path().display()));
        as_administrator(&mut join);
        run(join).await;
        (folder, loopback)
    }

    /// Takes over what has changed at another domain controller of the domain.
    pub async fn replicate_from(&self, other: &Samba) {
        let mut replicate = Command::new("samba-tool");
        let [to, from] = [self, other].map(|dc| dc.loopback.ip().to_string());
        replicate
            .args(["drs", "replicate", &to, &from, BASE_DN, "--local"])
            .arg(format!("--configfile={}", self.smb_conf().display()));
        as_administrator(&mut replicate);
        run(replicate).await;
    }

    /// Runs the domain controller that `folder` holds, until it is ready.
    async fn serve(
        host: &str,
        folder: TempDir,
        loopback: Loopback,
        settings: &[(&str, String)],
    ) -> Samba {
        let samba = Samba::spawn(host, folder, loopback, settings);
        samba.ready().await;
        samba
    }

    fn spawn(
        host: &str,
        folder: TempDir,
        loopback: Loopback,
        settings: &[(&str, String)],
    ) -> Samba {
        let names = [format!("{host}.{UPN_SUFFIX}"), loopback.ip().to_string()];
        let certificate = ServerCertificate::issue(folder.path(), &names);
        let config = smb_conf(host, &loopback, folder.path(), &certificate, settings);
        fs::write(folder.path().join("smb.conf"), config).expect("smb.conf");

        let process = spawn(folder.path());
        let service = OnceCell::new();
        Samba { loopback, certificate, service, process, folder }
    }

    /// The domain controller of all tests that neither stop it nor mind each other's users.
    pub async fn shared() -> &'static Samba {
        static SHARED: OnceCell<Samba> = OnceCell::const_new();
        SHARED.get_or_init(Samba::start).await
    }

    /// `ldaps://` URL; the certificate names its address.
    pub fn url_ldaps(&self) -> String {
        format!("ldaps://{}", self.loopback.ip())
    }

    /// `ldap://` URL, for StartTLS and for plain LDAP.
    pub fn url_ldap(&self) -> String {
        format!("ldap://{}", self.loopback.ip())
    }

    /// Where it takes TLS from the first byte.
    pub fn ldaps(&self) -> SocketAddr {
        SocketAddr::from((self.loopback.ip(), PORTS[1]))
    }

    /// Its address.
    pub fn ip(&self) -> Ipv4Addr {
        self.loopback.ip()
    }

    /// Where it looks for GPG keys.
    pub fn gnupg(&self) -> PathBuf {
        gnupg(self.folder.path())
    }

    /// The server's configuration file.
    pub fn smb_conf(&self) -> PathBuf {
        self.folder.path().join("smb.conf")
    }

    /// The authority that signed the domain controller's certificate.
    pub fn ca_file(&self) -> &Path {
        &self.certificate.ca
    }

    /// Connects and binds with a password, as the relay does.
    pub async fn bind(
        &self,
        transport: Transport,
        user: &str,
        password: &str,
    ) -> ldap3::result::Result<Ldap> {
        let url = match transport {
            Transport::Ldaps => self.url_ldaps(),
            Transport::StartTls | Transport::Plain => self.url_ldap(),
        };
        let settings = LdapConnSettings::new()
            .set_conn_timeout(CONNECT_TIMEOUT)
            .set_config(client_config(Some(self.ca_file())).expect("the CA's file"))
            .set_starttls(matches!(transport, Transport::StartTls));
        let mut ldap = connect(settings, &url).await?;
        ldap.simple_bind(user, password).await?.success()?;
        Ok(ldap)
    }

    /// A connection with every right, for what a test does to the directory.
    pub async fn admin(&self) -> Admin {
        Admin::connect(&self.folder.path().join("private/ldap_priv/ldapi")).await
    }

    /// The account `svc-relay` with the rights that the relay asks for: an ordinary user that sees
    /// deleted objects.
    pub async fn service_account(&self) -> &Account {
        let create = async || {
            self.admin().await.add_service_account("svc-relay", &[Right::ReadDeletedObjects]).await
        };
        self.service.get_or_init(create).await
    }

    /// Kills the domain controller as a power cut would.
    pub async fn kill(&mut self) {
        self.process.kill();
        // Its workers see that their parent is gone, and follow.
        let addresses = PORTS.map(|port| SocketAddr::from((self.loopback.ip(), port)));
        eventually("the killed domain controller leaves its ports", async || {
            addresses.iter().all(|address| is_free(*address))
        })
        .await;
    }

    /// Starts a killed domain controller again, with what it had stored.
    pub async fn restart(&mut self) {
        self.process = spawn(self.folder.path());
        self.ready().await;
    }

    /// Stops the domain controller from answering: connections stay open and silent.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Ends [`Samba::freeze`].
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// A bind needs more of Samba's services than a connection does.
    async fn ready(&self) {
        self.lets_in(&format!("Administrator@{UPN_SUFFIX}"), ADMIN_PASSWORD).await;
    }

    async fn lets_in(&self, user: &str, password: &str) {
        eventually("the domain controller lets somebody bind", async || {
            self.bind(Transport::Ldaps, user, password).await
        })
        .await;
    }
}

fn new_folder() -> TempDir {
    tempfile::Builder::new().prefix("relay-dc-").tempdir().expect("a folder")
}

fn as_administrator(command: &mut Command) {
    command
        .arg(format!("-U{DOMAIN}/Administrator"))
        .arg(format!("--password={ADMIN_PASSWORD}"))
        .arg("--use-kerberos=off");
}

fn gnupg(folder: &Path) -> PathBuf {
    folder.join("gnupg")
}

fn spawn(folder: &Path) -> Process {
    let mut command = Command::new("samba");
    command.args(["--foreground", "--debug-stdout"]).env("GNUPGHOME", gnupg(folder));
    command.arg(format!("--configfile={}", folder.join("smb.conf").display()));
    Process::start("samba", command, folder)
}

/// Opens a connection and drives it for as long as the caller's runtime lives.
async fn connect(settings: LdapConnSettings, url: &str) -> ldap3::result::Result<Ldap> {
    let (connection, ldap) = LdapConnAsync::with_settings(settings, url).await?;
    tokio::spawn(connection.drive());
    Ok(ldap)
}

/// Simple bind is checked through `winbindd` and `rpc`, so `ldap` alone would refuse everyone.
fn smb_conf(
    host: &str,
    loopback: &Loopback,
    folder: &Path,
    tls: &ServerCertificate,
    more: &[(&str, String)],
) -> String {
    let ip = loopback.ip();
    let at = |name: &str| -> PathBuf { folder.join(name) };
    let run = at("run");
    fs::create_dir_all(&run).expect("folder for sockets");
    let settings = [
        ("netbios name", host.to_owned()),
        ("realm", REALM.to_owned()),
        ("workgroup", DOMAIN.to_owned()),
        ("server role", "active directory domain controller".to_owned()),
        ("server services", "rpc, ldap, cldap, kdc, drepl, winbindd".to_owned()),
        ("interfaces", format!("{ip}/8")),
        ("bind interfaces only", "yes".to_owned()),
        ("ldap server require strong auth", "no".to_owned()),
        ("prefork children", "2".to_owned()),
        ("tls keyfile", tls.key.display().to_string()),
        ("tls certfile", tls.certificate.display().to_string()),
        ("tls cafile", tls.ca.display().to_string()),
        ("private dir", at("private").display().to_string()),
        ("state directory", at("state").display().to_string()),
        ("cache directory", at("cache").display().to_string()),
        ("lock directory", at("lock").display().to_string()),
        ("binddns dir", at("bind-dns").display().to_string()),
        ("pid directory", run.display().to_string()),
        ("ncalrpc dir", run.join("ncalrpc").display().to_string()),
        ("winbindd socket directory", run.join("winbindd").display().to_string()),
        ("ntp signd socket directory", run.join("ntp-signd").display().to_string()),
    ];
    let global: String =
        settings.iter().chain(more).map(|(key, value)| format!("  {key} = {value}\n")).collect();
    format!("[global]\n{global}[sysvol]\n  path = {}\n", at("state/sysvol").display())
}
