//! `StringEquals`, `StringEqualsIgnoreCase`, `StringLike` and their negations (evaluation.md, rule 36).

use std::borrow::Cow;

use super::operator::StringMode;
use crate::access::fold_case;
use crate::policy::variable::{Resolve, Template};
use crate::wildcard::{Token, Wildcard};

/// The values of a string operator.
#[derive(Debug)]
pub(crate) struct Strings {
    /// Then fixed values are in lower case.
    ignore_case: bool,
    fixed: Box<[Wildcard]>,
    variables: Box<[Template]>,
}

impl Strings {
    /// Values whose wildcards are those of the operator.
    pub(crate) fn new(mode: StringMode, templates: Vec<Template>) -> Self {
        let ignore_case = mode == StringMode::IgnoreCase;
        let wildcard = |template: &Template| match ignore_case {
            true => Wildcard::from_tokens([Token::Text(&fold_case(&template.to_text()))]),
            false => Wildcard::from_tokens(template.tokens()),
        };
        let (variables, fixed): (Vec<_>, Vec<_>) = templates.into_iter().partition(Template::has_variables);
        Self { ignore_case, fixed: fixed.iter().map(wildcard).collect(), variables: variables.into() }
    }

    /// Whether a value of the policy matches. One with a variable that has no value does not (rule 49).
    pub(crate) fn matches(&self, value: &str, values: &impl Resolve) -> bool {
        let value = if self.ignore_case { Cow::Owned(fold_case(value)) } else { Cow::Borrowed(value) };
        let substituted = self.variables.iter().map(|template| self.matches_substituted(template, &value, values));
        // Every variable is asked for, so that which keys were missing does not depend on the order of the values.
        let matched = substituted.fold(false, |any, matched| any | matched);
        matched || self.fixed.iter().any(|wildcard| wildcard.matches(&value))
    }

    fn matches_substituted(&self, template: &Template, value: &str, values: &impl Resolve) -> bool {
        template.substitute(values).is_some_and(|text| match self.ignore_case {
            true => fold_case(&text.to_text()) == value,
            false => Wildcard::from_tokens(text.tokens()).matches(value),
        })
    }
}
