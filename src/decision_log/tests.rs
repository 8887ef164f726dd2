#![expect(clippy::disallowed_methods, reason = "reads what was logged")]

use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use prost::Message as _;

use super::entry::Chunk;
use super::line::Lines;
use super::mask::Masks;
use super::read::{self, Line};
use super::*;
use crate::access::Explanation;
use crate::config::{LogFilter, LogTarget, MaskOptions, Rotation, WhenFull};
use crate::directory::Directory;
use crate::proto::v1::{ContextValues, IsAuthorizedRequest};

fn masks(full: bool) -> MaskOptions {
    MaskOptions { full, keep: vec![], drop: vec![], hash: vec![], hash_key_file: None }
}

fn options(path: &std::path::Path) -> DecisionLogOptions {
    DecisionLogOptions {
        target: LogTarget::File(path.to_owned()),
        when_full: WhenFull::DropNewest,
        queue_bytes: 64 << 20,
        queue_is_default: false,
        rotation: Rotation { max_bytes: None, max_age: None, max_files: None },
        filter: LogFilter { denials_only: false, actions: vec![], sample: 1.0 },
        masks: masks(true),
        statements: false,
    }
}

fn decided(place: Place) -> Decided {
    Decided {
        decision: Decision::Allow,
        decided_by: PolicyType::Identity,
        cache: CacheStatus::Hit,
        revision: Revision([0xab; 32]),
        version: 3,
        place,
    }
}

fn line(message: &[u8], full: bool) -> String {
    line_of(message, &Origin::new(&HeaderMap::new(), None, None, || 5), full)
}

fn line_of(message: &[u8], origin: &Origin, full: bool) -> String {
    let at = Instant::now();
    let decided = decided(Place::Alone);
    let new = New { message, origin, decided, explanation: None, at, took: Duration::from_nanos(9) };
    let mut chunk = Chunk::new();
    chunk.append(&new, new.weight());
    let mut out = Vec::new();
    let mut lines = Lines::new(Masks::new(&masks(full)).unwrap());
    chunk.iter().for_each(|queued| lines.put(&mut out, &queued));
    String::from_utf8(out).unwrap()
}

