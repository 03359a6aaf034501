//! A certificate whose private key signs the assertion that stands for a secret (Microsoft
//! identity platform: application authentication certificate credentials; RFC 7523).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use jiff::Timestamp;
use rustls::{
    SignatureScheme,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
    sign::CertifiedKey,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::unusable;
use crate::{graph::error::GraphError, net::tls, ops::metrics::METRICS};

/// How long an assertion is good, in seconds.
const LIFETIME: i64 = 600;

/// The code of what is wrong with the files.
const CODE: &str = "certificate_file";

/// Where certificate and key are.
pub(in crate::graph) struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
}

/// A certificate and its key, as the files held them just now.
pub(super) struct Loaded {
    /// SHA-256 of the DER form, base64url.
    thumbprint: String,
    pair: Arc<CertifiedKey>,
}

impl Certificate {
    /// PEM files; without a file for the key, the certificate's holds both.
    pub(super) fn new(certificate: PathBuf, key: Option<PathBuf>) -> Certificate {
        let key = key.unwrap_or_else(|| certificate.clone());
        Certificate { certificate, key }
    }

    /// Reads both, checks that they belong together, and tells when the certificate expires.
    pub(super) fn load(&self) -> Result<Loaded, GraphError> {
        let refuse = |path: &Path, what: &dyn std::fmt::Display| {
            unusable(CODE, format!("cannot use {}: {what}", path.display()))
        };
        let certificate = CertificateDer::from_pem_file(&self.certificate)
            .map_err(|error| refuse(&self.certificate, &error))?;
        let key = tls::read_private_key(&self.key).map_err(|error| refuse(&self.key, &error))?;
        let expires = expiry(&certificate)
            .ok_or_else(|| refuse(&self.certificate, &"it is no X.509 certificate"))?;
        METRICS.credential_expires("certificate", expires.as_second());
        if expires <= Timestamp::now() {
            let message =
                format!("the certificate {} expired at {expires}", self.certificate.display());
            return Err(unusable("certificate_expired", message));
        }
        let thumbprint = BASE64.encode(Sha256::digest(&certificate));
        let pair = CertifiedKey::from_der(vec![certificate], key, &ring::default_provider())
            .map_err(|error| refuse(&self.key, &error))?;
        let loaded = Loaded { thumbprint, pair: Arc::new(pair) };
        // Entra takes RSA alone.
        loaded.sign(b"").ok_or_else(|| refuse(&self.key, &"it is no RSA key"))?;
        Ok(loaded)
    }
}

impl Loaded {
    /// A JWT that says who we are to `audience`.
    pub(super) fn assertion(&self, audience: &str, client: &str) -> Result<String, GraphError> {
        let now = Timestamp::now().as_second();
        let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint });
        let claims = json!({
            "aud": audience, "iss": client, "sub": client, "jti": Uuid::new_v4(),
            "iat": now, "nbf": now, "exp": now + LIFETIME,
        });
        let encode = |part: &serde_json::Value| BASE64.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self
            .sign(signed.as_bytes())
            .ok_or_else(|| unusable(CODE, "the private key does not sign".into()))?;
        Ok(format!("{signed}.{}", BASE64.encode(signature)))
    }

    /// PS256: RSASSA-PSS with SHA-256 and a salt as long as the hash (RFC 7518 section 3.5).
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.pair.key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256])?.sign(message).ok()
    }
}

/// When a certificate expires (RFC 5280 section 4.1.2.5).
fn expiry(certificate: &[u8]) -> Option<Timestamp> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}
