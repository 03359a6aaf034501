//! Which kind of server is followed, and how.

use super::{
    Directory, DirectoryError, Login, dirsync::ActiveDirectory, domain::Domain, people::People,
    persistent_search::PersistentSearch, syncrepl::Syncrepl,
};
use crate::config::model;

/// A kind of server, and what is read from it.
#[derive(Debug, Clone)]
pub enum Source {
    /// Active Directory and Samba.
    Dirsync(Domain),
    /// 389 Directory Server and its kin.
    PersistentSearch(People),
    /// OpenLDAP.
    Syncrepl(People),
}

impl Source {
    /// As the configuration says, with `mapped` attributes besides those that are always read.
    pub fn from_config<'a>(
        config: &'a model::Directory,
        mapped: impl IntoIterator<Item = &'a str>,
    ) -> Source {
        let people = |mapped| People::new(&config.base_dn, &config.anchor_attribute, mapped);
        match config.source {
            model::Source::Dirsync | model::Source::Sandbox => {
                Source::Dirsync(Domain::from_config(config, mapped))
            }
            model::Source::PersistentSearch => Source::PersistentSearch(people(mapped)),
            model::Source::Syncrepl => Source::Syncrepl(people(mapped)),
        }
    }

    /// Never asks for these attributes.
    pub fn without(self, never: &[String]) -> Source {
        match self {
            Source::Dirsync(domain) => Source::Dirsync(domain.without(never)),
            Source::PersistentSearch(people) => Source::PersistentSearch(people.without(never)),
            Source::Syncrepl(people) => Source::Syncrepl(people.without(never)),
        }
    }

    /// Reads groups and their members too, where the server has any that can be followed.
    pub fn with_groups(self, groups: bool) -> Source {
        match self {
            Source::Dirsync(domain) => Source::Dirsync(domain.with_groups(groups)),
            other => other,
        }
    }

    /// Opens a connection.
    pub async fn connect(&self, login: &Login) -> Result<Box<dyn Directory>, DirectoryError> {
        Ok(match self.clone() {
            Source::Dirsync(domain) => Box::new(ActiveDirectory::connect(login, &domain).await?),
            Source::PersistentSearch(people) => {
                Box::new(PersistentSearch::connect(login, people).await?)
            }
            Source::Syncrepl(people) => Box::new(Syncrepl::connect(login, people).await?),
        })
    }
}
