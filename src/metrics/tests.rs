use std::collections::BTreeSet;

use super::*;
use crate::config::TlsListener;

/// Every metric that users are promised.
const PROMISED: [&str; 31] = [
    "grpc_server_handled_total",
    "grpc_server_handling_seconds",
    "iamd_decisions_total",
    "iamd_request_errors_total",
    "iamd_evaluation_seconds",
    "iamd_cache_requests_total",
    "iamd_cache_entries",
    "iamd_cache_evictions_total",
    "iamd_snapshot_info",
    "iamd_snapshot_version",
    "iamd_snapshot_accounts",
    "iamd_snapshot_principals",
    "iamd_snapshot_policies",
    "iamd_snapshot_statements",
    "iamd_snapshots_live",
    "iamd_reloads_total",
    "iamd_reload_seconds",
    "iamd_last_reload_successful",
    "iamd_last_reload_success_timestamp_seconds",
    "iamd_last_look_timestamp_seconds",
    "iamd_poll_interval_seconds",
    "iamd_requests_in_flight",
    "iamd_requests_shed_total",
    "iamd_connections",
    "iamd_tls_handshakes_total",
    "iamd_tls_reloads_total",
    "iamd_tls_certificate_start_timestamp_seconds",
    "iamd_tls_certificate_expiry_timestamp_seconds",
    "iamd_tls_last_reload_successful",
    "iamd_build_info",
    "process_cpu_seconds_total",
];

fn readings(revision: &str, version: u64, evictions: u64) -> Readings {
    let snapshot = SnapshotReading { revision: revision.to_owned(), version, accounts: 2, ..Default::default() };
    let tls = vec![TlsReading { listener: TlsListener::Admin, not_before: 33, not_after: 77, successful: false }];
    Readings { snapshot: Some(snapshot), cache_evictions: evictions, tls, ..Default::default() }
}

fn answer(decision: Decision, decided_by: PolicyType, cache: CacheStatus, evaluation: Option<Duration>) -> Answer {
    Answer { outcome: Outcome { decision, decided_by, explanation: None }, cache, evaluation }
}

#[track_caller]
fn assert_line(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "`{line}` is missing in:\n{text}");
}

#[test]
fn every_metric_exists_from_the_start_with_help_and_type() {
    let text = Metrics::new().render(&readings("ab", 1, 0));
    for name in PROMISED {
        assert!(text.contains(&format!("# HELP {name} ")), "no help for {name}");
        assert!(text.contains(&format!("# TYPE {name} ")), "no type for {name}");
        let series = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ', '_']));
        assert!(text.lines().any(series), "no series of {name}");
    }
}

#[test]
fn histograms_are_histograms_with_the_promised_buckets() {
    let metrics = Metrics::new();
    metrics.rpc_finished(Rpc::HealthCheck, Code::Ok, Duration::from_micros(30));
    metrics.decided(&answer(Decision::Allow, PolicyType::Identity, CacheStatus::Miss, Some(Duration::from_nanos(90))));
    let text = metrics.render(&Readings::default());
    assert_line(&text, "# TYPE grpc_server_handling_seconds histogram");
    let check = "grpc_server_handling_seconds_bucket{grpc_service=\"grpc.health.v1.Health\",grpc_method=\"Check\"";
    assert_line(&text, &format!("{check},le=\"0.000025\"}} 0"));
    assert_line(&text, &format!("{check},le=\"0.00005\"}} 1"));
    assert_line(&text, &format!("{check},le=\"1\"}} 1"));
    assert_line(&text, "# TYPE iamd_evaluation_seconds histogram");
    assert_line(&text, "iamd_evaluation_seconds_bucket{le=\"0.0000001\"} 1");
    assert_line(&text, "iamd_evaluation_seconds_bucket{le=\"0.01\"} 1");
    assert_line(&text, "# TYPE iamd_reload_seconds histogram");
}

