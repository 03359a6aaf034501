//! What stands in for Kerberos in a build without the feature `kerberos`. The configuration is
//! refused before it comes to this.

use super::error::DirectoryError;
use crate::config::model::Bind;

/// An account that nobody can be.
#[derive(Debug, Clone)]
pub struct Kerberos;

impl Kerberos {
    /// Nothing is needed of it.
    pub fn from_config(_: &Bind) -> Kerberos {
        Kerberos
    }

    /// Refuses.
    pub async fn bind<S>(
        &self,
        _stream: &mut S,
        _url: &str,
        _host: &str,
        _certificate: &[u8],
    ) -> Result<(), DirectoryError> {
        Err(DirectoryError::Setup {
            what: "this build has no Kerberos".into(),
            remedy: "use simple or external in directory.bind.method".into(),
        })
    }
}
