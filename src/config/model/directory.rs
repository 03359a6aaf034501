//! `directory:` and `scope:`.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::config::secret::Secret;

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
    /// Full enumeration and comparison; see [`Directory::full_read_interval`].
    #[serde(with = "humantime_serde")]
    pub full_read_interval: Option<Duration>,
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
            full_read_interval: None,
            failover_settle: Duration::from_secs(300),
            treat_lockout_as_disabled: false,
        }
    }
}

impl Directory {
    /// How often everything is read and compared. Who leaves the filter of a persistent search
    /// leaves without a word, so there it is done often unless set otherwise.
    pub fn full_read_interval(&self) -> Duration {
        const QUARTER: Duration = Duration::from_secs(15 * 60);
        const DAY: Duration = Duration::from_secs(24 * 3600);
        self.full_read_interval.unwrap_or(match self.source {
            Source::PersistentSearch => QUARTER,
            Source::Dirsync | Source::Syncrepl | Source::Sandbox => DAY,
        })
    }

    /// The attribute that holds the UPN.
    pub fn upn_attribute(&self) -> &str {
        match (self.upn_attribute.as_str(), self.source) {
            ("auto", Source::PersistentSearch | Source::Syncrepl) => "mail",
            ("auto", _) => "userPrincipalName",
            (name, _) => name,
        }
    }
}

/// How the relay proves who it is to the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindMethod {
    /// Name and password (RFC 4513 section 5.1.3).
    Simple,
    /// SASL GSSAPI with a ticket that a keytab wins (RFC 4752).
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
    /// DN or UPN of the account; with Kerberos its principal.
    pub user: String,
    /// The password itself; the file is the better place.
    pub password: Option<Secret>,
    /// A file that holds the password.
    pub password_file: Option<PathBuf>,
    /// A file that holds the account's Kerberos key.
    pub keytab_file: Option<PathBuf>,
    /// Where tickets are issued, HOST or HOST:PORT; else the directory server itself.
    pub kdc: Option<String>,
}

impl Default for Bind {
    fn default() -> Self {
        Bind {
            method: BindMethod::Simple,
            user: String::new(),
            password: None,
            password_file: None,
            keytab_file: None,
            kdc: None,
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
    /// PEM file with the relay's own certificate, for `bind.method: external`.
    pub client_certificate_file: Option<PathBuf>,
    /// PEM file with the private key of that certificate.
    pub private_key_file: Option<PathBuf>,
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
