//! Client assertions: JWTs that stand for a secret, signed by the app's certificate or by another
//! issuer that the app trusts.
//!
//! Source: RFC 7523, and "Application authentication certificate credentials" and "Workload
//! identity federation" on learn.microsoft.com.

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rustls::SignatureScheme;
use rustls::crypto::ring::default_provider;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::options::{Federation, Options};
use super::signin::SignInError;

/// What a federated token must be meant for.
const EXCHANGE: &str = "api://AzureADTokenExchange";

/// How far clocks may differ, in seconds.
const SKEW: i64 = 300;

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(rename = "x5t#S256")]
    thumbprint: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    sub: String,
    exp: i64,
    #[serde(default)]
    nbf: i64,
}

/// Checks an assertion that was sent to the tenant's token endpoint.
pub(super) fn check(options: &Options, tenant: &str, assertion: &str) -> Result<(), SignInError> {
    let malformed = || refusal(50027, "Invalid JWT token. The token is malformed.");
    let (signed, signature) = assertion.rsplit_once('.').ok_or_else(malformed)?;
    let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
    let header: Header = part(header).ok_or_else(malformed)?;
    let claims: Claims = part(claims).ok_or_else(malformed)?;
    let now = Timestamp::now().as_second();
    if claims.exp < now - SKEW || claims.nbf > now + SKEW {
        return Err(refusal(700024, "Client assertion is not within its valid time range."));
    }
    if claims.iss != options.client_id {
        return federated(options.federation.as_ref(), &claims);
    }
    if !claims.aud.ends_with(&format!("/{tenant}/oauth2/v2.0/token")) {
        return Err(refusal(50027, "Invalid JWT token. The audience is not this endpoint."));
    }
    if claims.sub != options.client_id {
        return Err(refusal(700021, "Client assertion application identifier doesn't match."));
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?;
    let known = options.certificates.iter().find(|certificate| {
        header.thumbprint.as_deref() == Some(&URL_SAFE_NO_PAD.encode(Sha256::digest(certificate)))
    });
    match known {
        Some(certificate) if header.alg == "PS256" && signs(certificate, signed, &signature) => {
            Ok(())
        }
        Some(_) => Err(refusal(700027, "The certificate's key did not make this signature.")),
        None => Err(refusal(
            700027,
            "The certificate with identifier used to sign the client assertion is not registered on application.",
        )),
    }
}

/// The issuer's keys are not known here, so its signature is taken for good.
fn federated(trusted: Option<&Federation>, claims: &Claims) -> Result<(), SignInError> {
    let Some(trusted) = trusted.filter(|trusted| trusted.issuer == claims.iss) else {
        let issuer = format!(
            "No matching federated identity record found for presented assertion issuer '{}'.",
            claims.iss
        );
        return Err(refusal(700211, issuer));
    };
    if claims.aud != EXCHANGE {
        return Err(refusal(
            700212,
            "No matching federated identity record found for presented assertion audience.",
        ));
    }
    if claims.sub != trusted.subject {
        return Err(refusal(
            700213,
            "No matching federated identity record found for presented assertion subject.",
        ));
    }
    Ok(())
}

fn refusal(code: u32, message: impl Into<String>) -> SignInError {
    SignInError::with_status(StatusCode::UNAUTHORIZED, "invalid_client", code, message)
}

fn part<T: for<'de> Deserialize<'de>>(encoded: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

/// Whether a certificate's key made this PS256 signature.
fn signs(certificate: &[u8], message: &str, signature: &[u8]) -> bool {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return false };
    let key = &parsed.public_key().subject_public_key.data;
    let algorithms = default_provider().signature_verification_algorithms.mapping;
    algorithms
        .iter()
        .filter(|(scheme, _)| *scheme == SignatureScheme::RSA_PSS_SHA256)
        .flat_map(|(_, algorithms)| algorithms.iter())
        .any(|algorithm| algorithm.verify_signature(key, message.as_bytes(), signature).is_ok())
}
