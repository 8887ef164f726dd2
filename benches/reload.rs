//! A store of 10,000 files is loaded, and one of them changes: `cargo bench --bench reload`.
//!
//! The files are the same in each run: 6,000 users in 400 groups, 1,000 roles, 1,600 managed policies, 1,000 buckets.

#![expect(clippy::expect_used, reason = "a bench may end early")]

use std::collections::BTreeSet;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use iamd::arn::AccountId;
use iamd::directory::{Directory, StoreOptions};
use iamd::reload::source::{Source, Trust};
use iamd::reload::{Build, load_once, patch};

const USERS: usize = 6_000;
const GROUPS: usize = 400;
const ROLES: usize = 1_000;
const POLICIES: usize = 1_600;
const BUCKETS: usize = 1_000;

/// Files are taken for unchanged by their looks if they were written so long before.
const REST: Duration = Duration::from_secs(4);

const TRUST: &str =
    r#"{"Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}}"#;

/// Numbers without a pattern, always the same: xorshift64 from a fixed seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % end
    }
}

fn options() -> StoreOptions {
    StoreOptions { account_id: AccountId::parse("123456789012"), ..StoreOptions::default() }
}

fn user(n: usize, dice: &mut Dice) -> String {
    let [one, other] = [0; 2].map(|_| dice.below(GROUPS));
    format!(r#"{{"UserName": "user-{n}", "UserId": "AIDA{n:017}", "GroupList": ["group-{one}", "group-{other}"]}}"#)
}

fn attached(dice: &mut Dice) -> String {
    let arn = |n| format!(r#"{{"PolicyArn": "arn:aws:iam::123456789012:policy/policy-{n}"}}"#);
    let arns: Vec<_> = (0..3).map(|_| arn(dice.below(POLICIES))).collect();
    format!(r#""AttachedManagedPolicies": [{}]"#, arns.join(", "))
}

fn statement(n: usize, k: usize, principal: &str) -> String {
    format!(
        r#"{{"Sid": "S{k}", "Effect": "Allow", {principal}"Action": ["s3:Get*", "sqs:Send{k}"],
            "Resource": "arn:aws:s3:::b-{n}-{k}/*"}}"#
    )
}

fn document(n: usize, principal: &str) -> String {
    let statements: Vec<_> = (0..3).map(|k| statement(n, k, principal)).collect();
    format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, statements.join(", "))
}

/// About the bucket of another number, if that is another.
fn policy(n: usize, bucket: usize) -> String {
    format!(r#"{{"PolicyName": "policy-{n}", "PolicyDocument": {}}}"#, document(bucket, ""))
}

fn write_store(root: &Path) {
    let dice = &mut Dice(7);
    let write = |folder: &str, n: usize, text: String| {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("{n}.json")), text).expect("a file");
    };
    (0..USERS).for_each(|n| write("users", n, user(n, dice)));
    (0..GROUPS).for_each(|n| write("groups", n, format!(r#"{{"GroupName": "group-{n}", {}}}"#, attached(dice))));
    let role = |n, attached| format!(r#"{{"RoleName": "role-{n}", "AssumeRolePolicyDocument": {TRUST}, {attached}}}"#);
    (0..ROLES).for_each(|n| write("roles", n, role(n, attached(dice))));
    (0..POLICIES).for_each(|n| write("policies", n, policy(n, n)));
    let bucket = |n| {
        let document = document(n, r#""Principal": "*", "#);
        format!(r#"{{"ResourceArn": "arn:aws:s3:::b-{n}", "ResourcePolicy": {document}}}"#)
    };
    (0..BUCKETS).for_each(|n| write("buckets", n, bucket(n)));
}

fn reload(c: &mut Criterion) {
    let store = tempfile::tempdir().expect("a folder");
    write_store(store.path());
    std::thread::sleep(REST);
    let options = options();
    let mut group = c.benchmark_group("reload");
    group.sample_size(10);
    group.bench_function("load-10000-files", |b| b.iter(|| load_once(store.path(), &options)));
    let loaded = load_once(store.path(), &options).expect("a store");
    assert_eq!(loaded.directory.fragments().count(), USERS + GROUPS + ROLES + POLICIES + BUCKETS);
    let mut source = Source::new(store.path());
    source.fingerprint(Trust::Nothing);
    source.mark();
    group.bench_function("nothing-changed", |b| b.iter(|| black_box(source.fingerprint(Trust::Stamps).revision)));
    let mut dice = Dice(11);
    group.bench_function("change-one-of-10000-files", |b| {
        b.iter_batched(
            || fs::write(store.path().join("users/17.json"), user(17, &mut dice)).expect("a file"),
            |()| reloaded(&mut source, &loaded.directory, &options),
            BatchSize::PerIteration,
        );
    });
    let mut told = |file: &str, content: &mut dyn FnMut() -> String| {
        let path = store.path().join(file);
        let changed = BTreeSet::from([path.clone()]);
        group.bench_function(format!("told-of-{file}-of-10000-files"), |b| {
            b.iter_batched(
                || fs::write(&path, content()).expect("a file"),
                |()| {
                    let changes = source.changes(&changed).expect("one file");
                    source.mark();
                    assert_eq!(changes.files.len(), 1);
                    patch(&loaded.directory, &loaded.warnings, &changes, &options).expect("a file like the one before")
                },
                BatchSize::PerIteration,
            );
        });
    };
    told("users/17.json", &mut || user(17, &mut dice));
    // It is attached to a few groups and roles, these have some twenty users each.
    let mut n = 0;
    told("policies/17.json", &mut || {
        n += 1;
        policy(17, n)
    });
    group.finish();
}

fn reloaded(source: &mut Source, before: &Directory, options: &StoreOptions) -> Directory {
    let mut build = Build::after(before, options);
    let read = source.read(Trust::Stamps, &mut build);
    build.finish(&read).expect("a store").directory
}

criterion_group!(benches, reload);
criterion_main!(benches);
