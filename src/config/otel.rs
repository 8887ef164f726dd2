//! Tracing, by OpenTelemetry's standard variables: `OTEL_*`.
//!
//! There is no flag: whoever runs many services sets the variables for all of them. The SDK would put a default in the
//! place of a value that it does not understand, which nobody would notice; so all of them are read and checked here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use super::Problem;
use super::parse::Checker;

/// How calls are traced.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceOptions {
    /// Where the collector is.
    pub endpoint: Uri,
    /// What TLS to it needs; not used for `http://`.
    pub tls: CollectorTls,
    /// Sent with every batch of spans. Values are secrets.
    pub headers: HeaderMap,
    /// Whether batches are compressed, by gzip.
    pub compress: bool,
    /// How long one batch may take, attempts included.
    pub timeout: Duration,
    /// Which calls are traced.
    pub sampler: Sampler,
    /// Whether `traceparent` and `tracestate` of callers count.
    pub takes_context: bool,
    /// How spans are gathered.
    pub batch: BatchOptions,
    /// What all spans have in common; `service.name` is among them.
    pub resource: BTreeMap<String, String>,
}

/// Files for TLS to the collector, in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectorTls {
    /// Authorities that may have signed its certificate; None: those of the system.
    pub ca: Option<PathBuf>,
    /// Certificate and key for the collector to see.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Which calls are traced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Whether a caller that says so has the last word.
    pub parent_based: bool,
    /// The part of the others, from 0 to 1.
    pub ratio: f64,
}

/// How spans are gathered before they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// So many wait at most; more are dropped, and counted.
    pub queue: usize,
    /// So many are sent at a time.
    pub size: usize,
    /// How long they wait for others.
    pub delay: Duration,
}

/// What the variables say; None: nothing is traced. Everything that is wrong is reported.
pub fn check(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Option<TraceOptions>, Vec<Problem>> {
    let mut read = Variables { lookup, check: Checker::default() };
    let options = read.is_on().then(|| read.options());
    read.check.finish(options)
}

/// What holds for spans alone comes before what holds for all kinds of telemetry.
type Names = [&'static str; 2];

const ENDPOINT: Names = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOL: Names = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const INSECURE: Names = ["OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE"];
const HEADERS: Names = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const COMPRESSION: Names = ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];
const TIMEOUT: Names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const CERTIFICATE: Names = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
const CLIENT_CERTIFICATE: Names =
    ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"];
const CLIENT_KEY: Names = ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"];

/// The variable that names this file; the first, if there are several.
pub fn variable_of(file: &Path, lookup: impl Fn(&str) -> Option<OsString>) -> Option<&'static str> {
    let is_it = |name: &&str| lookup(name).is_some_and(|value| Path::new(&value) == file);
    [CERTIFICATE, CLIENT_CERTIFICATE, CLIENT_KEY].into_iter().flatten().find(is_it)
}

/// An hour, in milliseconds: whoever writes more has meant another unit.
const LONGEST_MS: u64 = 3_600_000;

/// A queue takes 400 bytes for each span that it could hold, whether it does or not: 40 MB.
const LONGEST_QUEUE: usize = 100_000;

/// Reads one variable at a time.
struct Variables<F> {
    lookup: F,
    check: Checker,
}

impl<F: Fn(&str) -> Option<OsString>> Variables<F> {
    /// An empty value is none, by the standard.
    fn text(&mut self, name: &'static str) -> Option<String> {
        let value = (self.lookup)(name).filter(|value| !value.is_empty())?;
        let text = value.into_string();
        text.map_err(|_| self.check.problem(name, "the value is not UTF-8")).ok()
    }

    fn first(&mut self, names: Names) -> Option<(&'static str, String)> {
        names.into_iter().find_map(|name| Some((name, self.text(name)?)))
    }

    fn is_on(&mut self) -> bool {
        let disabled = self.text("OTEL_SDK_DISABLED");
        if disabled.is_some_and(|text| self.truth("OTEL_SDK_DISABLED", &text)) {
            return false;
        }
        match self.text("OTEL_TRACES_EXPORTER").as_deref() {
            None => self.first(ENDPOINT).is_some(),
            Some("otlp") => true,
            Some("none") => false,
            Some(text) => {
                let message = format!("`{text}` is not an exporter that there is; write `otlp`, or `none`");
                self.check.problem("OTEL_TRACES_EXPORTER", message);
                false
            }
        }
    }

