//! What a domain controller says of itself, and whether it will do.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use ldap3::{Scope, controls::RawControl, ldap_escape};
use uuid::Uuid;

use super::{
    Replica,
    attributes::{from_filetime, generalized_time},
    dirsync::{DIRSYNC, failed, show_deleted},
    dn::normalised,
    doorbell::{How, NOTIFICATION},
    entry::{Attributes, decode_parts},
    error::{DirectoryError, one_line},
    session::{Query, Session, code},
};
use crate::config::model::Doorbell;

const USN: &str = "highestcommittedusn";
/// The capability of a read-only domain controller (MS-ADTS 3.1.1.3.4.3.5).
const PARTIAL_SECRETS: &str = "1.2.840.113556.1.4.1920";
/// The lifetime of tombstones where the directory does not say (MS-ADTS 6.1.1.2.4.1.1).
const TOMBSTONE_DAYS: u32 = 60;

/// A domain controller's answers about itself.
pub(super) struct Controller {
    root: Attributes,
    read_only: bool,
    /// What its database is, to tell it from others.
    pub replica: Replica,
}

impl Controller {
    /// Asks it.
    pub async fn ask(session: &mut Session) -> Result<Controller, DirectoryError> {
        const WANTED: [&str; 7] = [
            "namingContexts",
            "supportedControl",
            "supportedCapabilities",
            "dsServiceName",
            "configurationNamingContext",
            "highestCommittedUSN",
            "vendorName",
        ];
        let (done, root) = read(session, "", &WANTED).await?;
        let root = root.ok_or_else(|| failed("reading the server's root entry", &done))?;
        let service = first(&root, "dsservicename").unwrap_or_else(|| session.url().to_owned());
        // Whoever may not read these still has a directory to follow.
        let (_, settings) = read(session, &service, &["invocationId", "msDS-isRODC"]).await?;
        let settings = settings.unwrap_or_default();
        let invocation = settings.get("invocationid").and_then(|values| values.first());
        let invocation = invocation.and_then(|bytes| Uuid::from_slice_le(bytes).ok());
        let read_only = has(&root, "supportedcapabilities", |value| value == PARTIAL_SECRETS)
            || first(&settings, "msds-isrodc").is_some_and(|text| text == "TRUE");
        let days = tombstone_days(session, &root).await?;
        let usn = first(&root, USN).and_then(|text| text.parse().ok());
        let replica = Replica {
            server: service,
            invocation,
            usn,
            tombstones: Some(Duration::from_secs(u64::from(days) * 24 * 3600)),
            ..Replica::default()
        };
        Ok(Controller { root, read_only, replica })
    }

    /// Checks what would otherwise fail in silence later.
    pub fn check(&self, url: &str, base_dn: &str) -> Result<(), DirectoryError> {
        let base = normalised(base_dn);
        if !has(&self.root, "namingcontexts", |value| normalised(value) == base) {
            let known = texts(&self.root, "namingcontexts").join(", ");
            return Err(DirectoryError::Setup {
                what: format!(
                    "directory.base_dn: {base_dn:?} is not the root of a naming context of {url}"
                ),
                remedy: format!("write one of: {}", one_line(&known)),
            });
        }
        if !self.offers(DIRSYNC) {
            return Err(DirectoryError::Setup {
                what: format!("{url} does not offer DirSync"),
                remedy: "connect to a writable domain controller, not to a global catalog or \
                         another LDAP server"
                    .into(),
            });
        }
        // It has no changes of its own to tell (MS-DRSR 4.1.10.5.2).
        if self.read_only {
            return Err(DirectoryError::Setup {
                what: format!("{url} is a read-only domain controller, which does not do DirSync"),
                remedy: "name writable domain controllers in directory.urls".into(),
            });
        }
        Ok(())
    }

    /// What this server does best, or what is asked for; and why. AD itself sends a notification
    /// when something changes. Samba looks every five seconds, unless the change came in by LDAP
    /// and to the same process: to ask for its USN is faster.
    pub fn doorbell(&self, choice: Doorbell, interval: Duration) -> Option<(How, &'static str)> {
        let usn = self.replica.usn.is_some().then_some(How::Usn(interval));
        let notifies = self.offers(NOTIFICATION);
        let is_samba = first(&self.root, "vendorname").is_some_and(|name| name.contains("Samba"));
        match choice {
            Doorbell::None => None,
            Doorbell::Notification => Some((How::Notification, "as configured")),
            Doorbell::Usn => usn.map(|usn| (usn, "as configured")),
            Doorbell::Auto if notifies && !is_samba => {
                Some((How::Notification, "it notifies at once"))
            }
            Doorbell::Auto if is_samba => usn.map(|usn| (usn, "Samba notifies late")),
            Doorbell::Auto => usn.map(|usn| (usn, "it does not notify")),
        }
    }

