//! What every process has: its store, its listeners, whom it trusts.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// `tls:` of the broker and of Graph.
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
