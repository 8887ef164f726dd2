//! `Resource` and `NotResource`: whether there are such resources, whether the actions take them, and which entries say
//! nothing more.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::catalogue::{self, ActionFacts};
use crate::policy::{Effect, PolicyKind, Statement, Text};

use super::Subject;
use super::glob::{covers, glob, intersects};
use super::reference::{
    ACCOUNT, Actions, ArnGlob, Format, KnownService, PARTITION, REGION, RESOURCE, SERVICE, is_region,
};

/// The partitions of AWS.
const PARTITIONS: [&str; 8] =
    ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"];

/// Checks the element, given what the statement's actions are.
pub(super) fn check(statement: &Statement, actions: &Actions, subject: &mut Subject<'_>) {
    let Some(element) = &statement.resource else { return };
    let taken = Taken::by(actions);
    let mut sound = Vec::new();
    for text in &element.value {
        let Some(arn) = entry(text, actions, subject) else { continue };
        if !element.negated {
            unusable(text, &arn, actions, &taken, subject);
        }
        sound.push(arn);
    }
    if !element.negated && sound.len() == element.value.len() {
        without_resource(statement, &sound, actions, subject);
    }
    redundant(&element.value, subject);
    let kind = subject.policy.kind;
    if element.negated && statement.effect == Effect::Allow && kind != PolicyKind::ServiceControl {
        subject
            .report(
                element.position,
                "not-resource-with-allow",
                "`NotResource` with `Allow` grants every other resource",
            )
            .hint("list the resources to allow, or put `NotResource` into a statement with `Deny`");
    }
    if kind == PolicyKind::Resource {
        element.value.iter().for_each(|text| elsewhere(text, subject));
    }
}

/// The pattern, unless something is wrong with how it is written.
fn entry(text: &Text, actions: &Actions, subject: &mut Subject<'_>) -> Option<ArnGlob> {
    if text.text.trim() != text.text {
        let message = format!("the resource `{}` begins or ends with white space, which counts", text.text);
        subject.report(text.position, "surrounding-whitespace", message).hint(format!("write `{}`", text.text.trim()));
        return None;
    }
    let arn = ArnGlob::new(&text.text);
    if arn.parts.len() < 2 {
        return Some(arn);
    }
    let sound = known_partition(text, &arn, subject)
        && known_service(text, &arn, actions, subject)
        && well_formed_account(text, &arn, subject)
        && well_formed_region(text, &arn, subject)
        && known_type(text, &arn, actions, subject);
    sound.then_some(arn)
}

fn known_partition(text: &Text, arn: &ArnGlob, subject: &mut Subject<'_>) -> bool {
    let Some(partition) = arn.literal(PARTITION).filter(|partition| !PARTITIONS.contains(&partition.as_str())) else {
        return true;
    };
    let message = format!("`{}`: AWS has no partition `{partition}`", text.text);
    subject.report(text.position, "unknown-partition", message).hint_near_miss(&partition, PARTITIONS);
    false
}

fn known_service(text: &Text, arn: &ArnGlob, actions: &Actions, subject: &mut Subject<'_>) -> bool {
    let Some(service) = arn.literal(SERVICE) else { return true };
    let known = catalogue::arn_services().binary_search(&service.as_str()).is_ok()
        || actions.of.contains_key(service.as_str())
        || subject.reference.service(&service).is_some();
    if !known {
        let message = format!("`{}`: no service of AWS has ARNs with `{service}`", text.text);
        subject
            .report(text.position, "unknown-arn-service", message)
            .hint_near_miss(&service, catalogue::arn_services().iter().copied());
    }
    known
}

fn well_formed_account(text: &Text, arn: &ArnGlob, subject: &mut Subject<'_>) -> bool {
    let digits = |account: &String| account.starts_with(|c: char| c.is_ascii_digit());
    let wrong = |account: &String| account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit());
    let Some(account) = arn.literal(ACCOUNT).filter(|account| digits(account) && wrong(account)) else { return true };
    let message = format!("`{}`: the account `{account}` is not 12 digits", text.text);
    subject.report(text.position, "invalid-arn-account", message);
    false
}

/// A word without digits is no region, and stands in the ARNs of some services.
fn well_formed_region(text: &Text, arn: &ArnGlob, subject: &mut Subject<'_>) -> bool {
    let region =
        arn.literal(REGION).filter(|region| region.contains(|c: char| c.is_ascii_digit()) && !is_region(region));
    let Some(region) = region else { return true };
    let message = format!("`{}`: `{region}` is not like a region, such as `eu-central-1`", text.text);
    subject.report(text.position, "invalid-arn-region", message);
    false
}

