//! A process that is killed, frozen, sent through time, and started again whenever it has ended, as
//! by a supervisor.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::relay::{Relay, Setup};
use crate::support::wait::eventually_within;

/// For starting and connecting on a busy machine.
const STARTING: Duration = Duration::from_secs(120);

pub struct Victim<'a> {
    name: &'static str,
    role: &'static str,
    setup: &'a Setup,
    running: Relay<'a>,
    /// How it ended when nobody killed it: the last line of its log.
    pub endings: Vec<String>,
}

/// Lets the setup's process have a clock that can be turned.
pub fn with_clock(setup: Setup) -> Setup {
    let library =
        format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    assert!(Path::new(&library).exists(), "libfaketime is not installed: tests/run installs it");
    let clock = clock_of(&setup);
    fs::write(&clock, "+0").unwrap();
    setup
        .environment("LD_PRELOAD", &library)
        .environment("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap())
        .environment("FAKETIME_CACHE_DURATION", "1")
        .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

fn clock_of(setup: &Setup) -> PathBuf {
    setup.folder().join("clock")
}

impl<'a> Victim<'a> {
    pub fn start(name: &'static str, role: &'static str, setup: &'a Setup) -> Victim<'a> {
        Victim { name, role, setup, running: setup.start(&[role]), endings: Vec::new() }
    }

    /// Kills it and starts it again.
    pub fn kill(&mut self) {
        self.running.kill();
        self.running = self.setup.start(&[self.role]);
    }

    pub fn freeze(&self) {
        self.running.freeze();
    }

    pub fn thaw(&self) {
        self.running.thaw();
    }

    /// Turns its clock this far from the right time.
    pub fn turn_clock(setup: &Setup, seconds: i64) {
        // It is read at any time: never half a file.
        let new = setup.folder().join("clock.new");
        fs::write(&new, format!("{seconds:+}")).unwrap();
        fs::rename(new, clock_of(setup)).unwrap();
    }

    /// Starts it again if it has ended by itself.
    pub fn tend(&mut self) {
        if let Some(status) = self.running.status() {
            let output = self.running.output();
            let last = output.lines().last().unwrap_or_default();
            self.endings.push(format!("{} ended with {status}: {last}", self.name));
            self.kill();
        }
    }

    /// Waits until it says that it works.
    pub async fn works(&mut self) {
        eventually_within(STARTING, &format!("{} works", self.name), async || {
            self.tend();
            match self.running.get("/readyz").await {
                Ok((200, _)) => Ok(()),
                Ok((_, body)) => Err(body),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// How often it has written this since it was first started.
    pub fn count(&self, text: &str) -> usize {
        self.running.output().matches(text).count()
    }

    /// Ends it in order.
    pub async fn end(&mut self) {
        self.running.terminate().await;
    }
}
