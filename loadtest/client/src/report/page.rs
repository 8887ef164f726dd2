//! The page.

use std::fmt::Write;

use super::Results;
use super::table::{Group, thousands};
use crate::load::progress::short;
use crate::suite::title;

/// In Markdown; `plots` are the figures that there are.
pub(super) fn page(results: &Results, plots: &[&str]) -> String {
    let groups = results.groups();
    let mut out = heading(results);
    let figure = |out: &mut String, name: &str, alt: &str| {
        if plots.contains(&name) {
            let _ = writeln!(out, "\n![{alt}]({name}.svg)");
        }
    };
    let plain: Vec<&Group<'_>> = groups.iter().filter(|group| group.size.is_none() && !special(group)).collect();
    if !plain.is_empty() {
        out.push_str("\n## Beside the null service\n\nA service with the same interface and a constant answer, in turn with iamd. Median (least to most; runs).\n");
        figure(&mut out, "throughput", "Decisions per second of iamd and the null service");
        beside_null(&mut out, &plain);
        figure(&mut out, "latency", "Latency distribution");
    }
    let growing: Vec<&Group<'_>> = groups.iter().filter(|group| group.size.is_some()).collect();
    if !growing.is_empty() {
        out.push_str("\n## Against size\n");
        figure(&mut out, "statements", "Throughput against statements");
        figure(&mut out, "principals", "Throughput against principals");
        against_size(&mut out, &growing);
    }
    let reloads: Vec<&Group<'_>> = groups.iter().filter(|group| group.row == "reload").collect();
    if !reloads.is_empty() {
        out.push_str("\n## While files change\n");
        figure(&mut out, "reload", "Latency while the store changes");
        while_files_change(&mut out, &reloads);
    }
    let peers: Vec<&Group<'_>> = groups.iter().filter(|group| group.row.starts_with("peers")).collect();
    if !peers.is_empty() {
        out.push_str("\n## The same decisions by others\n");
        figure(&mut out, "peers", "Decisions per second of iamd and others");
        by_others(&mut out, &peers);
    }
    titles(&mut out, results);
    not_counted(&mut out, results);
    commands(&mut out, results);
    out
}

fn special(group: &Group<'_>) -> bool {
    group.row == "reload" || group.row.starts_with("peers")
}

fn heading(results: &Results) -> String {
    let mut out = String::new();
    let Some(session) = results.sessions.first() else { return "# Load test\n".to_owned() };
    let machine = &session.machine;
    let date = session.began.split('T').next().unwrap_or_default();
    let _ = writeln!(out, "# Load test of {date}\n");
    out.push_str("<!-- Generated: `iamd-load report` writes this page from raw.jsonl. -->\n\n");
    let _ = writeln!(
        out,
        "| | |\n|---|---|\n| commit | {} |\n| machine | {}, {} cores, {} GiB |\n| kernel, compiler | Linux {}, {} |\n| began | {} |",
        machine.commit,
        machine.processor,
        machine.cores,
        machine.memory_gib,
        machine.kernel,
        machine.rustc,
        session.began
    );
    out.push_str("\nOne core for the service, another for the generator. A run counts if every call was answered OK, every decision was the expected one, and iamd's own counters agree.\n");
    full_speed(&mut out, results);
    out
}

/// The rule about the core's speed, if there was one.
fn full_speed(out: &mut String, results: &Results) {
    let Some(least) = results.sessions.iter().find_map(|session| session.min_speed) else { return };
    let slow = results.samples.iter().filter(|sample| sample.was_slow()).count();
    let _ = writeln!(
        out,
        "Besides, the service's core had to have at least {least:.0} % of its full speed, by a little work that is always the \
         same, every 20 ms, on that core; full speed is that of the best half second that the session had seen when a measurement \
         ended. The same for every service; {slow} of {} runs do not count for it.",
        results.samples.len()
    );
}

/// Median, least and most, and how many.
fn rate(group: &Group<'_>) -> String {
    let (median, least, most) = group.rate();
    format!("{} ({} to {}; {})", thousands(median), thousands(least), thousands(most), group.samples.len())
}

fn quantiles(group: &Group<'_>) -> String {
    let of = [
        group.median(|sample| sample.measured.latency.p50_us),
        group.median(|sample| sample.measured.latency.p99_us),
        group.median(|sample| sample.measured.latency.p999_us),
    ];
    of.map(short).join(" | ")
}

fn hits(group: &Group<'_>) -> String {
    let share = |sample: &crate::sample::Sample| {
        sample.server.as_ref()?.counters.as_ref().map(crate::sample::Counters::hit_share)
    };
    if group.samples.iter().all(|sample| share(sample).is_none()) {
        return String::new();
    }
    format!("{:.1} %", group.median(|sample| share(sample).unwrap_or(0.0)))
}

