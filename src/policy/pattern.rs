//! Patterns that are compared with a request: plain texts and ARNs, with wildcards and variables.

use super::index::{Key, ResourceKey};
use super::listener::Listener;
use super::variable::{Resolve, Template};
use crate::arn::Arn;
use crate::wildcard::{Beginning, Wildcard};

/// A text with wildcards, compiled as far as its variables allow.
#[derive(Clone, Debug)]
pub(super) enum TextPattern {
    /// No variables.
    Fixed(Wildcard),
    /// Compiled at each request.
    Variable(Template),
}

impl TextPattern {
    /// Compiles a template.
    pub(super) fn new(template: Template) -> Self {
        if template.has_variables() {
            Self::Variable(template)
        } else {
            Self::Fixed(Wildcard::from_tokens(template.tokens()))
        }
    }

    /// Whether a text matches; None where a variable has no value. That one behind a difference has none is told only if
    /// `unresolved` matters.
    pub(super) fn matches(&self, text: &str, values: &impl Resolve, unresolved: bool) -> Option<bool> {
        match self {
            Self::Fixed(wildcard) => Some(wildcard.matches(text)),
            Self::Variable(template) => template.matches(text, values, unresolved),
        }
    }

    /// How the texts begin that match.
    fn beginning(&self) -> Beginning<'_> {
        match self {
            Self::Fixed(wildcard) => wildcard.beginning(),
            Self::Variable(template) => template.beginning(),
        }
    }

    /// Whether all of its variables have values.
    fn resolves(&self, values: &impl Resolve) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Variable(template) => template.resolves(values),
        }
    }

    fn is_any(&self) -> bool {
        matches!(self, Self::Fixed(wildcard) if wildcard.is_any())
    }
}

/// A pattern of an ARN (evaluation.md, rules 23 and 40): wildcards stay within their part; in the last part they cross `:` and
/// `/`.
#[derive(Clone, Debug)]
pub(super) enum ArnPattern {
    /// Only the last part has wildcards or variables, if any: as a text.
    Text(TextPattern),
    /// Compared part by part: one pattern per part, up to the last one that is not `*`.
    Parts(Box<[TextPattern]>),
}

/// Where the last part of an ARN stands.
const LAST_PART: usize = 5;

impl ArnPattern {
    /// Compiles a template. None if it has fewer than six parts and does not end in `*`, or if no ARN begins like it: it
    /// would never match, and a Deny with it never deny.
    pub(super) fn new(template: &Template) -> Option<Self> {
        let parts = template.split_at_colons(LAST_PART + 1);
        if parts.len() <= LAST_PART && !template.ends_with_any_run() {
            return None;
        }
        let mut parts: Vec<_> = parts.into_iter().map(TextPattern::new).collect();
        if matches!(parts.first(), Some(TextPattern::Fixed(first)) if !first.matches("arn")) {
            return None;
        }
        if parts.iter().position(|part| !part.beginning().whole).unwrap_or(LAST_PART) == LAST_PART {
            return Some(Self::Text(TextPattern::new(template.clone())));
        }
        while parts.last().is_some_and(TextPattern::is_any) {
            parts.pop();
        }
        Some(Self::Parts(parts.into()))
    }

    fn patterns(&self) -> &[TextPattern] {
        match self {
            Self::Text(pattern) => std::slice::from_ref(pattern),
            Self::Parts(parts) => parts,
        }
    }

    pub(super) fn has_variables(&self) -> bool {
        self.patterns().iter().any(|pattern| matches!(pattern, TextPattern::Variable(_)))
    }

    /// How the ARNs begin that match; or their last part, if that tells more.
    pub(super) fn key(&self) -> ResourceKey {
        let parts = match self {
            Self::Text(pattern) => return ResourceKey::Arn(pattern.beginning().into()),
            Self::Parts(parts) => parts,
        };
        if let Some(last) = parts.get(LAST_PART).map(TextPattern::beginning).filter(|last| !last.text.is_empty()) {
            return ResourceKey::LastPart(last.into());
        }
        let mut text = String::new();
        for Beginning { text: part, whole } in parts.iter().map(TextPattern::beginning) {
            text.push_str(part);
            if !whole {
                break;
            }
            text.push(':');
        }
        ResourceKey::Arn(Key { text, whole: false })
    }

    /// Whether an ARN matches; None where a variable has no value. That a variable after a part that differs has none is
    /// told only if `unresolved` matters.
    pub(super) fn matches<R: Resolve>(&self, arn: &Arn<'_>, values: &R, unresolved: bool) -> Option<bool> {
        let parts = match self {
            Self::Text(pattern) => return pattern.matches(arn.text, values, unresolved),
            Self::Parts(parts) => parts,
        };
        let mut parts = parts.iter().zip(arn.parts());
        while let Some((pattern, part)) = parts.next() {
            if !pattern.matches(part, values, unresolved)? {
                return fails(parts.map(|(pattern, _)| pattern), values, unresolved);
            }
        }
        Some(true)
    }

