//! What is measured.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::generate::{GenerateArgs, Kind};
use crate::http2::socket::Address;
use crate::load::answer::Service;
use crate::load::bodies::Method;
use crate::load::drive::Plan;

/// A measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) method: Method,
    pub(super) connections: usize,
    pub(super) streams: usize,
    pub(super) each_new: bool,
    pub(super) unix: bool,
    /// Whether the server is meant to be busy all the time.
    pub(super) saturates: bool,
    /// What grows, and through which sizes.
    pub(super) series: Series,
    pub(super) sizes: &'static [u64],
    pub(super) beside_null: bool,
    /// So many requests in a row are of one caller.
    pub(super) in_a_row: u64,
    /// Calls a second, each measured from when it was due; None: as many as are answered.
    pub(super) rate: Option<f64>,
    /// Calls before it counts; what is cached is asked twice in any case.
    pub(super) warm_up: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Series {
    /// Nothing grows: 1,000 users with 10 of 100 policies of 10 statements each.
    None,
    /// Statements in the store; each user has 10 policies of 10.
    Statements,
    /// Statements of each user.
    OwnStatements,
    /// The same, and no index can help.
    WorstStatements,
    /// Users; each is in one of 10,000 groups, which have 10 of 1,600 policies. All are asked for equally often: how many there
    /// are is seen only where they do not stay in the processor's caches.
    Principals,
}

const ONE: &[u64] = &[1];
const STATEMENTS: &[u64] = &[100, 1000, 10_000, 100_000];

const UNARY: Row = Row {
    name: "",
    title: "",
    method: Method::Unary,
    connections: 8,
    streams: 32,
    each_new: false,
    unix: false,
    saturates: true,
    series: Series::None,
    sizes: ONE,
    beside_null: true,
    in_a_row: 1,
    rate: None,
    warm_up: 2000,
};
const SIDECAR: Row = Row { streams: 1, ..UNARY };
const SINGLE: Row = Row { connections: 1, saturates: false, ..SIDECAR };
const BATCH: Row = Row { method: Method::Batch, streams: 2, ..UNARY };
const CALLER: Row = Row { in_a_row: 100, ..BATCH };
const STREAM: Row = Row { method: Method::Stream, streams: 1, ..UNARY };
const GROWING: Row = Row { beside_null: false, sizes: STATEMENTS, ..UNARY };
const OWN: Row = Row { streams: 8, each_new: true, ..GROWING };
/// Where a decision takes long, few at a time keep a core busy, and a queue of 256 would be all that is measured.
const WORST: Row = Row { connections: 2, streams: 2, warm_up: 100, ..OWN };

pub(super) const ROWS: &[Row] = &[
    Row { name: "unary-cached", title: "unary, 8 x 32, 10,000 different requests, all from the cache", ..UNARY },
    Row {
        name: "unary-new",
        title: "unary, 8 x 32, every request new, 10 policies a principal",
        each_new: true,
        ..UNARY
    },
    Row {
        name: "unary-due",
        title: "unary, 8 x 32, cached, 60,000 calls a second, each measured from when it was due",
        saturates: false,
        rate: Some(60_000.0),
        ..UNARY
    },
    Row { name: "sidecar-tcp", title: "unary, 8 x 1, cached, over TCP", ..SIDECAR },
    Row { name: "sidecar-unix", title: "unary, 8 x 1, cached, over a Unix socket", unix: true, ..SIDECAR },
    Row { name: "single-tcp", title: "unary, 1 x 1, cached, over TCP", ..SINGLE },
    Row { name: "single-unix", title: "unary, 1 x 1, cached, over a Unix socket", unix: true, ..SINGLE },
    Row { name: "single-new", title: "unary, 1 x 1, every request new, over TCP", each_new: true, ..SINGLE },
    Row { name: "batch-cached", title: "batches of 100 different requests, 8 x 2, cached", ..BATCH },
    Row { name: "batch-new", title: "batches of 100 requests, 8 x 2, every request new", each_new: true, ..BATCH },
    Row { name: "caller-cached", title: "batches of 100 requests of one caller, 8 x 2, cached", ..CALLER },
    Row {
        name: "caller-new",
        title: "batches of 100 requests of one caller, 8 x 2, every request new",
        each_new: true,
        ..CALLER
    },
    Row { name: "stream-cached", title: "8 streams, 32 requests packed, cached", ..STREAM },
    Row { name: "stream-new", title: "8 streams, 32 requests packed, every request new", each_new: true, ..STREAM },
    Row {
        name: "statements-cached",
        title: "statements in the store, 8 x 32, cached",
        series: Series::Statements,
        ..GROWING
    },
    Row {
        name: "statements-new",
        title: "statements in the store, 8 x 32, every request new",
        series: Series::Statements,
        each_new: true,
        ..GROWING
    },
    Row {
        name: "own-statements-new",
        title: "statements of each principal, 8 x 8, every request new",
        series: Series::OwnStatements,
        ..OWN
    },
    Row {
        name: "worst-statements-new",
        title: "statements of each principal that only conditions tell apart, 2 x 2, every request new",
        series: Series::WorstStatements,
        sizes: &[10, 100, 1000, 10_000],
        ..WORST
    },
    Row {
        name: "principals-cached",
        title: "principals in the store, 8 x 32, cached",
        series: Series::Principals,
        sizes: &[1000, 10_000, 100_000, 1_000_000],
        ..GROWING
    },
    Row {
        name: "principals-new",
        title: "principals in the store, 8 x 32, every request new",
        series: Series::Principals,
        sizes: &[1000, 10_000, 100_000, 1_000_000],
        each_new: true,
        ..GROWING
    },
];