fn message() -> impl Strategy<Value = IsAuthorizedRequest> {
    let text = || "\\PC{0,20}|[\\x00-\\x7f]{0,9}";
    let values = vec(text(), 0..3).prop_map(|values| ContextValues { values });
    let lists = (hash_map(text(), values, 0..12), vec(text(), 0..3), hash_map(text(), text(), 0..4));
    ((text(), text(), text()), lists, (text(), text())).prop_map(|((principal, action, resource), lists, rest)| {
        let (context, session_policies, session_tags) = lists;
        let (resource_account, federated_by) = rest;
        IsAuthorizedRequest {
            principal,
            action,
            resource,
            context,
            resource_account,
            session_policies,
            session_tags,
            federated_by,
            detail: 0,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_what_is_read(message in message()) {
        let line = line(&message.encode_to_vec(), true);
        let is_a_line = line.ends_with('\n') && !line.trim_end_matches('\n').contains(char::is_control);
        prop_assert!(is_a_line, "{line:?}");
        let Line::Decision(logged) = read::line(line.as_bytes()).unwrap() else { panic!("{line}") };
        prop_assert_eq!(&logged.request, &message);
        prop_assert!(logged.masked_keys.is_empty() && logged.masked_session.is_empty());
        prop_assert_eq!((logged.decision.as_str(), logged.decided_by.as_str()), ("ALLOW", "IDENTITY"));
    }

    #[test]
    fn what_is_masked_is_not_there(value in "[a-z]{12}", key in "[a-z]{1,4}:[a-z]{1,4}") {
        let secret = || ContextValues { values: vec![value.clone()] };
        let message = IsAuthorizedRequest {
            context: [(key.to_uppercase(), secret())].into(),
            session_tags: [("k".to_owned(), value.clone())].into(),
            session_policies: vec![value.clone()],
            ..IsAuthorizedRequest::default()
        };
        let line = line(&message.encode_to_vec(), false);
        prop_assert!(!line.contains(&value), "{line}");
        let Line::Decision(logged) = read::line(line.as_bytes()).unwrap() else { panic!("{line}") };
        prop_assert_eq!(&logged.masked_keys, &[key]);
        prop_assert_eq!(&logged.masked_session, &["aws:principaltag/k", "session_policies"]);
    }
}

#[test]
fn a_line_names_the_peer_and_the_trace() {
    let mut headers = HeaderMap::new();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    headers.insert("traceparent", trace.parse().unwrap());
    let origin = Origin::new(&headers, Some(&"spiffe://prod/\"shop\"".into()), None, || 5);
    let line: serde_json::Value = serde_json::from_str(&line_of(b"", &origin, true)).unwrap();
    assert_eq!(line["peer"], "spiffe://prod/\"shop\"");
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(line["span_id"], "00f067aa0ba902b7");
    assert!(line["request_id"].as_str().unwrap().ends_with("-5"), "{line}");
}

/// A request with these condition keys, in this order.
fn with_keys(keys: &[&str]) -> Vec<u8> {
    let values = |key: &str| ContextValues { values: vec![format!("of {key}")] };
    let one = |key: &&str| {
        let context = [(key.to_string(), values(key))].into();
        IsAuthorizedRequest { context, ..IsAuthorizedRequest::default() }.encode_to_vec()
    };
    let texts = IsAuthorizedRequest { principal: "p".to_owned(), action: "a".to_owned(), ..Default::default() };
    // As a client writes it that knows no defaults.
    [texts.encode_to_vec(), vec![0x1a, 0], keys.iter().flat_map(one).collect()].concat()
}

#[test]
fn a_line_does_not_depend_on_those_before() {
    let (long, numbered) = ("k".repeat(300), (0..1_100).map(|n| format!("k:{n}")).collect::<Vec<_>>());
    let many: Vec<&str> = numbered.iter().map(String::as_str).collect();
    let asked: [&[&str]; 10] = [
        &["a:b", "c:d", "aws:SourceIp"],
        &["a:b", "c:d", "aws:SourceIp"],
        &["c:d", "a:b"],
        &["a:b", "c:d", "a:b"],
        &["a:b", "a:b"],
        &[],
        &[&long, "a:b"],
        &many,
        &["a:b", "k:7", "aws:SourceIp"],
        &["a:b", "c:d", "aws:SourceIp"],
    ];
    let mut lines = Lines::new(Masks::new(&masks(true)).unwrap());
    for keys in asked {
        let message = with_keys(keys);
        let mut chunk = Chunk::new();
        let origin = Origin::new(&HeaderMap::new(), None, None, || 5);
        let (at, decided, took) = (Instant::now(), decided(Place::Alone), Duration::from_nanos(9));
        let new = New { message: &message, origin: &origin, decided, explanation: None, at, took };
        chunk.append(&new, new.weight());
        let mut out = Vec::new();
        chunk.iter().for_each(|queued| lines.put(&mut out, &queued));
        let Line::Decision(logged) = read::line(&out).unwrap() else { panic!("{keys:?}") };
        assert_eq!(logged.request, IsAuthorizedRequest::decode(&*message).unwrap());
        let text = String::from_utf8(out).unwrap();
        keys.iter().for_each(|key| assert_eq!(text.matches(&format!("\"{key}\":")).count(), 1, "{key} in {text}"));
    }
}

#[test]
fn more_keys_than_are_read_as_they_lie_are_logged_too() {
    let context = (0..3_000).map(|n| (format!("k:{n}"), ContextValues { values: vec![n.to_string()] })).collect();
    let message = IsAuthorizedRequest { context, ..IsAuthorizedRequest::default() };
    let line = line(&message.encode_to_vec(), true);
    let Line::Decision(logged) = read::line(line.as_bytes()).unwrap() else { panic!("{line}") };
    assert_eq!(logged.request, message);
}

/// So many threads log so many decisions each, about such a message; their numbers are the ids of a stream.
fn log_many(log: &DecisionLog, threads: u64, each: u64, message: &[u8]) {
    let (directory, revision) = (Directory::default(), Revision([7; 32]));
    let snapshot = crate::snapshot::Loaded { directory, revision, bytes: 0, warnings: Vec::new() }.into_snapshot(1);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let snapshot = &snapshot;
            scope.spawn(move || {
                let outcome =
                    Outcome { decision: Decision::Allow, decided_by: PolicyType::Identity, explanation: None };
                let origin = log.origin(&HeaderMap::new(), None, None);
                for n in 0..each {
                    let (cache, place) = (CacheStatus::Hit, Place::Stream(thread * each + n));
                    let made = Made { outcome: &outcome, cache, snapshot, message, origin: &origin, place };
                    log.record(&made, Instant::now()).unwrap();
                }
            });
        }
    });
}

