//! Keys and services of accounts in the domain's Kerberos.

use std::path::Path;
use std::process::Command;

use super::{BASE_DN, Samba};
use crate::support::process::run;

impl Samba {
    /// Writes the keys of a principal, such as `svc-relay` or `ldap/HOST`, to a keytab.
    pub async fn export_keytab(&self, principal: &str, keytab: &Path) {
        let mut export = Command::new("samba-tool");
        export.args(["domain", "exportkeytab"]).arg(keytab);
        export.arg(format!("--principal={principal}"));
        export.arg(format!("--configfile={}", self.smb_conf().display()));
        run(export).await;
    }

    /// Lets clients ask for tickets by the address of the domain controller, which has a name that
    /// nothing here resolves.
    pub async fn serve_by_address(&self) {
        let dn = format!("CN=DC1,OU=Domain Controllers,{BASE_DN}");
        let name = format!("ldap/{}", self.ip());
        self.admin().await.add_value(&dn, "servicePrincipalName", &name).await;
    }
}
