//! The socket's file: bound where nobody else serves it, removed at the end.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

/// A bound socket with mode 0600. Dropped, it takes its file away.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Socket {
    /// Binds the path, which the configuration names in `key`. The file of a process that died is
    /// replaced.
    pub(crate) fn bind(path: &Path, key: &str) -> io::Result<Socket> {
        bind(path).map_err(|cause| {
            let text =
                format!("cannot listen on {}: {cause}; set another path in {key}", path.display());
            io::Error::new(cause.kind(), text)
        })
    }
}

fn bind(path: &Path) -> io::Result<Socket> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // Two processes that start at once must not both take the file for a dead one's.
    let turn = File::open(folder)?;
    turn.lock()?;
    clear(path)?;
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    let inode = fs::symlink_metadata(path)?.ino();
    Ok(Socket { listener, path: path.to_owned(), inode })
}

/// Removes a socket that nobody answers on.
fn clear(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    match UnixStream::connect(path) {
        Ok(_answered) => Err(io::Error::new(
            ErrorKind::AddrInUse,
            "another process of this configuration is running",
        )),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove the socket");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_one_s_file_is_replaced_and_a_living_one_s_is_not() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("a/control.sock");
        let bind = || Socket::bind(&path, "control.listen");
        let first = bind().expect("bind");
        assert_eq!(fs::metadata(&path).expect("file").mode() & 0o777, 0o600);
        let text = bind().expect_err("in use").to_string();
        assert!(text.contains("another process") && text.contains("control.listen"), "{text}");
        drop(first);
        assert!(!path.exists());
        // As a killed process leaves it.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bind"));
        let second = bind().expect("replaced");
        // Somebody else's by now.
        fs::remove_file(&path).expect("remove");
        fs::write(&path, "").expect("write");
        drop(second);
        assert!(path.exists());
        let text = bind().expect_err("no socket").to_string();
        assert!(text.contains("no socket"), "{text}");
    }
}
