//! People in LDAP servers other than Active Directory, put into Active Directory's terms: that is
//! what the comparison with the ledger reads.

use ldap3::{Scope, asn1::StructureTag};
use uuid::Uuid;

use super::{
    Page, UsersPage,
    attributes::{generalized_time, to_filetime, uac},
    entry::{Attributes, Entry, decode_parts},
    error::DirectoryError,
    paging,
    session::{Done, Query, Session, code},
};

/// Whoever has a name to log in with. An entry that stops to match leaves without a word.
pub(super) const USERS: &str = "(&(objectClass=person)(uid=*))";

/// What is read of every user besides the mapped attributes. Most of it is operational: servers
/// tell it only to who asks by name.
const ALWAYS: [&str; 10] = [
    "uid",
    "cn",
    "employeeNumber",
    "entryUUID",
    "nsUniqueId",
    "nsAccountLock",
    "pwdAccountLockedTime",
    "pwdChangedTime",
    "pwdUpdateTime",
    "pwdReset",
];

/// An account that an administrator locked (draft-behera-ldap-password-policy, 5.3.3). Any other
/// time is that of a lockout after wrong passwords.
const LOCKED_FOR_GOOD: &[u8] = b"000001010000Z";

/// What an object is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// RFC 4530.
    EntryUuid,
    /// The servers that descend from Netscape's, 389 Directory Server among them.
    NsUniqueId,
}

/// What is read, and how it is understood.
#[derive(Debug, Clone)]
pub struct People {
    base_dn: String,
    attributes: Vec<String>,
    /// The attribute whose value links to Entra, in lower case, where it is not the key.
    anchor: Option<String>,
    key: Option<Key>,
}