    fn offers(&self, control: &str) -> bool {
        has(&self.root, "supportedcontrol", |value| value == control)
    }
}

/// The highest USN in use: it moves when anything changes.
pub(super) async fn committed_usn(session: &mut Session) -> Result<u64, DirectoryError> {
    let (done, root) = read(session, "", &[USN]).await?;
    root.and_then(|root| first(&root, USN)?.parse().ok())
        .ok_or_else(|| failed("reading the server's USN", &done))
}

/// What time it is by the server's clock.
pub(super) async fn current_time(
    session: &mut Session,
) -> Result<Option<Timestamp>, DirectoryError> {
    const NOW: &str = "currenttime";
    let (_, root) = read(session, "", &[NOW]).await?;
    Ok(root.and_then(|root| generalized_time(first(&root, NOW)?.as_bytes())))
}

/// `msDS-UserPasswordExpiryTimeComputed` (MS-ADTS section 3.1.1.4.5, constructed attributes), which
/// minds the domain's policy and the user's own. It is 0 where the password must be changed now.
pub(super) async fn password_expires(
    session: &mut Session,
    object: Uuid,
) -> Result<Option<Timestamp>, DirectoryError> {
    const EXPIRES: &str = "msds-userpasswordexpirytimecomputed";
    let base = format!("<GUID={object}>");
    let (_, entry) = read(session, &base, &[EXPIRES]).await?;
    Ok(entry.and_then(|entry| from_filetime(first(&entry, EXPIRES)?.parse().ok()?)))
}

/// Whether there is a tombstone, or the object in the recycle bin.
pub(super) async fn is_tombstone(
    session: &mut Session,
    object: Uuid,
) -> Result<bool, DirectoryError> {
    let base = format!("<GUID={object}>");
    let (_, entry) = search(session, &base, &["isDeleted"], vec![show_deleted()]).await?;
    Ok(entry.is_some_and(|entry| first(&entry, "isdeleted").is_some_and(|text| text == "TRUE")))
}

/// An account that may not read the container gets neither deletions nor an error. It may still see
/// that there is such an object, without its attributes.
pub(super) async fn check_deleted_objects(
    session: &mut Session,
    base_dn: &str,
    user: &str,
) -> Result<(), DirectoryError> {
    let container = format!("CN=Deleted Objects,{base_dn}");
    let (_, entry) = search(session, &container, &["name"], vec![show_deleted()]).await?;
    if entry.is_some_and(|entry| first(&entry, "name").is_some()) {
        return Ok(());
    }
    Err(DirectoryError::Setup {
        what: format!("{user} cannot see deleted objects, so deletions would be missed"),
        remedy: format!("grant it \"list contents\" and \"read property\" on {container}"),
    })
}

/// What the schema says of attributes, by their names in lower case. An attribute that is not in
/// the answer is not in the schema.
pub(super) async fn schema(
    session: &mut Session,
    names: &[String],
) -> Result<BTreeMap<String, Confidential>, DirectoryError> {
    const FLAGS: u32 = 128;
    let (_, root) = read(session, "", &["schemaNamingContext"]).await?;
    let base = root.and_then(|root| first(&root, "schemanamingcontext")).unwrap_or_default();
    let any: String = names
        .iter()
        .map(|name| format!("(lDAPDisplayName={})", ldap_escape(name.as_str())))
        .collect();
    let attributes = ["lDAPDisplayName", "searchFlags"].map(str::to_owned);
    let mut found = BTreeMap::new();
    let query = Query {
        base: &base,
        scope: Scope::OneLevel,
        filter: &format!("(&(objectClass=attributeSchema)(|{any}))"),
        attributes: &attributes,
        controls: Vec::new(),
    };
    let done = session
        .search(query, |entry| {
            let Some((_, attributes)) = decode_parts(entry.0) else { return };
            let Some(name) = first(&attributes, "ldapdisplayname") else { return };
            let flags = first(&attributes, "searchflags").and_then(|text| text.parse().ok());
            let flags: u32 = flags.unwrap_or_default();
            found.insert(name.to_ascii_lowercase(), Confidential(flags & FLAGS != 0));
        })
        .await?;
    if done.result.rc != code::SUCCESS {
        return Err(failed("reading the schema", &done));
    }
    Ok(found)
}

