//! Distinguished names (RFC 4514) and the other ways Active Directory lets a client name an object.

use uuid::Uuid;

use super::sid::Sid;

/// One step of a distinguished name, its value without escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rdn {
    /// The attribute type as written.
    pub kind: String,
    /// The value, unescaped.
    pub value: String,
}

/// What a client names as the target of an operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Name {
    /// The empty name: the rootDSE.
    Root,
    /// `<GUID=...>`
    Guid(Uuid),
    /// `<SID=...>`
    Sid(Sid),
    /// An ordinary distinguished name, the object's own RDN first.
    Dn(Vec<Rdn>),
}

impl Name {
    /// Reads any of the forms of MS-ADTS 3.1.1.3.1.2.4. `None` for what is none of them.
    pub fn parse(text: &str) -> Option<Name> {
        let text = text.trim();
        if text.is_empty() {
            return Some(Name::Root);
        }
        let Some(inner) = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) else {
            return parse(text).map(Name::Dn);
        };
        let (form, value) = inner.split_once('=')?;
        match form.to_ascii_uppercase().as_str() {
            "GUID" => parse_guid(value).map(Name::Guid),
            "SID" => Sid::parse(value).map(Name::Sid),
            _ => None,
        }
    }
}

/// A GUID with dashes, or as the 32 hex digits of its bytes as stored (little-endian fields).
fn parse_guid(text: &str) -> Option<Uuid> {
    let uuid = Uuid::parse_str(text).ok()?;
    Some(if text.contains('-') { uuid } else { Uuid::from_bytes_le(*uuid.as_bytes()) })
}

/// Splits a distinguished name into its steps. `None` when it is malformed; multi-valued steps are
/// not known to Active Directory and count as malformed.
pub fn parse(text: &str) -> Option<Vec<Rdn>> {
    let mut steps = Vec::new();
    let mut rest = text;
    loop {
        let (kind, after) = rest.split_once('=')?;
        let kind = kind.trim();
        if kind.is_empty() || !kind.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)) {
            return None;
        }
        let (value, after) = parse_value(after.trim_start())?;
        if value.is_empty() {
            return None;
        }
        steps.push(Rdn { kind: kind.to_owned(), value });
        match after {
            Some(after) => rest = after,
            None => return Some(steps),
        }
    }
}

/// The unescaped value at the start of `text`, and what follows the comma after it.
fn parse_value(text: &str) -> Option<(String, Option<&str>)> {
    let mut bytes = Vec::new();
    // Unescaped spaces at the end are not part of the value; escaped ones are.
    let mut solid = 0;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ',' | ';' => {
                bytes.truncate(solid);
                return Some((String::from_utf8(bytes).ok()?, Some(&text[at + 1..])));
            }
            '+' | '"' | '<' | '>' => return None,
            '\\' => {
                let (_, escaped) = chars.next()?;
                match escaped.to_digit(16) {
                    Some(high) => {
                        let low = chars.next()?.1.to_digit(16)?;
                        bytes.push((high * 16 + low) as u8);
                    }
                    None => bytes.extend(escaped.encode_utf8(&mut [0; 4]).bytes()),
                }
                solid = bytes.len();
            }
            _ => {
                bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
                if c != ' ' {
                    solid = bytes.len();
                }
            }
        }
    }
    bytes.truncate(solid);
    Some((String::from_utf8(bytes).ok()?, None))
}

/// A value with what RFC 4514 wants escaped, a line feed as `\0A` as Active Directory writes it.
pub fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' => escaped.extend(['\\', c]),
            '#' if at == 0 => escaped.push_str("\\#"),
            ' ' if at == 0 || at == last => escaped.push_str("\\ "),
            '\n' => escaped.push_str("\\0A"),
            '\r' => escaped.push_str("\\0D"),
            '\0' => escaped.push_str("\\00"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// One spelling for all spellings of a name: for comparing. `None` when it is malformed.
pub fn fold(text: &str) -> Option<String> {
    let steps = parse(text)?;
    let folded: Vec<String> = steps
        .iter()
        .map(|rdn| format!("{}={}", rdn.kind.to_lowercase(), escape(&rdn.value.to_lowercase())))
        .collect();
    Some(folded.join(","))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_redone() {
        let steps = parse(r"CN=Smith\, Ann\20,OU=R\C3\A9sum\C3\A9 , DC=corp").unwrap();
        assert_eq!(steps[0].value, "Smith, Ann ");
        assert_eq!(steps[1].value, "Résumé");
        assert_eq!(escape(&steps[0].value), r"Smith\, Ann\ ");
        assert_eq!(escape("Bob\nDEL:1"), r"Bob\0ADEL:1");
    }

    #[test]
    fn malformed_names_are_refused() {
        for text in ["CN", "=x", "CN=", "CN=a+SN=b", r"CN=a\", r"CN=a\4", "CN=a,", "CN=\"a\""] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn spelling_does_not_matter_when_folded() {
        assert_eq!(fold("CN=Ann ,  DC=Corp"), fold("cn=ANN,dc=corp"));
        assert_ne!(fold("CN=Ann"), fold("OU=Ann"));
    }

    #[test]
    fn a_guid_is_read_with_dashes_and_as_stored_bytes() {
        let expected = Uuid::parse_str("bcd2e574-8d58-4136-a9df-8a19b145db79").unwrap();
        let dashed = Name::parse("<GUID=bcd2e574-8d58-4136-a9df-8a19b145db79>");
        let stored = Name::parse("<guid=74e5d2bc588d3641a9df8a19b145db79>");
        assert_eq!(dashed, Some(Name::Guid(expected)));
        assert_eq!(stored, Some(Name::Guid(expected)));
        assert_eq!(Name::parse("<WKGUID=x>"), None);
    }
}
