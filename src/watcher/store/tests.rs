use redb::backends::InMemoryBackend;

use super::*;

fn message(n: u128) -> Message {
    Message {
        id: Uuid::from_u128(n),
        kind: "k".into(),
        object: Uuid::from_u128(n + 100),
        content_type: "c".into(),
        headers: BTreeMap::from([("relay-key-id".into(), "1".into())]),
        body: vec![0, n as u8, 255].into(),
    }
}

fn batch(n: u128) -> Batch {
    Batch {
        records: [(Uuid::from_u128(n), Record { dn: format!("CN={n}"), ..Record::default() })]
            .into(),
        messages: (0..12).map(|k| message(n * 100 + k)).collect(),
        cursor: Some(Cursor(vec![n as u8])),
        sequence: Some(n as u64),
        ..Batch::default()
    }
}

#[test]
fn a_staged_batch_is_the_truth_only_after_the_commit() {
    let store = Store::on(InMemoryBackend::new(), "s").expect("store");
    assert!(!store.is_staged().expect("read"));
    store.stage(&batch(1)).expect("stage");
    assert!(store.is_staged().expect("read"));
    assert_eq!(store.outbox().expect("read"), batch(1).messages);
    assert_eq!(store.cursor().expect("read"), None);
    assert_eq!(store.record(Uuid::from_u128(1)).expect("read"), None);
    assert_eq!(store.sequence().expect("read"), 1, "a sequence in the outbox is in use");
    store.commit().expect("commit");
    assert!(!store.is_staged().expect("read"));
    assert!(store.outbox().expect("read").is_empty());
    assert_eq!(store.cursor().expect("read"), Some(Cursor(vec![1])));
    assert_eq!(store.record(Uuid::from_u128(1)).expect("read").expect("there").dn, "CN=1");
    store.apply(&Batch { messages: Vec::new(), ..batch(2) }).expect("apply");
    assert_eq!(store.cursor().expect("read"), Some(Cursor(vec![2])));
    assert_eq!(store.len().expect("read"), 2);
    assert_eq!(store.alive(None, 1).expect("read"), [Uuid::from_u128(1)]);
    let after = Some(Uuid::from_u128(1));
    assert_eq!(store.alive(after, 9).expect("read"), [Uuid::from_u128(2)]);
}

#[test]
fn a_file_is_for_one_process_and_one_directory() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("deeper/watcher.redb");
    let store = Store::open(&path, "ldap:///dc=a").expect("made");
    let error = Store::open(&path, "ldap:///dc=a").expect_err("in use");
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    store.stage(&batch(1)).expect("stage");
    drop(store);
    let error = Store::open(&path, "ldap:///dc=b").expect_err("other").to_string();
    assert!(error.contains("ldap:///dc=a"), "{error}");
    let store = Store::open(&path, "ldap:///dc=a").expect("opens");
    assert_eq!(store.outbox().expect("read"), batch(1).messages, "kept over a restart");
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("x");
    std::fs::write(&path, b"not a database, and long enough to be looked at").expect("write");
    let error = Store::open(&path, "s").expect_err("refused").to_string();
    assert!(error.contains("state.path"), "{error}");
}
