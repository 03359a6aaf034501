//! What an administrator types to grant the rights.

use super::{answers::Answers, is_missing};
use crate::{
    check::{self, Area, Check, Verdict},
    config::Role,
};

/// The app id of Microsoft Graph in every tenant.
const GRAPH: &str = "00000003-0000-0000-c000-000000000000";

/// The commands, with a mark where a check found that the right is missing.
pub(super) fn text(answers: &Answers, role: Role, checks: &[Check]) -> String {
    let mut text = String::new();
    if role.watches() {
        let directory = &answers.config.directory;
        let container = format!("CN=Deleted Objects,{}", directory.base_dn);
        let account = account(&directory.bind.user, &directory.base_dn);
        let (windows, samba) = account;
        let mark = mark(is_missing(checks, "deleted objects"));
        text += &format!(
            "The account in the directory needs to see deleted objects{mark}\n  \
             on Windows, as a domain administrator:\n    \
             dsacls \"{container}\" /takeOwnership\n    \
             dsacls \"{container}\" /g \"{windows}:LCRP\"\n  \
             on Samba, as root on a domain controller:\n    \
             deploy/samba/grant-deleted-objects {samba}\n\n"
        );
    }
    if role.applies() {
        let lacks = |check: &Check| check.area == Area::Graph && check.name.starts_with("to ");
        let mark = mark(checks.iter().any(|check| lacks(check) && check.verdict == Verdict::Fail));
        let client = &answers.config.graph.client_id;
        let permissions = check::least_permissions(&answers.config);
        let names: Vec<_> = permissions.iter().map(|permission| permission.name).collect();
        let ids: Vec<_> = permissions.iter().map(|one| format!("{}=Role", one.id)).collect();
        text += &format!(
            "The app in Entra needs application permissions of Microsoft Graph, with admin \
             consent{mark}\n  {}\n  with the Azure command line, as an administrator:\n    \
             az ad app permission add --id {client} --api {GRAPH} --api-permissions {}\n    \
             az ad app permission admin-consent --id {client}\n",
            names.join(", "),
            ids.join(" ")
        );
    }
    text
}

fn mark(missing: bool) -> &'static str {
    if missing { ", and does not have it yet:" } else { ":" }
}

/// The account as dsacls and as Samba call it, from a UPN, a DN, or `DOMAIN\name`.
fn account(user: &str, base_dn: &str) -> (String, String) {
    let netbios = base_dn.split(',').next().and_then(|part| part.split_once('='));
    let netbios = netbios.map_or("DOMAIN", |(_, label)| label.trim()).to_uppercase();
    let name = match user.split_once('\\') {
        Some((_, name)) => name,
        None => user.split('@').next().unwrap_or_default(),
    };
    let name = match name.split_once('=') {
        Some((_, rest)) => rest.split(',').next().unwrap_or_default(),
        None => name,
    };
    (format!("{netbios}\\{name}"), name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Area, Subject};

    #[test]
    fn an_account_has_a_name_for_each_tool() {
        for user in ["svc@corp.example", "CORP\\svc", "CN=svc,CN=Users,DC=corp,DC=example"] {
            let names = account(user, "DC=corp,DC=example");
            assert_eq!(names, ("CORP\\svc".to_owned(), "svc".to_owned()), "{user}");
        }
    }

    #[test]
    fn what_is_missing_is_marked() {
        let mut answers = Answers::default();
        answers.config.directory.base_dn = "DC=corp,DC=example".into();
        let told = text(&answers, Role::Run, &[]);
        assert!(told.contains("User.RevokeSessions.All") && !told.contains("not have it yet"));
        assert!(!told.contains("User.ReadWrite.All"), "{told}");
        let missing = [Subject(Area::Directory, "deleted objects").fail("", "")];
        assert!(text(&answers, Role::Watch, &missing).contains("not have it yet"));
    }
}
