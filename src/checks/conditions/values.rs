//! The values of a condition, each by itself and beside the others.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::policy::{Family, StringMode, Text, parse_network};

use super::{Parsed, known};
use crate::checks::Subject;
use crate::checks::glob::{covers, glob, steps_to_cover};
use crate::checks::principals;

/// Addresses that no request over the internet comes from, and so never are `aws:SourceIp`.
/// RFC 1918, 6598, 3927, 1122, 4193 and 4291.
const PRIVATE: [&str; 9] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
];

/// Keys whose values are names of services, in lower case.
const SERVICE_NAMES: [&str; 7] = [
    "iam:passedtoservice",
    "iam:awsservicename",
    "aws:calledvia",
    "aws:calledviafirst",
    "aws:calledvialast",
    "aws:principalservicename",
    "aws:principalservicenameslist",
];

pub(super) fn check(condition: &Parsed<'_>, subject: &mut Subject<'_>) {
    condition.values().iter().for_each(|value| value_alone(condition, value, subject));
    redundant(condition, subject);
}

fn value_alone(condition: &Parsed<'_>, value: &Text, subject: &mut Subject<'_>) {
    let (text, at) = (&value.text, value.position);
    if text.trim() != text {
        let message = format!("the value `{text}` begins or ends with white space, which counts");
        subject.report(at, "surrounding-whitespace", message).hint(format!("write `{}`", text.trim()));
    }
    known::check(condition, value, subject);
    let literal = matches!(condition.operator.family, Family::String(StringMode::Exact | StringMode::IgnoreCase));
    if literal && without_variables(text).contains(['*', '?']) {
        let operator = &condition.written.operator.text;
        let message = format!("`{operator}` takes `*` and `?` for themselves, and the value is `{text}`");
        let hint = operator.replacen("EqualsIgnoreCase", "Like", 1).replacen("Equals", "Like", 1);
        subject.report(at, "wildcard-without-like", message).hint(format!("use `{hint}`"));
    }
    if condition.operator.family == Family::Ip && &*condition.key.folded == "aws:sourceip" && is_private(text) {
        let message = format!("`{text}` is a private address, which `aws:SourceIp` never is");
        subject.report(at, "private-address", message).hint("requests through a VPC endpoint have `aws:VpcSourceIp`");
    }
    if condition.operator.family == Family::Ip {
        host_bits(value, subject);
    }
    if SERVICE_NAMES.contains(&&*condition.key.folded) {
        principals::service_name(text, at, subject);
    }
}

/// An address within a network, where the network is meant.
fn host_bits(value: &Text, subject: &mut Subject<'_>) {
    let Some(network) = parse_network(&value.text).filter(|network| network.addr() != network.network()) else {
        return;
    };
    let message = format!("`{}` is compared as the whole network", value.text);
    subject.report(value.position, "address-in-network", message).hint(format!("write `{}`", network.trunc()));
}

/// A text without `${...}`, in which `*` and `?` are no wildcards either way.
fn without_variables(text: &str) -> String {
    crate::checks::reference::variables_as(text, "")
}

fn is_private(text: &str) -> bool {
    let Some(network) = parse_network(text) else { return false };
    let within = |private: &&str| match (private.parse::<IpNet>(), network.addr()) {
        (Ok(private @ IpNet::V4(_)), IpAddr::V4(_)) | (Ok(private @ IpNet::V6(_)), IpAddr::V6(_)) => {
            private.contains(&network)
        }
        _ => false,
    };
    PRIVATE.iter().any(within)
}

/// Values that are given twice, or that another covers: they are alternatives.
fn redundant(condition: &Parsed<'_>, subject: &mut Subject<'_>) {
    let wild = match condition.operator.family {
        Family::String(mode) => mode == StringMode::Like,
        Family::Arn => true,
        Family::Numeric(_) | Family::Date(_) | Family::Bool | Family::Binary | Family::Ip | Family::Null => false,
    };
    let values = condition.values();
    let is_pattern = |text: &str| without_variables(text).contains(['*', '?']);
    let wide: Vec<(Vec<char>, &Text)> =
        values.iter().filter(|value| wild && is_pattern(&value.text)).map(|value| (glob(&value.text), value)).collect();
    let mut first = HashSet::new();
    for value in values {
        if subject.budget.is_spent() {
            return;
        }
        if !first.insert(&value.text) {
            subject.report(value.position, "redundant-value", format!("the value `{}` is given twice", value.text));
            continue;
        }
        let own = glob(&value.text);
        let (budget, arns) = (&mut subject.budget, condition.operator.family == Family::Arn);
        let covers = |pattern: &[char]| if arns { arn_covers(pattern, &own) } else { covers(pattern, &own) };
        let covering = wide
            .iter()
            .take_while(|(pattern, _)| budget.spend(steps_to_cover(pattern, &own)))
            .find(|(pattern, other)| other.text != value.text && covers(pattern));
        if let Some((_, by)) = covering {
            let message = format!("`{}` covers the value `{}`", by.text, value.text);
            subject.report(value.position, "redundant-value", message);
        }
    }
}

/// ARNs are compared part by part.
fn arn_covers(wide: &[char], narrow: &[char]) -> bool {
    let parts = |text: &[char]| text.splitn(6, |c| *c == ':').map(<[char]>::to_vec).collect::<Vec<_>>();
    crate::checks::resources::all_covered(&parts(wide), &parts(narrow))
}
