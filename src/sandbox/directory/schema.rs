//! The attributes and classes this directory knows, with what Active Directory's schema says of each
//! ([MS-ADA1] to [MS-ADA3], [MS-ADSC]).

/// How the values of an attribute are compared and checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// Unicode text, compared without regard to case.
    Text,
    /// A decimal number of up to 64 bits.
    Integer,
    /// `TRUE` or `FALSE`.
    Boolean,
    /// Bytes, compared as they are.
    Octets,
    /// A security identifier: bytes, which a filter may also spell `S-1-...`.
    Sid,
    /// A distinguished name.
    Dn,
    /// GeneralizedTime in the one form Active Directory writes.
    Time,
}

/// More than one value is allowed.
const MULTI: u16 = 1;
/// Equality is answered from an index.
const INDEXED: u16 = 1 << 1;
/// Not stored but worked out when read.
const COMPUTED: u16 = 1 << 2;
/// Kept by this server only, so never part of a DirSync reply (`FLAG_ATTR_NOT_REPLICATED`).
const LOCAL: u16 = 1 << 3;
/// Written by the server only.
const SYSTEM: u16 = 1 << 4;
/// Survives deletion (MS-ADTS 3.1.1.5.5.1.1).
const KEEP: u16 = 1 << 5;
/// Never readable; DirSync tells only that it changed.
const SECRET: u16 = 1 << 6;
/// A forward link: its values name objects and follow their renames.
const LINK: u16 = 1 << 7;
/// Returned only when asked for by name.
const ON_REQUEST: u16 = 1 << 8;

struct Definition {
    name: &'static str,
    syntax: Syntax,
    flags: u16,
}

macro_rules! attributes {
    ($($variant:ident $name:literal $syntax:ident $($flag:ident)*;)+) => {
        /// An attribute of the schema.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Attr {
            $(#[doc = concat!("`", $name, "`")] $variant,)+
        }

        impl Attr {
            /// Every attribute, in the order of the schema.
            pub const ALL: &[Attr] = &[$(Attr::$variant),+];
        }

        const DEFINITIONS: &[Definition] = &[
            $(Definition { name: $name, syntax: Syntax::$syntax, flags: 0 $(| $flag)* }),+
        ];
    };
}