fn beside_null(out: &mut String, groups: &[&Group<'_>]) {
    out.push_str(
        "\n| | decisions/s | of null | p50 | p99 | p99.9 | busy | cache hits |\n|---|---|---|---|---|---|---|---|\n",
    );
    for group in groups {
        let null =
            groups.iter().find(|other| other.row == group.row && other.target == "null" && group.target == "iamd");
        let of_null = null.map_or_else(String::new, |null| format!("**{:.2}**", group.rate().0 / null.rate().0));
        let busy = group.median(|sample| sample.server.as_ref().map_or(0.0, |server| server.busy));
        let _ = writeln!(
            out,
            "| {}, {} | {} | {of_null} | {} | {busy:.0} % | {} |",
            group.row,
            group.target,
            rate(group),
            quantiles(group),
            hits(group)
        );
    }
}

fn against_size(out: &mut String, groups: &[&Group<'_>]) {
    out.push_str(
        "\n| | size | decisions/s | p50 | p99 | p99.9 | memory | start |\n|---|---|---|---|---|---|---|---|\n",
    );
    for group in groups {
        let size = group.size.map_or_else(String::new, |size| thousands(size as f64));
        let memory = group.median(|sample| sample.server.as_ref().map_or(0.0, |server| server.resident_after_mib));
        let start = group.median(|sample| sample.server.as_ref().map_or(0.0, |server| server.start_seconds));
        let _ = writeln!(
            out,
            "| {} | {size} | {} | {} | {memory:.0} MiB | {start:.2} s |",
            group.row,
            rate(group),
            quantiles(group)
        );
    }
}

fn while_files_change(out: &mut String, groups: &[&Group<'_>]) {
    out.push_str("\n| | decisions/s | p50 | p99 | p99.9 | errors | wrong decisions | reloads | memory before | after |\n|---|---|---|---|---|---|---|---|---|---|\n");
    for group in groups {
        let errors: u64 = group.samples.iter().flat_map(|sample| sample.measured.errors.values()).sum();
        let wrong: u64 = group.samples.iter().map(|sample| sample.measured.unexpected).sum();
        let counters = group.samples.iter().filter_map(|sample| sample.server.as_ref()?.counters.as_ref());
        let reloads: u64 = counters.map(|counters| counters.reloads_activated).sum();
        let before = group.median(|sample| sample.server.as_ref().map_or(0.0, |server| server.resident_before_mib));
        let after = group.median(|sample| sample.server.as_ref().map_or(0.0, |server| server.resident_after_mib));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {errors} | {wrong} | {reloads} | {before:.0} MiB | {after:.0} MiB |",
            group.target,
            rate(group),
            quantiles(group)
        );
    }
}

fn by_others(out: &mut String, groups: &[&Group<'_>]) {
    out.push_str("\n`iamd-new`: every request new, since the others remember no decisions. Cedar is asked in its own process, without a wire. What is equal and what is not: [loadtest](../../README.md#with-peers).\n");
    out.push_str("\n| | decisions/s | p50 | p99 | p99.9 | memory |\n|---|---|---|---|---|---|\n");
    for group in groups {
        let memory = group.median(|sample| sample.server.as_ref().map_or(0.0, |server| server.resident_after_mib));
        let memory = if memory > 0.0 { format!("{memory:.0} MiB") } else { String::new() };
        let _ =
            writeln!(out, "| {}, {} | {} | {} | {memory} |", group.row, group.target, rate(group), quantiles(group));
    }
}

fn titles(out: &mut String, results: &Results) {
    out.push_str(
        "\n## What each is\n\nConnections x calls at a time on each. Latency is that of a call; of a batch, all of it; of a stream, \
         of a message.\n\n",
    );
    for row in results.rows() {
        if let Some(title) = title(row) {
            let _ = writeln!(out, "- **{row}**: {title}");
        }
    }
}

fn not_counted(out: &mut String, results: &Results) {
    let discarded: Vec<_> = results.samples.iter().filter(|sample| sample.discarded.is_some()).collect();
    if discarded.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n## Runs that do not count\n\n{} of {}:\n", discarded.len(), results.samples.len());
    for sample in discarded {
        let reason = sample.discarded.as_deref().unwrap_or_default();
        let rate = thousands(sample.measured.decisions_per_second());
        let _ =
            writeln!(out, "- {}, {}, round {}: {reason} ({rate} decisions/s)", sample.row, sample.target, sample.round);
    }
}

fn commands(out: &mut String, results: &Results) {
    out.push_str("\n## Commands\n\n```sh\n");
    for session in &results.sessions {
        let _ = writeln!(out, "{}  # {}", session.command, session.began);
    }
    out.push_str("```\n\nThe services, each started anew for each run:\n\n```sh\n");
    let mut shown: Vec<&str> = Vec::new();
    for row in results.rows() {
        for sample in results.samples.iter().filter(|sample| sample.row == row) {
            let Some(server) = &sample.server else { continue };
            // Of `run`, which starts none.
            if server.command.is_empty() {
                continue;
            }
            if !shown.contains(&server.command.as_str()) {
                shown.push(&server.command);
                let _ = writeln!(out, "{}", server.command);
            }
        }
    }
    out.push_str("```\n");
}
