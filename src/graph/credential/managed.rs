//! The identity of the machine in Azure: a service beside it hands out tokens to whoever runs
//! there. Virtual machines ask the instance metadata service ("How to use managed identities on
//! an Azure VM to acquire an access token"), App Service and Container Apps name theirs in
//! `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` ("How to use managed identities for App Service").

use reqwest::{
    Method, Request,
    header::{HeaderName, HeaderValue},
};
use url::Url;

use super::Environment;
use crate::{config::model::Graph, graph::client::SetupError};

/// The instance metadata service; the same link-local address everywhere, plain HTTP by design.
const METADATA_SERVICE: &str = "http://169.254.169.254";

/// What moves the metadata service elsewhere, by the name that Azure's own libraries use.
const METADATA_HOST: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

/// Where and how a token is asked for.
pub(in crate::graph) struct Identity {
    url: Url,
    header: (HeaderName, HeaderValue),
}

impl Identity {
    pub(super) fn new(
        config: &Graph,
        endpoint: &Url,
        environment: Environment<'_>,
    ) -> Result<Identity, SetupError> {
        let address = |key, value: &str, path: &str| {
            let what = "is no URL";
            let refuse = |_| SetupError::Address { key, value: value.to_owned(), what };
            Url::parse(value).and_then(|url| url.join(path)).map_err(refuse)
        };
        let (mut url, header, version) = match environment("IDENTITY_ENDPOINT") {
            Some(own) => {
                let proof = environment("IDENTITY_HEADER").unwrap_or_default();
                let mut proof = HeaderValue::try_from(proof)
                    .map_err(|_| SetupError::Missing("IDENTITY_HEADER (environment)"))?;
                proof.set_sensitive(true);
                let url = address("IDENTITY_ENDPOINT", &own, "")?;
                (url, (HeaderName::from_static("x-identity-header"), proof), "2019-08-01")
            }
            None => {
                let host = environment(METADATA_HOST).unwrap_or_else(|| METADATA_SERVICE.into());
                let url = address(METADATA_HOST, &host, "/metadata/identity/oauth2/token")?;
                let header =
                    (HeaderName::from_static("metadata"), HeaderValue::from_static("true"));
                (url, header, "2018-02-01")
            }
        };
        let resource = format!("{}/", endpoint.origin().ascii_serialization());
        let mut query = url.query_pairs_mut();
        query.append_pair("api-version", version).append_pair("resource", &resource);
        if let Some(client) = &config.identity_client_id {
            query.append_pair("client_id", client);
        }
        drop(query);
        Ok(Identity { url, header })
    }

    pub(super) fn request(&self) -> Request {
        let mut request = Request::new(Method::GET, self.url.clone());
        let (name, value) = self.header.clone();
        request.headers_mut().insert(name, value);
        request
    }
}