attributes! {
    ObjectClass "objectClass" Text MULTI COMPUTED SYSTEM KEEP;
    Cn "cn" Text COMPUTED LOCAL SYSTEM KEEP;
    Ou "ou" Text COMPUTED LOCAL SYSTEM KEEP;
    Dc "dc" Text COMPUTED LOCAL SYSTEM KEEP;
    Name "name" Text INDEXED SYSTEM KEEP;
    DistinguishedName "distinguishedName" Dn COMPUTED LOCAL SYSTEM KEEP;
    InstanceType "instanceType" Integer COMPUTED SYSTEM KEEP;
    WhenCreated "whenCreated" Time COMPUTED SYSTEM KEEP;
    WhenChanged "whenChanged" Time COMPUTED LOCAL SYSTEM KEEP;
    UsnCreated "uSNCreated" Integer COMPUTED LOCAL SYSTEM KEEP;
    UsnChanged "uSNChanged" Integer COMPUTED LOCAL SYSTEM KEEP;
    ObjectGuid "objectGUID" Octets INDEXED COMPUTED SYSTEM KEEP;
    ObjectSid "objectSid" Sid INDEXED COMPUTED SYSTEM KEEP;
    ObjectCategory "objectCategory" Dn COMPUTED SYSTEM;
    SamAccountType "sAMAccountType" Integer COMPUTED SYSTEM;
    MemberOf "memberOf" Dn MULTI COMPUTED LOCAL SYSTEM;
    DirectReports "directReports" Dn MULTI COMPUTED LOCAL SYSTEM;
    ParentGuid "parentGUID" Octets COMPUTED LOCAL SYSTEM ON_REQUEST;
    Member "member" Dn MULTI LINK;
    Manager "manager" Dn LINK;
    IsDeleted "isDeleted" Boolean SYSTEM KEEP;
    LastKnownParent "lastKnownParent" Dn SYSTEM KEEP;
    SamAccountName "sAMAccountName" Text INDEXED KEEP;
    UserPrincipalName "userPrincipalName" Text INDEXED;
    UserAccountControl "userAccountControl" Integer KEEP;
    AccountExpires "accountExpires" Integer;
    PwdLastSet "pwdLastSet" Integer;
    LockoutTime "lockoutTime" Integer;
    LastLogonTimestamp "lastLogonTimestamp" Integer;
    LastLogon "lastLogon" Integer LOCAL;
    BadPwdCount "badPwdCount" Integer LOCAL;
    LogonCount "logonCount" Integer LOCAL;
    UnicodePwd "unicodePwd" Octets SECRET;
    SupplementalCredentials "supplementalCredentials" Octets SECRET SYSTEM;
    PrimaryGroupId "primaryGroupID" Integer;
    GroupType "groupType" Integer KEEP;
    AdminCount "adminCount" Integer;
    CodePage "codePage" Integer;
    CountryCode "countryCode" Integer;
    ConsistencyGuid "mS-DS-ConsistencyGuid" Octets INDEXED;
    GivenName "givenName" Text;
    Sn "sn" Text;
    Initials "initials" Text;
    DisplayName "displayName" Text;
    Description "description" Text MULTI;
    Title "title" Text;
    Department "department" Text;
    Division "division" Text;
    Company "company" Text;
    Office "physicalDeliveryOfficeName" Text;
    StreetAddress "streetAddress" Text;
    PostalCode "postalCode" Text;
    Locality "l" Text;
    State "st" Text;
    CountryCodeIso "c" Text;
    Country "co" Text;
    TelephoneNumber "telephoneNumber" Text;
    OtherTelephone "otherTelephone" Text MULTI;
    Mobile "mobile" Text;
    Fax "facsimileTelephoneNumber" Text;
    HomePhone "homePhone" Text;
    IpPhone "ipPhone" Text;
    Pager "pager" Text;
    Mail "mail" Text INDEXED;
    MailNickname "mailNickname" Text;
    ProxyAddresses "proxyAddresses" Text MULTI;
    EmployeeId "employeeID" Text INDEXED;
    EmployeeNumber "employeeNumber" Text;
    EmployeeType "employeeType" Text;
    Info "info" Text;
    HomePage "wWWHomePage" Text;
    PreferredLanguage "preferredLanguage" Text;
    ThumbnailPhoto "thumbnailPhoto" Octets;
    ExtensionAttribute1 "extensionAttribute1" Text;
    ExtensionAttribute2 "extensionAttribute2" Text;
    ExtensionAttribute3 "extensionAttribute3" Text;
    ExtensionAttribute4 "extensionAttribute4" Text;
    ExtensionAttribute5 "extensionAttribute5" Text;
    ExtensionAttribute6 "extensionAttribute6" Text;
    ExtensionAttribute7 "extensionAttribute7" Text;
    ExtensionAttribute8 "extensionAttribute8" Text;
    ExtensionAttribute9 "extensionAttribute9" Text;
    ExtensionAttribute10 "extensionAttribute10" Text;
    ExtensionAttribute11 "extensionAttribute11" Text;
    ExtensionAttribute12 "extensionAttribute12" Text;
    ExtensionAttribute13 "extensionAttribute13" Text;
    ExtensionAttribute14 "extensionAttribute14" Text;
    ExtensionAttribute15 "extensionAttribute15" Text;
    DnsHostName "dNSHostName" Text;
    OperatingSystem "operatingSystem" Text;
    ServicePrincipalName "servicePrincipalName" Text MULTI;
    InvocationId "invocationId" Octets SYSTEM;
    MaxPwdAge "maxPwdAge" Integer;
    MinPwdLength "minPwdLength" Integer;
    LockoutDuration "lockoutDuration" Integer;
    LockoutThreshold "lockoutThreshold" Integer;
}

impl Attr {
    /// The attribute of this name, in any case. Options (`;range=...`) are not part of a name.
    pub fn parse(name: &str) -> Option<Attr> {
        Attr::ALL.iter().copied().find(|attr| attr.name().eq_ignore_ascii_case(name))
    }