/// Whether an attribute needs more than the right to read properties: fCONFIDENTIAL of its
/// searchFlags (MS-ADTS 2.2.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confidential(pub bool);

async fn tombstone_days(session: &mut Session, root: &Attributes) -> Result<u32, DirectoryError> {
    let Some(configuration) = first(root, "configurationnamingcontext") else {
        return Ok(TOMBSTONE_DAYS);
    };
    let service = format!("CN=Directory Service,CN=Windows NT,CN=Services,{configuration}");
    let (_, entry) = read(session, &service, &["tombstoneLifetime"]).await?;
    let days = entry.and_then(|entry| first(&entry, "tombstonelifetime")?.parse().ok());
    Ok(days.unwrap_or(TOMBSTONE_DAYS))
}

async fn read(
    session: &mut Session,
    base: &str,
    attributes: &[&str],
) -> Result<(super::session::Done, Option<Attributes>), DirectoryError> {
    search(session, base, attributes, Vec::new()).await
}

/// One object's attributes; none if it is not there or may not be read.
async fn search(
    session: &mut Session,
    base: &str,
    attributes: &[&str],
    controls: Vec<RawControl>,
) -> Result<(super::session::Done, Option<Attributes>), DirectoryError> {
    let attributes: Vec<_> = attributes.iter().map(|name| (*name).to_owned()).collect();
    let filter = "(objectClass=*)";
    let mut found = None;
    let query = Query { base, scope: Scope::Base, filter, attributes: &attributes, controls };
    let done = session.search(query, |entry| found = decode_parts(entry.0)).await?;
    let found = found.filter(|_| done.result.rc == code::SUCCESS);
    Ok((done, found.map(|(_, attributes)| attributes)))
}

fn has(entry: &Attributes, name: &str, wanted: impl Fn(&str) -> bool) -> bool {
    texts(entry, name).iter().any(|value| wanted(value))
}

fn first(entry: &Attributes, name: &str) -> Option<String> {
    texts(entry, name).into_iter().next()
}

fn texts(entry: &Attributes, name: &str) -> Vec<String> {
    let values = entry.get(name).map(Vec::as_slice).unwrap_or_default();
    values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "DC=corp,DC=example";

    fn controller(attributes: &[(&str, &str)]) -> Controller {
        let mut root = Attributes::new();
        for (name, value) in attributes {
            root.entry((*name).to_owned()).or_default().push(value.as_bytes().to_vec());
        }
        let replica = Replica { usn: Some(1), ..Replica::default() };
        Controller { root, read_only: false, replica }
    }

    #[test]
    fn only_a_writable_controller_of_the_domain_with_dirsync_will_do() {
        let whole = [("namingcontexts", "dc=corp, DC=Example"), ("supportedcontrol", DIRSYNC)];
        let why = |dc: Controller| dc.check("ldaps://dc1", BASE).expect_err("refused").to_string();
        assert!(controller(&whole).check("ldaps://dc1", BASE).is_ok());
        assert!(why(controller(&whole[..1])).contains("does not offer DirSync"));
        assert!(why(controller(&whole[1..])).contains("directory.base_dn"));
        let read_only = Controller { read_only: true, ..controller(&whole) };
        assert!(why(read_only).contains("read-only"));
    }

    #[test]
    fn the_doorbell_is_what_the_server_does_best() {
        let interval = Duration::from_millis(25);
        let windows = controller(&[("supportedcontrol", NOTIFICATION)]);
        let samba = controller(&[
            ("supportedcontrol", NOTIFICATION),
            ("vendorname", "Samba Team (https://www.samba.org)"),
        ]);
        let old = controller(&[]);
        let picked = |dc: &Controller, choice| dc.doorbell(choice, interval).map(|(how, _)| how);
        let usn = Some(How::Usn(interval));
        assert_eq!(picked(&windows, Doorbell::Auto), Some(How::Notification));
        assert_eq!(picked(&samba, Doorbell::Auto), usn);
        assert_eq!(picked(&old, Doorbell::Auto), usn);
        assert_eq!(picked(&samba, Doorbell::Notification), Some(How::Notification));
        assert_eq!(picked(&windows, Doorbell::Usn), usn);
        assert_eq!(picked(&windows, Doorbell::None), None);
    }
}
