//! How many instructions the ten paths that matter most take: `cargo bench --bench instructions`. Needs valgrind.
//!
//! Times differ from run to run by half on a busy machine, instructions by less than a hundredth. Each path is run some
//! number of times in a process of its own under callgrind. `instructions.txt` holds what one run is expected to take; 5 %
//! more is an error, 5 % less asks for new figures, which `UPDATE_INSTRUCTIONS=1` writes.

#![expect(clippy::expect_used, clippy::panic, reason = "a bench may end early")]
#![expect(clippy::print_stdout, reason = "a bench reports")]
#![expect(clippy::disallowed_methods, reason = "reads and writes its own figures")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

#[path = "common/call.rs"]
mod call;
#[path = "common/message.rs"]
mod message;
#[path = "common/store.rs"]
mod store;

use call::{Arrived, authorization, done, framed};
use iamd::access::{AccessRequest, Detail};
use iamd::config::RequestLimits;
use iamd::engine::Active;
use iamd::evaluate::{self, SessionPolicies};
use iamd::proto::v1;
use iamd::proto::view::{ContextFields, RequestView};
use iamd::server::grpc::Batch;
use iamd::server::logging::Hearers;
use iamd::server::plain::Maker;
use iamd::server::{convert, decide};
use prost::Message as _;
use store::{directory, engine};

