//! The decision cache beside what it might have been: `cargo bench --bench cache`. The figures are in docs/cache.md.
//!
//! Every candidate remembers 10,000 requests and is asked for them in a random order, hashing and full comparison
//! included, by one thread and by two. Only `DecisionCache` and `quick_cache` are bounded; for the others the work of bounding
//! is not in the figures.

#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a bench may end early and talks to a person"
)]

#[path = "common/message.rs"]
mod message;

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Bencher, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dashmap::DashMap;
use dashmap::try_result::TryResult;
use foldhash::fast::RandomState;
use iamd::access::{Decision, Explanation, Outcome, PolicyType};
use iamd::cache::DecisionCache;
use iamd::proto::v1;

const REQUESTS: usize = 10_000;
const BUDGET_BYTES: usize = 64 << 20;

// --- candidates -----------------------------------------------------------------------------------------------------

trait Candidate: Send + Sync {
    fn get(&self, key: &[u8]) -> Option<Outcome>;
    fn insert(&self, key: &[u8], outcome: &Outcome);
}

struct DashGet(DashMap<Box<[u8]>, Outcome, RandomState>);

impl Candidate for DashGet {
    fn get(&self, key: &[u8]) -> Option<Outcome> {
        self.0.get(key).map(|found| found.clone())
    }

    fn insert(&self, key: &[u8], outcome: &Outcome) {
        self.0.insert(key.into(), outcome.clone());
    }
}

struct DashTryGet(DashMap<Box<[u8]>, Outcome, RandomState>);

impl Candidate for DashTryGet {
    fn get(&self, key: &[u8]) -> Option<Outcome> {
        match self.0.try_get(key) {
            TryResult::Present(found) => Some(found.clone()),
            TryResult::Absent | TryResult::Locked => None,
        }
    }

    fn insert(&self, key: &[u8], outcome: &Outcome) {
        self.0.insert(key.into(), outcome.clone());
    }
}

struct Papaya(papaya::HashMap<Box<[u8]>, Outcome, RandomState>);

impl Candidate for Papaya {
    fn get(&self, key: &[u8]) -> Option<Outcome> {
        self.0.pin().get(key).cloned()
    }

    fn insert(&self, key: &[u8], outcome: &Outcome) {
        self.0.pin().insert(key.into(), outcome.clone());
    }
}

/// What an entry takes, as `quick_cache` is to bound it.
#[derive(Clone)]
struct Weigh;

impl quick_cache::Weighter<Box<[u8]>, Outcome> for Weigh {
    fn weight(&self, key: &Box<[u8]>, _outcome: &Outcome) -> u64 {
        key.len() as u64 + 96
    }
}

struct Quick(quick_cache::sync::Cache<Box<[u8]>, Outcome, Weigh, RandomState>);

impl Candidate for Quick {
    fn get(&self, key: &[u8]) -> Option<Outcome> {
        self.0.get(key)
    }

    fn insert(&self, key: &[u8], outcome: &Outcome) {
        self.0.insert(key.into(), outcome.clone());
    }
}

impl Candidate for DecisionCache {
    fn get(&self, key: &[u8]) -> Option<Outcome> {
        self.get(&self.key(key))
    }

    fn insert(&self, key: &[u8], outcome: &Outcome) {
        self.insert(&self.key(key), outcome);
    }
}

fn candidates() -> Candidates {
    let quick = quick_cache::sync::Cache::with(
        BUDGET_BYTES / 350,
        BUDGET_BYTES as u64,
        Weigh,
        RandomState::default(),
        quick_cache::sync::DefaultLifecycle::default(),
    );
    vec![
        ("dashmap get", Box::new(DashGet(DashMap::with_hasher(RandomState::default())))),
        ("dashmap try_get", Box::new(DashTryGet(DashMap::with_hasher(RandomState::default())))),
        ("papaya", Box::new(Papaya(papaya::HashMap::with_hasher(RandomState::default())))),
        ("quick_cache", Box::new(Quick(quick))),
        ("DecisionCache", Box::new(DecisionCache::new(BUDGET_BYTES))),
    ]
}

// --- requests -------------------------------------------------------------------------------------------------------

/// Requests with four context keys, as a service behind a gateway sends them; messages of about 300 bytes.
fn message(n: usize) -> Vec<u8> {
    let request = v1::IsAuthorizedRequest {
        principal: format!("arn:aws:iam::123456789012:user/division/team-{}/person-{}", n % 40, n % 700),
        action: ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"][n % 3].to_owned(),
        resource: format!("arn:aws:s3:::company-documents-{}/reports/2025/{n:06}.pdf", n % 30),
        ..v1::IsAuthorizedRequest::default()
    };
    let values = [format!("10.0.{}.{}", n / 250 % 250, n % 250), "true".into(), format!("o-{n:010}"), "home".into()];
    let keys = ["aws:SourceIp", "aws:SecureTransport", "aws:PrincipalOrgID", "aws:PrincipalTag/Department"];
    let context: Vec<_> = keys.into_iter().zip(values.iter().map(String::as_str)).collect();
    message::message(&request, &context)
}

