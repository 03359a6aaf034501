//! The provisioned domain that every domain controller starts as a copy of.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::process::run;
use super::{ADMIN_PASSWORD, BASE_DN, DOMAIN, HOST, REALM, UPN_SUFFIX};

/// The folder of the provisioned domain, with so many users besides. Made once per checkout and
/// Samba version (it takes seconds) and then only copied.
pub async fn template(users: u32) -> PathBuf {
    let mut version = Command::new("samba");
    version.arg("--version");
    let version = run(version).await.trim().replace(|c: char| !c.is_ascii_alphanumeric(), "-");

    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = cache.join(format!("samba-{version}"));
    let lock = File::create(cache.join("samba.lock")).expect("lock file of the template");
    lock.lock().expect("lock of the template");
    let partial = cache.join("samba-partial");
    if !folder.exists() {
        let _ = fs::remove_dir_all(&partial);
        provision(&partial).await;
        fs::rename(&partial, &folder).expect("the template gets its name");
    }
    if users == 0 {
        return folder;
    }
    let crowded = cache.join(format!("samba-{version}-{users}"));
    if !crowded.exists() {
        let _ = fs::remove_dir_all(&partial);
        fs::create_dir_all(&partial).expect("folder of the template");
        copy(&folder, &partial).await;
        populate(&partial, users).await;
        fs::rename(&partial, &crowded).expect("the template gets its name");
    }
    crowded
}

/// Copies a domain that no server has open.
pub async fn copy(template: &Path, folder: &Path) {
    let mut copy = Command::new("cp");
    copy.args(["-a", "--reflink=auto"]).args(["private", "state"].map(|d| template.join(d)));
    copy.arg(folder);
    run(copy).await;
}

/// Users that need no password (userAccountControl 0x220, MS-ADTS section 2.2.16): faster to add.
async fn populate(folder: &Path, users: u32) {
    let record = |number: u32| {
        format!(
            "dn: CN=user{number},CN=Users,{BASE_DN}\nobjectClass: user\n\
             sAMAccountName: user{number}\nuserPrincipalName: user{number}@{UPN_SUFFIX}\n\
             userAccountControl: 544\n\n"
        )
    };
    let file = folder.join("users.ldif");
    // Each run ends before the deadline of a command, however many there are.
    for first in (0..users).step_by(1_000) {
        let last = users.min(first + 1_000);
        fs::write(&file, (first..last).map(record).collect::<String>()).expect("the users' file");
        let mut add = Command::new("ldbadd");
        // Nobody needs the template after a power cut.
        add.arg("--nosync").arg("-H").arg(folder.join("private/sam.ldb")).arg(&file);
        run(add).await;
    }
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
