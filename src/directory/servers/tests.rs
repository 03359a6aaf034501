use std::net::{IpAddr, Ipv4Addr};

use hickory_resolver::{
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::{
        op::{Message, OpCode},
        rr::{Name, Record},
    },
};
use tokio::net::UdpSocket;

use super::*;

const SERVICE: &str = "_ldap._tcp.dc._msdcs.corp.example.";

fn servers(urls: &[&str]) -> Servers {
    Servers::from_config(&model::Directory {
        urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        base_dn: "DC=corp, dc=Example".to_lowercase(),
        ..model::Directory::default()
    })
}

fn srv(priority: u16, weight: u16, host: &str) -> SRV {
    SRV::new(priority, weight, 389, Name::from_utf8(host).expect("a name"))
}

/// A server that knows one name, and how to ask it.
async fn dns(records: Vec<SRV>) -> TokioResolver {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = socket.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.expect("a question");
            let question = Message::from_vec(&buffer[..length]).expect("a message");
            let mut answer = Message::response(question.metadata.id, OpCode::Query);
            let query = question.queries[0].clone();
            if query.name().to_utf8().eq_ignore_ascii_case(SERVICE) {
                answer.add_answers(records.iter().map(|record| {
                    Record::from_rdata(query.name().clone(), 60, RData::SRV(record.clone()))
                }));
            }
            answer.add_query(query);
            let answer = answer.to_vec().expect("encodes");
            socket.send_to(&answer, from).await.expect("sent");
        }
    });
    let mut connection = ConnectionConfig::udp();
    connection.port = port;
    let server = NameServerConfig::new(IpAddr::from(Ipv4Addr::LOCALHOST), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let provider = TokioRuntimeProvider::default();
    TokioResolver::builder_with_config(config, provider).build().expect("a resolver")
}

#[tokio::test]
async fn dns_names_the_controllers_best_first() {
    let resolver = dns(vec![srv(10, 100, "far.corp.example."), srv(0, 0, "near.corp.example.")]);
    let resolver = resolver.await;
    let found = servers(&[]).discover(&resolver).await.expect("found");
    assert_eq!(found, ["ldaps://near.corp.example", "ldaps://far.corp.example"]);
    let start_tls = Servers { start_tls: true, ..servers(&[]) };
    let found = start_tls.discover(&resolver).await.expect("found");
    assert_eq!(found[0], "ldap://near.corp.example:389");
    let other = Servers { domain: "elsewhere.example".into(), ..servers(&[]) };
    let error = other.discover(&resolver).await.expect_err("not there");
    assert!(error.to_string().contains("directory.urls") && !error.is_setup(), "{error}");
}

#[test]
fn the_order_is_by_priority_then_at_random_by_weight() {
    let records = vec![srv(1, 1, "c."), srv(0, 10, "b."), srv(0, 90, "a.")];
    let names = |random: fn(u32) -> u32| -> Vec<_> {
        ordered(records.clone(), random).iter().map(|srv| srv.target.to_utf8()).collect()
    };
    assert_eq!(names(|_| 0), ["b.", "a.", "c."]);
    assert_eq!(names(|below| below - 1), ["a.", "b.", "c."]);
}

#[tokio::test]
async fn the_one_that_worked_is_tried_first_and_a_refused_login_ends_the_search() {
    let servers = servers(&["a", "b", "c"]);
    let mut tried = Vec::new();
    let away = |url: &str| DirectoryError::unreachable(url, "away");
    let lame = || DirectoryError::Setup { what: "read-only".into(), remedy: String::new() };
    let connected = servers
        .first(|url| {
            tried.push(url.clone());
            std::future::ready(if url == "b" { Ok(url) } else { Err(away("a")) })
        })
        .await;
    assert_eq!(connected.expect("b works"), "b");
    assert_eq!(servers.candidates().await.expect("known"), ["b", "a", "c"]);
    let all = servers.first(|url| {
        let error = if url == "a" { away(&url) } else { lame() };
        std::future::ready(Err::<(), _>(error))
    });
    assert!(!all.await.expect_err("none").is_setup(), "one of them may come back");
    let refused = servers.first(|url| {
        tried.push(url.clone());
        std::future::ready(Err::<(), _>(DirectoryError::Credentials {
            server: url,
            user: "svc".into(),
            cause: "wrong".into(),
            remedy: "",
        }))
    });
    assert!(refused.await.is_err());
    assert_eq!(tried, ["a", "b", "b"]);
}
