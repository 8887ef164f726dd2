//! The Action element: `service:Name`, case-insensitive, with wildcards in the name (evaluation.md, rules 21 and 22).

use super::document::{Element, Reader, Text};
use super::index::{Key, Trie};
use super::listener::{ElementName, Found, Listener};
use crate::access::Action;
use crate::wildcard::Wildcard;

/// Which actions a statement is about.
#[derive(Debug)]
pub(super) struct ActionMatcher {
    /// `NotAction`: all that no pattern matches.
    negated: bool,
    patterns: Box<[ActionPattern]>,
    /// Of the patterns, if they are many.
    index: Option<Box<Trie>>,
}

#[derive(Debug)]
enum ActionPattern {
    /// `*`
    Any,
    /// In lower case. What stands before the colon has no wildcard, and an action has one colon: none is crossed.
    Named(Wildcard),
}

impl ActionMatcher {
    /// Whether the statement is about this action.
    pub(super) fn matches(&self, action: &Action<'_>, listener: &impl Listener) -> bool {
        let about_it = self.lists(action, listener) != self.negated;
        let element = if self.negated { ElementName::NotAction } else { ElementName::Action };
        listener.element(element, about_it);
        about_it
    }

    fn lists<L: Listener>(&self, action: &Action<'_>, listener: &L) -> bool {
        let matches = |index: usize| self.patterns.get(index).is_some_and(|pattern| pattern.matches(action));
        match &self.index {
            Some(trie) if !L::EXHAUSTIVE => trie.any(action.folded(), matches),
            Some(_) | None => (0..self.patterns.len()).any(|index| {
                let matched = matches(index);
                listener.entry(index, Found::of(matched));
                matched
            }),
        }
    }

    /// How many patterns it has.
    pub(super) fn count(&self) -> usize {
        self.patterns.len()
    }

    /// How the actions begin that it is about.
    pub(super) fn keys(&self) -> Vec<Key> {
        if self.negated { vec![Key::default()] } else { self.patterns.iter().map(ActionPattern::key).collect() }
    }
}

impl ActionPattern {
    fn matches(&self, action: &Action<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Named(pattern) => pattern.matches(action.folded()),
        }
    }

    fn key(&self) -> Key {
        match self {
            Self::Any => Key::default(),
            Self::Named(pattern) => pattern.beginning().into(),
        }
    }
}

/// Compiles the element.
pub(super) fn compile(element: &Element<Vec<Text>>, reader: &mut Reader<'_>) -> ActionMatcher {
    let patterns: Box<[_]> = element.value.iter().filter_map(|text| pattern(text, reader)).collect();
    let index = Trie::of_patterns(patterns.iter().map(ActionPattern::key));
    ActionMatcher { negated: element.negated, patterns, index }
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
        Some(_) => return Some(ActionPattern::Named(Wildcard::new(&text.text.to_ascii_lowercase()))),
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
