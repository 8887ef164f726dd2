use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Option<TraceOptions>, Vec<String>> {
    let lookup = |name: &str| Some(variables.iter().find(|(key, _)| *key == name)?.1.into());
    check(lookup).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// With a collector.
fn options(variables: &[(&str, &str)]) -> TraceOptions {
    read(&[variables, &[("OTEL_TRACES_EXPORTER", "otlp")]].concat()).unwrap().unwrap()
}

#[test]
fn it_is_off_unless_there_is_a_collector() {
    let (endpoint, traces) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let url = "http://c:4317";
    for (on, variables) in [
        (false, &[][..]),
        (false, &[(endpoint, "")]),
        (false, &[("OTEL_SERVICE_NAME", "x"), ("OTEL_TRACES_SAMPLER", "always_on")]),
        (true, &[(endpoint, url)]),
        (true, &[(traces, url)]),
        (true, &[("OTEL_TRACES_EXPORTER", "otlp")]),
        (false, &[(endpoint, url), ("OTEL_TRACES_EXPORTER", "none")]),
        (false, &[(endpoint, url), ("OTEL_SDK_DISABLED", "True")]),
        (true, &[(endpoint, url), ("OTEL_SDK_DISABLED", "false")]),
        // What is not used is not looked at.
        (false, &[(endpoint, "http://c:4318/v1"), ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_TRACES_SAMPLER", "x")]),
    ] {
        assert_eq!(read(variables).map(|options| options.is_some()), Ok(on), "{variables:?}");
    }
}

#[test]
fn what_is_not_said_is_as_the_standard_has_it() {
    let options = options(&[]);
    let expected = TraceOptions {
        endpoint: Uri::from_static("http://localhost:4317"),
        tls: CollectorTls::default(),
        headers: HeaderMap::new(),
        compress: false,
        timeout: Duration::from_secs(10),
        sampler: Sampler { parent_based: true, ratio: 1.0 },
        takes_context: true,
        batch: BatchOptions { queue: 2_048, size: 512, delay: Duration::from_secs(5) },
        resource: [("service.name", "iamd"), ("service.version", env!("CARGO_PKG_VERSION"))]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    };
    assert_eq!(options, expected);
}

#[test]
fn what_is_said_for_spans_comes_first() {
    let options = options(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4317"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces:4317/"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x, x-tenant = a"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "3000"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2000"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "/cert.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "1500"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_PROPAGATORS", "none"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=no,k8s.pod.name=a%2Cb,"),
        ("OTEL_SERVICE_NAME", "shop"),
    ]);
    assert_eq!(options.endpoint.host(), Some("traces"));
    assert_eq!(options.headers["authorization"], "Bearer x");
    assert_eq!(options.headers["x-tenant"], "a");
    assert!(!format!("{options:?}").contains("Bearer"), "secrets are not printed");
    assert!(options.compress);
    assert_eq!(options.timeout, Duration::from_millis(1500));
    let identity = Some(("/cert.pem".into(), "/key.pem".into()));
    assert_eq!(options.tls, CollectorTls { ca: Some("/ca.pem".into()), identity });
    assert_eq!(options.batch, BatchOptions { queue: 100, size: 100, delay: Duration::from_millis(50) });
    assert_eq!(options.sampler, Sampler { parent_based: false, ratio: 0.25 });
    assert!(!options.takes_context);
    let resource = ["service.name", "k8s.pod.name"].map(|key| options.resource[key].as_str());
    assert_eq!(resource, ["shop", "a,b"]);
}

#[test]
fn an_endpoint_without_a_scheme_has_tls_unless_it_is_refused() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317");
    assert_eq!(options(&[endpoint]).endpoint.scheme_str(), Some("https"));
    let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "true");
    assert_eq!(options(&[endpoint, insecure]).endpoint, Uri::from_static("http://collector:4317"));
}

#[test]
fn samplers() {
    for (text, parent_based, ratio) in [
        ("always_on", false, 1.0),
        ("always_off", false, 0.0),
        ("traceidratio", false, 1.0),
        ("parentbased_always_on", true, 1.0),
        ("parentbased_always_off", true, 0.0),
        ("parentbased_traceidratio", true, 1.0),
    ] {
        assert_eq!(options(&[("OTEL_TRACES_SAMPLER", text)]).sampler, Sampler { parent_based, ratio }, "{text}");
    }
}

