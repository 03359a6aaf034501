//! What a person can do about an error, in a sentence.

use super::{
    error::{ErrorKind, GraphError},
    operation::Operation,
};

impl GraphError {
    /// What would mend it.
    pub fn remedy(&self) -> String {
        match &self.kind {
            ErrorKind::Throttled { .. } => {
                "nothing: the relay waits as long as Graph asks; if it happens often, lower \
                 graph.quota or find what else uses the tenant's capacity"
                    .into()
            }
            ErrorKind::Transient { .. } => transient(self).into(),
            ErrorKind::Unauthorized => {
                "check that graph.endpoint and graph.authority belong to the same cloud and that \
                 this host's clock is right"
                    .into()
            }
            ErrorKind::Forbidden => forbidden(self),
            ErrorKind::NotFound => {
                "check that the user exists in Entra and was not deleted there".into()
            }
            ErrorKind::Conflict { property } => format!(
                "another Entra object has the same {}; change or remove it on one side (a deleted \
                 user keeps its values for 30 days: look there too)",
                property.as_deref().unwrap_or("value")
            ),
            ErrorKind::Mastered if self.operation == Operation::SetPassword => {
                "another tool masters this user's password (password hash synchronization, or a \
                 federated domain): leave it to that tool, and hand over no password of this user"
                    .into()
            }
            ErrorKind::Mastered => {
                "the property belongs to the directory-sync tool or to Exchange: change it at its \
                 source, or leave it out of apply.attributes"
                    .into()
            }
            ErrorKind::Refused => refused(self),
            ErrorKind::TokenRefused if self.operation == Operation::ManagedToken => {
                managed(self.status).into()
            }
            ErrorKind::TokenRefused => token_refused(self.code.as_deref()).into(),
        }
    }
}

fn transient(error: &GraphError) -> &'static str {
    match (error.status, error.operation) {
        (None, Operation::ManagedToken) => {
            "this host reaches no metadata service: outside Azure use another graph.credential; \
             inside, let it reach 169.254.169.254, without a proxy"
        }
        (None, _) => {
            "check name resolution, firewall, proxy and CA certificates between this host and \
             graph.endpoint and graph.authority"
        }
        (Some(_), Operation::ManagedToken) => {
            "the metadata service is not ready; the relay asks again"
        }
        (Some(_), _) => {
            "see the Microsoft 365 service health; replay the dead letter once Graph answers, or \
             give Microsoft the request-id"
        }
    }
}

/// Besides the permission, sensitive actions on administrators need a directory role (Graph:
/// working with users, who can perform sensitive actions).
fn forbidden(error: &GraphError) -> String {
    match error.code.as_deref() {
        Some("Authorization_IdentityNotFound") => {
            return "the app has no service principal in this tenant: give admin consent to it \
                    there, and check graph.tenant_id"
                .into();
        }
        Some("Directory_QuotaExceeded") => {
            return "the tenant, or what this app created in it, has reached its limit of objects: \
                    remove some, or ask Microsoft for more"
                .into();
        }
        _ if error.message.contains("insufficient_claims") => {
            return "a Conditional Access policy blocks the app: exclude its service principal"
                .into();
        }
        _ => {}
    }
    let permissions = error.operation.permissions();
    match error.operation {
        Operation::SetPassword => format!(
            "grant the app {permissions} and give admin consent, and give its service principal \
             the directory role User Administrator; for users with an administrative role it must \
             be Privileged Authentication Administrator"
        ),
        Operation::SetEnabled
        | Operation::UpdateUser
        | Operation::DeleteUser
        | Operation::RestoreUser => format!(
            "grant the app {permissions} and give admin consent; if the user holds an \
             administrative role, also give the app's service principal the directory role \
             Privileged Authentication Administrator"
        ),
        _ => format!("grant the app {permissions} and give admin consent"),
    }
}

