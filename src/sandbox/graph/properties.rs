//! The properties of a user, as data: type, length, who may write them, who masters them.
//!
//! Every rule that depends on a property reads it from [`TABLE`]; a new property is a new line.
//! Source: the v1.0 reference of the user resource and of "Update user" on learn.microsoft.com.

use serde_json::Value;

use super::forms;

/// The shape of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `Edm.Boolean`.
    Boolean,
    /// `Edm.String` of at most this many UTF-16 code units.
    Text(usize),
    /// A collection of strings: at most `items` of at most `max` UTF-16 code units each.
    Texts {
        /// Most items.
        items: usize,
        /// Most code units of one item.
        max: usize,
    },
    /// `Edm.DateTimeOffset`.
    DateTime,
    /// An object of strings; `merged` keeps members that a PATCH leaves out, otherwise they
    /// become null.
    Object {
        /// The names it may have.
        members: &'static [&'static str],
        /// Most UTF-16 code units of one member.
        max: usize,
        /// Whether members left out keep their value.
        merged: bool,
    },
    /// `passwordProfile`, which can be written and never read.
    Password,
}

/// Whether an application may write a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// With a permission for its [`Area`].
    Write,
    /// Nobody may.
    ReadOnly,
    /// Only on behalf of a signed-in user, so never for the relay.
    Delegated,
}

/// Which permission governs writing a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Area {
    /// No special permission: the general ones to update a user.
    General,
    /// `accountEnabled`.
    Account,
    /// `passwordProfile`.
    Password,
    /// Phone numbers.
    Phone,
    /// `otherMails`.
    Mail,
    /// `employeeLeaveDateTime`.
    Leave,
}

/// One line of [`TABLE`].
#[derive(Debug)]
pub(super) struct Property {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) access: Access,
    pub(super) area: Area,
    /// Whether null is a value.
    pub(super) nullable: bool,
    /// Mastered by the on-premises directory when the user is synced.
    pub(super) mastered: bool,
    /// A sensitive action: on a target with an admin role the app needs a role too.
    pub(super) sensitive: bool,
    /// Part of an answer without `$select`.
    pub(super) selected: bool,
    /// Whether `$filter` takes it.
    pub(super) filterable: bool,
    /// Whether the store finds users by it without a scan.
    pub(super) indexed: bool,
    /// No two users may share a value.
    pub(super) unique: bool,
    /// Compared case-sensitively (base64).
    pub(super) exact: bool,
    /// What a string must look like beyond its length.
    pub(super) form: fn(&str) -> bool,
}

const fn property(name: &'static str, kind: Kind) -> Property {
    Property {
        name,
        kind,
        access: Access::Write,
        area: Area::General,
        nullable: true,
        mastered: false,
        sensitive: false,
        selected: false,
        filterable: false,
        indexed: false,
        unique: false,
        exact: false,
        form: forms::any,
    }
}

/// A string that `$filter` takes.
const fn text(name: &'static str, max: usize) -> Property {
    property(name, Kind::Text(max)).filterable()
}

const fn texts(name: &'static str, items: usize, max: usize) -> Property {
    property(name, Kind::Texts { items, max }).required()
}

impl Property {
    const fn area(self, area: Area) -> Self {
        Self { area, ..self }
    }
    const fn delegated(self) -> Self {
        Self { access: Access::Delegated, ..self }
    }
    const fn exact(self) -> Self {
        Self { exact: true, ..self }
    }
    const fn filterable(self) -> Self {
        Self { filterable: true, ..self }
    }
    const fn form(self, form: fn(&str) -> bool) -> Self {
        Self { form, ..self }
    }
    const fn indexed(self) -> Self {
        Self { indexed: true, ..self }
    }
    const fn mastered(self) -> Self {
        Self { mastered: true, ..self }
    }
    const fn read_only(self) -> Self {
        Self { access: Access::ReadOnly, ..self }
    }
    const fn required(self) -> Self {
        Self { nullable: false, ..self }
    }
    const fn selected(self) -> Self {
        Self { selected: true, ..self }
    }
    const fn sensitive(self) -> Self {
        Self { sensitive: true, ..self }
    }
    const fn unique(self) -> Self {
        Self { unique: true, indexed: true, ..self }
    }

    /// What an answer shows when nothing is stored.
    pub(super) fn unset(&self) -> Value {
        match self.kind {
            Kind::Texts { .. } => Value::Array(Vec::new()),
            _ => Value::Null,
        }
    }
}