#[test]
fn what_is_wrong_is_refused() {
    for (variable, value, message) in [
        ("OTEL_SDK_DISABLED", "yes", "`yes` is neither `true` nor `false`"),
        ("OTEL_TRACES_EXPORTER", "jaeger", "`jaeger` is not an exporter that there is; write `otlp`, or `none`"),
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http/protobuf",
            "`http/protobuf` is not a protocol that is spoken; write `grpc`, which collectors take at 4317",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://c:4318/v1/traces",
            "`http://c:4318/v1/traces` has a path, and gRPC knows none; write `http://collector:4317`",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "unix:///run/c",
            "`unix:///run/c` is not a URL; write `http://collector:4317`, or `https://collector:4317` for TLS",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "https://user:s3cr3t@collector:4317",
            "has a user or password, which gRPC does not send; write `OTEL_EXPORTER_OTLP_HEADERS` for what the collector asks",
        ),
        ("OTEL_EXPORTER_OTLP_INSECURE", "1", "`1` is neither `true` nor `false`"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "a=b,s3cr3t",
            "entry 2 is not a header; write `NAME=VALUE`, the value URL-encoded",
        ),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "`zstd` is not a compression; write `gzip`, or `none`"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "`10s` is not allowed; write a whole number from 1 to 3600000"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "0", "`0` is not allowed; write a whole number from 1 to 3600000"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "`-1` is not allowed; write a whole number from 1 to 3600000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "`many` is not allowed; write a whole number from 1 to 100000"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096", "`4096` is not allowed; write a whole number from 1 to 2048"),
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "/ca.pem",
            "needs an endpoint with `https://`: there is no TLS to `http://localhost:4317/`",
        ),
        (
            "OTEL_TRACES_SAMPLER",
            "xray",
            "`xray` is not a sampler that there is; write `always_on`, `always_off` or `traceidratio`, or one of them \
             behind `parentbased_`",
        ),
        (
            "OTEL_TRACES_SAMPLER_ARG",
            "0.1",
            "needs OTEL_TRACES_SAMPLER to be `traceidratio` or `parentbased_traceidratio`",
        ),
        ("OTEL_TRACES_SAMPLER_ARG", "10%", "`10%` is not a part of all; write a number from 0 to 1, such as `0.01`"),
        ("OTEL_PROPAGATORS", "tracecontext,b3", "`b3` is not a form that is read; write `tracecontext`, or `none`"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c", "`c` is not an attribute; write `KEY=VALUE`, the value URL-encoded"),
    ] {
        let given = read(&[(variable, value), ("OTEL_TRACES_EXPORTER", "otlp")]);
        assert_eq!(given, Err(vec![format!("{variable}: {message}")]));
    }
}

#[test]
fn a_key_needs_a_certificate() {
    let https = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c:4317");
    let [cert, key] = ["OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_KEY"];
    for (given, missing) in [(cert, key), (key, cert)] {
        let expected = format!("{given}: needs {missing}, too: a certificate and its key are two files");
        assert_eq!(read(&[https, (given, "/x")]), Err(vec![expected]));
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let problems = read(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "x"),
        ("OTEL_TRACES_SAMPLER", "x"),
    ]);
    assert_eq!(problems.unwrap_err().len(), 3);
}

/// Names and defaults, as the table for operators has them; None where it has words instead of a default.
fn documented() -> Vec<(&'static str, Option<&'static str>)> {
    let rows = include_str!("../../../docs/tracing.md").lines().filter(|line| line.starts_with("| `OTEL_"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let named = cells.flat_map(|cells| {
        let default = cells[2].strip_prefix('`').and_then(|text| text.strip_suffix('`'));
        cells[1].split(", ").map(move |name| (name.trim_matches('`'), default)).collect::<Vec<_>>()
    });
    named.collect()
}

#[test]
fn the_table_for_operators_has_every_variable_with_its_default() {
    let asked = std::cell::RefCell::new(std::collections::BTreeSet::new());
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        let values = [("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_TRACES_SAMPLER", "traceidratio")];
        Some(values.iter().find(|(known, _)| *known == name)?.1.into())
    };
    check(lookup).unwrap();
    let of_spans = |name: &String| name.contains("OTLP_TRACES_");
    let switches = ["OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"].map(str::to_owned);
    let general: Vec<String> =
        asked.into_inner().into_iter().filter(|name| !of_spans(name) && !switches.contains(name)).collect();
    let mut names: Vec<&str> = documented().into_iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(names, general);
    for (name, default) in documented() {
        if let Some(default) = default {
            // What takes an argument; it samples all unless one is given.
            let sampler = ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
            assert_eq!(options(&[(name, default), sampler]), options(&[]), "{name}");
        }
    }
}
