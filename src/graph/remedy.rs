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
            ErrorKind::Transient { .. } if self.status.is_none() => {
                "check name resolution, firewall, proxy and CA certificates between this host and \
                 graph.endpoint and graph.authority"
                    .into()
            }
            ErrorKind::Transient { .. } => {
                "see the Microsoft 365 service health; replay the dead letter once Graph answers, \
                 or give Microsoft the request-id"
                    .into()
            }
            ErrorKind::Unauthorized => {
                "check that graph.endpoint and graph.authority belong to the same cloud and that \
                 this host's clock is right"
                    .into()
            }
            ErrorKind::Forbidden => forbidden(self.operation),
            ErrorKind::NotFound => {
                "check that the user exists in Entra and was not deleted there".into()
            }
            ErrorKind::Conflict { property } => format!(
                "another Entra object has the same {}; change or remove it on one side",
                property.as_deref().unwrap_or("value")
            ),
            ErrorKind::Mastered => {
                "the property belongs to the directory-sync tool or to Exchange: change it at its \
                 source, or leave it out of apply.attributes"
                    .into()
            }
            ErrorKind::Refused if self.operation == Operation::UpdateUser => {
                "correct the value in the directory, or the mapping in apply.attributes".into()
            }
            ErrorKind::Refused => {
                "check graph.endpoint; if it is right, report the code and the request-id".into()
            }
            ErrorKind::TokenRefused => token_refused(self.code.as_deref()).into(),
        }
    }
}

/// Besides the permission, sensitive actions on administrators need a directory role (Graph:
/// working with users, who can perform sensitive actions).
fn forbidden(operation: Operation) -> String {
    let permissions = operation.permissions();
    match operation {
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

/// By the authority's code (Microsoft Entra authentication and authorization error codes).
fn token_refused(code: Option<&str>) -> &'static str {
    match code.unwrap_or_default().trim_start_matches("AADSTS") {
        "7000215" => {
            "the client secret is wrong: put the secret's value, not its id, into \
             graph.client_secret_file"
        }
        "7000222" => {
            "the client secret has expired: create a new one in Entra and put it into \
             graph.client_secret_file; the relay picks it up by itself"
        }
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
        _ => "check graph.tenant_id, graph.client_id and graph.client_secret_file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ErrorKind, operation: Operation, code: Option<&str>) -> GraphError {
        GraphError {
            kind,
            operation,
            code: code.map(Into::into),
            ..GraphError::unanswered(operation, String::new())
        }
    }

    #[test]
    fn a_missing_right_is_named() {
        let blocked = error(ErrorKind::Forbidden, Operation::SetEnabled, None).remedy();
        assert!(blocked.contains("User.EnableDisableAccount.All"), "{blocked}");
        assert!(blocked.contains("Privileged Authentication Administrator"), "{blocked}");
        let revoke = error(ErrorKind::Forbidden, Operation::RevokeSessions, None).remedy();
        assert!(revoke.contains("User.RevokeSessions.All"), "{revoke}");
    }

    #[test]
    fn the_authoritys_codes_have_their_own_remedies() {
        for (code, word) in [
            ("AADSTS7000215", "value"),
            ("AADSTS7000222", "expired"),
            ("AADSTS700016", "client_id"),
            ("AADSTS90002", "tenant_id"),
            ("secret_file", "readable"),
            ("AADSTS1", "client_secret_file"),
        ] {
            let remedy = error(ErrorKind::TokenRefused, Operation::Token, Some(code)).remedy();
            assert!(remedy.contains(word), "{code}: {remedy}");
        }
    }
}
