//! Whether the keys can be read, and whether both halves belong together.

use super::{Area, Check, Subject};
use crate::{
    config::{Config, Role},
    signing::{Keys, Signer, Verifier},
};

/// One row, whatever is wrong: the first thing has to be mended first.
pub(super) fn fit(config: &Config, role: Role) -> Check {
    let subject = Subject(Area::Local, "signing keys");
    let security = &config.security;
    if let Err(error) = Keys::load(security, role) {
        return subject.failed(error, "name keys that `entra-relay keygen` made");
    }
    let signs = security.signing_key_file.as_ref().filter(|_| role.watches());
    let verifies = !security.verify_key_files.is_empty();
    match signs {
        Some(path) if verifies => {
            let signer = Signer::load(path);
            let fits = Verifier::load(&security.verify_key_files).is_ok_and(|verifier| {
                signer.as_ref().is_ok_and(|signer| verifier.trusts(signer.key_id()))
            });
            if fits {
                return subject.pass("the watcher's key is one that consumers believe");
            }
            subject.fail(
                format!(
                    "security.verify_key_files does not hold the public key of {}, so consumers \
                     with these keys would refuse every event",
                    path.display()
                ),
                "name the signing.pub that was made together with that signing.key",
            )
        }
        Some(_) => subject.pass("the watcher's key can be used"),
        None if verifies => subject.pass("the keys that consumers believe can be used"),
        None => subject.skip("none: events are not signed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Verdict;

    #[test]
    fn halves_of_two_pairs_do_not_fit() {
        let folder = tempfile::tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["one", "two"] {
            let (private, public) = (at(&format!("{name}.key")), at(&format!("{name}.pub")));
            Signer::generate().save(&private, &public).expect("saved");
        }
        let mut config = Config::default();
        assert_eq!(fit(&config, Role::Run).verdict, Verdict::Skip);
        config.security.signing_key_file = Some(at("one.key"));
        assert_eq!(fit(&config, Role::Run).verdict, Verdict::Pass);
        config.security.verify_key_files = vec![at("two.pub")];
        assert_eq!(fit(&config, Role::Run).verdict, Verdict::Fail);
        assert_eq!(fit(&config, Role::Apply).verdict, Verdict::Pass, "it signs nothing");
        config.security.verify_key_files.push(at("one.pub"));
        assert_eq!(fit(&config, Role::Run).verdict, Verdict::Pass);
        config.security.verify_key_files.push(at("three.pub"));
        assert_eq!(fit(&config, Role::Run).verdict, Verdict::Fail);
    }
}