/// Graph gives most refusals one code, `Request_BadRequest`, so it is the words that tell them
/// apart. Where they do not, the general advice stands.
fn refused(error: &GraphError) -> String {
    let says = |words: &str| error.message.contains(words);
    let property = quoted_after(&error.message, "property '");
    let named = property.unwrap_or("the property");
    if error.status == Some(507) {
        return "the tenant has reached its quota: remove objects, or ask Microsoft for more"
            .into();
    }
    if error.operation == Operation::SetPassword || says("password complexity") {
        return "it is against Entra's policy, 8 to 256 ASCII characters of three classes (capitals, \
                small letters, digits, symbols) and no banned password: have the user choose such \
                a one, and bring the domain's password policy in line; a federated user has none \
                in Entra"
            .into();
    }
    if says("domain portion of the userPrincipalName") {
        return "verify the domain in Entra, or map the suffix to a verified one in \
                apply.upn_suffixes"
            .into();
    }
    if says("is read-only") {
        let named = quoted_after(&error.message, "Property '").unwrap_or(named);
        return format!("nobody can write {named}: remove it from apply.attributes");
    }
    if says("does not exist as a declared property") || says("Could not find a property named") {
        let named = quoted_after(&error.message, "Property '")
            .or_else(|| quoted_after(&error.message, "named '"))
            .unwrap_or(named);
        return format!("Graph has no property {named}: correct its name in apply.attributes");
    }
    match error.operation {
        Operation::UpdateUser => match property {
            Some(property) => format!(
                "correct the value in the directory that {property} is made of, or its mapping in \
                 apply.attributes"
            ),
            None => "correct the value in the directory, or the mapping in apply.attributes".into(),
        },
        _ => "check graph.endpoint; if it is right, report the code and the request-id".into(),
    }
}

/// The word in quotes behind a prefix that ends with the opening quote.
fn quoted_after<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(prefix)?;
    let (name, _) = rest.split_once('\'')?;
    (!name.is_empty()).then_some(name)
}

fn managed(status: Option<u16>) -> &'static str {
    match status {
        Some(400) => {
            "assign a managed identity to this host; where it has several, name one in \
             graph.identity_client_id"
        }
        _ => "check that this host may ask for tokens (IDENTITY_HEADER, node policies)",
    }
}

/// By the authority's code (Microsoft Entra authentication and authorization error codes).
fn token_refused(code: Option<&str>) -> &'static str {
    match code.unwrap_or_default().trim_start_matches("AADSTS") {
        "7000215" => {
            "the client secret is wrong: put the secret's value, not its id, into \
             graph.client_secret_file; the relay picks it up by itself"
        }
        "7000222" => {
            "the client secret has expired: create a new one in Entra and put it into \
             graph.client_secret_file; the relay picks it up by itself"
        }
        "700027" => {
            "upload the certificate of graph.certificate_file to the app registration; the relay \
             needs no restart"
        }
        "700024" => "this host's clock is wrong, or the federated token is too old: mend that",
        "700021" | "70021" | "700211" | "700212" | "700213" => {
            "let issuer, subject and audience of the app's federated credential in Entra be those \
             of the token in graph.federated_token_file"
        }
        "50013" | "50027" => {
            "the authority cannot read the assertion: check graph.certificate_file and \
             graph.private_key_file, or graph.federated_token_file"
        }
        "7000218" => "the authority wants a secret or an assertion: check graph.credential",
        "700016" => {
            "the tenant knows no such application: check graph.client_id and graph.tenant_id"
        }
        "90002" | "900021" | "900023" => {
            "there is no such tenant: check graph.tenant_id, and graph.authority for a national \
             cloud"
        }
        "7000112" => "the application is disabled in the tenant: enable its service principal",
        "500011" | "70011" | "1002012" => {
            "the authority does not know this Graph: check that graph.endpoint and \
             graph.authority belong to the same cloud"
        }
        "53003" => "a Conditional Access policy blocks the app: exclude its service principal",
        "secret_file" => "make the file that graph.client_secret_file names readable to the relay",
        "federated_token_file" => {
            "make the file that graph.federated_token_file names readable to the relay"
        }
        "certificate_file" => {
            "put a PEM certificate with an RSA key and that key into graph.certificate_file and \
             graph.private_key_file, readable to the relay"
        }
        "certificate_expired" => {
            "make a new certificate, upload it to the app registration and put it into \
             graph.certificate_file; the relay picks it up by itself"
        }
        _ => "check graph.tenant_id, graph.client_id and the credential",
    }
}
