//! `directory.bind`: what each method needs.

use url::Url;

use super::one_secret;
use crate::config::{
    Config, Problem,
    model::{Bind, BindMethod},
};

pub(super) fn problems(config: &Config, found: &mut Vec<Problem>) {
    let bind = &config.directory.bind;
    match bind.method {
        BindMethod::Simple => simple(bind, found),
        BindMethod::Kerberos => {
            kerberos(bind, found);
            needs_tls(config, "has no TLS, which alone protects a login by kerberos", found);
        }
        BindMethod::External => {
            external(config, found);
            needs_tls(config, "has no TLS to show a certificate in", found);
        }
    }
}

fn simple(bind: &Bind, found: &mut Vec<Problem>) {
    if bind.user.is_empty() {
        found.push(Problem::at(
            "directory.bind.user",
            "is empty",
            "name the relay's account by UPN or DN, such as svc-relay@corp.example",
        ));
    }
    one_secret(
        "directory.bind.password",
        bind.password.is_some(),
        bind.password_file.is_some(),
        found,
    );
}

fn kerberos(bind: &Bind, found: &mut Vec<Problem>) {
    if !cfg!(feature = "kerberos") {
        found.push(Problem::at(
            "directory.bind.method",
            "asks for kerberos, which was left out of this build",
            "use simple or external, or build with the feature kerberos",
        ));
        return;
    }
    let has_realm = |(name, realm): (&str, &str)| !name.is_empty() && !realm.is_empty();
    if !bind.user.rsplit_once('@').is_some_and(has_realm) {
        found.push(
            Problem::at(
                "directory.bind.user",
                "is no Kerberos principal",
                "write NAME@REALM as the keytab has it, such as svc-relay@CORP.EXAMPLE",
            )
            .with_value(&bind.user),
        );
    }
    if bind.keytab_file.is_none() {
        found.push(Problem::at(
            "directory.bind.keytab_file",
            "is missing",
            "name the account's keytab, which `samba-tool domain exportkeytab` or ktpass makes",
        ));
    }
    if let Some(kdc) = &bind.kdc
        && !is_host(kdc)
    {
        let remedy = "write HOST or HOST:PORT";
        found.push(Problem::at("directory.bind.kdc", "is no host", remedy).with_value(kdc));
    }
}

fn is_host(text: &str) -> bool {
    let url = Url::parse(&format!("kdc://{text}"));
    url.is_ok_and(|url| {
        let bare = url.username().is_empty() && url.query().is_none() && url.fragment().is_none();
        url.has_host() && url.path().is_empty() && bare
    })
}

/// A client certificate is shown in a TLS handshake.
fn external(config: &Config, found: &mut Vec<Problem>) {
    let tls = &config.directory.tls;
    for (key, file) in [
        ("directory.tls.client_certificate_file", &tls.client_certificate_file),
        ("directory.tls.private_key_file", &tls.private_key_file),
    ] {
        if file.is_none() {
            let remedy = "name a PEM file: directory.bind.method external needs both";
            found.push(Problem::at(key, "is missing", remedy));
        }
    }
}

fn needs_tls(config: &Config, what: &str, found: &mut Vec<Problem>) {
    if !config.directory.tls.start_tls {
        for url in config.directory.urls.iter().filter(|url| url.starts_with("ldap://")) {
            let remedy = "write ldaps://, or set directory.tls.start_tls";
            found.push(Problem::at("directory.urls", what, remedy).with_value(url));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Source;

    fn told(bind: &str, url: &str) -> Vec<String> {
        let mut config = Config::default();
        config.directory.source = Source::Dirsync;
        config.directory.urls = vec![url.to_owned()];
        config.directory.bind = serde_json::from_str(bind).expect("a bind");
        let mut found = Vec::new();
        problems(&config, &mut found);
        found.iter().map(|problem| problem.key.clone()).collect()
    }

    #[test]
    #[cfg(feature = "kerberos")]
    fn kerberos_needs_a_principal_its_keytab_and_tls() {
        const TLS: &str = "ldaps://dc1.corp.example";
        let good = r#"{"method":"kerberos","user":"svc@CORP.EXAMPLE","keytab_file":"k"}"#;
        assert_eq!(told(good, TLS), [""; 0]);
        assert_eq!(told(good, "ldap://localhost"), ["directory.urls"]);
        let bare = r#"{"method":"kerberos","user":"svc"}"#;
        assert_eq!(told(bare, TLS), ["directory.bind.user", "directory.bind.keytab_file"]);
        for (kdc, is_host) in
            [("kdc1", true), ("10.0.0.1:88", true), ("[fd00::1]:88", true), ("http://kdc1", false)]
        {
            let bind = good.replace('}', &format!(r#","kdc":"{kdc}"}}"#));
            assert_eq!(told(&bind, TLS).is_empty(), is_host, "{kdc}");
        }
    }

    #[test]
    #[cfg(not(feature = "kerberos"))]
    fn a_build_without_kerberos_says_so() {
        let asked = r#"{"method":"kerberos","user":"svc@CORP.EXAMPLE","keytab_file":"k"}"#;
        assert_eq!(told(asked, "ldaps://dc1.corp.example"), ["directory.bind.method"]);
    }
}