    fn options(&mut self) -> TraceOptions {
        self.protocol();
        let endpoint = self.endpoint();
        TraceOptions {
            tls: self.tls(&endpoint),
            endpoint,
            headers: self.headers(),
            compress: self.compress(),
            timeout: self.timeout(),
            sampler: self.sampler(),
            takes_context: self.takes_context(),
            batch: self.batch(),
            resource: self.resource(),
        }
    }

    fn truth(&mut self, name: &'static str, text: &str) -> bool {
        let truth = text.eq_ignore_ascii_case("true");
        if !truth && !text.eq_ignore_ascii_case("false") {
            self.check.problem(name, format!("`{text}` is neither `true` nor `false`"));
        }
        truth
    }

    fn milliseconds(&mut self, name: &'static str, text: &str) -> Duration {
        Duration::from_millis(self.check.number(name, text, 1..=LONGEST_MS))
    }

    // --- the collector ----------------------------------------------------------------------------------------------

    fn protocol(&mut self) {
        if let Some((name, text)) = self.first(PROTOCOL).filter(|(_, text)| text != "grpc") {
            let message =
                format!("`{text}` is not a protocol that is spoken; write `grpc`, which collectors take at 4317");
            self.check.problem(name, message);
        }
    }

    fn endpoint(&mut self) -> Uri {
        let default = Uri::from_static("http://localhost:4317");
        let insecure = self.first(INSECURE).is_some_and(|(name, text)| self.truth(name, &text));
        let Some((name, text)) = self.first(ENDPOINT) else { return default };
        let scheme = if insecure { "http" } else { "https" };
        let url = if text.contains("://") { text.clone() } else { format!("{scheme}://{text}") };
        let uri = url.parse().ok().filter(|uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")));
        if uri.as_ref().and_then(Uri::authority).is_some_and(|authority| authority.as_str().contains('@')) {
            // Not repeated here, nor in the log.
            let message = "has a user or password, which gRPC does not send; write `OTEL_EXPORTER_OTLP_HEADERS` for what the collector asks";
            self.check.problem(name, message);
            return default;
        }
        let path = uri.as_ref().and_then(Uri::path_and_query).map_or("/", PathAndQuery::as_str);
        if path != "/" {
            let message = format!("`{text}` has a path, and gRPC knows none; write `http://collector:4317`");
            self.check.problem(name, message);
        }
        uri.unwrap_or_else(|| {
            let message =
                format!("`{text}` is not a URL; write `http://collector:4317`, or `https://collector:4317` for TLS");
            self.check.problem(name, message);
            default
        })
    }

    fn tls(&mut self, endpoint: &Uri) -> CollectorTls {
        let [ca, cert, key] = [CERTIFICATE, CLIENT_CERTIFICATE, CLIENT_KEY].map(|names| self.first(names));
        for (name, _) in [&ca, &cert, &key].into_iter().flatten() {
            if endpoint.scheme_str() != Some("https") {
                let message = format!("needs an endpoint with `https://`: there is no TLS to `{endpoint}`");
                self.check.problem(name, message);
            }
        }
        let identity = match (cert, key) {
            (Some((_, cert)), Some((_, key))) => Some((cert.into(), key.into())),
            (Some((given, _)), None) => self.half(given, CLIENT_KEY),
            (None, Some((given, _))) => self.half(given, CLIENT_CERTIFICATE),
            (None, None) => None,
        };
        CollectorTls { ca: ca.map(|(_, path)| path.into()), identity }
    }

    fn half<T>(&mut self, given: &'static str, [_, missing]: Names) -> Option<T> {
        self.check.problem(given, format!("needs {missing}, too: a certificate and its key are two files"));
        None
    }

    fn headers(&mut self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let Some((name, text)) = self.first(HEADERS) else { return headers };
        for (number, entry) in (1..).zip(text.split(',').filter(|entry| !entry.trim().is_empty())) {
            match header(entry) {
                Some((header, value)) => drop(headers.insert(header, value)),
                // What is in it may be a secret.
                None => {
                    let message = format!("entry {number} is not a header; write `NAME=VALUE`, the value URL-encoded");
                    self.check.problem(name, message);
                }
            }
        }
        headers
    }

    fn compress(&mut self) -> bool {
        match self.first(COMPRESSION) {
            None => false,
            Some((name, text)) => {
                if !["gzip", "none"].contains(&text.as_str()) {
                    self.check.problem(name, format!("`{text}` is not a compression; write `gzip`, or `none`"));
                }
                text == "gzip"
            }
        }
    }

    /// Of the two variables that the standard has, the shorter one counts.
    fn timeout(&mut self) -> Duration {
        let of_protocol = self.first(TIMEOUT).map(|(name, text)| self.milliseconds(name, &text));
        let name = "OTEL_BSP_EXPORT_TIMEOUT";
        let of_batches = self.text(name).map(|text| self.milliseconds(name, &text));
        let [of_protocol, of_batches] =
            [(of_protocol, 10), (of_batches, 30)].map(|(given, default)| given.unwrap_or(Duration::from_secs(default)));
        of_protocol.min(of_batches)
    }

    // --- what is traced ---------------------------------------------------------------------------------------------

    fn sampler(&mut self) -> Sampler {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        let text = self.text(NAME).unwrap_or_else(|| "parentbased_always_on".to_owned());
        let (parent_based, root) = match text.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, text.as_str()),
        };
        let takes_ratio = root == "traceidratio";
        let given = self.ratio(takes_ratio);
        let ratio = match root {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => given.unwrap_or(1.0),
            _ => {
                let message = format!(
                    "`{text}` is not a sampler that there is; write `always_on`, `always_off` or `traceidratio`, or one of \
                     them behind `parentbased_`"
                );
                self.check.problem(NAME, message);
                0.0
            }
        };
        Sampler { parent_based, ratio }
    }

    fn ratio(&mut self, is_used: bool) -> Option<f64> {
        const NAME: &str = "OTEL_TRACES_SAMPLER_ARG";
        let text = self.text(NAME)?;
        let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        if ratio.is_none() {
            self.check
                .problem(NAME, format!("`{text}` is not a part of all; write a number from 0 to 1, such as `0.01`"));
        } else if !is_used {
            let message = "needs OTEL_TRACES_SAMPLER to be `traceidratio` or `parentbased_traceidratio`";
            self.check.problem(NAME, message);
        }
        ratio
    }

    fn takes_context(&mut self) -> bool {
        const NAME: &str = "OTEL_PROPAGATORS";
        let Some(text) = self.text(NAME) else { return true };
        let known = ["tracecontext", "baggage", "none"];
        for word in text.split(',').map(str::trim).filter(|word| !known.contains(word)) {
            let message = format!("`{word}` is not a form that is read; write `tracecontext`, or `none`");
            self.check.problem(NAME, message);
        }
        text.split(',').any(|word| word.trim() == "tracecontext")
    }

    fn batch(&mut self) -> BatchOptions {
        let [queue, size, delay] =
            ["OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_SCHEDULE_DELAY"];
        let delay = self.text(delay).map_or(Duration::from_secs(5), |text| self.milliseconds(delay, &text));
        let given = self.text(queue);
        let queue = given.map_or(2_048, |text| self.check.number(queue, &text, 1..=LONGEST_QUEUE));
        let given = self.text(size);
        let size = given.map_or(queue.min(512), |text| self.check.number(size, &text, 1..=queue));
        BatchOptions { queue, size, delay }
    }

    fn resource(&mut self) -> BTreeMap<String, String> {
        const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let own = [("service.name", "iamd"), ("service.version", env!("CARGO_PKG_VERSION"))];
        let mut resource: BTreeMap<_, _> = own.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let text = self.text(NAME).unwrap_or_default();
        for entry in text.split(',').filter(|entry| !entry.trim().is_empty()) {
            match attribute(entry) {
                Some((key, value)) => drop(resource.insert(key, value)),
                None => {
                    let message = format!("`{entry}` is not an attribute; write `KEY=VALUE`, the value URL-encoded");
                    self.check.problem(NAME, message);
                }
            }
        }
        if let Some(service) = self.text("OTEL_SERVICE_NAME") {
            resource.insert("service.name".to_owned(), service);
        }
        resource
    }
}

fn attribute(entry: &str) -> Option<(String, String)> {
    let (key, value) = entry.split_once('=')?;
    let key = key.trim();
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    (!key.is_empty()).then(|| (key.to_owned(), value.into_owned()))
}

fn header(entry: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = attribute(entry)?;
    let mut value = HeaderValue::try_from(value).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::try_from(name).ok()?, value))
}

#[cfg(test)]
mod tests;
