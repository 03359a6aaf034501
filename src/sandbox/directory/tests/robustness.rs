//! What a hostile or unlucky connection gets, and what it costs others: nothing.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

async fn raw(directory: &SandboxDirectory, bytes: &[u8]) -> Vec<u8> {
    let address = directory.url().replace("ldap://", "");
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut reply = Vec::new();
    socket.read_to_end(&mut reply).await.unwrap();
    reply
}

#[tokio::test]
async fn garbage_ends_its_connection_with_a_notice() {
    let directory = start(1).await;
    let oversized = [0x30, 0x84, 0x7f, 0xff, 0xff, 0xff];
    let response_as_request = [0x30, 12, 2, 1, 1, 0x61, 7, 10, 1, 0, 4, 0, 4, 0];
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &oversized, &response_as_request, &[0x30, 0]] {
        let reply = raw(&directory, bytes).await;
        let notice = b"1.3.6.1.4.1.1466.20036";
        assert!(reply.windows(notice.len()).any(|part| part == notice), "{bytes:?}");
    }
    assert!(highest_usn(&mut connect(&directory).await).await > 0);
}

#[tokio::test]
async fn pipelined_requests_are_all_answered() {
    let directory = start(100).await;
    let ldap = relay(&directory).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 1..=50 {
        let mut ldap = ldap.clone();
        tasks.spawn(async move {
            find(&mut ldap, &format!("(employeeID=E{number:07})"), &["1.1"]).await.len()
        });
    }
    assert_eq!(tasks.join_all().await, [1; 50]);
}

#[tokio::test]
async fn a_switch_drops_all_connections_once() {
    let directory = start(1).await;
    let mut ldap = relay(&directory).await;
    directory.drop_connections();
    assert!(ldap.simple_bind(directory.bind_name(), directory.bind_password()).await.is_err());
    assert!(highest_usn(&mut relay(&directory).await).await > 0);
}

#[tokio::test]
async fn dropping_the_server_ends_everything() {
    let directory = start(1).await;
    let mut ldap = relay(&directory).await;
    let url = directory.url();
    drop(directory);
    assert!(ldap.simple_bind("svc-relay", "x").await.is_err());
    // The listener closes in its own task.
    while LdapConnAsync::new(&url).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_base_that_is_no_domain_is_refused_at_the_start() {
    for base_dn in ["OU=x,DC=corp", "corp.example", ""] {
        let options = Options { base_dn: base_dn.to_owned(), users: 0, ..Options::default() };
        assert!(SandboxDirectory::start(options).await.is_err(), "{base_dn}");
    }
}
