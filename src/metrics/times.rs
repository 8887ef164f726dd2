//! Histograms of times.
//!
//! A recorder's own keep each observation until somebody sorts them into buckets, which costs more than to decide what is
//! observed. Here an observation is sorted when it is made, and several at once where a thread makes several.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a histogram is called, says and tells apart.
#[derive(Debug)]
pub(super) struct Kind {
    name: &'static str,
    help: &'static str,
    /// The upper bounds of its buckets, in nanoseconds, in order.
    bounds: &'static [u64],
}

/// From one write to a socket (10 us) to the default timeout (1 s).
pub(super) const HANDLING: Kind = Kind {
    name: "grpc_server_handling_seconds",
    help: "From the first byte of a call to its last",
    bounds: &[
        10_000,
        25_000,
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        1_000_000_000,
    ],
};

/// From a handful of comparisons (100 ns) to a store of pathological size (10 ms).
pub(super) const EVALUATION: Kind = Kind {
    name: "iamd_evaluation_seconds",
    help: "Evaluation alone, of requests that the cache did not know",
    bounds: &[
        100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
        5_000_000, 10_000_000,
    ],
};

/// From one small file (1 ms) to all of a large organization (30 s).
pub(super) const RELOAD: Kind = Kind {
    name: "iamd_reload_seconds",
    help: "From the decision to read the files to the active snapshot",
    bounds: &[
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        1_000_000_000,
        2_500_000_000,
        5_000_000_000,
        10_000_000_000,
        30_000_000_000,
    ],
};

/// At least one more than any kind has bounds.
const BUCKETS: usize = 17;

/// A histogram, which all threads write to.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Times {
    kind: &'static Kind,
    /// As they are written between braces; empty: none.
    labels: String,
    /// How many observations are in each bucket, above all bounds last.
    counts: [AtomicU64; BUCKETS],
    /// The sum of all observations: their whole seconds, and what they have beyond these, which is full after 584 years of calls
    /// of less than a second.
    seconds: AtomicU64,
    nanoseconds: AtomicU64,
}

/// What one thread has observed.
#[derive(Debug, Default)]
pub(super) struct Observed {
    counts: [u64; BUCKETS],
    sum: Duration,
}

impl Kind {
    /// The bucket of an observation: a bound belongs to what is below it.
    fn bucket(&self, nanoseconds: u64) -> usize {
        self.bounds.partition_point(|bound| *bound < nanoseconds)
    }
}

fn nanoseconds(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

impl Observed {
    /// Adds an observation of this kind.
    pub(super) fn add(&mut self, kind: &Kind, took: Duration) {
        self.sum = self.sum.saturating_add(took);
        self.counts.get_mut(kind.bucket(nanoseconds(took))).into_iter().for_each(|count| *count += 1);
    }
}

impl Times {
    pub(super) fn new(kind: &'static Kind, labels: &[(&str, &str)]) -> Self {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let (counts, seconds, nanoseconds) = Default::default();
        Self { kind, labels: labels.join(","), counts, seconds, nanoseconds }
    }

    pub(super) fn record(&self, took: Duration) {
        self.add(took);
        if let Some(count) = self.counts.get(self.kind.bucket(nanoseconds(took))) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// As [`Times::record`] of each.
    pub(super) fn record_all(&self, observed: &Observed) {
        self.add(observed.sum);
        for (count, more) in self.counts.iter().zip(observed.counts).filter(|(_, more)| *more > 0) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    fn add(&self, took: Duration) {
        if took.as_secs() > 0 {
            self.seconds.fetch_add(took.as_secs(), Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(took.subsec_nanos().into(), Ordering::Relaxed);
    }

    /// The sum of all observations, in seconds.
    #[expect(clippy::cast_precision_loss, reason = "microseconds are exact for 285 years")]
    fn sum(&self) -> f64 {
        self.seconds.load(Ordering::Relaxed) as f64 + seconds(self.nanoseconds.load(Ordering::Relaxed))
    }

    /// Its series.
    fn render(&self, text: &mut String) {
        let (Kind { name, bounds, .. }, labels) = (self.kind, &self.labels);
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        let bounds = bounds.iter().map(|bound| seconds(*bound).to_string()).chain(["+Inf".to_owned()]);
        for (bound, more) in bounds.zip(&self.counts) {
            count += more.load(Ordering::Relaxed);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
        }
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(text, "{name}_sum{labels} {}\n{name}_count{labels} {count}", self.sum());
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 104 days, and microseconds for 285 years")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// All series of a kind in Prometheus' text format.
pub(super) fn render<'t>(kind: &Kind, series: impl IntoIterator<Item = &'t Times>, text: &mut String) {
    let Kind { name, help, .. } = kind;
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
    series.into_iter().for_each(|times| times.render(text));
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Kind = Kind { name: "small", help: "Two buckets", bounds: &[100, 2_500_000_000] };

    #[test]
    fn an_observation_is_in_every_bucket_from_its_own_on() {
        let times = Times::new(&SMALL, &[("a", "b")]);
        for nanoseconds in [0, 100, 101, 2_500_000_000, 2_500_000_001] {
            times.record(Duration::from_nanos(nanoseconds));
        }
        let mut observed = Observed::default();
        observed.add(&SMALL, Duration::from_secs(3));
        times.record_all(&observed);
        let mut text = String::new();
        render(&SMALL, [&times], &mut text);
        let expected = [
            "# HELP small Two buckets",
            "# TYPE small histogram",
            "small_bucket{a=\"b\",le=\"0.0000001\"} 2",
            "small_bucket{a=\"b\",le=\"2.5\"} 4",
            "small_bucket{a=\"b\",le=\"+Inf\"} 6",
            "small_sum{a=\"b\"} 8.000000202",
            "small_count{a=\"b\"} 6",
            "",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn bounds_are_in_order_and_no_more_than_there_is_room_for() {
        for Kind { name, bounds, .. } in [HANDLING, EVALUATION, RELOAD] {
            assert!(bounds.is_sorted() && bounds.len() < BUCKETS, "{name}");
        }
    }
}
