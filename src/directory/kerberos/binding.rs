//! Which TLS connection a login belongs to. Someone in between shows another certificate than the
//! server's, so the server refuses what was meant for him.

use md5::{Digest as _, Md5};
use sha2::{Sha256, Sha384, Sha512};
use x509_parser::{prelude::*, signature_algorithm::SignatureAlgorithm};

/// What the server's certificate says of the connection: the type `tls-server-end-point` (RFC 5929
/// section 4), hashed as GSSAPI wants it (RFC 4121 section 4.1.1.2). All zero, which is no binding,
/// where the certificate is signed in a way that has no such hash.
pub fn binding(certificate: &[u8]) -> [u8; 16] {
    let Some(hash) = end_point(certificate) else { return [0; 16] };
    let data = [b"tls-server-end-point:", &hash[..]].concat();
    // Types and lengths of both addresses, which nobody gives, and the length of the data.
    let mut bytes = vec![0; 16];
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    Md5::digest(&bytes).into()
}

/// The hash of the certificate, by the hash function of its signature; by SHA-256 where that is an
/// older one.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    use SignatureAlgorithm as Signature;
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let name = match SignatureAlgorithm::try_from(&parsed.signature_algorithm).ok()? {
        Signature::RSASSA_PSS(parameters) => parameters.hash_algorithm_oid().to_id_string(),
        Signature::RSA | Signature::ECDSA => parsed.signature_algorithm.algorithm.to_id_string(),
        _ => return None,
    };
    match name.as_str() {
        // MD5 and SHA-1, with RSA, with ECDSA, and of PSS; SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.10045.4.1"
        | "1.3.14.3.2.26"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.3.2"
        | "2.16.840.1.101.3.4.2.1" => Some(Sha256::digest(certificate).to_vec()),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" | "2.16.840.1.101.3.4.2.2" => {
            Some(Sha384::digest(certificate).to_vec())
        }
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" | "2.16.840.1.101.3.4.2.3" => {
            Some(Sha512::digest(certificate).to_vec())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};

    use super::*;

    fn certificate(algorithm: &'static SignatureAlgorithm) -> Vec<u8> {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let params = CertificateParams::new(["dc1.corp.example".to_owned()]).expect("a name");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let p256 = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(end_point(&p256), Some(Sha256::digest(&p256).to_vec()));
        let p384 = certificate(&rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(end_point(&p384), Some(Sha384::digest(&p384).to_vec()));
        assert_ne!(binding(&p256), binding(&p384));
        assert_eq!(binding(&certificate(&rcgen::PKCS_ED25519)), [0; 16]);
        assert_eq!(binding(b"no certificate"), [0; 16]);
    }
}
