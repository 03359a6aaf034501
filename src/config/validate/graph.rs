//! `graph:`: addresses, and what each kind of credential needs.

use url::Url;

use super::{cloud, is_loopback, one_secret};
use crate::config::{
    Config, Problem,
    model::{Credential, Graph},
};

pub(super) fn problems(config: &Config, found: &mut Vec<Problem>) {
    let graph = &config.graph;
    if graph.is_sandbox() {
        return;
    }
    for (key, text) in [("graph.endpoint", &graph.endpoint), ("graph.authority", &graph.authority)]
    {
        match Url::parse(text) {
            Ok(url) if url.scheme() == "https" && url.host().is_some() => {}
            Ok(url) if url.scheme() == "http" && is_loopback(&url) => {}
            _ => found.push(
                Problem::at(
                    key,
                    "is not an https URL",
                    "write the cloud's URL, such as https://graph.microsoft.com/v1.0",
                )
                .with_value(text),
            ),
        }
    }
    if graph.quota.writes == 0 {
        let remedy = "write what the relay may use of the tenant's 3000 in 150s";
        found.push(Problem::at("graph.quota.writes", "is zero", remedy).with_value(0));
    }
    if graph.credential != Credential::ManagedIdentity {
        found.extend(cloud::mismatch(graph));
        for (key, text) in
            [("graph.tenant_id", &graph.tenant_id), ("graph.client_id", &graph.client_id)]
        {
            if text.trim().is_empty() {
                let remedy = "copy it from the app registration in Entra";
                found.push(Problem::at(key, "is empty", remedy));
            }
        }
    }
    credential(graph, found);
}

fn credential(graph: &Graph, found: &mut Vec<Problem>) {
    use Credential::{Certificate, ClientSecret, ManagedIdentity, WorkloadIdentity};
    match graph.credential {
        ClientSecret => one_secret(
            "graph.client_secret",
            graph.client_secret.is_some(),
            graph.client_secret_file.is_some(),
            found,
        ),
        Certificate if graph.certificate_file.is_none() => found.push(Problem::at(
            "graph.certificate_file",
            "is missing",
            "name a PEM file with the app's certificate, and one with its private key in \
             graph.private_key_file",
        )),
        WorkloadIdentity if graph.federated_token_file.is_none() => found.push(Problem::at(
            "graph.federated_token_file",
            "is missing, and AZURE_FEDERATED_TOKEN_FILE is not set",
            "name the file in which the other issuer's token is kept fresh",
        )),
        Certificate | WorkloadIdentity | ManagedIdentity => {}
    }
    for (key, given, kind, name) in [
        ("graph.client_secret", graph.client_secret.is_some(), ClientSecret, "client_secret"),
        (
            "graph.client_secret_file",
            graph.client_secret_file.is_some(),
            ClientSecret,
            "client_secret",
        ),
        (
            "graph.client_secret_expires",
            graph.client_secret_expires.is_some(),
            ClientSecret,
            "client_secret",
        ),
        ("graph.certificate_file", graph.certificate_file.is_some(), Certificate, "certificate"),
        ("graph.private_key_file", graph.private_key_file.is_some(), Certificate, "certificate"),
        (
            "graph.identity_client_id",
            graph.identity_client_id.is_some(),
            ManagedIdentity,
            "managed_identity",
        ),
    ] {
        if given && graph.credential != kind {
            found.push(Problem::at(
                key,
                "is of another kind of credential than graph.credential",
                format!("write credential: {name}, or remove the key"),
            ));
        }
    }
}