/// The messages of all requests, in an order that depends on `seed` alone.
fn shuffled_keys(seed: u64) -> Vec<Vec<u8>> {
    let mut state = seed;
    let mut order: Vec<(u64, usize)> = Vec::new();
    for n in 0..REQUESTS {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.push((state >> 20, n));
    }
    order.sort_unstable();
    order.into_iter().map(|(_, n)| message(n)).collect()
}

/// Each candidate filled by itself and in another order than it will be asked in: else its entries would lie in memory as
/// they are asked for, and the processor would fetch them ahead, as it cannot for a service.
fn filled_candidates() -> Candidates {
    let keys = shuffled_keys(2);
    let candidates = candidates();
    for (_, candidate) in &candidates {
        keys.iter().enumerate().for_each(|(n, key)| candidate.insert(key, &outcome(n)));
    }
    candidates
}

/// One in ten carries an explanation.
fn outcome(n: usize) -> Outcome {
    let explanation = n.is_multiple_of(10).then(|| Arc::new(Explanation::default()));
    Outcome { decision: Decision::Allow, decided_by: PolicyType::Identity, explanation }
}

// --- workloads ------------------------------------------------------------------------------------------------------

/// What a thread does as its `n`th step.
type Step = fn(&dyn Candidate, &[u8], usize);

fn hit(candidate: &dyn Candidate, key: &[u8], _n: usize) {
    black_box(candidate.get(key));
}

fn mixed(candidate: &dyn Candidate, key: &[u8], n: usize) {
    if n.is_multiple_of(20) {
        candidate.insert(key, &outcome(n));
    } else {
        black_box(candidate.get(key));
    }
}

/// Time of `steps` steps by each of the threads, which start together, each at another key.
fn run(candidate: &dyn Candidate, keys: &[Vec<u8>], threads: usize, steps: u64, step: Step) -> Duration {
    let start = Barrier::new(threads);
    let work = |thread: usize| {
        let (before, after) = keys.split_at(keys.len() * thread / threads);
        let keys = after.iter().chain(before).cycle();
        start.wait();
        let started = Instant::now();
        (0..steps).zip(keys).zip(0..).for_each(|((_, key), n)| step(candidate, black_box(key), n));
        started.elapsed()
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        running.into_iter().map(|thread| thread.join().expect("the thread ends")).max().unwrap_or_default()
    })
}

type Candidates = Vec<(&'static str, Box<dyn Candidate>)>;

/// All candidates, all workloads, one thread and two.
fn each_comparison(mut compare: impl FnMut(&str, usize, &Candidates, &[Vec<u8>], Step)) {
    let keys = shuffled_keys(1);
    let bytes: usize = keys.iter().map(Vec::len).sum();
    eprintln!("{} keys of {} bytes on average", keys.len(), bytes / keys.len());
    let candidates = filled_candidates();
    let hot: Vec<Vec<u8>> = keys.iter().take(16).cloned().collect();
    let workloads: [(&str, &[Vec<u8>], Step); 3] =
        [("hit", &keys, hit), ("hit, 16 requests", &hot, hit), ("95 get, 5 insert", &keys, mixed)];
    for (workload, keys, step) in workloads {
        for threads in [1, 2] {
            compare(workload, threads, &candidates, keys, step);
        }
    }
}

/// The candidates in turn, a millisecond each, so that whatever else the machine does befalls all of them alike; in between
/// each has a turn that is not measured, to bring its memory back into the processor's caches. On a machine that is shared,
/// the figures to compare are those of the quicker turns: the slower ones were interrupted.
fn in_turn(_: &mut Criterion) {
    const TURNS: usize = 100;
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    eprintln!("{:18}{:8}{:18}{:>8}{:>8}{:>8}{:>8}", "ns", "threads", "", "least", "10 %", "25 %", "median");
    each_comparison(|workload, threads, candidates, keys, step| {
        let mut times = vec![Vec::new(); candidates.len()];
        for _ in 0..TURNS {
            for ((_, candidate), times) in candidates.iter().zip(&mut times) {
                let turn = || run(candidate.as_ref(), keys, threads, REQUESTS as u64, step);
                turn();
                times.push(turn().as_nanos() as f64 / REQUESTS as f64);
            }
        }
        for ((name, _), mut times) in candidates.iter().zip(times) {
            times.sort_by(f64::total_cmp);
            let [least, tenth, quarter, median] = [0, TURNS / 10, TURNS / 4, TURNS / 2].map(|n| times[n]);
            eprintln!("{workload:18}{threads:<8}{name:18}{least:8.1}{tenth:8.1}{quarter:8.1}{median:8.1}");
        }
    });
}

fn compare(c: &mut Criterion) {
    each_comparison(|workload, threads, candidates, keys, step| {
        let mut group = c.benchmark_group(format!("{workload}, threads {threads}"));
        group.throughput(Throughput::Elements(1));
        for round in [1, 2] {
            for (name, candidate) in candidates {
                group.bench_function(BenchmarkId::new(*name, round), |b: &mut Bencher<'_>| {
                    b.iter_custom(|steps| run(candidate.as_ref(), keys, threads, steps, step));
                });
            }
        }
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = in_turn, compare
}
criterion_main!(benches);
