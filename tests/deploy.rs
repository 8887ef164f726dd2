//! What `deploy/` ships fits the program: flags, metrics, names. `deploy/check` goes on with the tools that there are for it.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests; helpers of tests are not recognized as such"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, Command, CommandFactory};
use iamd::cli::Cli;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Every file below `deploy/`, with its text; a link is what it leads to.
fn files() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    gather(&root().join("deploy"), &mut paths);
    paths.sort();
    let name = |path: &Path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    paths.into_iter().map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
}

fn gather(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() { gather(&entry.path(), paths) } else { paths.push(entry.path()) }
    }
}

fn ends(path: &str, kinds: &[&str]) -> bool {
    kinds.iter().any(|kind| path.ends_with(kind))
}

/// What starts the program: manifests, templates of them, the unit and the image.
fn manifests() -> Vec<(String, String)> {
    let kinds = [".yaml", ".tpl", ".service", "Dockerfile"];
    let ours = |path: &str| ends(path, &kinds) && !path.starts_with("deploy/prometheus/");
    files().into_iter().filter(|(path, _)| ours(path)).collect()
}

/// Lines without comments: there, other programs' flags are named, too.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split("# ").next().unwrap()).filter(|line| !line.trim_start().starts_with('#'))
}

/// The words of a text that begin so, made of the letters of names.
fn words<'a>(text: &'a str, start: &'static str) -> impl Iterator<Item = &'a str> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.split(move |c| !of_name(c)).filter(move |word| word.starts_with(start))
}

fn commands() -> Command {
    let mut cli = Cli::command();
    cli.build();
    cli
}

#[test]
fn flags_exist() {
    let cli = commands();
    let known: BTreeSet<&str> =
        cli.get_subcommands().flat_map(Command::get_arguments).filter_map(Arg::get_long).collect();
    let mut count = 0;
    for (path, text) in manifests().iter().filter(|(path, _)| !path.ends_with("Dockerfile")) {
        for flag in code(text).flat_map(|line| words(line, "--")).filter_map(|word| word.strip_prefix("--")) {
            // `---` parts documents.
            if flag.starts_with(|c: char| c.is_ascii_lowercase()) {
                assert!(known.contains(flag), "{path}: there is no --{flag}");
                count += 1;
            }
        }
    }
    assert!(count >= 30, "only {count} flags were found");
}

#[test]
fn variables_exist() {
    let cli = commands();
    let known: BTreeSet<&str> = cli
        .get_subcommands()
        .flat_map(Command::get_arguments)
        .filter_map(|argument| argument.get_env()?.to_str())
        .collect();
    for (path, text) in manifests() {
        for variable in words(&text, "IAMD_") {
            // The program's build reads this one.
            assert!(variable == "IAMD_COMMIT" || known.contains(variable), "{path}: there is no {variable}");
        }
    }
}

/// Names of metrics that docs/metrics.md describes; another test compares that with the program.
fn described() -> BTreeSet<String> {
    let page = read("docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split(['`', '{']).next().unwrap().to_owned()).collect()
}

fn assert_described(place: &str, text: &str) -> usize {
    let known = described();
    let names: Vec<&str> = ["iamd_", "grpc_server_", "process_"].into_iter().flat_map(|p| words(text, p)).collect();
    for name in &names {
        let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let found = known.contains(*name) || known.contains(base);
        assert!(found, "{place}: docs/metrics.md does not have `{name}`");
    }
    names.len()
}

#[test]
fn metrics_exist() {
    let count = assert_described("alerts.yaml", &read("deploy/prometheus/alerts.yaml"));
    assert!(count >= 15, "only {count} metrics were found in the rules");
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/iamd.json")).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array().into_iter().flatten();
        queries.extend(targets.map(|target| (&panel["title"], target["expr"].as_str().unwrap())));
    }
    let count: usize = queries.iter().map(|(title, query)| assert_described(&title.to_string(), query)).sum();
    assert!(count >= 40, "only {count} metrics were found in the dashboard");
}

/// Whatever the program exports for us can be seen.
#[test]
fn the_dashboard_leaves_nothing_out() {
    let dashboard = read("deploy/grafana/iamd.json");
    let elsewhere = ["process_virtual_memory_bytes", "process_virtual_memory_max_bytes"];
    for name in described().iter().filter(|name| !elsewhere.contains(&name.as_str())) {
        assert!(dashboard.contains(name.as_str()), "no panel has `{name}`");
    }
}

/// The runbook names them: `"Limits" and "Traffic" on the dashboard`.
#[test]
fn panels_that_the_runbook_names_are_there() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/iamd.json")).unwrap();
    let titles: Vec<&Value> = dashboard["panels"].as_array().unwrap().iter().map(|panel| &panel["title"]).collect();
    let runbook = read("docs/runbook.md").replace('\n', " ");
    let sentences = runbook.split(". ").flat_map(|part| part.split("** "));
    let named = sentences.filter_map(|sentence| Some(sentence.split_once(" on the dashboard")?.0));
    let named: Vec<&str> = named.flat_map(|words| words.split('"').skip(1).step_by(2)).collect();
    assert!(named.len() >= 5, "only {named:?} were found");
    for name in named {
        assert!(titles.iter().any(|title| **title == name), "no panel is called `{name}`");
    }
}

fn alerts() -> Vec<String> {
    let rules = read("deploy/prometheus/alerts.yaml");
    let names: Vec<String> = rules.lines().filter_map(|l| l.trim().strip_prefix("- alert: ")).map(Into::into).collect();
    assert!(names.len() >= 10, "only {names:?}");
    names
}

