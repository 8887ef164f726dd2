//! What came of a run: latencies, decisions and errors, in all and by interval.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use super::answer::{DECISIONS, Decision};

/// Latencies in nanoseconds, up to a minute (more is counted as a minute), to three digits.
#[expect(clippy::expect_used, reason = "the bounds are constants that fit each other")]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds in order")
}

/// What was measured, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// From the first request that counts to the end.
    pub seconds: f64,
    /// Calls that were answered OK in that time.
    pub calls: u64,
    /// Calls by how they failed, from the beginning of that time on.
    pub errors: BTreeMap<String, u64>,
    /// What the first of them said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
    /// Decisions by kind, in that time; `NONE` are requests that were answered with an error of their own.
    pub decisions: BTreeMap<String, u64>,
    /// Decisions that were not what the file of requests expects.
    pub unexpected: u64,
    /// Calls that were answered OK, and decisions, from the connection's beginning to its end.
    pub all_calls: u64,
    pub all_decisions: u64,
    pub latency: Latency,
    pub intervals: Vec<Interval>,
    /// The generator's own share of its core, in per cent.
    pub generator_busy: f64,
}

impl Measured {
    pub fn calls_per_second(&self) -> f64 {
        self.calls as f64 / self.seconds.max(1e-9)
    }

    pub fn decisions_per_second(&self) -> f64 {
        self.decisions.values().sum::<u64>() as f64 / self.seconds.max(1e-9)
    }
}

/// A distribution, in microseconds, and all of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub min_us: f64,
    pub mean_us: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub p9999_us: f64,
    pub max_us: f64,
    /// HdrHistogram V2, deflated, base64; nanoseconds.
    pub histogram: String,
}

/// A part of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its end, in seconds since the run began.
    pub at: f64,
    pub calls: u64,
    pub errors: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

fn us(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| us(histogram.value_at_quantile(quantile));
        let mut bytes = Vec::new();
        // Only a histogram that is larger than memory fails.
        let text = V2DeflateSerializer::new().serialize(histogram, &mut bytes).map(|_| STANDARD.encode(&bytes));
        Self {
            min_us: us(if histogram.is_empty() { 0 } else { histogram.min() }),
            mean_us: (histogram.mean()).round() / 1000.0,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: us(histogram.max()),
            histogram: text.unwrap_or_default(),
        }
    }

    /// The distribution itself, if it can be read.
    pub fn read(&self) -> Option<Histogram<u64>> {
        let bytes = STANDARD.decode(&self.histogram).ok()?;
        Deserializer::new().deserialize(&mut bytes.as_slice()).ok()
    }
}

/// Collects while a run goes on.
#[derive(Debug)]
pub struct Recorder {
    total: Histogram<u64>,
    interval: Histogram<u64>,
    length: u64,
    /// When the run began, and when the interval ends.
    began: u64,
    interval_end: u64,
    interval_errors: u64,
    /// Answers after that do not count.
    last: u64,
    calls: u64,
    errors: BTreeMap<String, u64>,
    first_error: Option<String>,
    /// By number; 0 for none.
    decisions: [u64; 4],
    unexpected: u64,
    intervals: Vec<Interval>,
    all_calls: u64,
    all_decisions: u64,
}

impl Recorder {
    pub fn new(interval: u64) -> Self {
        Self {
            total: histogram(),
            interval: histogram(),
            length: interval,
            began: 0,
            interval_end: interval,
            interval_errors: 0,
            last: u64::MAX,
            calls: 0,
            errors: BTreeMap::new(),
            first_error: None,
            decisions: [0; 4],
            unexpected: 0,
            intervals: Vec::new(),
            all_calls: 0,
            all_decisions: 0,
        }
    }

    /// From now on it counts.
    pub fn begin(&mut self, now: u64) {
        let fresh = Self::new(self.length);
        let (all_calls, all_decisions) = (self.all_calls, self.all_decisions);
        *self = Self { began: now, interval_end: now + self.length, all_calls, all_decisions, ..fresh };
    }

    /// What comes after `last` does not count.
    pub fn end(&mut self, last: u64) {
        self.last = last;
    }

    /// A call was answered.
    pub fn call(&mut self, now: u64, since: u64) {
        self.all_calls += 1;
        if now <= self.last {
            self.calls += 1;
            self.interval.saturating_record(now - since);
        }
    }

