//! Creating objects (MS-ADTS 3.1.1.5.2).

use ldap3_proto::{
    LdapResultCode,
    proto::{LdapModifyType, LdapPartialAttribute},
};
use uuid::Uuid;

use super::{
    dn::{self, Rdn},
    draft::Draft,
    object::{Object, Slot, Values},
    refusal::Refusal,
    schema::{Attr, Class},
    store::Store,
    time,
};

/// A new account that names nothing else: normal, disabled, without a password.
const NEW_ACCOUNT: &str = "546";
/// A global security group.
const NEW_GROUP: &str = "-2147483646";
/// The value of `accountExpires` that means never.
pub const NEVER: &str = "9223372036854775807";

impl Store {
    /// Creates an object as a client asks for it.
    pub fn add(
        &mut self,
        dn: &str,
        attributes: Vec<LdapPartialAttribute>,
    ) -> Result<Slot, Refusal> {
        let steps = dn::parse(dn).ok_or_else(invalid_dn)?;
        let [rdn, above @ ..] = &steps[..] else { return Err(invalid_dn()) };
        let parent = self.living_parent(above)?;
        let class = class(&attributes)?;
        self.check_rdn(class, rdn, parent, None)?;

        let mut draft = Draft::default();
        for attribute in attributes {
            let named = Attr::parse(&attribute.atype);
            if named != Some(Attr::ObjectClass) && named != Some(class.rdn()) {
                draft.change(self, None, LdapModifyType::Add, attribute)?;
            }
        }
        let guid = Uuid::new_v4();
        for (attr, value) in defaults(class, guid) {
            draft.values.entry(attr).or_insert_with(|| vec![value.into_bytes()]);
        }
        draft.check(self, None, class)?;

        let mut fields: Vec<(Attr, Values)> =
            std::mem::take(&mut draft.values).into_iter().collect();
        fields.push((Attr::Name, vec![rdn.value.clone().into_bytes()]));
        if draft.password.is_some() {
            fields.push((Attr::UnicodePwd, Values::new()));
            fields.push((Attr::SupplementalCredentials, Values::new()));
        }
        let usn = self.next_usn();
        let mut object = Object::new(class, parent, guid, usn, time::unix_now());
        if class.account_type().is_some() {
            object.rid = self.next_rid();
        }
        let slot = self.insert(object, fields);
        self.finish(slot, draft, usn);
        Ok(slot)
    }

    /// The object that a distinguished name without its first step names, if it can have children.
    pub fn living_parent(&self, above: &[Rdn]) -> Result<Slot, Refusal> {
        let parent = self.walk(above).map_err(|closest| {
            Refusal::no_such_object(closest.map_or(String::new(), |slot| self.dn(slot)))
        })?;
        match self.get(parent).deleted {
            true => Err(Refusal::no_such_object(String::new())),
            false => Ok(parent),
        }
    }

    /// Whether an object of this class may have this name below `parent`. `own` is the object that
    /// already has it.
    pub fn check_rdn(
        &self,
        class: Class,
        rdn: &Rdn,
        parent: Slot,
        own: Option<Slot>,
    ) -> Result<(), Refusal> {
        if !rdn.kind.eq_ignore_ascii_case(class.rdn().name()) {
            let message = format!("00002099: NameErr: problem 2005, {} is wrong here", rdn.kind);
            return Err(Refusal::new(LdapResultCode::NamingViolation, message));
        }
        match self.child(parent, &rdn.value) {
            Some(other) if Some(other) != own => {
                let message = "00002071: UpdErr: problem 6005 (ENTRY_EXISTS)";
                Err(Refusal::new(LdapResultCode::EntryAlreadyExists, message))
            }
            _ => Ok(()),
        }
    }
}

/// `invalidDNSyntax`
pub fn invalid_dn() -> Refusal {
    let message = "0000208F: NameErr: problem 2006 (BAD_NAME)";
    Refusal::new(LdapResultCode::InvalidDNSyntax, message)
}

fn class(attributes: &[LdapPartialAttribute]) -> Result<Class, Refusal> {
    let violation = || {
        let message = "0000207D: UpdErr: problem 6002 (OBJ_CLASS_VIOLATION)";
        Refusal::new(LdapResultCode::ObjectClassViolation, message)
    };
    let values = attributes
        .iter()
        .find(|attribute| Attr::parse(&attribute.atype) == Some(Attr::ObjectClass))
        .ok_or_else(violation)?;
    let classes: Vec<Class> = values
        .vals
        .iter()
        .filter_map(|value| std::str::from_utf8(value).ok().and_then(Class::parse))
        .collect();
    // A computer is a user too, so of two classes the one with the longer ancestry is meant.
    classes.into_iter().max_by_key(|class| class.names().len()).ok_or_else(violation)
}

fn defaults(class: Class, guid: Uuid) -> Vec<(Attr, String)> {
    let random_name = || format!("${}", &guid.simple().to_string()[..16]);
    match class {
        Class::User | Class::Computer => vec![
            (Attr::SamAccountName, random_name()),
            (Attr::UserAccountControl, NEW_ACCOUNT.to_owned()),
            (Attr::AccountExpires, NEVER.to_owned()),
            (Attr::PwdLastSet, "0".to_owned()),
            (Attr::PrimaryGroupId, if class == Class::User { "513" } else { "515" }.to_owned()),
        ],
        Class::Group => {
            vec![(Attr::SamAccountName, random_name()), (Attr::GroupType, NEW_GROUP.to_owned())]
        }
        _ => Vec::new(),
    }
}
