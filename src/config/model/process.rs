//! What every process has: its store, its listeners, whom it trusts.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::graph::Percent;

/// `tls:` of the broker, of Graph and of the collector of traces.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the CA to trust; else the system's.
    pub ca_file: Option<PathBuf>,
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

/// `journal:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Journal {
    /// The watcher's journal; else `journal.redb` beside its store.
    pub path: Option<PathBuf>,
    /// For how long it is kept; zero: none is.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
    /// About how large it may become.
    pub max_size: ByteSize,
}

impl Default for Journal {
    fn default() -> Self {
        Journal {
            path: None,
            keep: Duration::from_secs(30 * 24 * 3600),
            max_size: ByteSize(256 << 20),
        }
    }
}

impl Journal {
    /// Whether there is to be one.
    pub fn is_kept(&self) -> bool {
        !self.keep.is_zero() && self.max_size.0 > 0
    }

    /// Its file.
    pub fn path(&self, state: &State) -> PathBuf {
        self.path.clone().unwrap_or_else(|| state.path.with_file_name("journal.redb"))
    }
}

/// A size as `256MiB`; KiB, MiB and GiB are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

impl TryFrom<String> for ByteSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let size = UNITS.iter().find_map(|(unit, bytes)| {
            let number: u64 = text.trim().strip_suffix(unit)?.trim_end().parse().ok()?;
            number.checked_mul(*bytes)
        });
        size.map(ByteSize).ok_or_else(|| "a size such as 256MiB; KiB, MiB and GiB are known".into())
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> String {
        let fits = |(_, bytes): &&(&str, u64)| size.0.is_multiple_of(*bytes);
        let (unit, bytes) = UNITS.iter().rev().find(fits).unwrap_or(&UNITS[0]);
        format!("{}{unit}", size.0 / bytes)
    }
}

/// `admin:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Address of the listener.
    pub listen: String,
    /// Whether the status page names the users of the last changes.
    pub show_names: bool,
}

impl Default for Admin {
    fn default() -> Self {
        Admin { listen: "127.0.0.1:9464".into(), show_names: false }
    }
}

/// `canary:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Canary {
    /// A user whom both sides have; none: no canaries.
    pub user: Option<String>,
    /// How often one is sent.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
}

impl Default for Canary {
    fn default() -> Self {
        Canary { user: None, interval: Duration::from_secs(5 * 60) }
    }
}

/// `traces:`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// Base URL of an OpenTelemetry collector (OTLP over HTTP); none: no traces.
    pub endpoint: Option<String>,
    /// File with headers to send, one on each line.
    pub headers_file: Option<PathBuf>,
    /// How many of the changes; the watcher decides.
    pub sample: Percent,
    /// Lets `http://` to other hosts through.
    pub allow_plaintext: bool,
    /// Whom to trust.
    pub tls: Tls,
}

impl Default for Traces {
    fn default() -> Self {
        Traces {
            endpoint: None,
            headers_file: None,
            sample: Percent(100),
            allow_plaintext: false,
            tls: Tls::default(),
        }
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
