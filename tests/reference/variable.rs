//! Rules 46 to 50: `${...}` in resources and condition values.

use super::question::Question;
use super::wildcard::{Sign, sign};

/// What a text of a policy stands for in this request; None if a variable has no value (rule 49). What is filled in is
/// literal, whatever it looks like (rule 48).
pub(super) fn expand(text: &str, variables: bool, question: &Question<'_>) -> Option<Vec<Sign>> {
    let mut signs = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if variables && let Some(end) = variable_end(rest) {
            signs.extend(value(&rest[2..end - 1], question)?.chars().map(Sign::Char));
            rest = &rest[end..];
        } else {
            signs.push(sign(c));
            rest = &rest[c.len_utf8()..];
        }
    }
    Some(signs)
}

/// Where the variable that the text starts with ends.
fn variable_end(text: &str) -> Option<usize> {
    text.starts_with("${").then(|| text.find('}')).flatten().map(|end| end + 1)
}

fn value(inside: &str, question: &Question<'_>) -> Option<String> {
    if ["*", "?", "$"].contains(&inside) {
        return Some(inside.to_owned());
    }
    let (key, default) = inside.split_once(',').map_or((inside, None), |(key, default)| (key, Some(default)));
    let default = default.map(|text| text.trim().trim_matches('\'').to_owned());
    question.single_value(key.trim()).or(default)
}

/// Whether a variable is all that there is.
pub(super) fn stands_alone(text: &str) -> bool {
    variable_end(text) == Some(text.len())
}

/// Cuts a pattern into its parts before variables are filled in: a value never adds a part (rule 40).
pub(super) fn parts(text: &str, variables: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(c) = text[at..].chars().next() {
        if variables && let Some(end) = variable_end(&text[at..]) {
            at += end;
            continue;
        }
        at += c.len_utf8();
        if c == ':' && parts.len() < 5 {
            parts.push(&text[start..at - 1]);
            start = at;
        }
    }
    parts.push(&text[start..]);
    parts
}
