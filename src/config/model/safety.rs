//! `guard:`, `passwords:` and `security:`.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

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
    /// Whether Entra asks for another password when one expires in the directory.
    pub enforce_expiry: bool,
    /// For `https://`.
    pub tls: IntakeTls,
}

/// `passwords.tls:`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntakeTls {
    /// The intake's certificate, with its chain.
    pub certificate_file: Option<PathBuf>,
    /// The key of that.
    pub private_key_file: Option<PathBuf>,
    /// Whose client certificates are let in.
    pub client_ca_file: Option<PathBuf>,
}

impl Default for Passwords {
    fn default() -> Self {
        Passwords {
            enabled: false,
            listen: "unix:/run/entra-relay/password.sock".into(),
            confirm_within: Duration::from_secs(15 * 60),
            ttl: Duration::from_secs(24 * 3600),
            enforce_expiry: false,
            tls: IntakeTls::default(),
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
