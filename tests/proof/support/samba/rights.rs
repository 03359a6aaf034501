//! Rights of accounts, written into security descriptors (MS-DTYP section 2.4.6).

use uuid::{Uuid, uuid};

use super::BASE_DN;

/// `DS-Replication-Get-Changes` (MS-ADTS section 5.1.3.2.1).
const GET_CHANGES: Uuid = uuid!("1131f6aa-9c07-11d1-f79f-00c04fc2dcd2");

const ACCESS_ALLOWED: u8 = 0x00;
const ACCESS_ALLOWED_OBJECT: u8 = 0x05;
const OBJECT_TYPE_PRESENT: u32 = 1;
const LIST_CHILDREN: u32 = 0x04;
const READ_PROPERTY: u32 = 0x10;
const CONTROL_ACCESS: u32 = 0x100;

/// Offset of the DACL's offset in a self-relative security descriptor.
const DACL_OFFSET: usize = 16;
/// Length of an ACL's header: revision, padding, size, count, padding.
const ACL_HEADER: usize = 8;

/// What an account may be granted beside what every user may.
#[derive(Clone, Copy, Debug)]
pub enum Right {
    /// DirSync without the flag OBJECT_SECURITY.
    GetChanges,
    /// To list and read what was deleted.
    ReadDeletedObjects,
}

impl Right {
    /// The object whose security descriptor grants the right.
    pub fn object(self) -> String {
        match self {
            Right::GetChanges => BASE_DN.to_owned(),
            Right::ReadDeletedObjects => format!("CN=Deleted Objects,{BASE_DN}"),
        }
    }

    /// The access control entry that grants the right to `sid` (binary).
    fn entry(self, sid: &[u8]) -> Vec<u8> {
        let (kind, body) = match self {
            Right::GetChanges => {
                let mut body = CONTROL_ACCESS.to_le_bytes().to_vec();
                body.extend(OBJECT_TYPE_PRESENT.to_le_bytes());
                body.extend(GET_CHANGES.to_bytes_le());
                (ACCESS_ALLOWED_OBJECT, body)
            }
            Right::ReadDeletedObjects => {
                (ACCESS_ALLOWED, (LIST_CHILDREN | READ_PROPERTY).to_le_bytes().to_vec())
            }
        };
        let size = u16::try_from(4 + body.len() + sid.len()).expect("an entry is short");
        let mut entry = vec![kind, 0];
        entry.extend(size.to_le_bytes());
        entry.extend(body);
        entry.extend(sid);
        entry
    }

    /// Adds the right for `sid` to a self-relative descriptor that has a DACL and nothing after it.
    pub fn grant(self, descriptor: &mut Vec<u8>, sid: &[u8]) {
        let entry = self.entry(sid);
        let offset = descriptor[DACL_OFFSET..DACL_OFFSET + 4].try_into().expect("four bytes");
        let acl = u32::from_le_bytes(offset) as usize;
        add_to_u16(descriptor, acl + 2, entry.len() as u16);
        add_to_u16(descriptor, acl + 4, 1);
        let first = acl + ACL_HEADER;
        descriptor.splice(first..first, entry);
    }
}

fn add_to_u16(bytes: &mut [u8], at: usize, more: u16) {
    let value = u16::from_le_bytes([bytes[at], bytes[at + 1]]) + more;
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}