    fn definition(self) -> &'static Definition {
        &DEFINITIONS[self as usize]
    }

    fn has(self, flag: u16) -> bool {
        self.definition().flags & flag != 0
    }

    /// The name as the schema spells it.
    pub fn name(self) -> &'static str {
        self.definition().name
    }

    /// How its values compare.
    pub fn syntax(self) -> Syntax {
        self.definition().syntax
    }

    /// Whether it may hold several values.
    pub fn is_multi(self) -> bool {
        self.has(MULTI)
    }

    /// Whether equality on it is answered from an index.
    pub fn is_indexed(self) -> bool {
        self.has(INDEXED)
    }

    /// Whether it is worked out when read instead of stored.
    pub fn is_computed(self) -> bool {
        self.has(COMPUTED)
    }

    /// Whether DirSync reports its changes.
    pub fn is_replicated(self) -> bool {
        !self.has(LOCAL)
    }

    /// Whether only the server writes it.
    pub fn is_system(self) -> bool {
        self.has(SYSTEM)
    }

    /// Whether it stays on a tombstone.
    pub fn is_kept(self) -> bool {
        self.has(KEEP)
    }

    /// Whether its values can never be read.
    pub fn is_secret(self) -> bool {
        self.has(SECRET)
    }

    /// Whether `*` leaves it out.
    pub fn is_on_request(self) -> bool {
        self.has(ON_REQUEST)
    }

    /// Whether its values are links to objects.
    pub fn is_link(self) -> bool {
        self.has(LINK)
    }
}

/// What kind of object an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The head of the domain's naming context.
    Domain,
    /// The head of the configuration's naming context.
    Configuration,
    /// `organizationalUnit`
    OrganizationalUnit,
    /// `container`
    Container,
    /// `user`
    User,
    /// `computer`, which is also a `user`
    Computer,
    /// `group`
    Group,
    /// `contact`
    Contact,
    /// A domain controller below a site.
    Server,
    /// The settings of a domain controller's directory service.
    NtdsSettings,
}

impl Class {
    /// The class a client may create under this `objectClass` value, most specific first.
    pub fn parse(name: &str) -> Option<Class> {
        [
            Class::Computer,
            Class::User,
            Class::Group,
            Class::Contact,
            Class::OrganizationalUnit,
            Class::Container,
        ]
        .into_iter()
        .find(|class| class.names().last().is_some_and(|last| last.eq_ignore_ascii_case(name)))
    }

    /// The values of `objectClass`, from the most general to the most specific.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Class::Domain => &["top", "domain", "domainDNS"],
            Class::Configuration => &["top", "configuration"],
            Class::OrganizationalUnit => &["top", "organizationalUnit"],
            Class::Container => &["top", "container"],
            Class::User => &["top", "person", "organizationalPerson", "user"],
            Class::Computer => &["top", "person", "organizationalPerson", "user", "computer"],
            Class::Group => &["top", "group"],
            Class::Contact => &["top", "person", "organizationalPerson", "contact"],
            Class::Server => &["top", "server"],
            Class::NtdsSettings => &["top", "applicationSettings", "nTDSDSA"],
        }
    }

    /// The common name of `objectCategory`.
    pub fn category(self) -> &'static str {
        match self {
            Class::Domain => "Domain-DNS",
            Class::Configuration => "Configuration",
            Class::OrganizationalUnit => "Organizational-Unit",
            Class::Container => "Container",
            Class::User | Class::Contact => "Person",
            Class::Computer => "Computer",
            Class::Group => "Group",
            Class::Server => "Server",
            Class::NtdsSettings => "NTDS-DSA",
        }
    }

    /// The attribute that names such an object among its siblings.
    pub fn rdn(self) -> Attr {
        match self {
            Class::Domain => Attr::Dc,
            Class::OrganizationalUnit => Attr::Ou,
            _ => Attr::Cn,
        }
    }

    /// The value of `sAMAccountType`, for what has one (MS-SAMR 2.2.1.9).
    pub fn account_type(self) -> Option<u32> {
        match self {
            Class::User => Some(0x3000_0000),
            Class::Computer => Some(0x3000_0001),
            Class::Group => Some(0x1000_0000),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_in_any_case() {
        for attr in Attr::ALL {
            assert_eq!(Attr::parse(&attr.name().to_uppercase()), Some(*attr));
        }
    }

    #[test]
    fn a_computer_is_created_as_a_computer_although_it_is_a_user() {
        assert_eq!(Class::parse("Computer"), Some(Class::Computer));
        assert_eq!(Class::parse("user"), Some(Class::User));
        assert_eq!(Class::parse("top"), None);
    }
}