const LONGEST: usize = 1024;
const EXTENSIONS: &[&str] = &[
    "extensionAttribute1",
    "extensionAttribute2",
    "extensionAttribute3",
    "extensionAttribute4",
    "extensionAttribute5",
    "extensionAttribute6",
    "extensionAttribute7",
    "extensionAttribute8",
    "extensionAttribute9",
    "extensionAttribute10",
    "extensionAttribute11",
    "extensionAttribute12",
    "extensionAttribute13",
    "extensionAttribute14",
    "extensionAttribute15",
];
const ORG_DATA: Kind =
    Kind::Object { members: &["costCenter", "division"], max: LONGEST, merged: false };
const EXTENSION_ATTRIBUTES: Kind = Kind::Object { members: EXTENSIONS, max: LONGEST, merged: true };

/// Every property the simulator knows, in the order in which answers show them.
pub(super) const TABLE: &[Property] = &[
    text("id", 36).required().read_only().selected(),
    // Identity.
    text("displayName", 256).required().mastered().selected().form(forms::filled),
    text("givenName", 64).mastered().selected(),
    text("surname", 64).mastered().selected(),
    text("userPrincipalName", 113)
        .required()
        .mastered()
        .selected()
        .sensitive()
        .unique()
        .form(forms::user_principal_name),
    text("mailNickname", 64).required().mastered().form(forms::nickname),
    text("mail", 320).required().mastered().selected().form(forms::mail),
    texts("proxyAddresses", LONGEST, LONGEST).read_only(),
    texts("otherMails", 250, 250).area(Area::Mail).sensitive().form(forms::mail),
    text("userType", 6).form(forms::user_type),
    text("employeeId", 16).mastered().indexed(),
    text("onPremisesImmutableId", 256)
        .mastered()
        .sensitive()
        .unique()
        .exact()
        .form(forms::immutable_id),
    // Account.
    property("accountEnabled", Kind::Boolean)
        .required()
        .sensitive()
        .filterable()
        .area(Area::Account),
    property("passwordProfile", Kind::Password).required().sensitive().area(Area::Password),
    property("passwordPolicies", Kind::Text(64)).form(forms::password_policies),
    text("usageLocation", 2).required().form(forms::country),
    text("preferredLanguage", 32).mastered().selected(),
    // Work and address.
    text("jobTitle", 128).mastered().selected(),
    text("department", 64).mastered(),
    text("companyName", 64).mastered(),
    text("officeLocation", 128).mastered().selected(),
    text("employeeType", 128).mastered(),
    property("employeeOrgData", ORG_DATA).mastered(),
    property("employeeHireDate", Kind::DateTime).delegated(),
    property("employeeLeaveDateTime", Kind::DateTime).area(Area::Leave),
    text("streetAddress", LONGEST).mastered(),
    text("city", 128).mastered(),
    text("state", 128).mastered(),
    text("postalCode", 40).mastered(),
    text("country", 128).mastered(),
    text("faxNumber", 64).mastered(),
    text("mobilePhone", 64).mastered().selected().sensitive().area(Area::Phone),
    texts("businessPhones", 1, 64).mastered().selected().sensitive().area(Area::Phone),
    text("ageGroup", 32),
    text("consentProvidedForMinor", 32),
    property("showInAddressList", Kind::Boolean),
    property("onPremisesExtensionAttributes", EXTENSION_ATTRIBUTES).mastered(),
    text("externalUserState", 32),
    text("preferredDataLocation", 3),
    // What the service and the sync tools write.
    property("createdDateTime", Kind::DateTime).read_only(),
    text("creationType", 64).read_only(),
    property("deletedDateTime", Kind::DateTime).read_only(),
    property("lastPasswordChangeDateTime", Kind::DateTime).read_only(),
    property("signInSessionsValidFromDateTime", Kind::DateTime).read_only(),
    property("securityIdentifier", Kind::Text(184)).read_only(),
    property("onPremisesSyncEnabled", Kind::Boolean).read_only().filterable(),
    property("onPremisesLastSyncDateTime", Kind::DateTime).read_only(),
    property("onPremisesDistinguishedName", Kind::Text(LONGEST)).read_only(),
    property("onPremisesDomainName", Kind::Text(255)).read_only(),
    text("onPremisesSamAccountName", 256).read_only().indexed(),
    text("onPremisesSecurityIdentifier", 184).read_only().indexed(),
    text("onPremisesUserPrincipalName", LONGEST).read_only().indexed(),
    texts("onPremisesProvisioningErrors", LONGEST, LONGEST).read_only(),
    property("isManagementRestricted", Kind::Boolean).read_only(),
    property("isResourceAccount", Kind::Boolean).read_only(),
    property("legalAgeGroupClassification", Kind::Text(64)).read_only(),
    texts("imAddresses", LONGEST, LONGEST).read_only(),
    // Kept in SharePoint: an application cannot write them.
    property("aboutMe", Kind::Text(LONGEST)).delegated(),
    property("birthday", Kind::DateTime).delegated(),
    property("hireDate", Kind::DateTime).delegated(),
    texts("interests", LONGEST, LONGEST).delegated(),
    property("mySite", Kind::Text(LONGEST)).delegated(),
    property("preferredName", Kind::Text(LONGEST)).delegated(),
    texts("pastProjects", LONGEST, LONGEST).delegated(),
    texts("responsibilities", LONGEST, LONGEST).delegated(),
    texts("schools", LONGEST, LONGEST).delegated(),
    texts("skills", LONGEST, LONGEST).delegated(),
];

