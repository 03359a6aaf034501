//! Names that would be more than names: in filters, in paths, in distinguished names, in logs and on
//! a terminal.

use entra_relay::sandbox::graph::{GroupKind, NewUser};
use serde_json::json;

use crate::support::samba::{Admin, BASE_DN, Samba, UPN_SUFFIX};
use crate::support::told::{enabled, setup, tenant, writes};
use crate::support::wait::eventually;

/// Of whom nobody but an administrator should change anything.
const VICTIM: &str = "victim";

/// The rest of a filter that finds the victim too, had it not been quoted.
const INJECTION: &str = "nobody' or userPrincipalName eq 'victim";

/// Letters that mean something in a filter, a path, a query, a DN.
const ODD: &str = "o'hara #(1)&..%2f";

async fn add_person(admin: &mut Admin, dn: &str, account: &str, name: &str) {
    let upn = format!("{name}@{UPN_SUFFIX}");
    // No password is required, and it is enabled.
    let control = ("userAccountControl", "544");
    let names = [("sAMAccountName", account), ("userPrincipalName", upn.as_str())];
    let class = ("objectClass", "user");
    admin.add_object(dn, &[&[class, control][..], &names].concat()).await;
}

async fn disable(admin: &mut Admin, dn: &str) {
    admin.replace_at(dn, "userAccountControl", &["546"]).await;
}

#[tokio::test]
async fn hostile_names_are_names() {
    let samba = Samba::shared().await;
    let graph = tenant().await;
    let mut admin = samba.admin().await;
    // The one unit in scope, and the group that is followed, in the directory's spelling.
    let unit = admin.add_ou("R&D\\, (new)*\\\\ #1\\+\\\"x\\\"").await;
    let group = format!("CN=All* (x)\\, y\\=z,{unit}");
    admin.add_object(&group, &[("objectClass", "group"), ("sAMAccountName", "attack-all")]).await;
    let odd = format!("CN=O'Hara\\, (old)*\\0A\\1B[2JFAKE,{unit}");
    let injector = format!("CN=injector,{unit}");
    // Beside the unit, under a name that ends as if it were below it.
    let pretender = format!("CN=pretender\\,{},{BASE_DN}", escaped(unit_step(&unit)));
    for (dn, account, name) in [
        (&odd, ODD, ODD),
        (&injector, "injector", INJECTION),
        (&pretender, "pretender", "pretender"),
    ] {
        add_person(&mut admin, dn, account, name).await;
    }
    let twin = |name: &str| graph.add_user(NewUser::new(&format!("{name}@{UPN_SUFFIX}")));
    let (odd_twin, victim, pretending) = (twin(ODD), twin(VICTIM), twin("pretender"));
    let cloud_group = graph.add_group(GroupKind::Assigned);

    let setup = setup(samba, &graph).await;
    let other_spelling = unit.replace("\\,", "\\2c").replace("\\+", "\\2B").to_lowercase();
    let setup = setup
        .set("scope.organizational_units", [other_spelling])
        .set("apply.groups", json!({ &group: cloud_group }));
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    disable(&mut admin, &injector).await;
    disable(&mut admin, &pretender).await;
    let title = "Head of 'R&D' (EU)* #1 %2F ü\\";
    admin.replace_at(&odd, "title", &[title]).await;
    admin.add_member(&group, &odd).await;
    eventually("the title is written and the membership too", async || {
        let titled = graph.user(odd_twin).unwrap().get("jobTitle") == title;
        titled && graph.members(cloud_group).unwrap().contains(&odd_twin)
    })
    .await;
    disable(&mut admin, &odd).await;
    enabled(&graph, odd_twin, false).await;
    eventually("the injector is looked for", async || {
        graph.log().iter().any(|request| request.path.contains("nobody%27%27%20or"))
    })
    .await;

    // A filter of LDAP finds nobody by a pattern.
    for pattern in ["*", "*)(sAMAccountName=*", "o'hara*"] {
        let output = setup.run(&["sync", pattern]).await;
        assert!(!output.status.success(), "{pattern}: {output:?}");
    }
    for arguments in [
        &["explain", ODD][..],
        &["explain", &odd],
        &["status"],
        &["held", "list"],
        &["dead-letters", "list"],
    ] {
        let output = setup.run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(!told.chars().any(|c| c.is_control() && c != '\n'), "{told:?}");
    }
    for twin in [victim, pretending] {
        assert!(graph.user(twin).unwrap().account_enabled());
        assert_eq!(writes(&graph, twin), 0);
    }
    for line in relay.output().lines() {
        let is_line = line.starts_with("20") && !line.chars().any(char::is_control);
        assert!(is_line, "{line:?}");
    }

    // What other users of the machine see of the process.
    let of_process = |file: &str| {
        let bytes = std::fs::read(format!("/proc/{}/{file}", relay.pid())).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let shown = of_process("cmdline") + &of_process("environ");
    let account = samba.service_account().await;
    for secret in [&account.password, &graph.options().client_secret] {
        assert!(!shown.contains(secret.as_str()), "{shown}");
    }
    assert!(relay.terminate().await.success());
}

/// The first step of a DN.
fn unit_step(dn: &str) -> &str {
    dn.strip_suffix(BASE_DN).unwrap().trim_end_matches(',')
}

/// A step as a part of a name: escaped once more (RFC 4514 section 2.4).
fn escaped(step: &str) -> String {
    let special = |letter: char| "\\,+\"<>;=".contains(letter);
    step.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}
