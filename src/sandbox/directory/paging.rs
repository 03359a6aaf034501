//! The cookie of paged results: where the next page starts, and of which search.

use std::hash::{DefaultHasher, Hash, Hasher};

use ldap3_proto::proto::LdapSearchRequest;

use super::filter::Filter;

/// Identifies a search, so that a cookie is not used for another one.
pub fn fingerprint(request: &LdapSearchRequest, filter: &Filter) -> u64 {
    let mut hasher = DefaultHasher::new();
    request.base.to_lowercase().hash(&mut hasher);
    request.scope.hash(&mut hasher);
    format!("{filter:?}").hash(&mut hasher);
    hasher.finish()
}

/// The cookie for the page that starts at `from`.
pub fn cookie(fingerprint: u64, from: u64) -> Vec<u8> {
    [fingerprint.to_be_bytes(), from.to_be_bytes()].concat()
}

/// Where the page of this cookie starts; an empty cookie is the beginning. `None` when the cookie is
/// not one of this search.
pub fn start(fingerprint: u64, cookie: &[u8]) -> Option<u64> {
    if cookie.is_empty() {
        return Some(0);
    }
    let (owner, from) = cookie.split_first_chunk::<8>()?;
    let from = from.try_into().ok().map(u64::from_be_bytes)?;
    (u64::from_be_bytes(*owner) == fingerprint).then_some(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_belongs_to_its_search() {
        assert_eq!(start(7, &cookie(7, 42)), Some(42));
        assert_eq!(start(8, &cookie(7, 42)), None);
        assert_eq!(start(7, b"garbage"), None);
        assert_eq!(start(7, b""), Some(0));
    }
}
