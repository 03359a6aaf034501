//! The configuration as types. Names, defaults and units are those of `relay.yaml`, which shows
//! and explains every key.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::secret::Secret;

/// The whole of `relay.yaml`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory that is watched.
    pub directory: Directory,
    /// Which of its users take part.
    pub scope: Scope,
    /// Where the watcher keeps its ledger.
    pub state: State,
    /// The queue.
    pub broker: Broker,
    /// Microsoft Graph.
    pub graph: Graph,
    /// What the consumers do.
    pub apply: Apply,
    /// How long a user that Entra does not have yet is waited for.
    pub parking: Parking,
    /// Limits on what may change at once.
    pub guard: Guard,
    /// Intake of new passwords.
    pub passwords: Passwords,
    /// Keys.
    pub security: Security,
    /// The read-only HTTP listener.
    pub admin: Admin,
    /// The socket through which the command line reaches a running process.
    pub control: Control,
}

/// How changes are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Active Directory and Samba: the DirSync control (MS-ADTS 3.1.1.3.4.1.3).
    Dirsync,
    /// Persistent search.
    PersistentSearch,
    /// Content synchronization (RFC 4533).
    Syncrepl,
    /// A directory that runs in this process.
    Sandbox,
}

/// What says when to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doorbell {
    /// What the server does best.
    Auto,
    /// The change notification control.
    Notification,
    /// Polling `highestCommittedUSN`.
    Usn,
    /// The sweep alone.
    None,
}

/// `directory:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Directory {
    /// How changes are found.
    pub source: Source,
    /// The attribute that links to Entra, or `auto`.
    pub anchor_attribute: String,
    /// The attribute that holds the UPN, or `auto`.
    pub upn_attribute: String,
    /// Domain controllers, tried in this order.
    pub urls: Vec<String>,
    /// Root of the naming context.
    pub base_dn: String,
    /// Who the relay is to the directory.
    pub bind: Bind,
    /// Trust.
    pub tls: DirectoryTls,
    /// Lets `ldap://` without StartTLS through to other hosts than loopback.
    pub allow_plaintext: bool,
    /// Sends the DirSync flag that needs no replication right.
    pub object_security: bool,
    /// What says when to look.
    pub doorbell: Doorbell,
    /// How often `highestCommittedUSN` is polled.
    #[serde(with = "humantime_serde")]
    pub usn_interval: Duration,
    /// DirSync runs at least this often.
    #[serde(with = "humantime_serde")]
    pub sweep_interval: Duration,
    /// Full enumeration and comparison.
    #[serde(with = "humantime_serde")]
    pub full_read_interval: Duration,
    /// How long enabling waits after a change of domain controller.
    #[serde(with = "humantime_serde")]
    pub failover_settle: Duration,
    /// Takes a lockout for a disable.
    pub treat_lockout_as_disabled: bool,
}

impl Default for Directory {
    fn default() -> Self {
        Directory {
            source: Source::Dirsync,
            anchor_attribute: "auto".into(),
            upn_attribute: "auto".into(),
            urls: Vec::new(),
            base_dn: String::new(),
            bind: Bind::default(),
            tls: DirectoryTls::default(),
            allow_plaintext: false,
            object_security: true,
            doorbell: Doorbell::Auto,
            usn_interval: Duration::from_millis(25),
            sweep_interval: Duration::from_secs(60),
            full_read_interval: Duration::from_secs(24 * 3600),
            failover_settle: Duration::from_secs(300),
            treat_lockout_as_disabled: false,
        }
    }
}

/// How the relay proves who it is to the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindMethod {
    /// Name and password (RFC 4513 section 5.1.3).
    Simple,
    /// GSSAPI with a keytab.
    Kerberos,
    /// SASL EXTERNAL: the TLS client certificate.
    External,
}

/// `directory.bind:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bind {
    /// The method.
    pub method: BindMethod,
    /// DN or UPN of the account.
    pub user: String,
    /// The password itself; the file is the better place.
    pub password: Option<Secret>,
    /// A file that holds the password.
    pub password_file: Option<PathBuf>,
}

