use super::*;

fn parse(text: &str, environment: &[(&str, &str)], role: Role) -> Result<Config, Invalid> {
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    super::parse(Path::new("relay.yaml"), text, environment, role)
}

const GOOD: &str = "
directory:
  urls: [ldaps://dc1.corp.example]
  base_dn: DC=corp,DC=example
  bind: { user: svc@corp.example, password_file: /run/secrets/bind }
broker: { kind: embedded }
graph:
  tenant_id: 11111111-2222-3333-4444-555555555555
  client_id: app
  client_secret_file: /run/secrets/graph
apply:
  upn_suffixes: { corp.local: contoso.com }
  attributes: { displayName: displayName, mobilePhone: mobile }
";

#[test]
fn layers_win_in_order() {
    let environment = [
        ("RELAY_GRAPH__TENANT_ID", "42"),
        ("RELAY_DIRECTORY__URLS", "ldaps://a.example, ldaps://b.example"),
        ("RELAY_DIRECTORY__OBJECT_SECURITY", "false"),
        ("RELAY_BROKER__PARTITIONS", "8"),
        ("RELAY_DIRECTORY__BIND__PASSWORD_FILE", "/elsewhere"),
        ("RELAY_SECURITY__SIGNING_KEY_FILE", "/new.key"),
        ("RELAY_SECURITY__VERIFY_KEY_FILES", "/old.pub, /new.pub"),
        ("UNRELATED", "x"),
    ];
    let config = parse(GOOD, &environment, Role::Run).expect("valid");
    assert_eq!(config.graph.tenant_id, "42");
    assert_eq!(config.graph.client_id, "app");
    assert_eq!(config.security.verify_key_files[1], Path::new("/new.pub"));
    assert_eq!(config.directory.urls, ["ldaps://a.example", "ldaps://b.example"]);
    assert!(!config.directory.object_security);
    assert_eq!(config.broker.partitions, 8);
    assert_eq!(config.directory.bind.password_file.as_deref(), Some(Path::new("/elsewhere")));
    assert_eq!(config.apply.upn_suffixes["corp.local"], "contoso.com");
    assert_eq!(config.apply.attributes["mobilePhone"], "mobile");
    assert_eq!(config.directory.usn_interval.as_millis(), 25);
}

#[test]
fn everything_wrong_is_told_at_once_with_key_value_and_remedy() {
    let text = GOOD.replace("kind: embedded", "kind: kafka, partitons: 3, partitions: 900")
        + "
parking: { first_delay: soon }
guard: 7
guardd: {}
apply2: {}
";
    let text = text.replace("ldaps://dc1", "ldap://dc1");
    let invalid = parse(&text, &[], Role::Run).expect_err("refused");
    let told = invalid.to_string();
    for part in [
        "broker.kind: \"kafka\" is not valid: unknown variant `kafka`, expected `rabbitmq` or `embedded`",
        "broker.partitons: is not a known key; did you mean \"partitions\"?",
        "broker.partitions: \"900\" is out of range; write 1 to 64",
        "parking.first_delay: \"soon\" is not valid",
        "write a number with a unit, such as 25ms",
        "guard: \"7\" is not a section; known here: count_expired",
        "guardd: is not a known key; did you mean \"guard\"?",
        "apply2: is not a known key; did you mean \"apply\"?",
        "directory.urls: \"ldap://dc1.corp.example\" would send the bind password unencrypted",
    ] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
}

#[test]
fn a_manager_is_told_as_who_that_is_or_not_at_all() {
    let good = GOOD
        .replace("mobilePhone: mobile", "surname: \"{{ sn }}, {{ givenName }}\", manager: manager");
    parse(&good, &[], Role::Run).expect("accepted");
    let bad = format!("{good}  anonymize: [Manager]\n");
    let told = parse(&bad, &[], Role::Run).expect_err("refused").to_string();
    assert!(
        told.contains("apply.anonymize: \"manager\" names an attribute that names another user"),
        "{told}"
    );
}

#[test]
fn a_persistent_search_is_compared_often_unless_set_otherwise() {
    let seconds = |source, set: Option<u64>| {
        let full_read_interval = set.map(std::time::Duration::from_secs);
        let directory = model::Directory { source, full_read_interval, ..Default::default() };
        directory.full_read_interval().as_secs()
    };
    assert_eq!(seconds(model::Source::Dirsync, None), 24 * 3600);
    assert_eq!(seconds(model::Source::PersistentSearch, None), 15 * 60);
    assert_eq!(seconds(model::Source::PersistentSearch, Some(7)), 7);
}

#[test]
fn mappings_and_groups_are_checked_before_anything_starts() {
    let id = "0b2c1c6e-33b1-4a4b-9d0c-5b1c8a1f7a10";
    let good =
        format!("{GOOD}  groups: {{ 'CN=Sales v1.0,OU=Groups,DC=corp,DC=example': {id} }}\n")
            .replace(
                "mobilePhone: mobile",
                "employeeOrgData.costCenter: \"{{ departmentNumber }}\"",
            );
    let config = parse(&good, &[], Role::Run).expect("valid");
    assert_eq!(config.apply.groups["CN=Sales v1.0,OU=Groups,DC=corp,DC=example"], id);
    assert!(config.apply.attributes.contains_key("employeeOrgData.costCenter"));
    let bad = format!("{GOOD}  groups: {{ Sales: {id}, 'CN=A': {id}, 'CN=B': sales }}\n")
        .replace("mobilePhone: mobile", "jobTitle: \"{{ title|shout }}\", city: 'a city'");
    let told = parse(&bad, &[], Role::Watch).expect_err("refused").to_string();
    for part in [
        "apply.attributes.jobTitle: \"{{ title|shout }}\" cannot be used: unknown filter",
        "apply.attributes.city: \"a city\" is no name of a directory attribute",
        "does not begin with a distinguished name",
        "names a group that follows another one already",
        "CN=B: sales\" names no object id",
    ] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
}

#[test]
fn delays_of_parking_have_a_queue_and_an_order() {
    let told = |parking: &str| {
        let text = format!("{GOOD}\nparking: {{ {parking} }}\n");
        parse(&text, &[], Role::Run).map(drop).map_err(|invalid| invalid.to_string())
    };
    assert_eq!(told("first_delay: 1s, max_delay: 15s, horizon: 0s"), Ok(()));
    let short = told("first_delay: 1s, max_delay: 14s").expect_err("refused");
    assert!(short.contains("parking.max_delay: \"14s\" is too short; write 15s"), "{short}");
    let order = told("first_delay: 5m, max_delay: 1m").expect_err("refused");
    assert!(order.contains("parking.first_delay: \"5m\" is longer"), "{order}");
}

#[test]
fn each_role_needs_its_own_half_only() {
    let watch = "
directory: { urls: ['ldap://127.0.0.5'], base_dn: 'DC=a', bind: { user: u, password_file: p } }
broker: { url: 'amqp://relay@127.0.0.1/relay', password_file: p }
";
    parse(watch, &[], Role::Watch).expect("no Graph secret needed");
    let told = parse(watch, &[], Role::Run).expect_err("Graph is missing").to_string();
    assert!(told.contains("graph.client_secret_file: is missing"), "{told}");
    let apply = "
directory: { base_dn: 'DC=corp,DC=example' }
broker: { url: 'amqp://relay@localhost/relay', password_file: p }
graph: { tenant_id: t, client_id: c, client_secret_file: s }
";
    parse(apply, &[], Role::Apply).expect("no directory secret needed");
    let tool = "broker: { url: 'amqp://relay@localhost/relay', password_file: p }";
    parse(tool, &[], Role::Tool).expect("neither is needed");
    let told = parse("control: { listen: '127.0.0.1:1' }", &[], Role::Tool).expect_err("refused");
    assert!(told.to_string().contains("write unix:PATH"), "{told}");
}

#[test]
fn secrets_are_in_no_message_and_no_debug_output() {
    let text = "
directory: { bind: { password: [hunter2] } }
broker: { url: 'SCHEME://relay:hunter2@h/v', password: hunter2, password_file: f }
graph: { client_secret: hunter2 }
";
    // A scheme that is none ends the examination of the URL.
    for (scheme, what) in [("amqp", "holds a password"), ("http", "is not an AMQP URL")] {
        let text = text.replace("SCHEME", scheme);
        let told = parse(&text, &[], Role::Run).expect_err("refused").to_string();
        assert!(told.contains(&format!("broker.url: {what}")), "{told}");
        assert_eq!(told.contains("both given"), scheme == "amqp", "{told}");
        // Quoting the URL with its password would tell it, so only the key is named.
        assert!(!told.contains("hunter2"), "{told}");
    }
    let config = parse(&format!("{GOOD}  "), &[("RELAY_BROKER__PASSWORD", "hunter2")], Role::Run)
        .expect("valid");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn what_is_no_yaml_is_told_with_its_place() {
    let told = parse("a: [", &[], Role::Run).expect_err("refused").to_string();
    assert!(told.starts_with("relay.yaml: is not valid YAML"), "{told}");
    let told = load(Path::new("none.yaml"), [], Role::Run).expect_err("missing").to_string();
    assert!(told.contains("none.yaml") && told.contains("--config"), "{told}");
}

#[test]
fn the_shipped_file_is_valid_and_shows_every_key_with_its_default() {
    let text = include_str!("../../relay.yaml");
    parse(text, &[], Role::Run).expect("the shipped relay.yaml is valid");
    let shown: serde_json::Value = ::config::Config::builder()
        .add_source(::config::File::from_str(text, ::config::FileFormat::Yaml))
        .build()
        .and_then(::config::Config::try_deserialize)
        .expect("YAML");
    let known = serde_json::to_value(Config::default()).expect("json");
    let mut missing = Vec::new();
    keys_missing(&known, &shown, "", &mut missing);
    // A value of a secret belongs into a file, so the file does not invite to write it down.
    missing.retain(|key| {
        !["directory.bind.password", "broker.password", "graph.client_secret"]
            .contains(&key.as_str())
    });
    assert!(missing.is_empty(), "relay.yaml does not show {missing:?}");
}

fn keys_missing(
    known: &serde_json::Value,
    shown: &serde_json::Value,
    path: &str,
    missing: &mut Vec<String>,
) {
    for (key, value) in known.as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match shown.get(key) {
            Some(shown) => keys_missing(value, shown, &path, missing),
            None => missing.push(path),
        }
    }
}

#[test]
fn a_broker_on_another_host_needs_signatures() {
    let text = "
directory: { urls: ['ldaps://d'], base_dn: 'DC=a', bind: { user: u, password_file: p } }
broker: { url: 'amqps://relay@rabbit/relay', password_file: p }
graph: { tenant_id: t, client_id: c, client_secret_file: s }
security: { KEYS }
";
    let (signing, verifying) = ("signing_key_file: k", "verify_key_files: [v]");
    let missing = |broker: &str, keys: &str, role| {
        let text = text.replace("rabbit/", &format!("{broker}/")).replace("KEYS", keys);
        let told = parse(&text, &[], role).err().map(|invalid| invalid.to_string());
        let told = told.unwrap_or_default();
        let key = |key: &str| told.contains(&format!("security.{key}: is missing"));
        (key("signing_key_file"), key("verify_key_files"))
    };
    for (role, keys, expected) in [
        (Role::Watch, "", (true, false)),
        (Role::Watch, verifying, (true, false)),
        (Role::Watch, signing, (false, false)),
        (Role::Apply, "", (false, true)),
        (Role::Apply, signing, (false, true)),
        (Role::Apply, verifying, (false, false)),
        (Role::Run, "", (true, false)),
        (Role::Run, signing, (false, false)),
        (Role::Tool, "", (false, false)),
        (Role::Tool, signing, (false, false)),
    ] {
        assert_eq!(missing("rabbit", keys, role), expected, "{role:?} {keys}");
        let allowed =
            format!("{keys}{}allow_unsigned: true", if keys.is_empty() { "" } else { ", " });
        assert_eq!(missing("rabbit", &allowed, role), (false, false), "{role:?} {allowed}");
    }
    // On loopback keys are a choice, but one that both sides must make.
    for role in [Role::Watch, Role::Apply, Role::Run] {
        assert_eq!(missing("127.0.0.9", "", role), (false, false));
        assert_eq!(missing("127.0.0.9", signing, role), (false, false));
        assert_eq!(missing("127.0.0.9", verifying, role), (role.watches(), false));
    }
}

#[test]
fn each_credential_asks_for_what_it_needs_and_for_nothing_else() {
    let told = |graph: &str, environment: &[(&str, &str)]| {
        let text = GOOD.replace("  client_secret_file: /run/secrets/graph\n", graph);
        parse(&text, environment, Role::Run).map_err(|invalid| invalid.to_string())
    };
    for (graph, what) in [
        ("  credential: certificate\n", "graph.certificate_file: is missing"),
        ("  credential: workload_identity\n", "graph.federated_token_file: is missing"),
        (
            "  credential: managed_identity\n  client_secret_file: /s\n",
            "graph.client_secret_file: is of another kind",
        ),
        (
            "  client_secret_file: /s\n  authority: https://login.microsoftonline.us\n",
            "another cloud",
        ),
        ("  client_secret_file: /s\n  quota: { writes: 0 }\n", "graph.quota.writes: \"0\" is zero"),
    ] {
        let told = told(graph, &[]).expect_err("refused");
        assert!(told.contains(what), "{what:?} is not in\n{told}");
    }
    told("  credential: certificate\n  certificate_file: /c\n", &[]).expect("accepted");
    let file = [("AZURE_FEDERATED_TOKEN_FILE", "/t")];
    let config = told("  credential: workload_identity\n", &file).expect("accepted");
    assert_eq!(config.graph.federated_token_file.as_deref(), Some(Path::new("/t")));
    let text = GOOD
        .replace(
            "  tenant_id: 11111111-2222-3333-4444-555555555555\n",
            "  credential: managed_identity\n",
        )
        .replace("  client_id: app\n  client_secret_file: /run/secrets/graph\n", "");
    parse(&text, &[], Role::Run).expect("the machine knows tenant and app");
}

#[test]
fn what_must_not_leave_is_neither_needed_nor_mapped() {
    let text = r#"
apply:
  attributes: { jobTitle: title }
  never: [Title, sAMAccountName]
  anonymize: [employeeID]
"#;
    let error = parse(text, &[], Role::Watch).expect_err("refused");
    let of = |key: &str| error.problems.iter().filter(|problem| problem.key == key).count();
    assert_eq!((of("apply.never"), of("apply.anonymize_key_file")), (2, 1), "{error}");
}

#[test]
fn traces_go_to_a_collector_over_tls_or_on_this_machine() {
    let told = |traces: &str| {
        parse(&format!("{GOOD}traces: {{ {traces} }}\n"), &[], Role::Run)
            .map_err(|invalid| invalid.to_string())
    };
    for (traces, what) in [
        ("endpoint: collector:4318", "is no URL"),
        ("endpoint: \"http://collector:4318\"", "unencrypted"),
        ("endpoint: \"https://relay:hunter2@collector\"", "holds a login"),
        ("endpoint: \"https://collector/?a=b\"", "is no base URL"),
        ("sample: 101%", "traces.sample"),
    ] {
        let told = told(traces).expect_err("refused");
        assert!(told.contains(what) && !told.contains("hunter2"), "{what:?} is not in\n{told}");
    }
    for traces in [
        "endpoint: \"http://localhost:4318\", sample: 5%",
        "endpoint: \"https://collector.corp.example/otlp\"",
        "endpoint: \"http://collector:4318\", allow_plaintext: true",
    ] {
        told(traces).expect("accepted");
    }
}

#[test]
fn no_secret_leaves_this_machine_in_the_clear() {
    let text = "
directory:
  urls: ['ldap://HOST']
  base_dn: DC=a
  bind: { user: u, password_file: p }
  allow_plaintext: ALLOWED
broker: { url: 'amqp://relay@HOST/relay', password_file: p, allow_plaintext: ALLOWED }
graph:
  endpoint: http://HOST/v1.0
  authority: http://HOST
  tenant_id: t
  client_id: c
  client_secret_file: s
security: { allow_unsigned: true }
";
    let refused = |host: &str, allowed: &str| {
        let text = text.replace("HOST", host).replace("ALLOWED", allowed);
        let told = parse(&text, &[], Role::Run).err();
        let problems = told.map(|invalid| invalid.problems).unwrap_or_default();
        problems.into_iter().map(|problem| problem.key).collect::<Vec<_>>()
    };
    let all = ["directory.urls", "broker.url", "graph.endpoint", "graph.authority"];
    for host in ["other.example", "localhost.example", "127.0.0.1.example", "10.0.0.1"] {
        assert_eq!(refused(host, "false"), all, "{host}");
        // Graph's tokens are worth more than any network.
        assert_eq!(refused(host, "true"), all[2..], "{host}");
    }
    for host in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"] {
        assert_eq!(refused(host, "false"), [""; 0], "{host}");
    }
}
