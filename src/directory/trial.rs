//! A domain controller, tried step by step: for who wants to know everything that is wrong, not only
//! what comes first.

use std::collections::BTreeMap;

use super::{
    ActiveDirectory, Confidential, Directory, DirectoryError, Domain, Login,
    controller::{self, Controller},
};

/// A connection that is logged in. Each step can be tried whether or not another one succeeded.
pub struct Trial {
    directory: ActiveDirectory,
    controller: Controller,
}

impl Trial {
    /// Connects to this server and logs in.
    pub async fn open(url: &str, login: &Login, domain: &Domain) -> Result<Trial, DirectoryError> {
        let (directory, controller) = ActiveDirectory::open(url, login, domain).await?;
        Ok(Trial { directory, controller })
    }

    /// Whether it is a writable controller with DirSync, and of this domain.
    pub fn is_of_the_domain(&self) -> Result<(), DirectoryError> {
        self.controller.check(self.directory.server(), self.directory.base_dn())
    }

    /// Whether the account may use DirSync.
    pub async fn may_dirsync(&mut self) -> Result<(), DirectoryError> {
        self.directory.now().await.map(drop)
    }

    /// Whether the account sees deleted objects.
    pub async fn sees_deleted_objects(&mut self) -> Result<(), DirectoryError> {
        self.directory.check_deleted_objects().await
    }

    /// What the schema says of attributes, by their names in lower case; absent are those that it
    /// does not know.
    pub async fn schema(
        &mut self,
        names: &[String],
    ) -> Result<BTreeMap<String, Confidential>, DirectoryError> {
        controller::schema(self.directory.session(), names).await
    }

    /// The connection, for everything that any directory can do.
    pub fn directory(&mut self) -> &mut dyn Directory {
        &mut self.directory
    }
}