impl Default for Bind {
    fn default() -> Self {
        Bind {
            method: BindMethod::Simple,
            user: String::new(),
            password: None,
            password_file: None,
        }
    }
}

/// `directory.tls:`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DirectoryTls {
    /// PEM file with the CA that signed the domain controllers' certificates; else the system's.
    pub ca_file: Option<PathBuf>,
    /// Upgrades `ldap://` by StartTLS (RFC 4511 section 4.14).
    pub start_tls: bool,
}

/// `tls:` of the broker and of Graph.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the CA to trust; else the system's.
    pub ca_file: Option<PathBuf>,
}

/// `scope:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// DNs; empty for the whole domain.
    pub organizational_units: Vec<String>,
    /// Group DNs; members only, direct and nested.
    pub groups: Vec<String>,
    /// DNs, or sAMAccountName patterns.
    pub exclude: Vec<String>,
    /// sAMAccountName patterns and cloud object ids that are never touched.
    pub protected: Vec<String>,
}

impl Default for Scope {
    fn default() -> Self {
        Scope {
            organizational_units: Vec::new(),
            groups: Vec::new(),
            exclude: Vec::new(),
            protected: vec!["MSOL_*".into(), "AAD_*".into(), "Sync_*".into()],
        }
    }
}

/// `state:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// The watcher's store.
    pub path: PathBuf,
}

impl Default for State {
    fn default() -> Self {
        State { path: "data/watcher.redb".into() }
    }
}

/// Which queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerKind {
    /// A RabbitMQ server.
    Rabbitmq,
    /// A file, for watcher and consumer in one process.
    Embedded,
}

/// `broker:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// Which queue.
    pub kind: BrokerKind,
    /// AMQP URL with user and virtual host, without password.
    pub url: String,
    /// The password itself; the file is the better place.
    pub password: Option<Secret>,
    /// A file that holds the password.
    pub password_file: Option<PathBuf>,
    /// Trust.
    pub tls: Tls,
    /// Partitions of each lane.
    pub partitions: u16,
    /// The embedded queue's file.
    pub path: PathBuf,
}

impl Default for Broker {
    fn default() -> Self {
        Broker {
            kind: BrokerKind::Rabbitmq,
            url: String::new(),
            password: None,
            password_file: None,
            tls: Tls::default(),
            partitions: 4,
            path: "data/queue.redb".into(),
        }
    }
}

/// How the app proves who it is to Entra.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// A client secret.
    ClientSecret,
    /// A certificate with its private key.
    Certificate,
    /// A token of another issuer, from a file.
    WorkloadIdentity,
    /// The identity of the machine in Azure.
    ManagedIdentity,
}

/// `graph:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Graph {
    /// Service root, or `sandbox`.
    pub endpoint: String,
    /// Token authority.
    pub authority: String,
    /// Tenant id or domain.
    pub tenant_id: String,
    /// Application (client) id.
    pub client_id: String,
    /// Kind of credential.
    pub credential: Credential,
    /// The client secret itself; the file is the better place.
    pub client_secret: Option<Secret>,
    /// A file that holds the client secret.
    pub client_secret_file: Option<PathBuf>,
    /// PEM certificate.
    pub certificate_file: Option<PathBuf>,
    /// PEM private key of the certificate.
    pub private_key_file: Option<PathBuf>,
    /// Token file of the other issuer.
    pub federated_token_file: Option<PathBuf>,
    /// Client id of a user-assigned managed identity.
    pub identity_client_id: Option<String>,
    /// Trust.
    pub tls: Tls,
    /// How much of Graph's capacity the relay may use.
    pub quota: Quota,
}

impl Graph {
    /// Whether Graph is the one that runs in this process.
    pub fn is_sandbox(&self) -> bool {
        self.endpoint == "sandbox"
    }
}

impl Default for Graph {
    fn default() -> Self {
        Graph {
            endpoint: "https://graph.microsoft.com/v1.0".into(),
            authority: "https://login.microsoftonline.com".into(),
            tenant_id: String::new(),
            client_id: String::new(),
            credential: Credential::ClientSecret,
            client_secret: None,
            client_secret_file: None,
            certificate_file: None,
            private_key_file: None,
            federated_token_file: None,
            identity_client_id: None,
            tls: Tls::default(),
            quota: Quota::default(),
        }
    }
}

