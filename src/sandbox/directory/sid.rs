//! Security identifiers (MS-DTYP 2.4.2).

use std::fmt;

/// A security identifier: authority and sub-authorities; the last of them is the RID.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sid {
    authority: u64,
    subs: Vec<u32>,
}

impl Sid {
    /// The SID of a domain with these three random numbers: `S-1-5-21-a-b-c`.
    pub fn domain(numbers: [u32; 3]) -> Sid {
        Sid { authority: 5, subs: vec![21, numbers[0], numbers[1], numbers[2]] }
    }

    /// The SID of an account of this domain.
    pub fn with_rid(&self, rid: u32) -> Sid {
        let mut sid = self.clone();
        sid.subs.push(rid);
        sid
    }

    /// Reads `S-1-...`. `None` when it is malformed.
    pub fn parse(text: &str) -> Option<Sid> {
        let mut parts = text.split('-');
        if !parts.next()?.eq_ignore_ascii_case("S") || parts.next()? != "1" {
            return None;
        }
        let authority = parts.next()?.parse().ok().filter(|number| *number < 1 << 48)?;
        let subs: Vec<u32> = parts.map(|part| part.parse().ok()).collect::<Option<_>>()?;
        (!subs.is_empty() && subs.len() <= 15).then_some(Sid { authority, subs })
    }

    /// The bytes as `objectSid` holds them: revision, count, authority (big-endian), then the
    /// sub-authorities (little-endian).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![1, self.subs.len() as u8];
        bytes.extend(&self.authority.to_be_bytes()[2..]);
        bytes.extend(self.subs.iter().flat_map(|sub| sub.to_le_bytes()));
        bytes
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S-1-{}", self.authority)?;
        self.subs.iter().try_for_each(|sub| write!(f, "-{sub}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_agree() {
        let sid = Sid::parse("S-1-5-32-544").unwrap();
        assert_eq!(sid.to_bytes(), [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0]);
        assert_eq!(sid.to_string(), "S-1-5-32-544");
        assert_eq!(Sid::domain([1, 2, 3]).with_rid(500).to_string(), "S-1-5-21-1-2-3-500");
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in ["", "S-1", "S-1-5", "S-2-5-1", "S-1-5-x", "S-1-5-4294967296"] {
            assert_eq!(Sid::parse(text), None, "{text}");
        }
    }
}
