//! The clouds of Microsoft: which token authority belongs to which Graph. Their tokens are not
//! interchangeable ("Microsoft Graph national cloud deployments").

use url::Url;

use crate::config::{Problem, model::Graph};

/// Graph's host and the hosts of its authority. China's is documented under two names.
const CLOUDS: [(&str, &[&str]); 4] = [
    ("graph.microsoft.com", &["login.microsoftonline.com", "login.windows.net"]),
    ("graph.microsoft.us", &["login.microsoftonline.us"]),
    ("dod-graph.microsoft.us", &["login.microsoftonline.us"]),
    (
        "microsoftgraph.chinacloudapi.cn",
        &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
    ),
];

/// Refuses an authority of another cloud than Graph's. What is not known passes: a proxy or a
/// test may stand for either.
pub(super) fn mismatch(graph: &Graph) -> Option<Problem> {
    let host = |text: &str| Url::parse(text).ok()?.host_str().map(str::to_ascii_lowercase);
    let (endpoint, authority) = (host(&graph.endpoint)?, host(&graph.authority)?);
    let known = CLOUDS.iter().any(|(_, hosts)| hosts.contains(&authority.as_str()));
    let (_, right) = CLOUDS.iter().find(|(host, _)| *host == endpoint)?;
    (known && !right.contains(&authority.as_str())).then(|| {
        Problem::at(
            "graph.authority",
            format!("belongs to another cloud than {endpoint}"),
            format!("write https://{}", right[0]),
        )
        .with_value(&graph.authority)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cloud_has_its_own_authority() {
        let check = |endpoint: &str, authority: &str| {
            let (endpoint, authority) =
                (format!("https://{endpoint}/v1.0"), format!("https://{authority}"));
            mismatch(&Graph { endpoint, authority, ..Graph::default() })
        };
        for (endpoint, authorities) in CLOUDS {
            for authority in authorities {
                assert!(check(endpoint, authority).is_none());
            }
        }
        let problem = check("graph.microsoft.us", "login.microsoftonline.com").expect("refused");
        let told = problem.to_string();
        assert!(
            told.contains("graph.authority") && told.contains("login.microsoftonline.us"),
            "{told}"
        );
        assert!(check("graph.microsoft.com", "login.partner.microsoftonline.cn").is_some());
        assert!(check("127.0.0.1", "login.microsoftonline.us").is_none());
        assert!(check("graph.microsoft.com", "127.0.0.1").is_none());
    }
}