/// `graph.quota:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Writes per period.
    pub writes: u32,
    /// The period.
    #[serde(with = "humantime_serde")]
    pub per: Duration,
    /// Share that only the urgent lane may use, such as `25%`.
    pub urgent_reserve: Percent,
}

impl Default for Quota {
    fn default() -> Self {
        Quota { writes: 3000, per: Duration::from_secs(150), urgent_reserve: Percent(25) }
    }
}

/// A share, written `25%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(pub u8);

impl TryFrom<String> for Percent {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = text.trim().trim_end_matches('%').trim_end();
        match number.parse() {
            Ok(share) if share <= 100 => Ok(Percent(share)),
            _ => Err("a share from 0% to 100%".into()),
        }
    }
}

impl From<Percent> for String {
    fn from(share: Percent) -> String {
        format!("{}%", share.0)
    }
}

/// Whether the consumers write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They do.
    Apply,
    /// They write nothing and log what they would do.
    Observe,
}

/// How an Entra user is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchBy {
    /// `onPremisesImmutableId`.
    ImmutableId,
    /// `userPrincipalName`.
    UserPrincipalName,
    /// `employeeId`.
    EmployeeId,
}

/// A step when an account lost its enablement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDisabled {
    /// `accountEnabled = false`.
    BlockSignIn,
    /// `revokeSignInSessions`.
    RevokeSessions,
    /// Reads back until Graph shows the block.
    Verify,
}

/// A step when an account regained its enablement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnEnabled {
    /// `accountEnabled = true`.
    AllowSignIn,
}

/// A step when a password changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnPasswordChanged {
    /// `revokeSignInSessions`.
    RevokeSessions,
}

/// What a deletion does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDeleted {
    /// Blocks the user as a disable does.
    Disable,
    /// Deletes the user (restorable for 30 days); never one that another tool syncs.
    Delete,
    /// Nothing.
    Ignore,
}

/// What leaving the scope does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnScopeLeft {
    /// Blocks the user as a disable does.
    Disable,
    /// Nothing.
    Ignore,
}

/// Which expiry policy a cloud password gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordExpiry {
    /// As the tenant says.
    Follow,
    /// `DisablePasswordExpiration`.
    Never,
}

/// `apply:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Apply {
    /// Whether anything is written.
    pub mode: Mode,
    /// How a user is found, in this order.
    #[serde(rename = "match")]
    pub match_by: Vec<MatchBy>,
    /// On-premises UPN suffix → the tenant's.
    pub upn_suffixes: BTreeMap<String, String>,
    /// Steps after a disable.
    pub on_disabled: Vec<OnDisabled>,
    /// Steps after an enable.
    pub on_enabled: Vec<OnEnabled>,
    /// Steps after a password change.
    pub on_password_changed: Vec<OnPasswordChanged>,
    /// What a deletion does.
    pub on_deleted: OnDeleted,
    /// What leaving the scope does.
    pub on_scope_left: OnScopeLeft,
    /// Carries "must change at next logon" with a password value.
    pub must_change_password: bool,
    /// Expiry policy of cloud passwords.
    pub password_expiry: PasswordExpiry,
    /// Graph property → directory attribute.
    pub attributes: BTreeMap<String, String>,
    /// Sets `onPremisesImmutableId` on a user matched otherwise.
    pub link: bool,
    /// Creates users that Entra does not have.
    pub create: bool,
    /// AD group DN → Entra group id.
    pub groups: BTreeMap<String, String>,
    /// Attributes that never leave.
    pub never: Vec<String>,
    /// Attributes that leave as a keyed hash only.
    pub anonymize: Vec<String>,
}

