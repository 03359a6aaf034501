//! Somebody who changes the sandbox directory, over LDAP as an administrator would.

use std::{collections::HashSet, fmt, time::Duration};

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Mod, drive};
use thiserror::Error;
use tokio::time::timeout;

use super::directory::SandboxDirectory;

const PATIENCE: Duration = Duration::from_secs(10);

/// Why a change could not be made.
#[derive(Debug, Error)]
pub enum AdministratorError {
    /// The directory does not answer.
    #[error("the sandbox directory does not answer")]
    Silent,
    /// LDAP failed.
    #[error(transparent)]
    Ldap(#[from] LdapError),
}

/// A connection of the administrator.
#[derive(Clone)]
pub struct Administrator {
    ldap: Ldap,
}

impl fmt::Debug for Administrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Administrator")
    }
}

impl Administrator {
    /// Connects and logs in.
    pub async fn connect(directory: &SandboxDirectory) -> Result<Self, AdministratorError> {
        let settings = LdapConnSettings::new().set_conn_timeout(PATIENCE);
        let (connection, mut ldap) =
            LdapConnAsync::with_settings(settings, &directory.url()).await?;
        drive!(connection);
        let name = directory.administrator_name();
        within(ldap.simple_bind(name, directory.administrator_password())).await?;
        Ok(Administrator { ldap })
    }

    /// Disables or enables an account.
    pub async fn set_enabled(&mut self, dn: &str, enabled: bool) -> Result<(), AdministratorError> {
        self.set(dn, "userAccountControl", if enabled { "512" } else { "514" }).await
    }

    /// Sets an attribute.
    pub async fn set(
        &mut self,
        dn: &str,
        attribute: &str,
        value: &str,
    ) -> Result<(), AdministratorError> {
        self.replace(dn, attribute, value.as_bytes().to_vec()).await
    }

    /// Adds a value to an attribute: a member to a group.
    pub async fn add(
        &mut self,
        dn: &str,
        attribute: &str,
        value: &str,
    ) -> Result<(), AdministratorError> {
        let (attribute, value) = (attribute.as_bytes().to_vec(), value.as_bytes().to_vec());
        self.modify(dn, Mod::Add(attribute, [value].into())).await
    }

    /// Takes a value of an attribute away.
    pub async fn remove(
        &mut self,
        dn: &str,
        attribute: &str,
        value: &str,
    ) -> Result<(), AdministratorError> {
        let (attribute, value) = (attribute.as_bytes().to_vec(), value.as_bytes().to_vec());
        self.modify(dn, Mod::Delete(attribute, [value].into())).await
    }

    /// Takes the values of an attribute away.
    pub async fn clear(&mut self, dn: &str, attribute: &str) -> Result<(), AdministratorError> {
        self.modify(dn, Mod::Replace(attribute.as_bytes().to_vec(), HashSet::new())).await
    }

    /// Sets a password, as MS-ADTS 3.1.1.3.1.5 wants it: in quotes and in UTF-16.
    pub async fn set_password(
        &mut self,
        dn: &str,
        password: &str,
    ) -> Result<(), AdministratorError> {
        let quoted = format!("\"{password}\"");
        let bytes = quoted.encode_utf16().flat_map(u16::to_le_bytes).collect();
        self.replace(dn, "unicodePwd", bytes).await
    }

    /// Deletes an object.
    pub async fn delete(&mut self, dn: &str) -> Result<(), AdministratorError> {
        within(self.ldap.delete(dn)).await
    }

    async fn replace(
        &mut self,
        dn: &str,
        attribute: &str,
        value: Vec<u8>,
    ) -> Result<(), AdministratorError> {
        self.modify(dn, Mod::Replace(attribute.as_bytes().to_vec(), [value].into())).await
    }

    async fn modify(&mut self, dn: &str, change: Mod<Vec<u8>>) -> Result<(), AdministratorError> {
        within(self.ldap.modify(dn, vec![change])).await
    }
}

async fn within(
    operation: impl Future<Output = Result<LdapResult, LdapError>>,
) -> Result<(), AdministratorError> {
    let result = timeout(PATIENCE, operation).await.map_err(|_| AdministratorError::Silent)?;
    result?.success()?;
    Ok(())
}