impl People {
    /// Reads below `base_dn`, with `mapped` attributes besides those that are always read.
    /// `anchor` is `directory.anchor_attribute`.
    pub fn new<'a>(
        base_dn: &str,
        anchor: &'a str,
        mapped: impl IntoIterator<Item = &'a str>,
    ) -> People {
        let key = match anchor.to_ascii_lowercase().as_str() {
            "entryuuid" => Some(Key::EntryUuid),
            "nsuniqueid" => Some(Key::NsUniqueId),
            _ => None,
        };
        let anchor = (key.is_none() && anchor != "auto").then_some(anchor);
        let mut attributes: Vec<String> = ALWAYS.map(str::to_owned).to_vec();
        for name in mapped.into_iter().chain(anchor) {
            if !attributes.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                attributes.push(name.to_owned());
            }
        }
        let anchor = anchor.map(str::to_ascii_lowercase);
        People { base_dn: base_dn.to_owned(), attributes, anchor, key }
    }

    /// Leaves attributes out.
    pub(super) fn without(mut self, never: &[String]) -> People {
        self.attributes.retain(|name| !never.iter().any(|it| it.eq_ignore_ascii_case(name)));
        self
    }

    /// Finds out what this server knows objects by, unless that is configured: `nsUniqueId` where
    /// there is one, for every object has it, while `entryUUID` may come later there.
    pub(super) async fn learn_key(&mut self, session: &mut Session) -> Result<(), DirectoryError> {
        if self.key.is_some() {
            return Ok(());
        }
        let mut base = None;
        let attributes = ["entryUUID", "nsUniqueId"].map(str::to_owned);
        let done = session
            .search(
                Query {
                    base: &self.base_dn,
                    scope: Scope::Base,
                    filter: "(objectClass=*)",
                    attributes: &attributes,
                    controls: Vec::new(),
                },
                |entry| base = decode_parts(entry.0).map(|(_, attributes)| attributes),
            )
            .await?;
        let base = base.unwrap_or_default();
        self.key =
            [Key::NsUniqueId, Key::EntryUuid].into_iter().find(|key| key.of(&base).is_some());
        if self.key.is_some() {
            return Ok(());
        }
        Err(DirectoryError::Setup {
            what: format!(
                "{}: the account sees neither nsUniqueId nor entryUUID of {:?} (result {})",
                session.url(),
                self.base_dn,
                done.result.rc
            ),
            remedy: "write the suffix of the directory in directory.base_dn, and let the account \
                     read that entry with its operational attributes"
                .into(),
        })
    }

    /// The search for everybody.
    pub(super) fn query(&self) -> Query<'_> {
        Query {
            base: &self.base_dn,
            scope: Scope::Subtree,
            filter: USERS,
            attributes: &self.attributes,
            controls: Vec::new(),
        }
    }

    /// Reads an entry. None if it is malformed or lacks the key.
    pub(super) fn entry(&self, tag: StructureTag) -> Option<Entry> {
        let (dn, mut attributes) = decode_parts(tag)?;
        let object = self.key?.of(&attributes)?;
        self.translate(&mut attributes);
        Some(Entry { object, dn, attributes, complete: true })
    }

    fn translate(&self, attributes: &mut Attributes) {
        let mut copy = |from: &str, to: &str| {
            if let Some(values) = attributes.get(from).cloned() {
                attributes.entry(to.to_owned()).or_insert(values);
            }
        };
        copy("uid", "samaccountname");
        copy("cn", "name");
        copy("employeenumber", "employeeid");
        if let Some(anchor) = &self.anchor {
            copy(anchor, "ms-ds-consistencyguid");
        }
        let first = |name: &str| attributes.get(name).and_then(|values| values.first());
        let is_true = |name| first(name).is_some_and(|value| value.eq_ignore_ascii_case(b"TRUE"));
        let locked = is_true("nsaccountlock")
            || first("pwdaccountlockedtime").is_some_and(|time| time == LOCKED_FOR_GOOD);
        let control = uac::NORMAL_ACCOUNT | if locked { uac::ACCOUNT_DISABLE } else { 0 };
        let changed = ["pwdchangedtime", "pwdupdatetime"].into_iter().find_map(first);
        let changed = changed.and_then(|time| generalized_time(time)).map_or(0, to_filetime);
        let last_set = if is_true("pwdreset") { 0 } else { changed };
        let mut number = |name: &str, number: i64| {
            attributes.insert(name.to_owned(), vec![number.to_string().into_bytes()]);
        };
        number("useraccountcontrol", control.into());
        number("pwdlastset", last_set);
    }

    /// One page of everybody.
    pub(super) async fn users(
        &self,
        session: &mut Session,
        page: Option<Page>,
    ) -> Result<UsersPage, DirectoryError> {
        let mut entries = Vec::new();
        let mut malformed = 0_usize;
        let query = Query { controls: vec![paging::request(page)], ..self.query() };
        let done = session
            .search(query, |entry| match self.entry(entry.0) {
                Some(entry) => entries.push(entry),
                None => malformed += 1,
            })
            .await?;
        if malformed > 0 {
            let cause = format!("{malformed} entries are malformed or lack the key");
            return Err(DirectoryError::failed("reading all users", cause));
        }
        match done.result.rc {
            code::SUCCESS => Ok(UsersPage { entries, next: paging::next(&done) }),
            code::SIZE_LIMIT_EXCEEDED | code::ADMIN_LIMIT_EXCEEDED => Err(DirectoryError::Setup {
                what: format!("{} lets the account read only some users", session.url()),
                remedy: "raise the server's size and look-through limits for the relay's \
                             account (nsSizeLimit and nsLookThroughLimit, or limits in slapd)"
                    .into(),
            }),
            _ => Err(failed("reading all users", &done)),
        }
    }

    /// One user, by key.
    pub(super) async fn read(
        &self,
        session: &mut Session,
        object: Uuid,
    ) -> Result<Option<Entry>, DirectoryError> {
        let Some(key) = self.key else { return Ok(None) };
        let filter = format!("(&{USERS}{})", key.filter(object));
        let mut found = None;
        let query = Query { filter: &filter, ..self.query() };
        let done = session.search(query, |entry| found = self.entry(entry.0)).await?;
        match done.result.rc {
            code::SUCCESS => Ok(found),
            code::NO_SUCH_OBJECT => Ok(None),
            _ => Err(failed("reading a user", &done)),
        }
    }

    /// The key of what has this name, whatever it is.
    pub(super) async fn find(
        &self,
        session: &mut Session,
        dn: &str,
    ) -> Result<Option<Uuid>, DirectoryError> {
        let query =
            Query { base: dn, scope: Scope::Base, filter: "(objectClass=*)", ..self.query() };
        let mut found = None;
        let done = session.search(query, |entry| found = self.entry(entry.0)).await?;
        match done.result.rc {
            code::SUCCESS => Ok(found.map(|entry| entry.object)),
            code::NO_SUCH_OBJECT | code::INVALID_DN_SYNTAX => Ok(None),
            _ => Err(failed("looking for an object", &done)),
        }
    }
}