/// A name, how often it is run, and what makes it ready to be.
type Case = (&'static str, u32, fn() -> Box<dyn FnMut()>);

const CASES: [Case; 10] = [
    ("the request of a message", 20_000, make_request),
    ("message to answer, cached", 20_000, || answer(64 << 20)),
    ("message to answer, uncached, 10 policies", 10_000, || answer(0)),
    ("decide, 10 policies", 10_000, || decision(&alice(), Detail::Decision)),
    ("decide and explain, 10 policies", 2_000, || decision(&alice(), Detail::Statements)),
    ("decide, 1,000 resources", 50_000, || decision(&bob(), Detail::Decision)),
    ("decide, ReadOnlyAccess", 20_000, || decision(&carol(), Detail::Decision)),
    ("a batch of 100, cached", 200, || batch(64 << 20)),
    ("a batch of 100, uncached", 100, || batch(0)),
    ("load a store of 1,000 statements", 4, || Box::new(|| drop(black_box(directory(&[bob()]))))),
];

const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");

const TOLERANCE: f64 = 0.05;

// --- the paths ------------------------------------------------------------------------------------------------------

/// The one user of a store, with more of its keys.
fn user(rest: &str) -> String {
    format!(r#"{{"UserName": "alice", "Arn": "arn:aws:iam::123456789012:user/alice", {rest}}}"#)
}

/// Ten policies with conditions.
fn alice() -> String {
    let policy = |n| {
        format!(
            r#"{{"PolicyName": "p{n}", "PolicyDocument": {{"Version": "2012-10-17", "Statement": [
              {{"Effect": "Allow", "Action": ["s3:GetObject*", "s3:PutObject"], "Resource": "arn:aws:s3:::bucket-{n}/${{aws:username}}/*",
                "Condition": {{"StringEquals": {{"aws:PrincipalTag/Team": ["blue", "green"]}}}}}},
              {{"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}},
              {{"Effect": "Deny", "Action": "s3:*", "Resource": ["arn:aws:s3:::bucket-{n}", "arn:aws:s3:::bucket-{n}/*"],
                "Condition": {{"NotIpAddress": {{"aws:SourceIp": ["203.0.113.0/24", "198.51.100.0/24"]}}}}}}
            ]}}}}"#
        )
    };
    let policies: Vec<_> = (0..10).map(policy).collect();
    user(&format!(r#""Tags": [{{"Key": "Team", "Value": "blue"}}], "UserPolicyList": [{}]"#, policies.join(", ")))
}

/// One policy of a thousand statements.
fn bob() -> String {
    let statement =
        |n| format!(r#"{{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket-{n}/*"}}"#);
    let statements: Vec<_> = (0..1_000).map(statement).collect();
    let policy = format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, statements.join(", "));
    user(&format!(r#""UserPolicyList": [{{"PolicyName": "p", "PolicyDocument": {policy}}}]"#))
}

/// AWS's ReadOnlyAccess.
fn carol() -> String {
    user(r#""AttachedManagedPolicies": [{"PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]"#)
}

/// A message.
fn request(n: usize) -> Vec<u8> {
    let request = v1::IsAuthorizedRequest {
        principal: "arn:aws:iam::123456789012:user/alice".to_owned(),
        action: "s3:GetObject".to_owned(),
        resource: format!("arn:aws:s3:::bucket-{}/alice/{n}.pdf", n % 10),
        ..v1::IsAuthorizedRequest::default()
    };
    let context =
        [("aws:SourceIp", "203.0.113.7"), ("aws:SecureTransport", "true"), ("aws:UserAgent", "aws-cli/2.15.30")];
    message::message(&request, &context)
}

fn make_request() -> Box<dyn FnMut()> {
    let message = request(1);
    Box::new(move || {
        let mut view = RequestView::default();
        view.read(&message, ContextFields::default()).expect("it is plain");
        let seen = |request: &AccessRequest<'_>, _: Detail| {
            black_box(request);
        };
        assert!(Maker::new(&RequestLimits::default()).with_request(&message, &view, seen).is_some());
    })
}

fn answer(cache_bytes: usize) -> Box<dyn FnMut()> {
    let message = request(1);
    let active: Arc<Active> = engine(&[alice()], cache_bytes).load_full();
    Box::new(move || assert!(decide::decide(&active, &RequestLimits::default(), &active.cache.key(&message)).is_ok()))
}

fn decision(user: &str, detail: Detail) -> Box<dyn FnMut()> {
    let active = engine(&[user], 0).load_full();
    // Lives as long as the process, which is as long as it is asked.
    let message: &'static _ = Box::leak(Box::new(v1::IsAuthorizedRequest::decode(&*request(1)).expect("a message")));
    let request = convert::access_request(message, &RequestLimits::default()).expect("a request");
    Box::new(move || {
        let now = active.snapshot.loaded_at;
        black_box(evaluate::decide(&active.snapshot, &request, &SessionPolicies::default(), &|| now, detail));
    })
}

fn batch(cache_bytes: usize) -> Box<dyn FnMut()> {
    let authorization = authorization(engine(&[alice()], cache_bytes));
    let body = framed(&[call::batch(&(0..100).map(request).collect::<Vec<_>>())]);
    Box::new(move || {
        let mut call = Batch::new(Arc::clone(&authorization), Arrived(body.clone()), Hearers::default());
        assert!(done(|context| call.poll(context, || Ok(()))).is_ok_and(|answer| answer.len() > 100));
    })
}

// --- counting -------------------------------------------------------------------------------------------------------

/// What one run of a path takes. Only what runs within [`counted`] is collected: making ready takes a different number of
/// instructions each time, since the metrics' clock measures how fast the processor is.
fn count((name, times, _): &Case) -> u64 {
    let own = std::env::current_exe().expect("a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*instructions::counted*", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["--run", name])
        .output()
        .expect("valgrind (Debian: apt-get install valgrind)");
    let report = String::from_utf8_lossy(&output.stderr);
    let count =
        report.lines().find_map(|line| line.split_once("Collected :")).and_then(|(_, count)| count.trim().parse().ok());
    let count: Option<u64> = count.filter(|count| output.status.success() && *count > 0);
    count.unwrap_or_else(|| panic!("`{name}` did not run: {report}")) / u64::from(*times)
}

/// The process that is counted: a path is made ready, and run once so that it is warm.
fn run(name: &str) {
    let (_, times, ready) = CASES.iter().find(|(known, ..)| *known == name).expect("a known path");
    let mut once = ready();
    once();
    counted(*times, &mut *once);
}

#[inline(never)]
fn counted(times: u32, once: &mut dyn FnMut()) {
    for _ in 0..times {
        once();
    }
}

fn expected() -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(Path::new(FIGURES)).unwrap_or_default();
    let figure = |line: &str| {
        let (name, count) = line.rsplit_once(": ")?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(figure).collect()
}

/// Compares every path with what is expected; whether none has grown.
fn compare() -> bool {
    let expected = expected();
    let (mut all_hold, mut figures) = (true, String::new());
    for case in &CASES {
        let (name, taken) = (case.0, count(case));
        let _ = writeln!(figures, "{name}: {taken}");
        let change = expected.get(name).map(|expected| taken as f64 / *expected as f64 - 1.0);
        let verdict = match change {
            None => "has no figure yet",
            Some(change) if change > TOLERANCE => "has GROWN",
            Some(change) if change < -TOLERANCE => "has shrunk: write new figures",
            Some(_) => "",
        };
        all_hold &= change.is_some_and(|change| change <= TOLERANCE);
        println!("{name:45} {taken:>12} {:>+7.1} %  {verdict}", 100.0 * change.unwrap_or_default());
    }
    if std::env::var_os("UPDATE_INSTRUCTIONS").is_some() {
        std::fs::write(FIGURES, figures).expect("figures are written");
        return true;
    }
    all_hold
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    match words.iter().position(|word| word == "--run").and_then(|at| words.get(at + 1..)) {
        Some([name]) => run(name),
        Some(_) => return ExitCode::from(2),
        None if words.iter().any(|word| word == "--test") => {}
        None if !compare() => {
            println!("UPDATE_INSTRUCTIONS=1 cargo bench --bench instructions, if that is meant to be, and say why");
            return ExitCode::FAILURE;
        }
        None => {}
    }
    ExitCode::SUCCESS
}