/// Whether its service names some resource like this.
fn known_type(text: &Text, arn: &ArnGlob, actions: &Actions, subject: &mut Subject<'_>) -> bool {
    let Some(service) = arn.literal(SERVICE) else { return true };
    if is_of_aws(arn) {
        return true;
    }
    if subject.budget.is_spent() {
        return true;
    }
    let services = services_of(&service, actions, subject);
    let own: Vec<&Format> = own_formats(&services, &service).collect();
    let steps: usize = own.iter().map(|format| 4 * arn.steps(format)).sum();
    if own.is_empty() || !subject.budget.spend(steps) || own.iter().any(|format| arn.meets(format)) {
        return true;
    }
    if !subject.budget.spend(100 * own.len()) {
        return true;
    }
    let (code, problem, aside) = misplaced(arn, &own);
    let message = match problem {
        Some(problem) => format!("`{}`: {problem}", text.text),
        None => format!("`{service}` has no resources like `{}`", text.text),
    };
    let hint = nearest(arn, &service, &services, aside);
    let finding = subject.report(text.position, code, message);
    if let Some(arn) = hint {
        finding.hint(format!("there is `{arn}`"));
    }
    false
}

/// Whether the account is `aws` or the like: what AWS owns is named by other rules.
fn is_of_aws(arn: &ArnGlob) -> bool {
    arn.literal(ACCOUNT).is_some_and(|account| account.starts_with(char::is_alphabetic))
}

/// Whether it is of AWS, and not like what the reference has of its service.
fn is_named_by_aws(arn: &ArnGlob, actions: &Actions, subject: &mut Subject<'_>) -> bool {
    let Some(service) = arn.literal(SERVICE).filter(|_| is_of_aws(arn)) else { return false };
    let services = services_of(&service, actions, subject);
    !own_formats(&services, &service).any(|format| arn.meets(format))
}

/// Which part is wrong of an ARN that is like none of its service's: the code, how to say it, and the parts aside from
/// which there is such an ARN.
fn misplaced(arn: &ArnGlob, formats: &[&Format]) -> (&'static str, Option<&'static str>, &'static [usize]) {
    const BOTH: &[usize] = &[ACCOUNT, REGION];
    let but_for = |aside: &[usize]| formats.iter().any(|format| arn.meets_but_for(&format.parts, aside));
    let has = |index: usize| arn.parts.get(index).is_some_and(|part| !part.is_empty());
    let account = if has(ACCOUNT) { "the account is to be left empty" } else { "the account is missing" };
    let region = if has(REGION) { "the region is to be left empty" } else { "the region is missing" };
    let both = match (has(REGION), has(ACCOUNT)) {
        (true, true) => "region and account are to be left empty",
        (false, false) => "region and account are missing",
        _ => "region and account are not those of such a resource",
    };
    if but_for(&[ACCOUNT]) {
        ("arn-account", Some(account), &[ACCOUNT])
    } else if but_for(&[REGION]) {
        ("arn-region", Some(region), &[REGION])
    } else if but_for(BOTH) {
        ("arn-account", Some(both), BOTH)
    } else {
        ("unknown-resource-type", None, &[ACCOUNT, REGION, RESOURCE])
    }
}

/// The service that is called like the ARN's, and those of the statement's actions: some have resources of others.
fn services_of(name: &str, actions: &Actions, subject: &mut Subject<'_>) -> Vec<Rc<KnownService>> {
    let mut services: Vec<_> = actions.of.values().map(|(service, _)| Rc::clone(service)).collect();
    if !actions.of.contains_key(name) {
        services.extend(subject.reference.service(name));
    }
    services
}

/// Formats whose service may be called like this.
fn own_formats<'s>(services: &'s [Rc<KnownService>], name: &str) -> impl Iterator<Item = &'s Format> {
    let name = glob(name);
    let is_own = move |format: &&Format| format.parts.get(SERVICE).is_some_and(|part| intersects(part, &name));
    services.iter().flat_map(|service| service.formats()).filter(is_own)
}

/// How ARNs look that begin most like this one, of the same service, some parts aside.
fn nearest(arn: &ArnGlob, service: &str, services: &[Rc<KnownService>], aside: &[usize]) -> Option<String> {
    let own = first_word(&arn.parts.get(RESOURCE)?.iter().collect::<String>());
    let arns = services.iter().flat_map(|known| known.facts.resources.values()).flat_map(|known| known.arn.split(", "));
    let like = |other: &&str| {
        other.split(':').nth(SERVICE) == Some(service) && arn.meets_but_for(&ArnGlob::of_format(other).parts, aside)
    };
    let distance = |other: &&str| {
        let resource = other.splitn(6, ':').nth(RESOURCE).unwrap_or_default();
        (strsim::osa_distance(&own, &first_word(resource)), other.len())
    };
    arns.filter(like).min_by_key(distance).map(str::to_owned)
}

