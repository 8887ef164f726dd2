//! The Action element: `service:Name`, case-insensitive, with wildcards in the name (evaluation.md, rules 21 and 22).

use super::document::{Element, Reader, Text};
use super::listener::{ElementName, Found, Listener};
use crate::access::Action;
use crate::wildcard::Wildcard;

/// Which actions a statement is about.
#[derive(Debug)]
pub(super) struct ActionMatcher {
    /// `NotAction`: all that no pattern matches.
    negated: bool,
    patterns: Box<[ActionPattern]>,
}

#[derive(Debug)]
enum ActionPattern {
    /// `*`
    Any,
    /// Both in lower case.
    Named { service: Box<str>, name: Wildcard },
}

impl ActionMatcher {
    /// Whether the statement is about this action.
    pub(super) fn matches(&self, action: &Action<'_>, listener: &impl Listener) -> bool {
        let matches = |(index, pattern): (usize, &ActionPattern)| {
            let matched = pattern.matches(action);
            listener.entry(index, Found::of(matched));
            matched
        };
        let about_it = self.patterns.iter().enumerate().any(matches) != self.negated;
        let element = if self.negated { ElementName::NotAction } else { ElementName::Action };
        listener.element(element, about_it);
        about_it
    }
}

impl ActionPattern {
    fn matches(&self, action: &Action<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Named { service, name } => **service == *action.service() && name.matches(action.name()),
        }
    }
}

/// Compiles the element.
pub(super) fn compile(element: &Element<Vec<Text>>, reader: &mut Reader<'_>) -> ActionMatcher {
    let patterns = element.value.iter().filter_map(|text| pattern(text, reader)).collect();
    ActionMatcher { negated: element.negated, patterns }
}

fn pattern(text: &Text, reader: &mut Reader<'_>) -> Option<ActionPattern> {
    if text.text == "*" {
        return Some(ActionPattern::Any);
    }
    let problem = match text.text.split_once(':') {
        None => "is not `service:Name`",
        Some((service, _)) if service.contains(['*', '?']) => "has a wildcard in the service",
        Some(("", _) | (_, "")) => "is not `service:Name`",
        Some((service, name)) if !service.bytes().all(is_word) || !name.bytes().all(is_word_or_wildcard) => {
            "has a character that no action has"
        }
        Some((service, name)) => {
            let name = Wildcard::new(&name.to_ascii_lowercase());
            return Some(ActionPattern::Named { service: service.to_ascii_lowercase().into(), name });
        }
    };
    reader
        .error(text.position, "invalid-action", format!("the action `{}` {problem}", text.text))
        .hint("write an action such as `s3:GetObject` or `s3:Get*`, or `*` for every action");
    None
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn is_word_or_wildcard(byte: u8) -> bool {
    is_word(byte) || matches!(byte, b'*' | b'?')
}
