//! A small disk that can be full.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A file system in memory. A guard unmounts it, also when the test process goes without dropping
/// anything: it reads a pipe that the kernel closes then.
pub struct Disk {
    folder: PathBuf,
    guard: Child,
}

impl Disk {
    /// Mounts one of so many MiB; that takes root.
    pub fn mount(mebibytes: u32) -> Disk {
        let folder = tempfile::Builder::new().prefix("relay-disk-").tempdir().unwrap().keep();
        let size = format!("size={mebibytes}m,mode=0700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).status();
        assert!(mounted.unwrap().success(), "a file system in memory is mounted");
        let script = r#"read -r _; umount --lazy "$0"; rmdir "$0""#;
        let mut guard = Command::new("sh");
        // In a group of its own, so that Ctrl-C does not end it together with the test.
        guard.args(["-c", script]).arg(&folder).stdin(Stdio::piped()).process_group(0);
        Disk { folder, guard: guard.spawn().unwrap() }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes all the space there is.
    pub fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        for size in [1 << 20, 1 << 12] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Ends [`Disk::fill`].
    pub fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