impl Key {
    fn of(self, attributes: &Attributes) -> Option<Uuid> {
        let name = match self {
            Key::EntryUuid => "entryuuid",
            Key::NsUniqueId => "nsuniqueid",
        };
        let text = str::from_utf8(attributes.get(name)?.first()?).ok()?;
        Uuid::try_parse(&text.replace('-', "")).ok()
    }

    fn filter(self, object: Uuid) -> String {
        match self {
            Key::EntryUuid => format!("(entryUUID={object})"),
            Key::NsUniqueId => {
                let digits = object.simple().to_string();
                let (a, b, c, d) = (&digits[..8], &digits[8..16], &digits[16..24], &digits[24..]);
                format!("(nsUniqueId={a}-{b}-{c}-{d})")
            }
        }
    }
}

pub(super) fn failed(doing: &'static str, done: &Done) -> DirectoryError {
    let text = super::error::one_line(&done.result.text);
    DirectoryError::failed(doing, format!("result {}: {text}", done.result.rc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(pairs: &[(&str, &str)], anchor: &str) -> Entry {
        let people = People::new("dc=example", anchor, ["mail"]);
        let mut attributes: Attributes = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), vec![value.as_bytes().to_vec()]))
            .collect();
        people.translate(&mut attributes);
        Entry { object: Uuid::nil(), dn: String::new(), attributes, complete: true }
    }

    #[test]
    fn a_lock_is_a_disabled_account_and_a_lockout_is_not() {
        for (lock, control) in [
            (("nsaccountlock", "TRUE"), 514),
            (("nsaccountlock", "true"), 514),
            (("nsaccountlock", "FALSE"), 512),
            (("pwdaccountlockedtime", "000001010000Z"), 514),
            (("pwdaccountlockedtime", "20260101120000Z"), 512),
            (("uid", "alice"), 512),
        ] {
            let entry = translated(&[lock], "auto");
            assert_eq!(entry.number("userAccountControl"), Some(Some(control)), "{lock:?}");
        }
    }

    #[test]
    fn names_and_times_are_told_as_active_directory_tells_them() {
        let changed = ("pwdchangedtime", "20240101000000.5Z");
        let entry = translated(&[("uid", "alice"), ("employeenumber", "7"), changed], "auto");
        assert_eq!(entry.text("sAMAccountName"), Some(Some("alice".into())));
        assert_eq!(entry.text("employeeID"), Some(Some("7".into())));
        assert_eq!(entry.number("pwdLastSet"), Some(Some(133_485_408_005_000_000)));
        let entry = translated(&[changed, ("pwdreset", "TRUE")], "auto");
        assert_eq!(entry.number("pwdLastSet"), Some(Some(0)), "must be changed");
        let entry = translated(&[("uid", "alice")], "uid");
        assert_eq!(entry.text("mS-DS-ConsistencyGuid"), Some(Some("alice".into())));
    }

    #[test]
    fn keys_are_read_and_searched_for_in_the_servers_form() {
        let id = "66446001-1dd211b2-8bb1d6a4-54c0ffee";
        let attributes = Attributes::from([("nsuniqueid".into(), vec![id.as_bytes().to_vec()])]);
        let object = Key::NsUniqueId.of(&attributes).expect("a key");
        assert_eq!(Key::NsUniqueId.filter(object), format!("(nsUniqueId={id})"));
        assert_eq!(Key::EntryUuid.of(&attributes), None);
        for nonsense in ["", "x", "66446001", "2024-01-01"] {
            let value = vec![nonsense.as_bytes().to_vec()];
            assert_eq!(Key::EntryUuid.of(&[("entryuuid".into(), value)].into()), None);
        }
    }
}
