//! `StringEquals`, `StringEqualsIgnoreCase`, `StringLike` and their negations (evaluation.md, rule 36).

use std::borrow::Cow;

use super::operator::StringMode;
use crate::access::fold_case;
use crate::policy::index::{Key, Trie};
use crate::policy::listener::Listener as _;
use crate::policy::variable::{Resolve, Template};
use crate::wildcard::{Token, Wildcard};

/// The values of a string operator.
#[derive(Debug)]
pub(crate) struct Strings {
    /// Then fixed values are in lower case.
    ignore_case: bool,
    fixed: Box<[Wildcard]>,
    /// Of the fixed values, if they are many.
    index: Option<Box<Trie>>,
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
        let fixed: Box<[_]> = fixed.iter().map(wildcard).collect();
        let keys = fixed.iter().map(|wildcard| Key::from(wildcard.beginning()));
        Self { ignore_case, index: Trie::of_patterns(keys), fixed, variables: variables.into() }
    }

    /// Whether a value of the policy matches. One with a variable that has no value does not (rule 49).
    pub(crate) fn matches<R: Resolve>(&self, value: &str, values: &R) -> bool {
        // To fold a text takes an allocation, unless there is nothing to fold.
        let folds = self.ignore_case && value.chars().any(|c| !c.is_ascii() || c.is_ascii_uppercase());
        let value = if folds { Cow::Owned(fold_case(value)) } else { Cow::Borrowed(value) };
        let substituted = self.variables.iter().map(|template| self.matches_substituted(template, &value, values));
        // Every variable is asked for, so that which keys were missing does not depend on the order of the values.
        let matched = substituted.fold(false, |any, matched| any | matched);
        let matches = |index: usize| self.fixed.get(index).is_some_and(|wildcard| wildcard.matches(&value));
        matched
            || match &self.index {
                Some(trie) if !R::Listener::EXHAUSTIVE => trie.any(&value, matches),
                Some(_) | None => (0..self.fixed.len()).any(matches),
            }
    }

    fn matches_substituted(&self, template: &Template, value: &str, values: &impl Resolve) -> bool {
        match self.ignore_case {
            true => template.substitute(values).is_some_and(|text| fold_case(&text.to_text()) == value),
            false => template.matches(value, values, false) == Some(true),
        }
    }
}
