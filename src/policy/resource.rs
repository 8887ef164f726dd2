//! The Resource element: ARN patterns with variables (evaluation.md, rules 23-27 and 49).

use super::Effect;
use super::compile::Dialect;
use super::condition;
use super::document::{Element, Reader, Text};
use super::index::{ByResource, Key, ResourceKey};
use super::listener::{ElementName, Found, Listener};
use super::pattern::ArnPattern;
use super::variable::{Resolve, Syntax, Template};
use crate::access::ResourceName;

/// Which resources a statement is about.
#[derive(Debug)]
pub(super) enum ResourceMatcher {
    /// The statement has no Resource: it is about whatever its policy is attached to.
    Unsaid,
    /// `Resource` or `NotResource`.
    Patterns(Patterns),
}

/// The entries of the element.
#[derive(Debug)]
pub(super) struct Patterns {
    /// `NotResource`: all that no pattern matches.
    negated: bool,
    patterns: Box<[ResourcePattern]>,
    /// Of the patterns, if they are many, and nothing matters but whether one matches.
    index: Option<Box<ByResource>>,
}

/// One entry of the element.
#[derive(Debug)]
pub(super) enum ResourcePattern {
    /// `*`: also matches a request that names no resource.
    Any,
    /// A pattern of an ARN.
    Arn(ArnPattern),
    /// Matches nothing: a variable stands where none is substituted.
    Nothing,
}

impl ResourceMatcher {
    /// Whether the statement is about this resource.
    pub(super) fn matches<R: Resolve>(&self, resource: &ResourceName<'_>, effect: Effect, values: &R) -> bool {
        match self {
            Self::Unsaid => true,
            Self::Patterns(patterns) => patterns.matches(resource, effect, values),
        }
    }

    /// How many patterns it has.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Patterns(Patterns { patterns, .. }) => patterns.len(),
            Self::Unsaid => 0,
        }
    }

    /// How the resources begin that it is about.
    pub(super) fn keys(&self) -> Vec<ResourceKey> {
        match self {
            Self::Patterns(Patterns { negated: false, patterns, .. }) => {
                patterns.iter().filter_map(ResourcePattern::key).collect()
            }
            Self::Patterns(_) | Self::Unsaid => vec![ResourceKey::Arn(Key::default())],
        }
    }
}

impl Patterns {
    fn new(negated: bool, patterns: Box<[ResourcePattern]>) -> Self {
        // Whether a variable has a value matters to what is negated, whatever it is compared with (rule 49).
        let plain = !negated || !patterns.iter().any(ResourcePattern::has_variables);
        let any = || ResourceKey::Arn(Key::default());
        let keys = patterns.iter().map(|pattern| pattern.key().unwrap_or_else(any));
        let index = if plain { ByResource::of_patterns(keys) } else { None };
        Self { negated, patterns, index }
    }

    fn matches<R: Resolve>(&self, resource: &ResourceName<'_>, effect: Effect, values: &R) -> bool {
        let Self { negated, patterns, index } = self;
        if let (Some(index), false) = (index, R::Listener::EXHAUSTIVE) {
            let matches = |pattern: &ResourcePattern| pattern.matches(resource, values, *negated) == Some(true);
            return index.any(resource, |place| patterns.get(place).is_some_and(matches)) != *negated;
        }
        let (mut any, mut unresolved) = (false, false);
        for (index, pattern) in patterns.iter().enumerate() {
            let matched = pattern.matches(resource, values, *negated);
            values.listener().entry(index, matched.map_or(Found::Unresolved, Found::of));
            match matched {
                Some(matched) => any |= matched,
                None => unresolved = true,
            }
            if any && !R::Listener::EXHAUSTIVE {
                break;
            }
        }
        // What such an entry excludes cannot be told: under Allow the statement does not apply (rule 49).
        let excludes_unknown = *negated && unresolved && effect == Effect::Allow;
        let about_it = any != *negated && !excludes_unknown;
        let element = if *negated { ElementName::NotResource } else { ElementName::Resource };
        values.listener().element(element, about_it);
        about_it
    }
}

impl ResourcePattern {
    /// Whether it matches; None where a variable has no value, if `unresolved` matters.
    fn matches(&self, resource: &ResourceName<'_>, values: &impl Resolve, unresolved: bool) -> Option<bool> {
        match (self, resource) {
            (Self::Any, _) => Some(true),
            (Self::Nothing, _) => Some(false),
            (Self::Arn(pattern), ResourceName::None) => pattern.fails(values, unresolved),
            (Self::Arn(pattern), ResourceName::Arn(arn)) => pattern.matches(arn, values, unresolved),
        }
    }

    fn has_variables(&self) -> bool {
        matches!(self, Self::Arn(pattern) if pattern.has_variables())
    }

    /// How the resources begin that match. None if none do.
    fn key(&self) -> Option<ResourceKey> {
        match self {
            Self::Any => Some(ResourceKey::Arn(Key::default())),
            Self::Arn(pattern) => Some(pattern.key()),
            Self::Nothing => None,
        }
    }
}

/// Compiles the element.
pub(super) fn compile(
    element: Option<&Element<Vec<Text>>>,
    effect: Effect,
    dialect: Dialect,
    reader: &mut Reader<'_>,
) -> ResourceMatcher {
    let Some(element) = element else {
        return ResourceMatcher::Unsaid;
    };
    // A pattern that matches nothing is harmless only where matching means granting.
    let lenient = dialect.by_aws && effect == Effect::Allow && !element.negated;
    let patterns = element.value.iter().filter_map(|text| pattern(text, dialect, lenient, reader)).collect();
    ResourceMatcher::Patterns(Patterns::new(element.negated, patterns))
}

fn pattern(text: &Text, dialect: Dialect, lenient: bool, reader: &mut Reader<'_>) -> Option<ResourcePattern> {
    if text.text == "*" {
        return Some(ResourcePattern::Any);
    }
    let template = match Template::parse(&text.text, Syntax { variables: dialect.variables, wildcards: true }) {
        Ok(template) => template,
        Err(message) => {
            reader.error(text.position, "malformed-variable", message);
            return None;
        }
    };
    template.keys().for_each(|key| condition::warn_of_unknown(key, text.position, reader));
    let mut parts = template.split_at_colons(6);
    let last = parts.pop().filter(|_| parts.len() == 5);
    if parts.iter().any(Template::has_variables) || last.is_none() && template.has_variables() {
        return early_variable(text, lenient, reader);
    }
    let pattern = ArnPattern::new(&template);
    if pattern.is_none() {
        reader
            .error(text.position, "invalid-resource", format!("the resource `{}` is not an ARN or `*`", text.text))
            .hint("write all six parts, `arn:partition:service:region:account:resource`, or end in `*`");
    }
    pattern.map(ResourcePattern::Arn)
}

/// A variable before the fifth colon is not substituted (rule 27): an error. AWS's own
/// AmazonTimestreamInfluxDBServiceRolePolicy has one; nobody but AWS can mend that, and it only fails to grant.
fn early_variable(text: &Text, lenient: bool, reader: &mut Reader<'_>) -> Option<ResourcePattern> {
    let message = format!("the variable in `{}` stands before the fifth colon, where none is substituted", text.text);
    if lenient {
        reader
            .findings
            .warning(reader.file, text.position, "early-variable", message + ": this entry matches nothing")
            .hint("write `*` in its place, and a condition on the value");
        return Some(ResourcePattern::Nothing);
    }
    reader.error(text.position, "early-variable", message).hint("write `*` in its place, and a condition on the value");
    None
}