#[test]
fn every_alert_is_explained_and_tested() {
    let rules = read("deploy/prometheus/alerts.yaml");
    let (unit_tests, fired) = (read("deploy/prometheus/alerts_test.yaml"), read("deploy/prometheus/fire-alerts"));
    for alert in alerts() {
        let rule = rules.split("- alert: ").find(|rule| rule.starts_with(&format!("{alert}\n"))).unwrap();
        for part in ["expr:", "severity:", "summary:", "description:"] {
            assert!(rule.contains(part), "{alert} has no {part}");
        }
        let url = format!("runbook_url: docs/runbook.md#{}\n", alert.to_lowercase());
        assert!(rule.contains(&url), "{alert} has no `{url}`");
        assert!(unit_tests.contains(&format!("alertname: {alert}\n")), "alerts_test.yaml does not make {alert} fire");
        assert!(fired.contains(&format!("\"{alert}\":")), "fire-alerts does not know {alert}");
    }
}

#[test]
fn the_runbook_has_an_entry_for_each_alert() {
    let page = read("docs/runbook.md");
    let entries: Vec<&str> = page.split("\n## ").filter(|entry| entry.starts_with("Iamd")).collect();
    let names: Vec<&str> = entries.iter().map(|entry| entry.lines().next().unwrap()).collect();
    assert_eq!(names, alerts(), "left: docs/runbook.md, right: the rules");
    for (name, entry) in names.iter().zip(&entries) {
        for part in ["**Means**", "**Look**", "**Mend**"] {
            assert!(entry.contains(part), "{name} has no {part}");
        }
    }
}

#[test]
fn the_page_on_metrics_has_each_alert() {
    let page = read("docs/metrics.md");
    let section = page.split_once("\n## Worth an alert\n").unwrap().1;
    let (with_rule, without) = section.split_once("\nThere is none for these").unwrap();
    let names = |text| words(text, "Iamd").map(str::to_owned).collect::<BTreeSet<_>>();
    let rules = alerts().into_iter().collect();
    assert_eq!(names(with_rule), rules, "left: docs/metrics.md, right: the rules");
    assert!(names(without).is_subset(&rules), "docs/metrics.md has {:?}", names(without));
}

#[test]
fn json_is_json() {
    let files = files();
    let json: Vec<_> = files.iter().filter(|(path, _)| path.ends_with(".json")).collect();
    assert!(json.len() >= 5, "only {} files were found", json.len());
    for (path, text) in json {
        let parsed = serde_json::from_str::<Value>(text);
        assert!(parsed.is_ok(), "{path}: {parsed:?}");
    }
}

/// A file that is mounted by itself is never updated.
#[test]
fn no_volume_is_mounted_by_sub_path() {
    for (path, text) in manifests() {
        assert!(
            !code(&text).any(|line| line.contains("subPath:") || line.contains("subPathExpr:")),
            "{path} has a subPath"
        );
    }
}

#[test]
fn the_chart_ships_the_rules_and_the_dashboard_as_they_are() {
    for (copy, original) in [("alerts.yaml", "prometheus/alerts.yaml"), ("dashboard.json", "grafana/iamd.json")] {
        let (copy, original) = (format!("deploy/helm/iamd/files/{copy}"), format!("deploy/{original}"));
        assert_eq!(read(&copy), read(&original), "{copy} is not {original}");
    }
}

#[test]
fn versions_are_the_programs() {
    let version = env!("CARGO_PKG_VERSION");
    for (path, line) in [
        ("deploy/helm/iamd/Chart.yaml", format!("appVersion: {version}")),
        ("deploy/docker/Dockerfile", format!("ARG VERSION={version}")),
    ] {
        assert!(read(path).lines().any(|l| l == line), "{path} has no `{line}`");
    }
}

/// Kubelets refuse `runAsNonRoot` where the image's user has a name; all of them have to be the same number.
#[test]
fn the_user_is_a_number_and_the_same_everywhere() {
    assert!(read("deploy/docker/Dockerfile").contains("\nUSER 65532:65532\n"));
    for path in ["deploy/helm/iamd/templates/_container.tpl", "deploy/kustomize/sidecar/sidecar.yaml"] {
        let text = read(path);
        for line in [
            "runAsNonRoot: true",
            "runAsUser: 65532",
            "runAsGroup: 65532",
            "allowPrivilegeEscalation: false",
            "readOnlyRootFilesystem: true",
            "capabilities: {drop: [ALL]}",
            "seccompProfile: {type: RuntimeDefault}",
        ] {
            assert!(text.lines().any(|l| l.trim() == line), "{path} has no `{line}`");
        }
    }
}

/// `--unix-socket-owner` does, and @chown is one of @privileged; what comes later counts.
#[test]
fn the_unit_lets_sockets_be_given_away() {
    let text = read("deploy/systemd/iamd.service");
    let filters: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")).collect();
    assert_eq!(filters, ["@system-service", "~@privileged @resources", "@chown"]);
}

/// Else the kubelet, or systemd, kills what still drains.
#[test]
fn a_grace_period_is_longer_than_the_drain() {
    let seconds = |text: &str, before: &str| -> u32 {
        let rest = text.split_once(before).unwrap().1;
        rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    let drain = seconds(&read("deploy/kustomize/sidecar/sidecar.yaml"), "--drain-timeout=");
    assert!(seconds(&read("deploy/example/kustomize/deployment.yaml"), "terminationGracePeriodSeconds: ") > drain);
    let drain = seconds(&read("deploy/helm/iamd/values.yaml"), "timeoutSeconds: ");
    assert!(seconds(&read("deploy/example/helm/templates/deployment.yaml"), "terminationGracePeriodSeconds: ") > drain);
    assert!(seconds(&read("deploy/systemd/iamd.service"), "TimeoutStopSec=") > drain);
}
