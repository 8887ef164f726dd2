//! From a message's bytes to the answer's: `cargo bench --bench message`. HTTP/2 comes on top.
//!
//! Ten thousand different requests of a user with ten policies, each with four condition keys. Cached, each was asked
//! before; uncached, there is no cache.

#![expect(clippy::expect_used, reason = "a bench may end early")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

#[path = "common/call.rs"]
mod call;
#[path = "common/message.rs"]
mod message;
#[path = "common/store.rs"]
mod store;

use call::{Arrived, authorization, batch, done, framed};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use iamd::access::{AccessRequest, Detail};
use iamd::cache::DecisionCache;
use iamd::config::RequestLimits;
use iamd::engine::{Active, Engine};
use iamd::proto::v1;
use iamd::proto::view::{ContextFields, RequestView};
use iamd::server::decide;
use iamd::server::grpc::{Answers, Batch, Unary};
use iamd::server::logging::Hearers;
use iamd::server::plain::Maker;
use prost::Message as _;
use prost::bytes::Bytes;

const POLICIES: usize = 10;
const REQUESTS: usize = 10_000;
const BATCH: usize = 100;

/// Four statements on a bucket of this number.
fn policy(n: usize) -> String {
    format!(
        r#"{{"PolicyName": "p{n}", "PolicyDocument": {{"Version": "2012-10-17", "Statement": [
          {{"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": "arn:aws:s3:::bucket-{n}"}},
          {{"Effect": "Allow", "Action": ["s3:GetObject*", "s3:PutObject"], "Resource": "arn:aws:s3:::bucket-{n}/*",
            "Condition": {{"StringEquals": {{"aws:PrincipalTag/Team": ["blue", "green"]}}}}}},
          {{"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}},
          {{"Effect": "Deny", "Action": "s3:*", "Resource": ["arn:aws:s3:::bucket-{n}", "arn:aws:s3:::bucket-{n}/*"],
            "Condition": {{"NotIpAddress": {{"aws:SourceIp": ["203.0.113.0/24", "198.51.100.0/24"]}}}}}}
        ]}}}}"#
    )
}

fn engine(cache_bytes: usize) -> Engine {
    let mut policies = String::new();
    for n in 0..POLICIES {
        let _ = write!(policies, "{}{}", if n == 0 { "" } else { ", " }, policy(n));
    }
    let user = format!(
        r#"{{"UserName": "alice", "Arn": "arn:aws:iam::123456789012:user/alice",
            "Tags": [{{"Key": "Team", "Value": "blue"}}], "UserPolicyList": [{policies}]}}"#
    );
    store::engine(&[user], cache_bytes)
}

fn request(n: usize) -> Vec<u8> {
    let context = [
        ("aws:SourceIp", "203.0.113.7"),
        ("aws:SecureTransport", "true"),
        ("aws:UserAgent", "aws-cli/2.15.30"),
        ("aws:SourceVpc", "vpc-0a1b2c3d"),
    ];
    let request = v1::IsAuthorizedRequest {
        principal: "arn:aws:iam::123456789012:user/alice".to_owned(),
        action: "s3:GetObject".to_owned(),
        resource: format!("arn:aws:s3:::bucket-{}/reports/{n}.pdf", n % POLICIES),
        ..v1::IsAuthorizedRequest::default()
    };
    message::message(&request, &context)
}

/// One after the other of these, over and over.
struct Turn<'a, T> {
    all: &'a [T],
    next: usize,
}

impl<'a, T> Turn<'a, T> {
    fn of(all: &'a [T]) -> Self {
        Self { all, next: 0 }
    }

    fn next(&mut self) -> &'a T {
        self.next = (self.next + 1) % self.all.len();
        self.all.get(self.next).expect("it is there")
    }
}

fn pieces(criterion: &mut Criterion) {
    let messages: Vec<Vec<u8>> = (0..REQUESTS).map(request).collect();
    let mut turn = Turn::of(&messages);
    criterion.bench_function("read a message by prost", |bencher| {
        bencher.iter(|| black_box(v1::IsAuthorizedRequest::decode(&**turn.next()).is_ok()));
    });
    criterion.bench_function("read a message as it lies", |bencher| {
        bencher.iter(|| black_box(RequestView::default().read(turn.next(), ContextFields::default())));
    });
    let cache = DecisionCache::new(64 << 20);
    criterion.bench_function("its key", |bencher| bencher.iter(|| black_box(cache.key(turn.next()))));
    criterion.bench_function("the request of a message", |bencher| {
        bencher.iter(|| {
            let (message, mut view) = (turn.next(), RequestView::default());
            view.read(message, ContextFields::default())?;
            let seen = |request: &AccessRequest<'_>, _: Detail| {
                black_box(request);
            };
            Maker::new(&RequestLimits::default()).with_request(message, &view, seen)
        });
    });
    for (name, cache_bytes) in [("cached", 64 << 20), ("uncached", 0)] {
        let active: Arc<Active> = engine(cache_bytes).load_full();
        let ask =
            |message: &Vec<u8>| decide::decide(&active, &RequestLimits::default(), &active.cache.key(message)).is_ok();
        messages.iter().for_each(|message| assert!(ask(message)));
        criterion.bench_function(&format!("decide, {name}"), |bencher| bencher.iter(|| black_box(ask(turn.next()))));
    }
}

fn calls(criterion: &mut Criterion) {
    let requests: Vec<Vec<u8>> = (0..REQUESTS).map(request).collect();
    let unary: Vec<Bytes> = requests.iter().map(|request| framed(std::slice::from_ref(request))).collect();
    let batches: Vec<Bytes> = requests.chunks(BATCH).map(|requests| framed(&[batch(requests)])).collect();
    let streamed = |(id, request): (u64, &Vec<u8>)| {
        let mut out = v1::StreamIsAuthorizedRequest { id, request: None }.encode_to_vec();
        prost::encoding::bytes::encode(2, request, &mut out);
        out
    };
    let stream = |requests: &[Vec<u8>]| framed(&(1..).zip(requests).map(streamed).collect::<Vec<_>>());
    let streams: Vec<Bytes> = requests.chunks(BATCH).map(stream).collect();
    for (name, cache_bytes) in [("cached", 64 << 20), ("uncached", 0)] {
        let authorization = authorization(engine(cache_bytes));
        let one = |body: &Bytes| {
            let mut call = Unary::new(Arc::clone(&authorization), Arrived(body.clone()), Hearers::default());
            done(|context| call.poll(context, || Ok(()))).is_ok()
        };
        unary.iter().for_each(|body| assert!(one(body)));
        let mut turn = Turn::of(&unary);
        criterion.bench_function(&format!("a unary call, {name}"), |bencher| {
            bencher.iter(|| black_box(one(turn.next())));
        });
        let mut group = criterion.benchmark_group(format!("{BATCH} requests, {name}"));
        group.throughput(Throughput::Elements(BATCH as u64));
        let mut turn = Turn::of(&batches);
        group.bench_function("in a batch", |bencher| {
            bencher.iter(|| {
                let mut call = Batch::new(Arc::clone(&authorization), Arrived(turn.next().clone()), Hearers::default());
                black_box(done(|context| call.poll(context, || Ok(()))).is_ok())
            });
        });
        let mut turn = Turn::of(&streams);
        group.bench_function("in a stream", |bencher| {
            bencher.iter(|| {
                let mut call =
                    Answers::new(Arc::clone(&authorization), Arrived(turn.next().clone()), None, Hearers::default());
                while done(|context| call.poll(context)).is_ok() {}
            });
        });
    }
}

criterion_group!(benches, pieces, calls);
criterion_main!(benches);
