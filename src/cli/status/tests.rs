use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const WATCHER: &str = "relay_build_info{role=\"watch\",version=\"1\"} 1
relay_broker_connected 1
relay_directory_connected 1
relay_cursor_age_seconds 2
relay_events_published_total{type=\"a\"} 5
relay_events_published_total{type=\"b\"} 5
relay_guard_held 7
relay_unreconciled 1
relay_queue_messages{lane=\"bulk\"} 12
relay_dead_letters{reason=\"value_refused\"} 3
relay_dead_letters{reason=\"graph_error\"} 0
";

const CONSUMER: &str = "relay_build_info{role=\"apply\",version=\"1\"} 1
relay_quota_available_ratio 0.875
relay_oldest_unsettled_seconds{lane=\"bulk\"} 4
relay_last_disable_timestamp_seconds 1000
relay_last_disable_propagation_seconds 0.031
relay_paused 1
";

fn screen(report: &Report) -> String {
    let mut out = Vec::new();
    print::screen(&mut out, report).expect("printed");
    String::from_utf8(out).expect("text")
}

fn of(samples: &[Sample], before: Option<&Sample>) -> Report {
    let processes = samples.iter().map(|sample| Process {
        address: "127.0.0.1:1".into(),
        error: None,
        told: Some(Told::new(sample, before)),
    });
    let queues = Queues::counted_by(&samples[0]);
    let time = Timestamp::from_second(1060).expect("a time");
    Report { time, processes: processes.collect(), queues, unseen: Vec::new() }
}

#[test]
fn both_halves_are_told_on_one_screen() {
    let watcher = r#"{"watcher":{"ready":true,"detail":"connected to dc1"}}"#;
    let (watcher, consumer) = (Sample::read(WATCHER, watcher), Sample::read(CONSUMER, "{}"));
    let text = screen(&of(&[watcher, consumer], None));
    for part in [
        "watch at 127.0.0.1:1: ready, version 1",
        "watcher: connected to dc1",
        "cursor age    2 s",
        "told          10 events",
        "held          7 users",
        "NOT YET COMPARED",
        "quota left    88 %",
        "PAUSED by command",
        "urgent 0 s, bulk 4 s",
        "last disable  1m ago, after 0.031 s",
        "waiting       urgent 0, bulk 12",
        "dead letters  3: value_refused 3",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains('\x1b'), "no styles in a pipe");
}

#[tokio::test]
async fn what_a_listener_says_does_not_command_the_terminal() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        for body in ["relay_paused 1\n\x1b[2J 1\n", r#"{"watcher":{"detail":"a\u001bb"}}"#] {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 512];
            let _ = stream.read(&mut request).await.expect("a request");
            let answer = format!("HTTP/1.0 200 OK\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.expect("written");
        }
    });
    let sample = sample(&address).await.expect("an answer");
    assert!(sample.is_set("relay_paused") && sample.get("\x1b[2J").is_none());
    assert_eq!(sample.parts["watcher"].detail, "a\u{fffd}b");
}

#[test]
fn a_rate_is_that_between_two_samples_and_never_negative() {
    let now = Sample::read(WATCHER, "{}");
    let mut before = Sample::read(&WATCHER.replace("type=\"b\"} 5", "type=\"b\"} 1"), "{}");
    before.taken = now.taken - Duration::from_secs(2);
    let rate = |now: &Sample, before: &Sample| {
        let told = Told::new(now, Some(before));
        told.watcher.expect("a watcher").published_per_second
    };
    assert_eq!(rate(&now, &before), 2.0);
    assert_eq!(rate(&before, &now), 0.0);
}

#[tokio::test]
async fn where_nothing_runs_it_says_what_it_cannot_see() {
    let folder = tempfile::tempdir().expect("tempdir");
    let mut config = Config::default();
    // Port 1 of loopback: nobody listens.
    config.admin.listen = "127.0.0.1:1".into();
    config.broker.kind = BrokerKind::Embedded;
    config.broker.path = folder.path().join("queue.redb");
    let report = View::new(&config, Vec::new()).report().await;
    assert!(!config.broker.path.exists(), "looking makes no file");
    let text = screen(&report);
    for part in
        ["no process at 127.0.0.1:1", "the watcher:", "consumers:", "waiting       not known"]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}