/// The ids that stand in these lines.
fn ids(text: &str) -> Vec<u64> {
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter_map(|line| line["stream_id"].as_u64()).collect()
}

#[test]
fn nothing_is_lost_between_many_threads_and_the_writer() {
    const THREADS: u64 = 4;
    const EACH: u64 = 3_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = DecisionLog::open(&options(&path), 2).unwrap();
    log.begin().unwrap();
    log_many(&log, THREADS, EACH, b"");
    log.stop(Instant::now() + Duration::from_secs(60));
    let text = std::fs::read_to_string(&path).unwrap();
    let mut ids = ids(&text);
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(0..THREADS * EACH), "{} lines", ids.len());
    let reading = log.reading();
    assert_eq!((reading.written, reading.lost), (THREADS * EACH, [0; 6]));
    assert_eq!((reading.queue_entries, reading.queue_bytes), (0, 0));
    assert_eq!(reading.bytes, text.len() as u64);
}

#[test]
fn no_file_is_larger_than_it_may_be_and_no_line_is_lost() {
    const MOST: usize = 64 << 10;
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&folder.path().join("log"));
    options.rotation.max_bytes = Some(MOST as u64);
    let log = DecisionLog::open(&options, 1).unwrap();
    // Before it begins, so that much waits: chunks of 64 KiB become lines of more.
    log_many(&log, 1, 3_000, b"");
    let large = IsAuthorizedRequest { resource: "r".repeat(MOST), ..IsAuthorizedRequest::default() };
    log_many(&log, 1, 2, &large.encode_to_vec());
    log.begin().unwrap();
    log.stop(Instant::now() + Duration::from_secs(60));
    let mut files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The one without a stamp is the last.
    files.sort_by_key(|path| (path.extension().is_none(), path.clone()));
    let texts: Vec<_> = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let larger: Vec<_> = texts.iter().filter(|text| text.len() > MOST).map(|text| text.lines().count()).collect();
    assert_eq!(larger, [1, 1], "each a single line");
    assert!(texts.concat().len() / MOST + 4 > texts.len(), "{} files: none was begun without need", texts.len());
    assert!(ids(&texts.concat()).into_iter().eq((0..3_000).chain(0..2)));
    assert_eq!(log.reading().written, 3_002);
}

/// Queues a decision about a request of so many bytes.
fn push(queue: &Queue, counts: &Counts, bytes: usize, explanation: Option<&Arc<Explanation>>) {
    let origin = Origin::new(&HeaderMap::new(), None, None, || 5);
    let (at, decided, took) = (Instant::now(), decided(Place::Alone), Duration::from_nanos(9));
    let message = vec![0; bytes];
    queue.push(&New { message: &message, origin: &origin, decided, explanation, at, took }, counts).unwrap();
}

#[test]
fn what_is_larger_than_the_queue_is_counted() {
    let queue = Queue::new(WhenFull::DropNewest, 1_000, 1);
    let counts = Counts::default();
    push(&queue, &counts, 1_000, None);
    push(&queue, &counts, 500, None);
    push(&queue, &counts, 500, None);
    assert_eq!(counts.lost_so_far(), [1, 0, 1, 0, 0, 0]);
    assert_eq!(queue.entries(), 1);
}

