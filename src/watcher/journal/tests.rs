use super::*;
use crate::queue::journal::What;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn bounds() -> Bounds {
    Bounds { keep: 30 * DAY, max_bytes: 256 << 20 }
}

fn entry(object: u128, age: Duration, text: &str) -> Entry {
    let time = Timestamp::now().checked_sub(age).expect("a time");
    Entry { detail: Some(text.into()), ..Entry::new(time, Uuid::from_u128(object), What::Told) }
}

fn texts(entries: &[Entry]) -> Vec<&str> {
    entries.iter().filter_map(|entry| entry.detail.as_deref()).collect()
}

#[tokio::test]
async fn a_user_s_last_entries_are_read_in_order_also_after_reopening() {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("a/journal.redb");
    let journal = Journal::open(&path, bounds()).expect("open");
    journal.note(vec![entry(1, 2 * DAY, "second"), entry(1, 3 * DAY, "first"), entry(2, DAY, "x")]);
    journal.note(vec![entry(1, DAY, "third")]);
    let object = Uuid::from_u128(1);
    let read = journal.read(object, None, 100).await.expect("read");
    assert_eq!(texts(&read), ["first", "second", "third"]);
    // What a consumer sends twice is one entry.
    journal.keep(read).await.expect("kept");
    drop(journal);
    let journal = Journal::open(&path, bounds()).expect("open again");
    assert_eq!(texts(&journal.read(object, None, 2).await.expect("read")), ["second", "third"]);
    let since = Timestamp::now().checked_sub(Duration::from_secs(36 * 3600)).expect("a time");
    let read = journal.read(object, Some(since), 100).await.expect("read");
    assert_eq!(texts(&read), ["third"]);
    assert_eq!(journal.read(Uuid::from_u128(3), None, 9).await.expect("read"), []);
}

#[tokio::test]
async fn a_file_that_failed_is_opened_anew() {
    let folder = tempfile::tempdir().expect("tempdir");
    let journal = Journal::open(&folder.path().join("journal.redb"), bounds()).expect("open");
    journal.keep(vec![entry(1, 2 * DAY, "before")]).await.expect("kept");
    let open = journal.0.as_ref().expect("open");
    let full = || JournalError::Failed("there was no space".into());
    open.file.with(|_| Err::<(), _>(full())).expect_err("failed");
    journal.keep(vec![entry(1, DAY, "after")]).await.expect("kept");
    let read = journal.read(Uuid::from_u128(1), None, 9).await.expect("read");
    assert_eq!(texts(&read), ["before", "after"]);
}

#[tokio::test]
async fn the_old_go_and_the_file_does_not_outgrow_its_bounds() {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("journal.redb");
    let max_bytes = 4 << 20;
    let journal = Journal::open(&path, Bounds { keep: 7 * DAY, max_bytes }).expect("open");
    journal.keep(vec![entry(1, 8 * DAY, "too old"), entry(1, DAY, "kept")]).await.expect("kept");
    assert_eq!(texts(&journal.read(Uuid::from_u128(1), None, 9).await.expect("read")), ["kept"]);
    let text = "x".repeat(300);
    for round in 0..100 {
        let objects = (0..100).map(|object| object + round % 10 * 100);
        let many = objects.map(|object| entry(object, Duration::ZERO, &text)).collect();
        journal.keep(many).await.expect("kept");
    }
    let open = journal.0.as_ref().expect("open");
    let kept = open.file.with(|database| Ok(file::len(database))).expect("a number");
    assert!((2000..8000).contains(&kept), "{kept} of 10000");
    // The oldest has gone.
    let read = journal.read(Uuid::from_u128(1), None, 100).await.expect("read");
    assert!(!texts(&read).contains(&"kept") && !read.is_empty());
    let size = std::fs::metadata(&path).expect("a file").len();
    assert!(size < 4 * max_bytes, "{size} bytes");
}

#[tokio::test]
async fn none_is_kept_where_the_file_cannot_be_had() {
    let folder = tempfile::tempdir().expect("tempdir");
    let mut config = Config::default();
    config.journal.path = Some(folder.path().to_owned());
    let journal = Journal::from_config(&config);
    assert!(!journal.is_kept());
    journal.note(vec![entry(1, DAY, "x")]);
    config.journal.keep = Duration::ZERO;
    assert!(settings(&config).is_none());
    let text = Journal::open(folder.path(), bounds()).expect_err("a folder").to_string();
    assert!(text.contains("journal.path"), "{text}");
}
