//! A value that names another object, in the extended form (MS-ADTS 3.1.1.3.4.1.5):
//! `<GUID=…>;<SID=…>;CN=…`. The GUID stays what it is when the object is renamed or moved.

use uuid::Uuid;

/// Another object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'a> {
    /// objectGUID.
    pub object: Uuid,
    /// Distinguished name.
    pub dn: &'a str,
}

impl Link<'_> {
    /// Reads a value. None if it is none of this form.
    pub fn parse(value: &[u8]) -> Option<Link<'_>> {
        let rest = std::str::from_utf8(value).ok()?.strip_prefix("<GUID=")?;
        let (guid, mut dn) = rest.split_once('>')?;
        let object = Uuid::try_parse(guid).ok()?;
        dn = dn.strip_prefix(';').unwrap_or(dn);
        if dn.starts_with("<SID=") {
            dn = dn.split_once('>')?.1;
            dn = dn.strip_prefix(';').unwrap_or(dn);
        }
        Some(Link { object, dn })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extended_form_is_read_and_nothing_else() {
        let guid = "bcd2e574-8d58-4136-a9df-8a19b145db79";
        let object = Uuid::try_parse(guid).expect("a guid");
        for sid in ["", "<SID=S-1-5-21-1>;"] {
            let value = format!("<GUID={guid}>;{sid}CN=a>b;c,DC=x");
            assert_eq!(Link::parse(value.as_bytes()), Some(Link { object, dn: "CN=a>b;c,DC=x" }));
        }
        // What the account may not read has no name.
        let bare = format!("<GUID={guid}>;");
        assert_eq!(Link::parse(bare.as_bytes()), Some(Link { object, dn: "" }));
        for other in ["CN=a", "<GUID=12>;CN=a", "<GUID=", "<SID=S-1-1>;CN=a"] {
            assert_eq!(Link::parse(other.as_bytes()), None, "{other}");
        }
    }
}
