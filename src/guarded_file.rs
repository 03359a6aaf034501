//! Files that decide whom we trust and what we keep to ourselves, and how they are opened.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use redb::{Builder, Database, DatabaseError, backends::FileBackend};

/// The files of which it was told that everybody may read them: once is enough.
static TOLD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Opens a file that others than its owner may not write to: they could put their own key into it.
/// It is the opened file that counts, wherever links lead.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    Ok(opened(path)?.0)
}

/// As [`open`], for what nobody else should read either. A file that everybody may read is used,
/// with a warning: containers are handed secrets in odd ways. Reading by the group is how
/// Kubernetes hands one to a user other than root.
pub(crate) fn open_secret(path: &Path) -> io::Result<File> {
    let (file, mode) = opened(path)?;
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if mode & 0o004 != 0 && told.insert(path.to_owned()) {
        tracing::warn!(file = %path.display(), mode = format!("{mode:03o}"),
            "everybody on this machine may read the secret; run chmod 600 on it");
    }
    Ok(file)
}

fn opened(path: &Path) -> io::Result<(File, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        let text = format!(
            "others than its owner may write to it (mode {mode:03o}); run chmod go-w on it, and \
             replace what it holds if you do not know who had access"
        );
        return Err(io::Error::new(ErrorKind::PermissionDenied, text));
    }
    Ok((file, mode))
}

/// Opens a store, and makes it if it is missing: readable for its owner alone, since it tells of
/// every user.
pub(crate) fn open_store(path: &Path, builder: &Builder) -> Result<Database, DatabaseError> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    builder.create_with_backend(FileBackend::new(options.open(path)?)?)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn what_others_may_write_is_refused_also_behind_a_link() {
        let folder = tempfile::tempdir().expect("tempdir");
        let (path, link) = (folder.path().join("secret"), folder.path().join("link"));
        fs::write(&path, "x").expect("write");
        symlink(&path, &link).expect("link");
        for (mode, accepted) in
            [(0o600, true), (0o440, true), (0o644, true), (0o620, false), (0o602, false)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
            for path in [&path, &link] {
                for opened in [open(path), open_secret(path)] {
                    assert_eq!(opened.is_ok(), accepted, "{mode:o} {path:?}");
                    let told = opened.err().map(|error| error.to_string()).unwrap_or_default();
                    assert!(accepted || told.contains(&format!("{mode:o}")), "{told}");
                }
            }
        }
    }

    #[test]
    fn a_store_is_its_owner_s_alone() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("store");
        drop(open_store(&path, &Database::builder()).expect("made"));
        assert_eq!(fs::metadata(&path).expect("file").permissions().mode() & 0o777, 0o600);
    }
}
