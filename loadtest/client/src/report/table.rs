//! Runs of one measurement, taken together.

use std::collections::BTreeMap;

use super::Results;
use crate::sample::Sample;
use crate::suite::spread;

/// The runs of one service in one measurement at one size that count.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) row: &'a str,
    pub(super) target: &'a str,
    pub(super) size: Option<u64>,
    pub(super) samples: Vec<&'a Sample>,
}

impl Group<'_> {
    /// Median, least and most of something.
    pub(super) fn spread(&self, of: impl Fn(&Sample) -> f64) -> (f64, f64, f64) {
        spread(&self.samples.iter().map(|sample| of(sample)).collect::<Vec<_>>()).unwrap_or_default()
    }

    pub(super) fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        self.spread(of).0
    }

    /// Decisions a second.
    pub(super) fn rate(&self) -> (f64, f64, f64) {
        self.spread(|sample| sample.measured.decisions_per_second())
    }
}

impl Results {
    /// In the order in which they were measured first.
    pub(super) fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut places: BTreeMap<(&str, &str, Option<u64>), usize> = BTreeMap::new();
        for sample in self.samples.iter().filter(|sample| sample.discarded.is_none()) {
            let size = sample.size.values().next().copied();
            let (row, target) = (sample.row.as_str(), sample.target.as_str());
            let place = *places.entry((row, target, size)).or_insert(groups.len());
            if place == groups.len() {
                groups.push(Group { row, target, size, samples: Vec::new() });
            }
            groups[place].samples.push(sample);
        }
        groups
    }

    /// Names of measurements, in the order in which they were measured first.
    pub(super) fn rows(&self) -> Vec<&str> {
        let mut rows: Vec<&str> = Vec::new();
        for sample in &self.samples {
            if !rows.contains(&sample.row.as_str()) {
                rows.push(&sample.row);
            }
        }
        rows
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