/// A property by its place in [`TABLE`]: one byte in a stored user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Prop(u8);

impl Prop {
    /// The property of that name; names are case-sensitive.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::all().find(|prop| prop.info().name == name)
    }

    /// Every property, in table order.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..TABLE.len() as u8).map(Self)
    }

    /// Its line of the table.
    pub(super) fn info(self) -> &'static Property {
        &TABLE[usize::from(self.0)]
    }

    /// Its number in a stored record.
    pub(super) fn number(self) -> u8 {
        self.0
    }

    /// The property with that number, if there is one.
    pub(super) fn numbered(number: u8) -> Option<Self> {
        (usize::from(number) < TABLE.len()).then_some(Self(number))
    }
}

/// Finds a property at compile time, so that a misspelt constant does not build.
const fn prop(name: &str) -> Prop {
    let mut at = 0;
    while at < TABLE.len() {
        if same(TABLE[at].name.as_bytes(), name.as_bytes()) {
            return Prop(at as u8);
        }
        at += 1;
    }
    panic!("no such property")
}

const fn same(left: &[u8], right: &[u8]) -> bool {
    let mut at = 0;
    while at < left.len() && at < right.len() && left[at] == right[at] {
        at += 1;
    }
    at == left.len() && at == right.len()
}

pub(super) const ID: Prop = prop("id");
pub(super) const DISPLAY_NAME: Prop = prop("displayName");
pub(super) const UPN: Prop = prop("userPrincipalName");
pub(super) const MAIL_NICKNAME: Prop = prop("mailNickname");
pub(super) const MAIL: Prop = prop("mail");
pub(super) const PROXY_ADDRESSES: Prop = prop("proxyAddresses");
pub(super) const USER_TYPE: Prop = prop("userType");
pub(super) const ACCOUNT_ENABLED: Prop = prop("accountEnabled");
pub(super) const PASSWORD_PROFILE: Prop = prop("passwordProfile");
pub(super) const IMMUTABLE_ID: Prop = prop("onPremisesImmutableId");
pub(super) const EXTENSION_BAG: Prop = prop("onPremisesExtensionAttributes");
pub(super) const SYNC_ENABLED: Prop = prop("onPremisesSyncEnabled");
pub(super) const CREATED: Prop = prop("createdDateTime");
pub(super) const DELETED: Prop = prop("deletedDateTime");
pub(super) const PASSWORD_CHANGED: Prop = prop("lastPasswordChangeDateTime");
pub(super) const SESSIONS_VALID_FROM: Prop = prop("signInSessionsValidFromDateTime");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_set_is_the_documented_one() {
        let mut selected: Vec<_> = TABLE.iter().filter(|p| p.selected).map(|p| p.name).collect();
        selected.sort_unstable();
        let documented = [
            "businessPhones",
            "displayName",
            "givenName",
            "id",
            "jobTitle",
            "mail",
            "mobilePhone",
            "officeLocation",
            "preferredLanguage",
            "surname",
            "userPrincipalName",
        ];
        assert_eq!(selected, documented);
    }

    #[test]
    fn names_are_unique_and_fit_a_byte() {
        let mut names: Vec<_> = TABLE.iter().map(|p| p.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
        assert!(TABLE.len() < 256);
        assert_eq!(Prop::named("mail"), Some(MAIL));
        assert_eq!(Prop::named("Mail"), None);
    }
}
