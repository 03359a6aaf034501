//! Passwords: how a client writes one, and how one is checked (MS-ADTS 3.1.1.3.1.5).

use sha2::{Digest, Sha256};

use super::refusal::Refusal;

/// The shortest password that the domain accepts.
pub const MIN_LENGTH: usize = 7;

/// Reads a value written to `unicodePwd`: the password in quotation marks, in UTF-16LE.
pub fn decode(value: &[u8]) -> Result<String, Refusal> {
    let (units, []) = value.as_chunks::<2>() else { return Err(unquoted()) };
    let text: String = char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)))
        .collect::<Result<_, _>>()
        .map_err(|_| unquoted())?;
    let password =
        text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(unquoted)?;
    if password.chars().count() < MIN_LENGTH {
        return Err(Refusal::unwilling(
            "0000052D: SvcErr: problem 5003 (WILL_NOT_PERFORM), the password breaks the policy",
        ));
    }
    Ok(password.to_owned())
}

/// The form in which a password is kept.
pub fn digest(password: &str) -> [u8; 32] {
    Sha256::digest(password.as_bytes()).into()
}

fn unquoted() -> Refusal {
    Refusal::unwilling(
        "0000001F: SvcErr: problem 5003 (WILL_NOT_PERFORM), unicodePwd wants quoted UTF-16LE",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn only_quoted_utf16_of_some_length_is_a_password() {
        assert_eq!(decode(&utf16("\"Pässw0rd!\"")).unwrap(), "Pässw0rd!");
        for bad in [utf16("Passw0rd!"), b"\"Passw0rd!\"".to_vec(), utf16("\""), vec![], vec![34]] {
            assert!(decode(&bad).unwrap_err().message.starts_with("0000001F"));
        }
        assert!(decode(&utf16("\"short\"")).unwrap_err().message.starts_with("0000052D"));
    }
}