impl Row {
    pub(super) fn targets(&self) -> Vec<&'static str> {
        if self.beside_null { vec!["iamd", "null"] } else { vec!["iamd"] }
    }

    pub(super) fn size_of(&self, size: u64) -> BTreeMap<String, u64> {
        match self.series {
            Series::None => BTreeMap::new(),
            Series::Statements | Series::OwnStatements | Series::WorstStatements => {
                [("statements".to_owned(), size)].into()
            }
            Series::Principals => [("principals".to_owned(), size)].into(),
        }
    }

    /// What is generated for it; the directory is below the one for stores.
    pub(super) fn world(&self, size: u64) -> GenerateArgs {
        let base = base();
        let own = |kind, name: &str| {
            // A policy document is 1 MiB at most: 1,000 statements are a fifth of that.
            let per_policy = (size / 10).clamp(1, 1000);
            let policies = size / per_policy;
            let directory = PathBuf::from(format!("{name}-{size}"));
            let policies_per_user = policies;
            GenerateArgs {
                directory,
                users: 100,
                policies,
                policies_per_user,
                statements_per_policy: per_policy,
                kind,
                ..base.clone()
            }
        };
        match self.series {
            Series::None if self.in_a_row > 1 => {
                GenerateArgs { directory: "in-a-row".into(), in_a_row: self.in_a_row, ..base }
            }
            Series::None => base,
            Series::Statements => {
                GenerateArgs { directory: format!("statements-{size}").into(), policies: size / 10, ..base }
            }
            Series::OwnStatements => own(Kind::Resources, "own"),
            Series::WorstStatements => own(Kind::Worst, "worst"),
            Series::Principals => GenerateArgs {
                directory: format!("principals-{size}").into(),
                users: size,
                groups: 10_000,
                groups_per_user: 1,
                policies: 1600,
                policies_per_user: 0,
                policies_per_group: 10,
                requests: 100_000,
                zipf_principals: 0.0,
                ..base
            },
        }
    }

    pub(super) fn plan(&self, address: &Address, seconds: f64) -> Plan {
        Plan {
            address: address.to_string(),
            tls: None,
            service: Service::Iamd,
            method: self.method,
            connections: self.connections,
            streams: self.streams,
            batch: 100,
            pack: 32,
            window: 128,
            rate: self.rate,
            seconds,
            count: None,
            warm_up: self.warm_up,
            each_new: self.each_new,
            interval_seconds: 0.5,
        }
    }
}

/// 1,000 users with 10 of 100 policies of 10 statements each, and 10,000 requests.
pub(super) fn base() -> GenerateArgs {
    GenerateArgs {
        directory: "base".into(),
        seed: 1,
        users: 1000,
        groups: 0,
        groups_per_user: 0,
        policies: 100,
        policies_per_user: 10,
        policies_per_group: 0,
        statements_per_policy: 10,
        kind: Kind::Resources,
        deny_every: 10,
        conditions: 20,
        requests: 10_000,
        allowed: 70,
        denied: 10,
        objects: 1000,
        zipf_principals: 1.0,
        zipf_resources: 1.0,
        in_a_row: 1,
        context_keys: 4,
        peers: false,
        changed: false,
        only_binary: true,
    }
}