/// What the type of a resource is called, in most ARNs.
fn first_word(resource: &str) -> String {
    let mut words = resource.split(['/', ':', '*', '?', '$']);
    words.find(|word| !word.is_empty()).unwrap_or_default().to_owned()
}

/// What the actions of a statement take.
struct Taken<'a> {
    /// How it is named; many actions take the same, and each is compared once.
    formats: BTreeSet<&'a Format>,
    /// How what the reference may have left out is named.
    left_out: BTreeSet<&'a Format>,
    /// The services of which an action takes no resource.
    without: Vec<&'a KnownService>,
}

impl<'a> Taken<'a> {
    fn by(actions: &'a Actions) -> Self {
        let mut taken = Self { formats: BTreeSet::new(), left_out: BTreeSet::new(), without: Vec::new() };
        for (service, action) in actions.iter() {
            let mut formats = service.formats_taken(action).peekable();
            if formats.peek().is_none() && taken.without.last().is_none_or(|last| last.prefix != service.prefix) {
                taken.without.push(service);
            }
            taken.formats.extend(formats);
            taken.left_out.extend(service.formats_made(action));
        }
        taken.left_out.extend(actions.of.values().flat_map(|(service, _)| service.formats_unclaimed()));
        taken
    }

    /// Whether one is meant that an action takes, or may take.
    fn meets(&self, arn: &ArnGlob) -> bool {
        // Of actions that take no resource, it is told whether they may be asked for this one.
        self.formats.iter().chain(&self.left_out).any(|format| arn.meets(format))
            || self.without.iter().any(|service| takes_all_of(arn, service))
    }

    /// How many steps that may take.
    fn steps(&self, arn: &ArnGlob) -> usize {
        let of_services = self.without.iter().flat_map(|service| service.formats());
        self.formats.iter().chain(&self.left_out).copied().chain(of_services).map(|format| arn.steps(format)).sum()
    }
}

/// Whether a pattern takes all resources of a service, or all of one type of it. For what takes no resource, some services
/// ask for such: `logs:DescribeLogGroups` for `log-group::log-stream:`, `states:ListStateMachines` for `stateMachine:*`.
fn takes_all_of(arn: &ArnGlob, service: &KnownService) -> bool {
    arn.parts.get(RESOURCE).is_none() || service.formats().any(|format| arn.takes_all(format))
}

/// A resource that none of the statement's actions takes. What no service has is told of already.
fn unusable(text: &Text, arn: &ArnGlob, actions: &Actions, taken: &Taken<'_>, subject: &mut Subject<'_>) {
    if !actions.complete || text.text == "*" || taken.formats.is_empty() || subject.budget.is_spent() {
        return;
    }
    if !subject.budget.spend(taken.steps(arn)) || taken.meets(arn) || is_named_by_aws(arn, actions, subject) {
        return;
    }
    let taken = &taken.formats;
    // What follows is to say it well.
    if !subject.budget.spend(100 * taken.len()) {
        return;
    }
    let service = arn.literal(SERVICE).unwrap_or_default();
    // A service that was renamed has its resources under both names.
    let own_service = subject.reference.service(&service);
    let tail = |format: &Format| format.parts.get(REGION..).map(<[_]>::to_vec);
    let tails: Vec<_> = own_service.iter().flat_map(|known| known.formats()).map(tail).collect();
    let renamed = |format: &Format| {
        let other = format.parts.get(SERVICE).is_some_and(|part| !part.iter().copied().eq(service.chars()));
        other && arn.meets_but_for(&format.parts, &[SERVICE]) && tails.contains(&tail(format))
    };
    if taken.iter().copied().any(renamed) {
        return;
    }
    let example = taken_like(arn, &service, actions);
    let message = format!("by AWS's reference, no action of the statement takes the resource `{}`", text.text);
    let finding = subject.report(text.position, "unusable-resource", message);
    if let Some(example) = example {
        finding.hint(format!("they take `{example}`"));
    }
}

/// How resources look that the actions take, of the same service if there are such.
fn taken_like(arn: &ArnGlob, service: &str, actions: &Actions) -> Option<String> {
    let arns: BTreeSet<&str> = actions
        .iter()
        .flat_map(|(service, action)| action.resource_types().filter_map(|name| service.facts.resources.get(name)))
        .flat_map(|resource| resource.arn.split(", "))
        .collect();
    let own = |arn: &&&str| arn.split(':').nth(SERVICE) == Some(service);
    let resource: String = arn.parts.get(5).into_iter().flatten().collect();
    let common = |arn: &&&str| {
        let other = arn.splitn(6, ':').nth(5).unwrap_or_default();
        resource.chars().zip(other.chars()).take_while(|(a, b)| a == b).count()
    };
    arns.iter().filter(own).max_by_key(common).or(arns.first()).map(|arn| (*arn).to_owned())
}

