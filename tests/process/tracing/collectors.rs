//! Collectors that are slow, gone, secret or wrong; and the last spans of a service that ends.

use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tonic::transport::{Identity, ServerTlsConfig};

use super::{ask, traced};
use crate::collector::Collector;
use crate::decisions::eventually;
use crate::operator::metric;
use crate::program::{iamd, store};

const FULL: &str = "iamd_trace_spans_dropped_total{reason=\"queue_full\"}";
const FAILED: &str = "iamd_trace_spans_dropped_total{reason=\"export_failed\"}";
const EXPORTED: &str = "iamd_trace_spans_exported_total";

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_are_sent_before_the_end() {
    let collector = Collector::start().await;
    // No batch is sent before.
    let (mut program, mut client) = traced(&collector.url(), &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]).await;
    for _ in 0..3 {
        ask(&mut client, Some("01")).await;
    }
    eventually("three spans wait", || metric(&program, "iamd_trace_queue_spans") == 3.0);
    assert_eq!(collector.spans(), []);
    drop(client);
    program.signal("TERM");
    assert_eq!(program.ended().0, 0);
    assert_eq!(collector.spans().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_delays_no_call_and_no_end() {
    let collector = Collector::hanging().await;
    let variables = [("OTEL_BSP_MAX_QUEUE_SIZE", "4"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")];
    let (mut program, mut client) = traced(&collector.url(), &variables).await;
    ask(&mut client, Some("01")).await;
    collector.wait_for(1).await;
    // From here on the exporter waits for an hour.
    for _ in 0..20 {
        ask(&mut client, Some("01")).await;
    }
    eventually("what finds no room is dropped", || metric(&program, FULL) == 16.0);
    assert_eq!(metric(&program, "iamd_trace_queue_spans"), 4.0);
    drop(client);
    let asked = Instant::now();
    program.signal("TERM");
    let lost = program.logged("stopped before the collector had taken all spans");
    assert_eq!((&lost["exported"], &lost["waiting"]), (&0.into(), &4.into()));
    assert_eq!(program.ended().0, 0);
    // Long before --drain-timeout, which is 20 s.
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_gone_is_said_once_and_counted() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (mut program, mut client) = traced(&format!("http://127.0.0.1:{port}"), &[]).await;
    ask(&mut client, Some("01")).await;
    eventually("a span is lost", || metric(&program, FAILED) == 1.0);
    let warning = program.logged("spans are lost: the collector does not take them");
    assert_eq!((warning["level"].as_str(), warning["dropped"].as_u64()), (Some("WARN"), Some(1)));
    ask(&mut client, Some("01")).await;
    eventually("another one is lost", || metric(&program, FAILED) == 2.0);
    program.signal("TERM");
    let mut lines = Vec::new();
    program.logged_until("stopped: every call has been answered", &mut lines);
    assert!(!lines.iter().any(|line| line.contains("spans are lost")), "once a minute: {lines:?}");
    assert_eq!(program.ended().0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_does_not_shake_hands_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem()).unwrap();
    // The system takes connections, and nobody ever reads them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let variables = [("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.to_str().unwrap()), ("OTEL_EXPORTER_OTLP_TIMEOUT", "50")];
    let (program, mut client) = traced(&url, &variables).await;
    for lost in [1.0, 2.0] {
        ask(&mut client, Some("01")).await;
        eventually("a span is lost", || metric(&program, FAILED) == lost);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_with_tls_is_checked() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let identity = Identity::from_pem(cert.pem(), signing_key.serialize_pem());
    let collector = Collector::start_with(Some(ServerTlsConfig::new().identity(identity))).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, cert.pem()).unwrap();
    let url = format!("https://localhost:{}", collector.port);
    let (program, mut client) = traced(&url, &[("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.to_str().unwrap())]).await;
    ask(&mut client, Some("01")).await;
    collector.wait_for(1).await;
    eventually("it is counted", || metric(&program, EXPORTED) == 1.0);

    let CertifiedKey { cert, .. } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&ca, cert.pem()).unwrap();
    let (program, mut client) = traced(&url, &[("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.to_str().unwrap())]).await;
    ask(&mut client, Some("01")).await;
    eventually("nothing is sent to others", || metric(&program, FAILED) == 1.0);
    assert_eq!(collector.spans().len(), 1);
}

/// Exit code and words of a program that does not start.
fn refused(variables: &[(&str, &str)], flags: &[&str]) -> (i32, String) {
    let store = store();
    let mut command = iamd(&["serve", "--admin-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--policies"]);
    let output = command.arg(store.path()).args(flags).envs(variables.iter().copied()).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn wrong_values_are_refused_together_with_wrong_flags() {
    let variables =
        [("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_TRACES_SAMPLER", "sometimes"), ("OTEL_BSP_MAX_QUEUE_SIZE", "0")];
    let expected = "\
error: --cache-size: `x` is not a size; write a number of bytes, or a number with KiB, MiB or GiB, such as `64MiB`
error: OTEL_TRACES_SAMPLER: `sometimes` is not a sampler that there is; write `always_on`, `always_off` or `traceidratio`, or one of them behind `parentbased_`
error: OTEL_BSP_MAX_QUEUE_SIZE: `0` is not allowed; write a whole number from 1 to 100000
";
    assert_eq!(refused(&variables, &["--cache-size", "x"]), (2, expected.to_owned()));
}

#[test]
fn files_that_cannot_be_used_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let variables =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c:4317"), ("OTEL_EXPORTER_OTLP_CERTIFICATE", ca.to_str().unwrap())];
    let (code, words) = refused(&variables, &[]);
    assert_eq!(code, 1);
    assert!(words.contains(&format!("{}: cannot read the file: no such file", ca.display())), "{words}");
    // Images are often empty but for the program.
    let empty = [variables[0], ("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/dev/null")];
    let (code, words) = refused(&empty, &[]);
    assert_eq!(code, 1);
    assert!(words.starts_with("error: cannot send traces to `https://c:4317/`: "), "{words}");
    assert!(
        words.ends_with("\n  hint: a system without certificates wants OTEL_EXPORTER_OTLP_CERTIFICATE\n"),
        "{words}"
    );
    std::fs::write(&ca, "nothing").unwrap();
    let (code, words) = refused(&variables, &[]);
    assert_eq!(code, 1);
    assert!(words.contains(&format!("{}: no certificate in the file", ca.display())), "{words}");
}