#[test]
fn a_tally_counts_as_each_decision_would() {
    let (one_by_one, at_once) = (Metrics::new(), Metrics::new());
    {
        let mut tally = at_once.tally();
        for (n, decision) in (0..).zip(Decision::ALL) {
            for (cache, by) in CacheStatus::ALL.into_iter().zip(PolicyType::ALL) {
                let took = (cache != CacheStatus::Hit).then(|| Duration::from_nanos(n));
                for _ in 0..=n {
                    one_by_one.decided(&answer(decision, by, cache, took));
                    tally.decided(&answer(decision, by, cache, took));
                }
            }
        }
    }
    let counted = |metrics: &Metrics| {
        let text = metrics.render(&Readings::default());
        let names = ["iamd_decisions_total", "iamd_cache_requests_total", "iamd_evaluation_seconds"];
        let lines = text.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
        lines.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert!(counted(&at_once).contains("iamd_cache_requests_total{result=\"hit\"} 6"));
    assert_eq!(counted(&at_once), counted(&one_by_one));
}

#[test]
fn counters_land_under_their_labels() {
    let metrics = Metrics::new();
    for rpc in Rpc::ALL {
        metrics.rpc_finished(rpc, Code::InvalidArgument, Duration::ZERO);
    }
    for decision in Decision::ALL {
        for by in PolicyType::ALL {
            metrics.decided(&answer(decision, by, CacheStatus::Hit, None));
        }
    }
    for code in [Code::InvalidArgument, Code::Internal, Code::Unavailable] {
        metrics.refused(code);
    }
    metrics.shed(Shed::InFlight);
    metrics.shed(Shed::Connections);
    let text = metrics.render(&Readings::default());
    for rpc in Rpc::ALL {
        let labels = format!("grpc_service=\"{}\",grpc_method=\"{}\"", rpc.service(), rpc.method());
        assert_line(&text, &format!("grpc_server_handled_total{{{labels},grpc_code=\"INVALID_ARGUMENT\"}} 1"));
        assert_line(&text, &format!("grpc_server_handled_total{{{labels},grpc_code=\"OK\"}} 0"));
    }
    for decision in Decision::ALL.map(Decision::as_str) {
        for by in PolicyType::ALL.map(PolicyType::as_str) {
            let labels = format!("decision=\"{decision}\",decided_by=\"{by}\"");
            assert_line(&text, &format!("iamd_decisions_total{{{labels}}} 1"));
        }
    }
    for code in ["INVALID_ARGUMENT", "INTERNAL", "UNAVAILABLE"] {
        assert_line(&text, &format!("iamd_request_errors_total{{grpc_code=\"{code}\"}} 1"));
    }
    assert_line(&text, "iamd_cache_requests_total{result=\"hit\"} 24");
    assert_line(&text, "iamd_cache_requests_total{result=\"miss\"} 0");
    assert_line(&text, "iamd_evaluation_seconds_count 0");
    assert_line(&text, "iamd_requests_shed_total{reason=\"in_flight\"} 1");
    assert_line(&text, "iamd_requests_shed_total{reason=\"connections\"} 1");
}

#[test]
fn transport_security_has_series_of_its_listeners() {
    let metrics = Metrics::new();
    for listener in TlsListener::ALL {
        Handshake::ALL.iter().for_each(|result| metrics.handshake(listener, *result));
        ReloadResult::ALL.iter().for_each(|result| metrics.tls_reload_finished(listener, *result));
    }
    let text = metrics.render(&readings("aa", 1, 0));
    for listener in ["grpc", "admin"] {
        for result in ["ok", "failed", "refused", "timeout"] {
            assert_line(&text, &format!("iamd_tls_handshakes_total{{listener=\"{listener}\",result=\"{result}\"}} 1"));
        }
        for result in ["activated", "unchanged", "rejected"] {
            assert_line(&text, &format!("iamd_tls_reloads_total{{listener=\"{listener}\",result=\"{result}\"}} 1"));
        }
    }
    assert_line(&text, "iamd_tls_certificate_start_timestamp_seconds{listener=\"admin\"} 33");
    assert_line(&text, "iamd_tls_certificate_expiry_timestamp_seconds{listener=\"admin\"} 77");
    assert_line(&text, "iamd_tls_last_reload_successful{listener=\"admin\"} 0");
    assert!(!metrics.render(&Readings::default()).contains("iamd_tls_certificate_expiry"), "no TLS, no expiry");
}

#[test]
fn enums_index_their_handles() {
    assert!(Rpc::ALL.iter().enumerate().all(|(index, rpc)| *rpc as usize == index));
    assert!(Decision::ALL.iter().enumerate().all(|(index, decision)| *decision as usize == index));
    assert!(PolicyType::ALL.iter().enumerate().all(|(index, kind)| *kind as usize == index));
    assert!(CacheStatus::ALL.iter().enumerate().all(|(index, status)| *status as usize == index));
    assert!(ReloadResult::ALL.iter().enumerate().all(|(index, result)| *result as usize == index));
    assert!(Handshake::ALL.iter().enumerate().all(|(index, result)| *result as usize == index));
    assert!(TlsListener::ALL.iter().enumerate().all(|(index, listener)| *listener as usize == index));
    assert!(Shed::ALL.iter().enumerate().all(|(index, reason)| *reason as usize == index));
}

#[test]
fn only_the_active_revision_has_a_series_and_evictions_never_fall() {
    let metrics = Metrics::new();
    assert_line(&metrics.render(&readings("aa", 1, 5)), "iamd_cache_evictions_total 5");
    assert_line(&metrics.render(&readings("aa", 1, 7)), "iamd_cache_evictions_total 7");
    let text = metrics.render(&readings("bb", 2, 1));
    assert_line(&text, "iamd_cache_evictions_total 7");
    assert_line(&text, "iamd_snapshot_info{revision=\"bb\"} 1");
    assert_line(&text, "iamd_snapshot_version 2");
    assert!(!text.contains("revision=\"aa\""));
}

#[test]
fn a_rejected_reload_keeps_the_time_of_the_last_success() {
    let metrics = Metrics::new();
    let at = |second| jiff::Timestamp::from_second(second).unwrap();
    for (at, result) in [(at(1_000), ReloadResult::Activated), (at(2_000), ReloadResult::Rejected)] {
        metrics.reload_finished(&LastReload { at, result, duration: Duration::from_millis(3), errors: Vec::new() });
    }
    let text = metrics.render(&Readings::default());
    assert_line(&text, "iamd_reloads_total{result=\"activated\"} 1");
    assert_line(&text, "iamd_reloads_total{result=\"rejected\"} 1");
    assert_line(&text, "iamd_last_reload_successful 0");
    assert_line(&text, "iamd_last_reload_success_timestamp_seconds 1000");
    assert_line(&text, "iamd_reload_seconds_count 2");
}

#[test]
fn how_long_ago_a_look_was_and_how_often_there_is_one() {
    let metrics = Metrics::new();
    let text = metrics.render(&Readings::default());
    assert_line(&text, "iamd_last_look_timestamp_seconds 0");
    metrics.polls_every(Duration::from_millis(2_500));
    let last_look = Some(jiff::Timestamp::from_millisecond(1_000_500).unwrap());
    let text = metrics.render(&Readings { last_look, ..Default::default() });
    assert_line(&text, "iamd_last_look_timestamp_seconds 1000.5");
    assert_line(&text, "iamd_poll_interval_seconds 2.5");
}
