//! `ArnEquals`, `ArnLike` and their negations (evaluation.md, rule 40).

use super::{Compared, report_value};
use crate::arn::Arn;
use crate::policy::document::{Reader, Text};
use crate::policy::pattern::ArnPattern;
use crate::policy::variable::{Resolve, Template, Variable};

/// The values of an ARN operator.
#[derive(Debug)]
pub(crate) struct Arns {
    fixed: Box<[Pattern]>,
    /// Those with variables.
    variable: Box<[Pattern]>,
}

#[derive(Debug)]
enum Pattern {
    /// Compared part by part.
    Parts(ArnPattern),
    /// A variable alone: its value is a whole ARN.
    Whole(Variable),
}

impl Arns {
    pub(crate) fn new(texts: &[Text], templates: &[Template], reader: &mut Reader<'_>) -> Option<Self> {
        let compile = |(text, template): (&Text, &Template)| {
            let pattern = match template.lone_variable() {
                Some(variable) => Some(Pattern::Whole(variable.clone())),
                None => ArnPattern::new(template).map(Pattern::Parts),
            };
            if pattern.is_none() {
                report_value(text, "an ARN, in six parts or ending in `*`", reader);
            }
            pattern.map(|pattern| (template.has_variables(), pattern))
        };
        let patterns: Vec<(bool, Pattern)> = texts.iter().zip(templates).filter_map(compile).collect();
        let complete = patterns.len() == texts.len();
        let (variable, fixed): (Vec<_>, Vec<_>) = patterns.into_iter().partition(|(variable, _)| *variable);
        let without_mark = |patterns: Vec<(bool, Pattern)>| patterns.into_iter().map(|(_, pattern)| pattern).collect();
        complete.then(|| Self { fixed: without_mark(fixed), variable: without_mark(variable) })
    }

    pub(crate) fn compare(&self, value: &str, values: &impl Resolve) -> Compared {
        let Some(arn) = Arn::parse(value) else {
            return Compared::Unreadable;
        };
        let mut matched = self.fixed.iter().any(|pattern| pattern.matches(&arn, values) == Some(true));
        let mut readable = true;
        // Every variable is asked for, so that which keys were missing does not depend on the order of the values.
        for pattern in &self.variable {
            match pattern.matches(&arn, values) {
                Some(matches) => matched |= matches,
                None => readable = false,
            }
        }
        if readable { Compared::of(matched) } else { Compared::Unreadable }
    }
}

impl Pattern {
    /// Whether it matches; a variable without value does not. None where the variable's value is no ARN.
    fn matches(&self, arn: &Arn<'_>, values: &impl Resolve) -> Option<bool> {
        match self {
            Self::Parts(pattern) => Some(pattern.matches(arn, values, false) == Some(true)),
            Self::Whole(variable) => match variable.value(values) {
                Some(text) => Arn::parse(&text).map(|value| value.text == arn.text),
                None => Some(false),
            },
        }
    }
}
