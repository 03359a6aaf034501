//! A throw-away certificate authority.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// PEM files of a server certificate and of the authority that signed it.
pub struct ServerCertificate {
    /// The authority, for clients to trust.
    pub ca: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// The server's private key, readable for its owner only.
    pub key: PathBuf,
}

impl ServerCertificate {
    /// Makes an authority and a certificate for `names` (host names and addresses) in `folder`.
    pub fn issue(folder: &Path, names: &[String]) -> ServerCertificate {
        let ca_key = KeyPair::generate().expect("a key pair");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "entra-relay throw-away CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).expect("a CA certificate");
        let issuer = Issuer::new(params, ca_key);

        let key = KeyPair::generate().expect("a key pair");
        let mut params = CertificateParams::new(names).expect("names for a certificate");
        params.distinguished_name.push(DnType::CommonName, &*names[0]);
        let certificate = params.signed_by(&key, &issuer).expect("a server certificate");

        let files = ServerCertificate {
            ca: folder.join("ca.pem"),
            certificate: folder.join("server.pem"),
            key: folder.join("server.key"),
        };
        let write = |path: &Path, text: String| fs::write(path, text).expect("a PEM file");
        write(&files.ca, ca.pem());
        write(&files.certificate, certificate.pem());
        write(&files.key, key.serialize_pem());
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).expect("key mode");
        files
    }
}