impl Default for Apply {
    fn default() -> Self {
        Apply {
            mode: Mode::Apply,
            match_by: vec![MatchBy::ImmutableId, MatchBy::UserPrincipalName],
            upn_suffixes: BTreeMap::new(),
            on_disabled: vec![
                OnDisabled::BlockSignIn,
                OnDisabled::RevokeSessions,
                OnDisabled::Verify,
            ],
            on_enabled: vec![OnEnabled::AllowSignIn],
            on_password_changed: vec![OnPasswordChanged::RevokeSessions],
            on_deleted: OnDeleted::Disable,
            on_scope_left: OnScopeLeft::Disable,
            must_change_password: true,
            password_expiry: PasswordExpiry::Follow,
            attributes: BTreeMap::new(),
            link: false,
            create: false,
            groups: BTreeMap::new(),
            never: Vec::new(),
            anonymize: Vec::new(),
        }
    }
}

/// `parking:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parking {
    /// First wait.
    #[serde(with = "humantime_serde")]
    pub first_delay: Duration,
    /// Longest wait.
    #[serde(with = "humantime_serde")]
    pub max_delay: Duration,
    /// After this it is a dead letter.
    #[serde(with = "humantime_serde")]
    pub horizon: Duration,
}

impl Default for Parking {
    fn default() -> Self {
        Parking {
            first_delay: Duration::from_secs(15),
            max_delay: Duration::from_secs(30 * 60),
            horizon: Duration::from_secs(24 * 3600),
        }
    }
}

/// `guard:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guard {
    /// The window that is counted over.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// Disables in a window.
    pub max_disables: u32,
    /// Deletions in a window.
    pub max_deletes: u32,
    /// Cleared attributes in a window.
    pub max_blanked: u32,
    /// Members removed in a window.
    pub max_member_removals: u32,
    /// Percent of the scope, counted from 10 users on.
    pub max_percent: u8,
    /// Counts accounts that reach accountExpires.
    pub count_expired: bool,
}

impl Default for Guard {
    fn default() -> Self {
        Guard {
            window: Duration::from_secs(600),
            max_disables: 100,
            max_deletes: 25,
            max_blanked: 100,
            max_member_removals: 200,
            max_percent: 20,
            count_expired: false,
        }
    }
}

/// `passwords:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Passwords {
    /// Opens the intake.
    pub enabled: bool,
    /// `unix:PATH` or `https://HOST:PORT`.
    pub listen: String,
    /// How long a value waits for the directory to show the change.
    #[serde(with = "humantime_serde")]
    pub confirm_within: Duration,
    /// How long a value may wait in the queue.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
}

impl Default for Passwords {
    fn default() -> Self {
        Passwords {
            enabled: false,
            listen: "unix:/run/entra-relay/password.sock".into(),
            confirm_within: Duration::from_secs(15 * 60),
            ttl: Duration::from_secs(24 * 3600),
        }
    }
}

/// `security:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// The private key with which the watcher signs events.
    pub signing_key_file: Option<PathBuf>,
    /// Public keys of watchers whose events are believed; a process that signs believes itself.
    pub verify_key_files: Vec<PathBuf>,
    /// Seals passwords.
    pub sealing_key_file: Option<PathBuf>,
    /// Open passwords.
    pub opening_key_files: Vec<PathBuf>,
    /// Lets events pass that claim no signature; wrongly signed ones never do.
    pub allow_unsigned: bool,
    /// An enabling event older than this is refreshed instead of applied.
    #[serde(with = "humantime_serde")]
    pub max_age: Duration,
}

impl Default for Security {
    fn default() -> Self {
        Security {
            signing_key_file: None,
            verify_key_files: Vec::new(),
            sealing_key_file: None,
            opening_key_files: Vec::new(),
            allow_unsigned: false,
            max_age: Duration::from_secs(15 * 60),
        }
    }
}

/// `admin:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Address of the listener.
    pub listen: String,
}

impl Default for Admin {
    fn default() -> Self {
        Admin { listen: "127.0.0.1:9464".into() }
    }
}

/// `control:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// `unix:PATH`.
    pub listen: String,
}

impl Default for Control {
    fn default() -> Self {
        Control { listen: "unix:data/control.sock".into() }
    }
}

impl Control {
    /// The socket's path.
    pub fn path(&self) -> Option<&Path> {
        self.listen.strip_prefix("unix:").filter(|path| !path.is_empty()).map(Path::new)
    }
}
