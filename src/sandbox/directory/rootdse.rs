//! The rootDSE: what a server says of itself (MS-ADTS 3.1.1.3.2).

use ldap3_proto::proto::{LdapPartialAttribute, LdapSearchResultEntry};

use super::{control, server::Directory, time};

/// `LDAP_CAP_ACTIVE_DIRECTORY_OID`, and the ones of Windows 2000, 2003 and 2008 behind it.
const CAPABILITIES: &[&str] = &[
    "1.2.840.113556.1.4.800",
    "1.2.840.113556.1.4.1670",
    "1.2.840.113556.1.4.1791",
    "1.2.840.113556.1.4.1935",
];

/// The functional level of Windows Server 2016.
const FUNCTIONAL_LEVEL: &str = "7";

impl Directory {
    /// The attributes of the rootDSE that are asked for; nothing or `*` asks for all.
    pub fn rootdse(&self, wanted: &[String]) -> LdapSearchResultEntry {
        let store = self.read();
        let base = &store.domain.dn;
        let configuration = format!("CN=Configuration,{base}");
        let service = store.dn(self.landmarks.ntds_settings);
        let server = service.split_once(',').map_or("", |(_, server)| server);
        let level = FUNCTIONAL_LEVEL.to_owned();
        let list = |items: &[&str]| items.iter().map(|item| item.to_string()).collect();
        let attributes: Vec<(&str, Vec<String>)> = vec![
            ("currentTime", vec![time::generalized_time(time::unix_now())]),
            ("subschemaSubentry", vec![format!("CN=Aggregate,CN=Schema,{configuration}")]),
            ("dsServiceName", vec![service.clone()]),
            ("serverName", vec![server.to_owned()]),
            ("namingContexts", vec![base.clone(), configuration.clone()]),
            ("defaultNamingContext", vec![base.clone()]),
            ("rootDomainNamingContext", vec![base.clone()]),
            ("schemaNamingContext", vec![format!("CN=Schema,{configuration}")]),
            ("configurationNamingContext", vec![configuration]),
            ("supportedControl", list(control::SUPPORTED)),
            ("supportedLDAPVersion", list(&["3"])),
            ("supportedCapabilities", list(CAPABILITIES)),
            ("highestCommittedUSN", vec![store.highest_usn().to_string()]),
            ("dnsHostName", vec![format!("dc1.{}", store.domain.dns)]),
            (
                "ldapServiceName",
                vec![format!("{0}:dc1$@{1}", store.domain.dns, store.domain.dns.to_uppercase())],
            ),
            ("isSynchronized", list(&["TRUE"])),
            ("domainFunctionality", vec![level.clone()]),
            ("forestFunctionality", vec![level.clone()]),
            ("domainControllerFunctionality", vec![level]),
        ];
        let all = wanted.is_empty() || wanted.iter().any(|name| name == "*");
        let attributes = attributes
            .into_iter()
            .filter(|(name, _)| all || wanted.iter().any(|want| want.eq_ignore_ascii_case(name)))
            .map(|(name, values)| LdapPartialAttribute {
                atype: name.to_owned(),
                vals: values.into_iter().map(String::into_bytes).collect(),
            })
            .collect();
        LdapSearchResultEntry { dn: String::new(), attributes }
    }
}
