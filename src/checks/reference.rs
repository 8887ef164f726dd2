//! AWS's service reference as checks ask it: each service is unpacked once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use crate::catalogue::{self, ActionFacts, ResourceType, Service};

use super::glob::{Glob, covers, glob, intersects};

/// The services that were asked for so far.
#[derive(Debug, Default)]
pub(super) struct Reference {
    services: HashMap<Box<str>, Option<Rc<KnownService>>>,
}

/// A service, with its ARNs ready to be compared.
#[derive(Debug)]
pub(super) struct KnownService {
    /// Its prefix in lower case.
    pub(super) prefix: Box<str>,
    pub(super) facts: Service,
    /// How its resources are named, by type; some types have two forms.
    formats: BTreeMap<String, Vec<Format>>,
    /// All condition keys that some action or resource gives.
    keys: BTreeSet<String>,
    /// How other services name resources of this one.
    foreign: Vec<Format>,
    /// The types of resources that no action is said to take: there the reference leaves something out.
    unclaimed: Vec<String>,
    /// The types whose resources have tags.
    tagged: Vec<String>,
    /// The types by what an action that makes one calls it.
    plain_names: BTreeMap<String, String>,
}

/// How the ARNs of a type of resource look.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Format {
    /// Six; `?*` stands for a variable.
    pub(super) parts: Vec<Vec<char>>,
    /// How many `/` its resource has, where nothing else of it can be one: what continues a bucket with `/` is an
    /// object.
    slashes: Option<usize>,
}

/// Parts of an ARN by their number.
pub(super) const PARTITION: usize = 1;
pub(super) const SERVICE: usize = 2;
pub(super) const REGION: usize = 3;
pub(super) const ACCOUNT: usize = 4;
pub(super) const RESOURCE: usize = 5;

impl Reference {
    /// A service by its prefix in lower case.
    pub(super) fn service(&mut self, prefix: &str) -> Option<Rc<KnownService>> {
        if let Some(known) = self.services.get(prefix) {
            return known.clone();
        }
        let service = catalogue::service(prefix).map(|facts| Rc::new(KnownService::new(prefix, facts)));
        self.services.insert(prefix.into(), service.clone());
        service
    }
}

impl KnownService {
    fn new(prefix: &str, facts: Service) -> Self {
        let all: Vec<String> = facts.resources.values().flat_map(forms).collect();
        let format = |arn: String| {
            let continued = all.iter().any(|other| other.strip_prefix(&arn).is_some_and(|rest| rest.starts_with('/')));
            let parts = ArnGlob::parts_of(&arn);
            let slashes = parts.last().map(|resource| count_slashes(resource)).filter(|_| continued);
            Format { parts, slashes }
        };
        let formats = |resource| forms(resource).into_iter().map(format).collect();
        let formats = facts.resources.iter().map(|(name, resource)| (name.clone(), formats(resource))).collect();
        let foreign = facts.foreign.iter().map(|arn| format(variables_as(arn, "?*"))).collect();
        let of_actions = facts.actions.values().flat_map(|action| &action.keys);
        let keys = of_actions.chain(facts.resources.values().flat_map(|resource| &resource.keys)).cloned().collect();
        let claimed: BTreeSet<&str> = facts.actions.values().flat_map(ActionFacts::resource_types).collect();
        let unclaimed = facts.resources.keys().filter(|name| !claimed.contains(name.as_str())).cloned().collect();
        let tagged = facts.resources.iter().filter(|(_, resource)| resource.has_tags()).map(|(name, _)| name.clone());
        let tagged = tagged.collect();
        let plain_names = facts.resources.keys().map(|name| (plain_name(name), name.clone())).collect();
        Self { prefix: prefix.into(), facts, formats, keys, foreign, unclaimed, tagged, plain_names }
    }

    /// How the resources of one type are named.
    pub(super) fn formats_of(&self, resource_type: &str) -> impl Iterator<Item = &Format> {
        self.formats.get(resource_type).into_iter().flatten()
    }

    /// How what an action takes is named. Some services that share a prefix have actions of the same name, of which the
    /// reference knows one: `AddTags` of load balancers does not take listeners there.
    pub(super) fn formats_taken<'s>(&'s self, action: &'s ActionFacts) -> impl Iterator<Item = &'s Format> {
        let tagged: &[String] = if action.takes_what_has_tags() { &self.tagged } else { &[] };
        action.resource_types().chain(tagged.iter().map(String::as_str)).flat_map(|name| self.formats_of(name))
    }

    /// How what an action makes is named: many are not said to take it.
    pub(super) fn formats_made(&self, action: &ActionFacts) -> impl Iterator<Item = &Format> {
        let made = action.makes().and_then(|made| self.plain_names.get(&made));
        made.into_iter().flat_map(|name| self.formats_of(name))
    }

    /// How what no action is said to take is named.
    pub(super) fn formats_unclaimed(&self) -> impl Iterator<Item = &Format> {
        self.unclaimed.iter().flat_map(|name| self.formats_of(name))
    }

    /// How all of its resources are named.
    pub(super) fn formats(&self) -> impl Iterator<Item = &Format> {
        self.formats.values().flatten().chain(&self.foreign)
    }

    /// Whether some of its resources have another service in their ARNs.
    pub(super) fn names(&self, other: &str) -> bool {
        let of_other = |format: &Format| format.parts.get(SERVICE).is_some_and(|part| intersects(part, &glob(other)));
        self.formats.values().flatten().any(of_other)
    }

    /// Whether some action or resource is said to give a condition key (in lower case): of some keys nobody says it.
    pub(super) fn gives_key(&self, folded: &str) -> bool {
        self.keys.iter().any(|key| is_key(key, folded))
    }
}

