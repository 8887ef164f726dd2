//! `Action` and `NotAction`: whether there are such services and actions, and which entries say nothing more.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::catalogue;
use crate::finding::near_miss;
use crate::policy::{Effect, PolicyKind, Statement, Text};
use crate::wildcard::Wildcard;

use super::Subject;
use super::glob::{covers, glob, steps_to_cover};
use super::reference::{Actions, KnownService};

/// Checks the element; what it names is handed on.
pub(super) fn check(statement: &Statement, subject: &mut Subject<'_>) -> Actions {
    let element = &statement.action;
    let mut actions = Actions { complete: !element.negated, ..Actions::default() };
    for text in &element.value {
        let known = entry(text, &mut actions, subject);
        actions.complete &= known;
    }
    redundant(&element.value, subject);
    if !element.negated {
        foreign(&element.value, &actions, subject);
    }
    // Level by level, an SCP that allows says what remains possible; nothing is granted by it.
    let grants = statement.effect == Effect::Allow && subject.policy.kind != PolicyKind::ServiceControl;
    if element.negated && grants {
        subject
            .report(element.position, "not-action-with-allow", "`NotAction` with `Allow` grants every other action")
            .hint("list the actions to allow, or put `NotAction` into a statement with `Deny`");
    }
    actions
}

/// Whether it is known what an entry is about; that is added.
fn entry(text: &Text, actions: &mut Actions, subject: &mut Subject<'_>) -> bool {
    let Some((written, name)) = text.text.split_once(':') else {
        return false; // `*`; all else is refused.
    };
    if written.contains(['*', '?']) {
        return false; // Refused.
    }
    let prefix = written.to_ascii_lowercase();
    let Some(service) = subject.reference.service(&prefix) else {
        let message = format!("AWS has no service `{written}`");
        subject
            .report(text.position, "unknown-service", message)
            .hint_near_miss(&prefix, catalogue::service_prefixes());
        return false;
    };
    let folded = name.to_ascii_lowercase();
    let matching = matching(&service, &folded, subject);
    match &matching {
        Some(names) if names.is_empty() => report_unknown(&service, text, name, subject),
        _ => {}
    }
    let known = matching.as_ref().is_some_and(|names| !names.is_empty());
    let (_, names) = actions.of.entry(prefix.into()).or_insert_with(|| (service, BTreeSet::new()));
    names.extend(matching.unwrap_or_default());
    known
}

/// The actions that a name or pattern is about; None where looking for them cannot be afforded.
fn matching(service: &Rc<KnownService>, folded: &str, subject: &mut Subject<'_>) -> Option<Vec<String>> {
    let actions = &service.facts.actions;
    if !folded.contains(['*', '?']) {
        return Some(actions.get_key_value(folded).map(|(name, _)| name.clone()).into_iter().collect());
    }
    if !subject.budget.spend(actions.len() * 8) {
        return None;
    }
    let pattern = Wildcard::new(folded);
    Some(actions.keys().filter(|name| pattern.matches(name)).cloned().collect())
}

fn report_unknown(service: &KnownService, text: &Text, name: &str, subject: &mut Subject<'_>) {
    let prefix = &service.prefix;
    if name.contains(['*', '?']) {
        let message = format!("no action of `{prefix}` matches `{}`", text.text);
        subject.report(text.position, "unmatched-action", message);
        return;
    }
    let message = format!("the service `{prefix}` has no action `{name}`");
    let names = service.facts.actions.values().map(|action| action.name.as_str());
    let meant = subject.budget.spend(names.len() * 500).then(|| near_miss(name, names)).flatten();
    let finding = subject.report(text.position, "unknown-action", message);
    if let Some(meant) = meant {
        finding.hint(format!("did you mean `{prefix}:{meant}`?"));
    }
}

/// Actions that nobody performs on what the policy is attached to.
fn foreign(entries: &[Text], actions: &Actions, subject: &mut Subject<'_>) {
    let policy = subject.policy;
    let own = match policy.kind {
        PolicyKind::Trust => "sts",
        PolicyKind::Resource => policy.name.reference.split(':').nth(2).unwrap_or_default(),
        PolicyKind::ResourceControl => return out_of_control(entries, actions, subject),
        PolicyKind::Identity | PolicyKind::Session | PolicyKind::ServiceControl | PolicyKind::VpcEndpoint => return,
    };
    for text in entries {
        let Some((prefix, _)) = text.text.split_once(':') else { continue };
        let prefix = prefix.to_ascii_lowercase();
        let Some((service, _)) = actions.of.get(prefix.as_str()) else { continue };
        // Some services act on resources of others.
        if prefix != own && !service.names(own) {
            let what = if policy.kind == PolicyKind::Trust { "a role to assume" } else { "the policy's resource" };
            let message = format!("the action `{}` is not about {what}", text.text);
            subject
                .report(text.position, "foreign-action", message)
                .hint(format!("the policy is about actions of `{own}`"));
        }
    }
}

/// Actions of services that resource control policies have no say in.
fn out_of_control(entries: &[Text], actions: &Actions, subject: &mut Subject<'_>) {
    for text in entries {
        let Some((prefix, _)) = text.text.split_once(':') else { continue };
        let folded = prefix.to_ascii_lowercase();
        if actions.of.contains_key(folded.as_str()) && !catalogue::supports_resource_control_policies(&folded) {
            let message =
                format!("by AWS's list, `{prefix}` has no resource control policies: `{}` denies nothing", text.text);
            subject.report(text.position, "service-without-rcp", message).hint("deny it in a service control policy");
        }
    }
}

/// Entries that another entry of the list covers.
fn redundant(entries: &[Text], subject: &mut Subject<'_>) {
    let folded: Vec<String> = entries.iter().map(|text| text.text.to_ascii_lowercase()).collect();
    let mut first: HashMap<&str, &Text> = HashMap::new();
    let mut wide: HashMap<&str, Vec<(Vec<char>, &Text)>> = HashMap::new();
    for (folded, text) in folded.iter().zip(entries).filter(|(folded, _)| folded.contains(['*', '?'])) {
        let service = folded.split_once(':').map_or("", |(service, _)| service);
        wide.entry(service).or_default().push((glob(folded), text));
    }
    for (folded, text) in folded.iter().zip(entries) {
        if subject.budget.is_spent() {
            return;
        }
        if first.insert(folded, text).is_some() {
            subject.report(text.position, "redundant-action", format!("the action `{}` is given twice", text.text));
            continue;
        }
        let own = glob(folded);
        let service = folded.split_once(':').map_or("", |(service, _)| service);
        let candidates = [service, ""].into_iter().filter_map(|key| wide.get(key)).flatten();
        let budget = &mut subject.budget;
        let covering = candidates
            .take_while(|(pattern, _)| budget.spend(steps_to_cover(pattern, &own)))
            .find(|(pattern, _)| *pattern != own && covers(pattern, &own));
        if let Some((_, by)) = covering {
            let message = format!("`{}` covers the action `{}`", by.text, text.text);
            subject.report(text.position, "redundant-action", message);
        }
    }
}
