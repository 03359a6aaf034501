//! Whether applying is paused by command. A file beside the control socket keeps it over a restart:
//! whoever paused in an emergency does not want a container's restart to go on by itself.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tokio::sync::watch;

use super::metrics::METRICS;
use crate::config::model;

/// The switch of one process.
#[derive(Debug, Clone)]
pub struct Pause {
    file: PathBuf,
    paused: watch::Sender<bool>,
}

impl Pause {
    /// As it was left. The file has the socket's name with the ending `paused`.
    pub fn of(config: &model::Control) -> Pause {
        let file = config.path().unwrap_or(Path::new("control")).with_extension("paused");
        let paused = file.exists();
        METRICS.paused.set(paused.into());
        Pause { file, paused: watch::Sender::new(paused) }
    }

    /// Whether it is paused, now and later.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.paused.subscribe()
    }

    /// Pauses; `why` is kept for whoever finds the file. False if it was paused already.
    pub fn pause(&self, why: &str) -> io::Result<bool> {
        if let Some(folder) = self.file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        fs::write(&self.file, why)?;
        Ok(self.switch(true))
    }

    /// Goes on. False if it was not paused.
    pub fn resume(&self) -> io::Result<bool> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(self.switch(false))
    }

    fn switch(&self, paused: bool) -> bool {
        METRICS.paused.set(paused.into());
        self.paused.send_replace(paused) != paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_outlives_its_process() {
        let folder = tempfile::tempdir().expect("tempdir");
        let listen = format!("unix:{}", folder.path().join("a/control.sock").display());
        let config = model::Control { listen };
        let first = Pause::of(&config);
        assert!(!*first.subscribe().borrow());
        assert!(first.pause("by a test").expect("written"));
        assert!(!first.pause("twice").expect("written"));
        let second = Pause::of(&config);
        assert!(*second.subscribe().borrow());
        assert!(second.resume().expect("removed"));
        assert!(!second.resume().expect("nothing to remove"));
        assert!(!*Pause::of(&config).subscribe().borrow());
    }
}