/// The actions that a statement is about, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Actions {
    /// Whether these are all: not with `*`, `NotAction` or what the reference does not know.
    pub(super) complete: bool,
    /// The services, each with names of actions in lower case.
    pub(super) of: BTreeMap<Box<str>, (Rc<KnownService>, BTreeSet<String>)>,
}

impl Actions {
    /// Each action, with its service.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&KnownService, &catalogue::ActionFacts)> {
        let actions = self.of.values().flat_map(|(service, names)| names.iter().map(move |name| (service, name)));
        actions.filter_map(|(service, name)| Some((&**service, service.facts.actions.get(name)?)))
    }
}

/// The pattern of an ARN, part by part; a variable may be anything.
#[derive(Debug)]
pub(super) struct ArnGlob {
    /// Up to six; where there are fewer, the pattern ends in `*`, which covers the rest.
    pub(super) parts: Vec<Vec<char>>,
}

impl ArnGlob {
    /// A pattern as a policy has it.
    pub(super) fn new(text: &str) -> Self {
        Self { parts: Self::parts_of(&variables_as(text, "*")) }
    }

    /// How ARNs look, as the reference has it.
    pub(super) fn of_format(arn: &str) -> Self {
        Self { parts: Self::parts_of(&variables_as(arn, "?*")) }
    }

    fn parts_of(text: &str) -> Vec<Vec<char>> {
        text.splitn(6, ':').map(glob).collect()
    }

    /// A part as text, if it has no wildcards and there is one.
    pub(super) fn literal(&self, index: usize) -> Option<String> {
        let part = self.parts.get(index)?;
        (!part.iter().any(|c| matches!(c, '*' | '?'))).then(|| part.iter().collect())
    }

    /// Whether some ARN has this pattern and that format. What AWS itself owns in a region has no account.
    pub(super) fn meets(&self, format: &Format) -> bool {
        let resource = self.parts.get(RESOURCE).map_or(0, |resource| count_slashes(resource));
        if format.slashes.is_some_and(|slashes| resource > slashes) {
            return false;
        }
        let empty = |index: usize| self.parts.get(index).is_some_and(Vec::is_empty);
        let of_aws = empty(ACCOUNT) && !empty(REGION);
        self.meets_but_for(&format.parts, if of_aws { &[ACCOUNT] } else { &[] })
    }

    /// Whether it takes all resources of a format, but for region and account, or names none, as `log-group::*`.
    pub(super) fn takes_all(&self, format: &Format) -> bool {
        let (Some(own), Some(other)) = (self.parts.get(RESOURCE), format.parts.get(RESOURCE)) else {
            return self.meets(format);
        };
        let names_none = own.windows(2).any(|pair| pair == [':', ':']);
        (names_none || covers(own, other)) && self.meets_but_for(&format.parts, &[ACCOUNT, RESOURCE])
    }

    /// The same, some parts aside.
    pub(super) fn meets_but_for(&self, format: &[Vec<char>], aside: &[usize]) -> bool {
        let mut parts = self.parts.iter().zip(format).enumerate();
        parts.all(|(index, (own, other))| aside.contains(&index) || intersects(own as &Glob, other))
    }

    /// How many steps a comparison may take.
    pub(super) fn steps(&self, format: &Format) -> usize {
        let part = |own: &Vec<char>, other: &Vec<char>| match own.first() {
            // What begins alike or differs at once is done with at once.
            Some('*' | '?') => own.len() * other.len(),
            _ => own.len() + other.len(),
        };
        self.parts.iter().zip(&format.parts).map(|(own, other)| 1 + part(own, other)).sum()
    }
}

/// The forms of a type of resource, with patterns for variables.
fn forms(resource: &ResourceType) -> Vec<String> {
    resource.arn.split(", ").map(|arn| variables_as(arn, "?*")).collect()
}

/// A type's name in lower case, without what some services add to it.
fn plain_name(resource_type: &str) -> String {
    let letters: String = resource_type.chars().filter(char::is_ascii_alphanumeric).collect();
    let folded = letters.to_lowercase();
    folded.strip_suffix("resource").filter(|rest| !rest.is_empty()).unwrap_or(&folded).to_owned()
}

fn count_slashes(resource: &Glob) -> usize {
    resource.iter().filter(|c| **c == '/').count()
}

/// Whether a condition key, in lower case, is one of the reference, which may have a variable in it; for some tags it
/// has `tag-key`.
pub(super) fn is_key(reference: &str, folded: &str) -> bool {
    let reference = reference.to_lowercase();
    if let Some(before) = reference.strip_suffix("/tag-key") {
        return folded.strip_prefix(before).is_some_and(|rest| rest.starts_with('/'));
    }
    let (before, after) = match reference.find(['$', '<']) {
        Some(at) => (reference.get(..at).unwrap_or_default(), reference.rsplit(['}', '>']).next().unwrap_or_default()),
        None => return reference == folded,
    };
    folded.strip_prefix(before).is_some_and(|rest| rest.ends_with(after))
}

/// Whether a word is like `us-east-1` or `us-gov-west-1`.
pub(super) fn is_region(word: &str) -> bool {
    let mut parts = word.rsplit('-');
    let number = parts.next().is_some_and(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let mut words = 0;
    let letters = parts.all(|part| {
        words += 1;
        part.len() >= 2 && part.bytes().all(|b| b.is_ascii_lowercase())
    });
    number && letters && words >= 2
}

/// A text with something in the place of each `${...}`.
pub(super) fn variables_as(text: &str, stand_in: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        result.push_str(before);
        result.push_str(stand_in);
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    result + rest
}
