//! The provisioned domain that every domain controller starts as a copy of.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::process::run;
use super::{ADMIN_PASSWORD, DOMAIN, HOST, REALM};

/// The folder of the provisioned domain. Made once per checkout and Samba version (it takes
/// seconds) and then only copied.
pub async fn template() -> PathBuf {
    let mut version = Command::new("samba");
    version.arg("--version");
    let version = run(version).await.trim().replace(|c: char| !c.is_ascii_alphanumeric(), "-");

    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = cache.join(format!("samba-{version}"));
    let lock = File::create(cache.join("samba.lock")).expect("lock file of the template");
    lock.lock().expect("lock of the template");
    if !folder.exists() {
        let partial = cache.join("samba-partial");
        let _ = fs::remove_dir_all(&partial);
        provision(&partial).await;
        fs::rename(&partial, &folder).expect("the template gets its name");
    }
    folder
}

async fn provision(folder: &Path) {
    fs::create_dir_all(folder).expect("folder of the template");
    // Without a file of its own, provisioning reads and writes the system's smb.conf.
    let config = folder.join("empty.conf");
    fs::write(&config, "[global]\n").expect("an empty smb.conf");
    let mut command = Command::new("samba-tool");
    command
        .args(["domain", "provision", "--server-role=dc", "--dns-backend=NONE"])
        .args(["--host-ip=127.0.0.1", "--option=interfaces=127.0.0.1/8"])
        .arg("--option=bind interfaces only=yes")
        .arg(format!("--realm={REALM}"))
        .arg(format!("--domain={DOMAIN}"))
        .arg(format!("--host-name={HOST}"))
        .arg(format!("--adminpass={ADMIN_PASSWORD}"))
        .arg(format!("--configfile={}", config.display()))
        .arg(format!("--targetdir={}", folder.display()));
    run(command).await;
}