/// Actions that are asked for `*` only, in a statement that never says so.
fn without_resource(statement: &Statement, arns: &[ArnGlob], actions: &Actions, subject: &mut Subject<'_>) {
    let says_all = |arn: &ArnGlob| matches!(arn.parts.as_slice(), [all] if *all == ['*']);
    if arns.iter().any(says_all) || statement.action.negated {
        return;
    }
    for text in &statement.action.value {
        let Some((prefix, name)) = text.text.split_once(':') else { continue };
        let Some((service, _)) = actions.of.get(prefix.to_ascii_lowercase().as_str()) else { continue };
        let Some(action) = service.facts.actions.get(&name.to_ascii_lowercase()) else { continue };
        if service.formats_taken(action).next().is_some() {
            continue;
        }
        let Some(doubtful) = is_doubtful(service, action, arns, subject) else { return };
        let hint = "put it into a statement of its own with `\"Resource\": \"*\"`";
        if doubtful {
            let message =
                format!("by AWS's reference, `{}` takes no resource, yet AWS may ask for one that is given", text.text);
            subject
                .report(text.position, "doubtful-resource", message)
                .hint(format!("{hint}, which serves either way"));
        } else {
            let message =
                format!("by AWS's reference, `{}` takes no resource: only `*` allows or denies it", text.text);
            subject.report(text.position, "action-without-resource", message).hint(hint);
        }
    }
}

/// Whether an action may yet be asked for one of the resources: all of a type, or what it makes; None where that cannot be
/// afforded.
fn is_doubtful(
    service: &KnownService,
    action: &ActionFacts,
    arns: &[ArnGlob],
    subject: &mut Subject<'_>,
) -> Option<bool> {
    let made: Vec<&Format> = service.formats_made(action).collect();
    for arn in arns {
        // `ssmmessages` acts on what is of `ssm`.
        let named = arn.literal(SERVICE).unwrap_or_else(|| service.prefix.to_string());
        if !service.prefix.starts_with(&named) {
            continue;
        }
        let Some(known) = subject.reference.service(&named) else { continue };
        if !subject.budget.spend(known.formats().map(|format| arn.steps(format)).sum::<usize>() + 1) {
            return None;
        }
        let unknown = known.formats().next().is_none();
        if unknown || takes_all_of(arn, &known) || made.iter().any(|format| arn.meets(format)) {
            return Some(true);
        }
    }
    Some(false)
}

/// A resource that is not the one that the policy is attached to.
fn elsewhere(text: &Text, subject: &mut Subject<'_>) {
    let own = subject.policy.name.reference.clone();
    let arn = ArnGlob::new(&text.text);
    let below = |suffix: &str| format!("{own}{suffix}").splitn(6, ':').map(glob).collect::<Vec<_>>();
    let within = ["", "/*", ":*"].iter().any(|suffix| arn.meets_but_for(&below(suffix), &[]));
    if text.text != "*" && !within {
        let message = format!("`{}` is not the resource that the policy is attached to", text.text);
        subject
            .report(text.position, "foreign-resource", message)
            .hint(format!("that is `{own}`, and what is below it"));
    }
}

/// Entries that another entry of the list covers.
fn redundant(entries: &[Text], subject: &mut Subject<'_>) {
    let mut first: HashMap<&str, &Text> = HashMap::new();
    let wide: Vec<(Vec<Vec<char>>, &Text)> =
        entries.iter().filter(|text| text.text.contains(['*', '?'])).map(|text| (parts(&text.text), text)).collect();
    for text in entries {
        if subject.budget.is_spent() {
            return;
        }
        if first.insert(&text.text, text).is_some() {
            let message = format!("the resource `{}` is given twice", text.text);
            subject.report(text.position, "redundant-resource", message);
            continue;
        }
        let own = parts(&text.text);
        let budget = &mut subject.budget;
        let covering = wide
            .iter()
            .take_while(|(_, other)| budget.spend(text.text.len() + other.text.len()))
            .find(|(pattern, other)| other.text != text.text && all_covered(pattern, &own));
        if let Some((_, by)) = covering {
            let message = format!("`{}` covers the resource `{}`", by.text, text.text);
            subject.report(text.position, "redundant-resource", message);
        }
    }
}

/// The parts of an ARN; a variable is text that only `*` covers.
fn parts(text: &str) -> Vec<Vec<char>> {
    // Before the fifth colon there are no variables.
    text.splitn(6, ':').map(glob).collect()
}

/// Whether a pattern covers another, part by part (evaluation.md, rule 23).
pub(super) fn all_covered(wide: &[Vec<char>], narrow: &[Vec<char>]) -> bool {
    if wide.len() > narrow.len() {
        return false;
    }
    wide.iter().zip(narrow).all(|(wide, narrow)| covers(wide, narrow))
}
