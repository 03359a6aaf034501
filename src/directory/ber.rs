//! The few BER encodings (ITU-T X.690) that the control values need.
//!
//! Written by hand because Active Directory is particular: the DirSync flags must be an INTEGER of
//! exactly four bytes, and what a server sends must never make us panic.

/// `INTEGER` of exactly four bytes, as AD wants the DirSync flags: flags with the highest bit set
/// are negative numbers to it.
pub fn integer_4(value: u32) -> Vec<u8> {
    element(0x02, &value.to_be_bytes())
}

/// `INTEGER` in its shortest form, for values that are not negative.
pub fn integer(value: u32) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let skip = bytes.iter().take_while(|byte| **byte == 0).count().min(3);
    let mut content = bytes[skip..].to_vec();
    if content[0] & 0x80 != 0 {
        content.insert(0, 0);
    }
    element(0x02, &content)
}

/// `ENUMERATED`, for the small values that LDAP has.
pub fn enumerated(value: u8) -> Vec<u8> {
    element(0x0a, &[value])
}

/// `BOOLEAN`.
pub fn boolean(value: bool) -> Vec<u8> {
    element(0x01, &[if value { 0xff } else { 0 }])
}

/// `OCTET STRING`.
pub fn octets(value: &[u8]) -> Vec<u8> {
    element(0x04, value)
}

/// `SEQUENCE` of elements that are encoded already.
pub fn sequence(elements: &[Vec<u8>]) -> Vec<u8> {
    element(0x30, &elements.concat())
}

/// An element of any tag below 31.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match content.len() {
        length @ 0..=0x7f => bytes.push(length as u8),
        length => {
            let length = length.to_be_bytes();
            let skip = length.iter().take_while(|byte| **byte == 0).count();
            bytes.push(0x80 | (length.len() - skip) as u8);
            bytes.extend_from_slice(&length[skip..]);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

/// Splits off the first element: its tag, its content, and what follows. None if the bytes are cut
/// short or use a form that LDAP forbids (RFC 4511 section 5.1).
pub fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_form_survive() {
        for length in [0, 1, 127, 128, 255, 256, 65_536] {
            let bytes = octets(&vec![7; length]);
            let (tag, content, rest) = split(&bytes).expect("splits");
            assert_eq!((tag, content.len(), rest.len()), (0x04, length, 0));
        }
    }

    #[test]
    fn integers_have_the_form_that_is_asked_for() {
        assert_eq!(integer_4(0x8000_0801), [2, 4, 0x80, 0, 8, 1]);
        assert_eq!(integer_4(1), [2, 4, 0, 0, 0, 1]);
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(0x80), [2, 2, 0, 0x80]);
        assert_eq!(integer(0x10_0000), [2, 3, 0x10, 0, 0]);
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let whole = sequence(&[integer(5), octets(&[1; 200])]);
        for length in 0..whole.len() {
            assert!(split(&whole[..length]).is_none(), "{length} bytes");
        }
        assert!(split(&[0x04, 0x80]).is_none(), "indefinite length");
        assert!(split(&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff]).is_none(), "longer than the input");
    }
}
