use std::fs;

use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;
use crate::config::TlsVersion;

/// Writes a pair that begins and ends with these years.
fn write(options: &TlsOptions, from: i32, until: i32) {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    let key = KeyPair::generate().unwrap();
    fs::write(&options.cert, params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(&options.key, key.serialize_pem()).unwrap();
}

fn options(folder: &tempfile::TempDir) -> TlsOptions {
    let [cert, key] = ["tls.crt", "tls.key"].map(|name| folder.path().join(name));
    TlsOptions { cert, key, client_ca: None, allowed: Vec::new(), min_version: TlsVersion::V12 }
}

/// What a look at the files comes to; None if there is nothing to judge.
fn look(endpoint: &Endpoint, now: Timestamp) -> Option<ReloadResult> {
    let reading = endpoint.read();
    endpoint.is_news(&reading, now).then(|| endpoint.judge(reading, now))
}

#[test]
fn a_certificate_waits_for_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(&folder);
    write(&options, 2000, 2099);
    let endpoint = Endpoint::load(TlsListener::Grpc, options.clone()).unwrap();
    write(&options, 2080, 2099);
    let begins: Timestamp = "2080-01-01T00:00:00Z".parse().unwrap();
    let [too_soon, allowed] = [301, 300].map(|seconds| begins - SignedDuration::from_secs(seconds));

    assert_eq!(look(&endpoint, too_soon), Some(ReloadResult::Rejected));
    let error = endpoint.trouble().unwrap().error.clone();
    assert_eq!(error.message, "the certificate is not valid before 2080-01-01T00:00:00Z");
    assert!(error.hint.unwrap().contains("compare the clock of this machine"));
    assert_eq!(endpoint.active().certificate.not_before, "2000-01-01T00:00:00Z".parse().unwrap());

    // The same files: said once, and taken when they can be.
    assert_eq!(look(&endpoint, too_soon), None);
    assert_eq!(look(&endpoint, allowed), Some(ReloadResult::Activated));
    assert_eq!(endpoint.active().certificate.not_before, begins);
    assert!(endpoint.trouble().is_none());
}

#[test]
fn a_clock_that_was_wrong_and_is_set_right_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(&folder);
    write(&options, 2000, 2099);
    let endpoint = Endpoint::load(TlsListener::Grpc, options.clone()).unwrap();
    write(&options, 2000, 2090);
    let [ends, before] = ["2090-01-01T00:00:00Z", "2089-12-31T23:59:59Z"].map(|time| time.parse().unwrap());
    assert_eq!(look(&endpoint, ends), Some(ReloadResult::Rejected));
    assert_eq!(look(&endpoint, ends), None);
    assert_eq!(look(&endpoint, before), Some(ReloadResult::Activated));
}