#[test]
fn an_explanation_takes_what_it_says() {
    let queue = Queue::new(WhenFull::DropNewest, 1 << 20, 1);
    let counts = Counts::default();
    push(&queue, &counts, 0, None);
    let entry = queue.held_bytes();
    let missing_context_keys = vec!["k".repeat(10_000), "k".repeat(20_000)];
    let explanation = Arc::new(Explanation { statements: vec![], missing_context_keys });
    push(&queue, &counts, 0, Some(&explanation));
    let more = queue.held_bytes() - 2 * entry;
    assert!((30_000..30_200).contains(&more), "{more}");
}

#[test]
fn what_is_kept_to_be_filled_again_takes_no_room_from_decisions() {
    let queue = Queue::new(WhenFull::DropNewest, 200_000, 1);
    let counts = Counts::default();
    let fill = || (0..3).for_each(|_| push(&queue, &counts, 60_000, None));
    let empty = || {
        while let Some((chunk, _)) = queue.take(0) {
            queue.done(0, chunk);
        }
    };
    fill();
    assert_eq!((queue.held_bytes() / 60_000, queue.spare_bytes()), (3, 0));
    empty();
    let kept = queue.spare_bytes();
    assert!((60_000..=200_000).contains(&kept), "{kept}");
    push(&queue, &counts, 190_000, None);
    assert_eq!((queue.entries(), queue.spare_bytes()), (1, 0));
    empty();
    assert!(queue.spare_bytes() <= 200_000);
    assert_eq!(counts.lost_so_far(), [0; 6]);
}

#[test]
fn the_oldest_waits_until_it_is_written() {
    let queue = Queue::new(WhenFull::DropNewest, 1 << 20, 2);
    let counts = Counts::default();
    assert_eq!(queue.oldest_waits(), Duration::ZERO);
    let before = Instant::now();
    push(&queue, &counts, 100, None);
    let least = Instant::now();
    // Larger than a chunk: two stand behind each other.
    push(&queue, &counts, 70_000, None);
    std::thread::sleep(Duration::from_millis(20));
    let waits = |queue: &Queue| {
        let at_least = least.elapsed();
        let waits = queue.oldest_waits();
        assert!(waits >= at_least && waits <= before.elapsed(), "{waits:?}");
    };
    waits(&queue);
    let lane = (0..queue.lane_count()).find_map(|lane| queue.take(lane).map(|(chunk, _)| (lane, chunk)));
    let (lane, first) = lane.unwrap();
    waits(&queue);
    let (second, is_last) = queue.take(lane).unwrap();
    assert!(is_last);
    queue.done(lane, second);
    waits(&queue);
    queue.done(lane, first);
    assert_eq!(queue.oldest_waits(), Duration::ZERO);
    // What the writer holds goes; what has come meanwhile waits.
    push(&queue, &counts, 100, None);
    assert!(queue.oldest_waits() <= before.elapsed() - Duration::from_millis(20));
}

/// A log of the service that asks, whenever it is told something, how much waits.
struct Asking(Arc<Queue>, std::sync::mpsc::Sender<usize>);

impl tracing::Subscriber for Asking {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.1.send(self.0.entries()).unwrap();
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn no_lane_is_locked_while_a_loss_is_logged() {
    let queue = Queue::new(WhenFull::DropOldest, 1_000, 1);
    let (sender, heard) = std::sync::mpsc::channel();
    let queue = Arc::new(queue);
    let asking = Asking(Arc::clone(&queue), sender);
    let pushing = std::thread::spawn(move || {
        tracing::subscriber::with_default(asking, || {
            let counts = Counts::default();
            push(&queue, &counts, 500, None);
            push(&queue, &counts, 501, None);
            assert_eq!(counts.lost_so_far(), [1, 0, 0, 0, 0, 0]);
        });
    });
    assert_eq!(heard.recv_timeout(Duration::from_secs(10)), Ok(0));
    pushing.join().unwrap();
}
