//! A throw-away certificate authority.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};

/// PEM files of a server's and a client's certificate and of the authority that signed them.
pub struct ServerCertificate {
    /// The authority, for clients to trust.
    pub ca: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// The server's private key, readable for its owner only.
    pub key: PathBuf,
    /// A certificate for a client that is called `relay`.
    pub client_certificate: PathBuf,
    /// The client's private key.
    pub client_key: PathBuf,
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

        let client_key = KeyPair::generate().expect("a key pair");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "relay");
        let client = params.signed_by(&client_key, &issuer).expect("a client's certificate");

        let files = ServerCertificate {
            ca: folder.join("ca.pem"),
            certificate: folder.join("server.pem"),
            key: folder.join("server.key"),
            client_certificate: folder.join("client.pem"),
            client_key: folder.join("client.key"),
        };
        let write = |path: &Path, text: String| fs::write(path, text).expect("a PEM file");
        write(&files.ca, ca.pem());
        write(&files.certificate, certificate.pem());
        write(&files.key, key.serialize_pem());
        write(&files.client_certificate, client.pem());
        write(&files.client_key, client_key.serialize_pem());
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).expect("key mode");
        files
    }
}