    /// What it says to a request without resource: it does not match.
    pub(super) fn fails(&self, values: &impl Resolve, unresolved: bool) -> Option<bool> {
        fails(self.patterns().iter(), values, unresolved)
    }
}

/// No match; or None where one of these parts, which no longer matter, has a variable without value and that does
/// matter. Whoever listens hears of every variable.
fn fails<'p, R: Resolve>(
    mut rest: impl Iterator<Item = &'p TextPattern>,
    values: &R,
    unresolved: bool,
) -> Option<bool> {
    let ask = unresolved || R::Listener::EXHAUSTIVE;
    (!ask || rest.all(|part| part.resolves(values))).then_some(false)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::key::ConditionKey;
    use super::super::listener::Nobody;
    use super::super::variable::Syntax;
    use super::*;

    struct NoValues;

    impl Resolve for NoValues {
        type Listener = Nobody;

        fn listener(&self) -> &Nobody {
            &Nobody
        }

        fn resolve(&self, _: &ConditionKey) -> Option<Cow<'_, str>> {
            None
        }
    }

    fn pattern(text: &str) -> Option<ArnPattern> {
        ArnPattern::new(&Template::parse(text, Syntax { variables: true, wildcards: true }).unwrap())
    }

    fn matches(text: &str, arn: &str) -> Option<bool> {
        pattern(text).unwrap().matches(&Arn::parse(arn).unwrap(), &NoValues, true)
    }

    #[test]
    fn parts_are_compared_one_by_one() {
        let store = "arn:aws:sns:us-east-2:999999999999:store/abc:111122223333:finance/d.txt";
        let cases = [
            ("arn:aws:sns:*:111122223333:finance/*", store, false),
            ("arn:aws:sns:*:999999999999:*finance/*", store, true),
            ("arn:aws:s3:::bucket/*/test/*", "arn:aws:s3:::bucket/1/2/test/3/o", true),
            ("arn:aws:s3:::bucket/*/test/*", "arn:aws:s3:::bucket//test/o", true),
            ("arn:aws:s3:::bucket/*/test/*", "arn:aws:s3:::bucket/1-test/o", false),
            ("arn:aws:s3:::bucket/*/test/*", "arn:aws:s3:::bucket/1/2/test.jpg", false),
            ("arn:aws:s3:::Bucket", "arn:aws:s3:::bucket", false),
            ("arn:aws:s3*", "arn:aws:s3:::b", true),
            ("arn:aws:s3*", "arn:aws:sns:::b", false),
            ("*", "arn:aws:s3:::b", true),
            ("arn:aws:lambda:us-east-1:*", "arn:aws:lambda:us-east-1:123456789012:function:f:prod", true),
            ("arn:aws:lambda:us-east-1:*", "arn:aws:lambda:us-west-1:123456789012:function:f", false),
        ];
        for (text, arn, expected) in cases {
            assert_eq!(matches(text, arn), Some(expected), "{text} on {arn}");
        }
    }

    #[test]
    fn short_patterns_end_in_a_star() {
        assert!(pattern("arn:aws:s3").is_none());
        assert!(pattern("bucket/a").is_none());
        assert!(pattern("arn:aws:s3:::b").is_some());
    }

    #[test]
    fn nothing_but_arn_stands_before_the_first_colon() {
        for text in ["bucket/*", "*bucket*", "x*:aws:s3:::b", "ar:aws:s3:::b"] {
            assert!(pattern(text).is_none(), "{text}");
        }
        for text in ["*", "a*", "ar?:aws:s3:::b", "*:aws:s3:::b"] {
            assert!(pattern(text).is_some(), "{text}");
        }
    }

    #[test]
    fn variables_after_a_difference_are_not_asked_for() {
        let quick =
            |text: &str| pattern(text).unwrap().matches(&Arn::parse("arn:aws:s3:::b").unwrap(), &NoValues, false);
        assert_eq!(quick("arn:aws:sns:::${aws:username}"), Some(false));
        assert_eq!(quick("arn:aws:s3:::${aws:username}"), None);
    }

    #[test]
    fn a_variable_without_value_is_no_answer_wherever_it_stands() {
        assert_eq!(matches("arn:aws:s3:::${aws:username}", "arn:aws:s3:::b"), None);
        assert_eq!(matches("arn:aws:sns:::${aws:username}", "arn:aws:s3:::b"), None);
    }
}
