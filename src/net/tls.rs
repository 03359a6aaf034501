//! Whom we trust: a CA file of one's own, or the system's store.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use thiserror::Error;

/// Why no trust could be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The CA file cannot be used.
    #[error("cannot use the CA file {path}: {what}; it must hold PEM certificates")]
    CaFile {
        /// The file.
        path: String,
        /// The cause.
        what: String,
    },
    /// The system has no usable certificates.
    #[error("the system has no CA certificates ({0}); install ca-certificates or set tls.ca_file")]
    NoSystemRoots(String),
}

/// Installs the process's cryptography provider. Call it once, first thing in `main`; later calls
/// change nothing.
pub fn install_provider() {
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
}

/// The certificates of a CA file.
pub fn read_ca_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = |what: String| TlsError::CaFile { path: path.display().to_string(), what };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|cause| error(cause.to_string()))?;
    if certificates.is_empty() {
        return Err(error("no certificate in it".into()));
    }
    Ok(certificates)
}

/// A client that trusts the CA file alone, or else the system's store. Certificates of the
/// system's store that cannot be read are left out, as long as one can.
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            for certificate in read_ca_file(path)? {
                roots.add(certificate).map_err(|cause| TlsError::CaFile {
                    path: path.display().to_string(),
                    what: cause.to_string(),
                })?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let causes: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
                return Err(TlsError::NoSystemRoots(causes.join("; ")));
            }
        }
    }
    install_provider();
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_is_read_or_refused_by_name() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, "no certificate").expect("write");
        let error = client_config(Some(&path)).expect_err("refused").to_string();
        assert!(error.contains("ca.pem") && error.contains("no certificate"), "{error}");
        let authority = rcgen::generate_simple_self_signed(["ca.example".into()]).expect("cert");
        std::fs::write(&path, authority.cert.pem()).expect("write");
        client_config(Some(&path)).expect("accepted");
    }
}
