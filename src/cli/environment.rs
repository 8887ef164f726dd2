//! Variables that no flag reads: a typo must not turn a protection off.

use std::collections::BTreeSet;

use clap::CommandFactory;

use super::Cli;
use crate::finding::near_miss;

const PREFIX: &str = "IAMD_";

/// What is wrong with the names of the variables that are set; each for people.
pub(super) fn problems(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let known = known();
    let names: BTreeSet<String> = names.into_iter().filter(|name| name.starts_with(PREFIX)).collect();
    let services: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix("_SERVICE_HOST")).collect();
    let unknown = |name: &&String| !known.contains(*name) && !services.iter().any(|service| is_link(name, service));
    names.iter().filter(unknown).map(|name| problem(name, &known)).collect()
}

/// The authorities of `iamd healthcheck`. In the same container it is seen by the service.
const PROBE_CA: &str = "IAMD_TLS_CA";

/// What is wrong with the environment of the service, which knows the variables of its probes, too: whoever sets this one
/// may believe that clients are asked for certificates.
pub(super) fn of_service(is_set: impl FnOnce(&str) -> bool, has_client_ca: bool) -> Option<String> {
    (!has_client_ca && is_set(PROBE_CA)).then(|| {
        format!(
            "`{PROBE_CA}` is a variable of `iamd healthcheck`: it asks no client for a certificate\n  hint: for clients set \
             `IAMD_TLS_CLIENT_CA`; for a probe alone, write `iamd healthcheck --tls-ca FILE`"
        )
    })
}

/// Every variable that a flag of any command has.
fn known() -> BTreeSet<String> {
    let cli = Cli::command();
    let arguments = cli.get_subcommands().flat_map(clap::Command::get_arguments);
    arguments.filter_map(|argument| Some(argument.get_env()?.to_string_lossy().into_owned())).collect()
}

/// Kubernetes tells every container of the services around it: of one that is called `iamd` by `IAMD_SERVICE_HOST`,
/// `IAMD_PORT_50051_TCP` and others.
fn is_link(name: &str, service: &str) -> bool {
    let Some(rest) = name.strip_prefix(service) else { return false };
    ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"].contains(&rest)
        || rest.starts_with("_SERVICE_PORT_")
        || rest.strip_prefix("_PORT_").is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()))
}

fn problem(name: &str, known: &BTreeSet<String>) -> String {
    let short = |name: &str| name.strip_prefix(PREFIX).unwrap_or_default().to_owned();
    let candidates: Vec<String> = known.iter().map(|name| short(name)).collect();
    let hint = match near_miss(&short(name), candidates.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{PREFIX}{meant}`?"),
        None => "unset it; `--help` of each command names the variables that there are".to_owned(),
    };
    format!("no flag has the environment variable `{name}`\n  hint: {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(names: &[&str]) -> Vec<String> {
        problems(names.iter().map(ToString::to_string))
    }

    #[test]
    fn what_no_flag_reads_is_named() {
        let expected = [
            "no flag has the environment variable `IAMD_FROBNICATE`\n  hint: unset it; `--help` of each command names the \
             variables that there are",
            "no flag has the environment variable `IAMD_TLS_CLIENT_CAS`\n  hint: did you mean `IAMD_TLS_CLIENT_CA`?",
        ];
        assert_eq!(said(&["IAMD_TLS_CLIENT_CAS", "IAMD_FROBNICATE", "IAMD_LISTEN", "IAMD_FORMAT", "PATH"]), expected);
    }

    #[test]
    fn a_probes_authorities_are_not_those_of_clients() {
        let of = |set: &[&str], has_client_ca| of_service(|name| set.contains(&name), has_client_ca);
        assert_eq!(of(&["IAMD_TLS_CERT"], false), None);
        assert_eq!(of(&["IAMD_TLS_CA"], true), None);
        let problem = of(&["IAMD_TLS_CA"], false).unwrap();
        assert!(
            problem.starts_with("`IAMD_TLS_CA` is a variable of `iamd healthcheck`: it asks no client"),
            "{problem}"
        );
        assert!(problem.contains("hint: for clients set `IAMD_TLS_CLIENT_CA`;"), "{problem}");
    }

    #[test]
    fn what_kubernetes_tells_of_services_is_no_typo() {
        let links = [
            "IAMD_SERVICE_HOST",
            "IAMD_SERVICE_PORT",
            "IAMD_SERVICE_PORT_GRPC",
            "IAMD_PORT",
            "IAMD_PORT_50051_TCP",
            "IAMD_PORT_50051_TCP_ADDR",
            "IAMD_ADMIN_SERVICE_HOST",
            "IAMD_ADMIN_PORT_9090_TCP_PROTO",
        ];
        assert_eq!(said(&links), [""; 0]);
        // But not without the service, nor what only looks similar.
        assert_eq!(said(&["IAMD_PORT"]).len(), 1);
        assert_eq!(said(&["IAMD_SERVICE_HOST", "IAMD_PORTS", "IAMD_LOG_PORT"]).len(), 2);
    }
}
