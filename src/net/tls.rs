//! Whom we trust: a CA file of one's own, or the system's store.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use thiserror::Error;

use crate::guarded_file;

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
    /// The client certificate or its key cannot be used.
    #[error("cannot use the client certificate {certificate} with the key {key}: {what}")]
    Identity {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
        /// The cause.
        what: String,
    },
    /// The system has no usable certificates.
    #[error("the system has no CA certificates ({0}); install ca-certificates or set tls.ca_file")]
    NoSystemRoots(String),
}

/// Who a client is: PEM files of its certificate chain and of the private key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The chain, the client's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Identity {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|cause| self.error(cause))?;
        let key = read_private_key(&self.key).map_err(|cause| self.error(cause))?;
        Ok((chain, key))
    }

    fn error(&self, cause: impl ToString) -> TlsError {
        TlsError::Identity {
            certificate: self.certificate.display().to_string(),
            key: self.key.display().to_string(),
            what: cause.to_string(),
        }
    }
}

/// Installs the process's cryptography provider. Call it once, first thing in `main`; later calls
/// change nothing.
pub fn install_provider() {
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
}

/// A private key in PEM.
pub(crate) fn read_private_key(path: &Path) -> Result<PrivateKeyDer<'static>, pem::Error> {
    PrivateKeyDer::from_pem_reader(guarded_file::open_secret(path).map_err(pem::Error::Io)?)
}

/// The certificates of a CA file.
pub fn read_ca_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = |what: String| TlsError::CaFile { path: path.display().to_string(), what };
    let certificates = guarded_file::open(path)
        .map_err(pem::Error::Io)
        .map(CertificateDer::pem_reader_iter)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|cause| error(cause.to_string()))?;
    if certificates.is_empty() {
        return Err(error("no certificate in it".into()));
    }
    Ok(certificates)
}

/// A client that trusts [`roots`].
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    client_config_as(ca_file, None)
}

/// As [`client_config`], for a client that shows who it is to servers that ask.
pub fn client_config_as(
    ca_file: Option<&Path>,
    identity: Option<&Identity>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = roots(ca_file)?;
    install_provider();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    Ok(Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = identity.read()?;
            builder.with_client_auth_cert(chain, key).map_err(|cause| identity.error(cause))?
        }
    }))
}

/// The CA file alone, or else the system's store. Certificates of the system's store that cannot
/// be read are left out, as long as one can.
pub fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, TlsError> {
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
    Ok(roots)
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