    /// A request was decided, in a call or a message of a stream; `right` has a bit for each right decision, or none.
    pub fn decision(&mut self, now: u64, decision: Option<Decision>, right: u8) {
        self.all_decisions += 1;
        if now <= self.last {
            self.decisions[decision.map_or(0, |decision| decision as usize)] += 1;
            let fits = decision.is_some_and(|decision| right == 0 || right & decision.bit() != 0);
            self.unexpected += u64::from(!fits);
        }
    }

    /// Calls failed. Those count whenever they do.
    pub fn failed(&mut self, count: u64, how: &str, message: Option<String>) {
        if count > 0 {
            *self.errors.entry(how.to_owned()).or_default() += count;
            self.interval_errors += count;
            self.first_error = self.first_error.take().or(message);
        }
    }

    /// Calls that were answered so far, whether they count or not.
    pub fn all_calls(&self) -> u64 {
        self.all_calls
    }

    /// Failures that count so far.
    pub fn errors(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Ends the interval if it is over.
    pub fn roll(&mut self, now: u64) -> Option<&Interval> {
        if now < self.interval_end || self.interval_end > self.last {
            return None;
        }
        self.close_interval(self.interval_end);
        // A generator that was held up skips intervals rather than make short ones.
        while self.interval_end <= now {
            self.interval_end += self.length;
        }
        self.intervals.last()
    }

    fn close_interval(&mut self, end: u64) {
        let at = |quantile| us(self.interval.value_at_quantile(quantile));
        self.intervals.push(Interval {
            at: (end - self.began) as f64 / 1e9,
            calls: self.interval.len(),
            errors: self.interval_errors,
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: us(self.interval.max()),
        });
        // Both have the same bounds.
        let _ = self.total.add(&self.interval);
        self.interval.reset();
        self.interval_errors = 0;
    }

    /// What was measured up to `end`.
    pub fn finish(mut self, end: u64) -> Measured {
        if !self.interval.is_empty() || self.interval_errors > 0 {
            self.close_interval(end);
        }
        let names = DECISIONS.iter().map(ToString::to_string);
        let names = std::iter::once("NONE".to_owned()).chain(names);
        Measured {
            seconds: (end - self.began) as f64 / 1e9,
            calls: self.calls,
            errors: self.errors,
            first_error: self.first_error,
            decisions: names.zip(self.decisions).filter(|(_, count)| *count > 0).collect(),
            unexpected: self.unexpected,
            all_calls: self.all_calls,
            all_decisions: self.all_decisions,
            latency: Latency::of(&self.total),
            intervals: self.intervals,
            generator_busy: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn counts_what_falls_between_begin_and_end() {
        let mut recorder = Recorder::new(SECOND);
        recorder.call(10, 5);
        recorder.decision(10, Some(Decision::Allow), 0);
        recorder.begin(SECOND);
        for answer in 0..1000 {
            let now = SECOND + answer * 2_000_000;
            recorder.roll(now);
            recorder.call(now, now - 1_000_000);
            recorder.decision(now, Some(Decision::Allow), Decision::Allow.bit());
        }
        recorder.decision(2 * SECOND, Some(Decision::Allow), Decision::ExplicitDeny.bit());
        recorder.decision(2 * SECOND, None, 0);
        recorder.failed(2, "UNAVAILABLE", Some("full".to_owned()));
        recorder.end(3 * SECOND);
        recorder.call(3 * SECOND + 1, 0);
        let measured = recorder.finish(3 * SECOND);
        assert_eq!((measured.calls, measured.all_calls, measured.all_decisions), (1000, 1002, 1003));
        assert_eq!(measured.unexpected, 2);
        assert_eq!(measured.errors, BTreeMap::from([("UNAVAILABLE".to_owned(), 2)]));
        assert_eq!(measured.decisions, BTreeMap::from([("ALLOW".to_owned(), 1001), ("NONE".to_owned(), 1)]));
        assert_eq!(measured.intervals.iter().map(|part| part.calls).collect::<Vec<_>>(), [500, 500]);
        assert!((measured.calls_per_second() - 500.0).abs() < 1e-6);
        assert!((measured.latency.p50_us - 1000.0).abs() < 1.0);
        let read = measured.latency.read().unwrap();
        assert_eq!((read.len(), read.max()), (1000, read.min().max(read.max())));
    }
}
