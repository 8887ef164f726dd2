//! The figures of a report.

use super::Results;
use super::svg::{Axis, Bars, Line, Scale, bars, lines};
use super::table::Group;

/// A figure: the name of its file without `.svg`, and the file.
#[derive(Debug)]
pub(super) struct Plot {
    pub(super) name: &'static str,
    pub(super) svg: String,
}

/// Those for which there are results.
pub(super) fn plots(results: &Results) -> Vec<Plot> {
    let groups = results.groups();
    let all = [
        ("throughput", throughput(&groups)),
        ("latency", latency(&groups)),
        ("statements", growth(&groups, "statements", "Throughput against statements")),
        ("principals", growth(&groups, "principals", "Throughput against principals")),
        ("reload", reload(results)),
        ("peers", peers(&groups)),
    ];
    all.into_iter().filter_map(|(name, svg)| svg.map(|svg| Plot { name, svg })).collect()
}

/// iamd and the null service, side by side.
fn throughput(groups: &[Group<'_>]) -> Option<String> {
    let mut rows: Vec<Bars> = Vec::new();
    for group in
        groups.iter().filter(|group| group.size.is_none() && !group.row.starts_with("peers") && group.row != "reload")
    {
        let colour = usize::from(group.target != "iamd");
        let (median, least, most) = group.rate();
        match rows.iter_mut().find(|row| row.label == group.row) {
            Some(row) => row.values.push((colour, median, least, most)),
            None => rows.push(Bars { label: group.row.to_owned(), values: vec![(colour, median, least, most)] }),
        }
    }
    (!rows.is_empty()).then(|| {
        bars("Decisions per second on one core: median, least and most", &["iamd", "null service"], &rows, "/s")
    })
}

/// Every run of a few measurements, as one distribution each.
fn latency(groups: &[Group<'_>]) -> Option<String> {
    let wanted = ["single-tcp", "single-unix", "sidecar-tcp", "unary-cached", "unary-due"];
    let mut drawn = Vec::new();
    for (colour, row) in wanted.iter().enumerate() {
        for group in groups.iter().filter(|group| group.row == *row && ["iamd", "null"].contains(&group.target)) {
            let mut all = crate::load::record::histogram();
            for sample in &group.samples {
                if let Some(one) = sample.measured.latency.read() {
                    let _ = all.add(&one);
                }
            }
            if all.is_empty() {
                continue;
            }
            // As many nines as there are answers to show them.
            let nines = (all.len() as f64).log10().min(5.0);
            let quantiles = (0..=40).map(|step| 1.0 - 10_f64.powf(-nines * f64::from(step) / 40.0));
            let points = quantiles.map(|at| (at, all.value_at_quantile(at) as f64 / 1000.0, None)).collect();
            let dashed = group.target == "null";
            drawn.push(Line { name: format!("{row}{}", if dashed { ", null" } else { "" }), colour, dashed, points });
        }
    }
    let x = Axis { label: "percentile", scale: Scale::Nines };
    let y = Axis { label: "latency, microseconds", scale: Scale::Log };
    (!drawn.is_empty()).then(|| lines("Latency distribution", &x, &y, &drawn, &[]))
}

/// A line for each measurement that has a series of that kind.
fn growth(groups: &[Group<'_>], what: &'static str, title: &str) -> Option<String> {
    let mut drawn: Vec<Line> = Vec::new();
    for group in groups.iter().filter(|group| group.row.contains(what)) {
        let Some(size) = group.size else { continue };
        let (median, least, most) = group.rate();
        let point = (size as f64, median, Some((least, most)));
        match drawn.iter_mut().find(|line| line.name == group.row) {
            Some(line) => line.points.push(point),
            None => {
                drawn.push(Line { name: group.row.to_owned(), colour: drawn.len(), dashed: false, points: vec![point] })
            }
        }
    }
    let x = Axis { label: what, scale: Scale::Log };
    let y = Axis { label: "decisions per second", scale: Scale::Linear };
    (!drawn.is_empty()).then(|| lines(title, &x, &y, &drawn, &[]))
}

/// The last run with changes, interval by interval.
fn reload(results: &Results) -> Option<String> {
    let sample = results.samples.iter().rev().find(|sample| sample.row == "reload" && !sample.reloads.is_empty())?;
    let line = |name: &str, colour, of: fn(&crate::load::record::Interval) -> f64| Line {
        name: name.to_owned(),
        colour,
        dashed: false,
        points: sample
            .measured
            .intervals
            .iter()
            .filter(|part| part.calls > 0)
            .map(|part| (part.at, of(part), None))
            .collect(),
    };
    let drawn =
        [line("p50", 0, |part| part.p50_us), line("p99", 1, |part| part.p99_us), line("max", 4, |part| part.max_us)];
    let x = Axis { label: "seconds; a dotted line is a change of the store", scale: Scale::Time };
    let y = Axis { label: "latency, microseconds", scale: Scale::Log };
    Some(lines("Latency while the store changes, full load", &x, &y, &drawn, &sample.reloads))
}

fn peers(groups: &[Group<'_>]) -> Option<String> {
    let rows: Vec<Bars> = groups
        .iter()
        .filter(|group| group.row == "peers")
        .map(|group| {
            let (median, least, most) = group.rate();
            Bars {
                label: group.target.to_owned(),
                values: vec![(usize::from(!group.target.starts_with("iamd")), median, least, most)],
            }
        })
        .collect();
    (!rows.is_empty()).then(|| bars("The same decisions, per second on one core", &["iamd", "others"], &rows, "/s"))
}
