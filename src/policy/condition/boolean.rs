//! `Bool`: `true` and `false`, in any case (evaluation.md, rule 38).

use super::{Compared, report_value};
use crate::policy::document::{Reader, Text};
use crate::policy::variable::{Resolve, Template};

/// The values of `Bool`.
#[derive(Debug)]
pub(crate) struct Booleans {
    accepts_true: bool,
    accepts_false: bool,
    variables: Box<[Template]>,
}

impl Booleans {
    pub(crate) fn new(texts: &[Text], templates: Vec<Template>, reader: &mut Reader<'_>) -> Option<Self> {
        let (variables, fixed): (Vec<_>, Vec<_>) =
            templates.into_iter().zip(texts).partition(|(template, _)| template.has_variables());
        let mut booleans = Self {
            accepts_true: false,
            accepts_false: false,
            variables: variables.into_iter().map(|(template, _)| template).collect(),
        };
        let mut valid = true;
        for (_, text) in fixed {
            match parse(&text.text) {
                Some(true) => booleans.accepts_true = true,
                Some(false) => booleans.accepts_false = true,
                None => {
                    report_value(text, "true or false", reader);
                    valid = false;
                }
            }
        }
        valid.then_some(booleans)
    }

    pub(crate) fn compare(&self, value: &str, values: &impl Resolve) -> Compared {
        let Some(value) = parse(value) else {
            return Compared::Unreadable;
        };
        let mut matched = if value { self.accepts_true } else { self.accepts_false };
        let mut unreadable = false;
        // Each is asked for, so that which keys were missing does not depend on their order.
        for text in self.variables.iter().filter_map(|template| template.substitute(values)) {
            match parse(&text.to_text()) {
                Some(policy) => matched |= policy == value,
                None => unreadable = true,
            }
        }
        if unreadable { Compared::Unreadable } else { Compared::of(matched) }
    }
}

/// Reads `true` or `false`, in any case.
pub(crate) fn parse(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}
