//! Policy variables: `${key}`, `${key, 'default'}`, `${*}`, `${?}`, `${$}` (evaluation.md, section 6).

use std::borrow::Cow;

use super::key::ConditionKey;
use super::listener::Listener;
use crate::wildcard::{self, Beginning, Token, Wildcard, strip_prefix};

/// A text with wildcards and variables, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Box<[Piece]>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Stands for itself.
    Text(Box<str>),
    /// `*`
    AnyRun,
    /// `?`
    AnyOne,
    /// `${key}` or `${key, 'default'}`
    Variable(Box<Variable>),
}

/// A reference to a condition key's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variable {
    /// The key.
    pub key: ConditionKey,
    /// What stands in where the key has no single value.
    pub default: Option<Box<str>>,
}

/// What special characters mean in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Syntax {
    /// Whether `${` begins a variable: not before version 2012-10-17.
    pub variables: bool,
    /// Whether `*` and `?` are wildcards.
    pub wildcards: bool,
}

/// Gives the value of a variable, if it has exactly one that is not empty.
pub trait Resolve {
    /// Who listens.
    type Listener: Listener;

    /// Who listens to what is compared with these values.
    fn listener(&self) -> &Self::Listener;

    /// The value; None where the key is absent, empty or has several values.
    fn resolve(&self, key: &ConditionKey) -> Option<Cow<'_, str>>;
}

impl Variable {
    /// What it stands for. None where it has neither a value nor a default.
    pub(super) fn value<'v>(&'v self, values: &'v impl Resolve) -> Option<Cow<'v, str>> {
        let value = values.resolve(&self.key).or_else(|| self.default.as_deref().map(Cow::Borrowed));
        values.listener().variable(&self.key, value.as_deref());
        value
    }
}

impl Template {
    /// Reads a text; the error says what is wrong with a variable.
    pub(super) fn parse(text: &str, syntax: Syntax) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${").filter(|_| syntax.variables) {
            push_text(&mut pieces, before, syntax);
            let (inside, after) = split_variable(after)
                .ok_or_else(|| format!("the variable that starts at `${{{}` is not closed", start_of(after)))?;
            pieces.push(parse_variable(inside)?);
            rest = after;
        }
        push_text(&mut pieces, rest, syntax);
        Ok(Self { pieces: pieces.into() })
    }

    /// Whether it refers to any key.
    pub(super) fn has_variables(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Variable(_)))
    }

    /// The keys that it refers to.
    pub(super) fn keys(&self) -> impl Iterator<Item = &ConditionKey> {
        self.variables().map(|variable| &variable.key)
    }

    fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Variable(variable) => Some(&**variable),
            Piece::Text(_) | Piece::AnyRun | Piece::AnyOne => None,
        })
    }

    /// The variable, if it is one and nothing else.
    pub(super) fn lone_variable(&self) -> Option<&Variable> {
        if let [Piece::Variable(variable)] = &*self.pieces { Some(variable) } else { None }
    }

    /// How the texts begin that it matches, whatever the values of its variables.
    pub(super) fn beginning(&self) -> Beginning<'_> {
        match self.pieces.first() {
            Some(Piece::Text(text)) => Beginning { text, whole: false },
            Some(Piece::AnyRun | Piece::AnyOne | Piece::Variable(_)) | None => Beginning::ANY,
        }
    }

    /// Whether a text matches with the values of its variables put in; None where one has no value (rule 49). Whether one
    /// behind a difference has none is told only if `unresolved` matters.
    pub(super) fn matches<R: Resolve>(&self, text: &str, values: &R, unresolved: bool) -> Option<bool> {
        if R::Listener::EXHAUSTIVE || !self.is_simple() {
            return self.matches_by_pattern(text, values, unresolved);
        }
        let mut rest = Some(text);
        for piece in &self.pieces {
            rest = match piece {
                Piece::Text(text) => rest.and_then(|rest| strip_prefix(rest, text)),
                Piece::Variable(variable) => {
                    let value = variable.value(values)?;
                    rest.and_then(|rest| strip_prefix(rest, &value))
                }
                Piece::AnyOne => rest.and_then(|rest| rest.strip_prefix(|_: char| true)),
                Piece::AnyRun => rest.map(|_| ""),
            };
            if rest.is_none() && !unresolved {
                return Some(false);
            }
        }
        Some(rest == Some(""))
    }

    /// As [`Self::matches`], of any template and at some expense.
    fn matches_by_pattern<R: Resolve>(&self, text: &str, values: &R, unresolved: bool) -> Option<bool> {
        let all_matters = R::Listener::EXHAUSTIVE || unresolved;
        if !all_matters && !text.starts_with(self.beginning().text) {
            return Some(false);
        }
        Some(Wildcard::from_tokens(self.substitute(values)?.tokens()).matches(text))
    }

    /// Whether all of its variables have values.
    pub(super) fn resolves(&self, values: &impl Resolve) -> bool {
        self.variables().all(|variable| variable.value(values).is_some())
    }

    /// Whether no `*` stands in it but at its end.
    fn is_simple(&self) -> bool {
        let before = self.pieces.split_last().map(|(_, before)| before).unwrap_or_default();
        !before.iter().any(|piece| matches!(piece, Piece::AnyRun))
    }

    /// Its tokens, if it has no variables.
    pub(super) fn tokens(&self) -> impl Iterator<Item = Token<'_>> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(Token::Text(text)),
            Piece::AnyRun => Some(Token::AnyRun),
            Piece::AnyOne => Some(Token::AnyOne),
            Piece::Variable(_) => None,
        })
    }

    /// Puts the values of its variables in, as literal text: a `*` in a tag's value is never a wildcard (rule 48).
    /// None where one has no value (rule 49).
    pub(super) fn substitute(&self, values: &impl Resolve) -> Option<Self> {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Variable(variable) => variable.value(values).map(|value| Piece::Text(value.into_owned().into())),
            Piece::Text(_) | Piece::AnyRun | Piece::AnyOne => Some(piece.clone()),
        });
        Some(Self { pieces: pieces.collect::<Option<_>>()? })
    }

    /// As plain text; wildcards stand for themselves, variables are left out.
    pub(super) fn to_text(&self) -> String {
        let text = |token| match token {
            Token::Text(text) => text,
            Token::AnyRun => "*",
            Token::AnyOne => "?",
        };
        self.tokens().map(text).collect()
    }

    /// Cuts at the colons of its text (not of its variables), into at most `limit` parts; the last holds the rest.
    pub(super) fn split_at_colons(&self, limit: usize) -> Vec<Self> {
        let mut parts: Vec<Vec<Piece>> = Vec::new();
        let mut current = Vec::new();
        for piece in &self.pieces {
            let Piece::Text(text) = piece else {
                current.push(piece.clone());
                continue;
            };
            let mut rest: &str = text;
            while let Some((before, after)) = rest.split_once(':').filter(|_| parts.len() + 1 < limit) {
                push_literal(&mut current, before);
                parts.push(std::mem::take(&mut current));
                rest = after;
            }
            push_literal(&mut current, rest);
        }
        parts.push(current);
        parts.into_iter().map(|pieces| Self { pieces: pieces.into() }).collect()
    }

    /// Whether it ends in `*`.
    pub(super) fn ends_with_any_run(&self) -> bool {
        self.pieces.last() == Some(&Piece::AnyRun)
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str, syntax: Syntax) {
    if !syntax.wildcards {
        return push_literal(pieces, text);
    }
    for token in wildcard::tokens(text) {
        match token {
            Token::Text(text) => push_literal(pieces, text),
            Token::AnyRun => pieces.push(Piece::AnyRun),
            Token::AnyOne => pieces.push(Piece::AnyOne),
        }
    }
}

fn push_literal(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
}

/// Splits what follows `${` at the brace that closes it; braces inside a quoted default do not close.
fn split_variable(after: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let end = after.find(|character| {
        quoted ^= character == '\'';
        character == '}' && !quoted
    })?;
    Some((after.get(..end)?, after.get(end + 1..)?))
}

fn parse_variable(inside: &str) -> Result<Piece, String> {
    if let "*" | "?" | "$" = inside {
        return Ok(Piece::Text(inside.into()));
    }
    let malformed = |why: &str| format!("malformed variable `${{{}}}`: {why}", start_of(inside));
    let (key, default) = match inside.split_once(',') {
        None => (inside, None),
        Some((key, default)) => {
            let quoted = default.trim().strip_prefix('\'').and_then(|d| d.strip_suffix('\''));
            let default = quoted.filter(|d| !d.contains('\''));
            (key, Some(default.ok_or_else(|| malformed("a default stands in single quotes after the comma"))?))
        }
    };
    let key = key.trim();
    match key.split_once(':') {
        Some((prefix, name)) if !prefix.is_empty() && !name.is_empty() => {}
        _ => return Err(malformed("a condition key has the form `prefix:name`")),
    }
    if key.contains(['$', '{', '\'', '*', '?']) {
        return Err(malformed("a condition key has none of `$`, `{`, `'`, `*` and `?`"));
    }
    let variable = Variable { key: ConditionKey::new(key), default: default.map(Into::into) };
    Ok(Piece::Variable(Box::new(variable)))
}

/// The first characters of a text, for messages.
fn start_of(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::super::listener::Nobody;
    use super::*;
    use crate::wildcard::Wildcard;

    const FULL: Syntax = Syntax { variables: true, wildcards: true };

    struct Tag(&'static str);

    impl Resolve for Tag {
        type Listener = Nobody;

        fn listener(&self) -> &Nobody {
            &Nobody
        }

        fn resolve(&self, key: &ConditionKey) -> Option<Cow<'_, str>> {
            (&*key.folded == "aws:principaltag/p").then_some(Cow::Borrowed(self.0))
        }
    }

    fn matches(template: &str, tag: &'static str, text: &str) -> Option<bool> {
        let template = Template::parse(template, FULL).unwrap();
        let (thorough, quick) = (template.matches(text, &Tag(tag), true), template.matches(text, &Tag(tag), false));
        assert!(quick == thorough || (quick, thorough) == (Some(false), None), "{template:?} on {text}");
        thorough
    }

    #[test]
    fn values_are_literal_text() {
        assert_eq!(matches("home/${aws:PrincipalTag/p}/*", "*", "home/alice/a"), Some(false));
        assert_eq!(matches("home/${aws:PrincipalTag/p}/*", "*", "home/*/a"), Some(true));
        assert_eq!(matches("${aws:PrincipalTag/p}", "${aws:username}", "${aws:username}"), Some(true));
    }

    #[test]
    fn defaults_and_special_characters() {
        assert_eq!(matches("${aws:username}", "x", ""), None);
        assert_eq!(matches("b-${aws:username, 'company-wide'}", "x", "b-company-wide"), Some(true));
        assert_eq!(matches("b-${aws:username,'}'}", "x", "b-}"), Some(true));
        assert_eq!(matches("a${*}${?}${$}", "x", "a*?$"), Some(true));
        assert_eq!(matches("a${*}", "x", "ab"), Some(false));
        assert_eq!(matches("$", "x", "$"), Some(true));
    }

    #[test]
    fn malformed_variables_are_refused() {
        let cases = [
            ("a${aws:username", "the variable that starts at `${aws:username` is not closed"),
            ("${}", "malformed variable `${}`: a condition key has the form `prefix:name`"),
            ("${username}", "malformed variable `${username}`: a condition key has the form `prefix:name`"),
            ("${a:b, c}", "malformed variable `${a:b, c}`: a default stands in single quotes after the comma"),
            ("${a:${b:c}}", "malformed variable `${a:${b:c}`: a condition key has none of `$`, `{`, `'`, `*` and `?`"),
        ];
        for (text, message) in cases {
            assert_eq!(Template::parse(text, FULL).unwrap_err(), message);
        }
    }

    #[test]
    fn without_variables_they_are_text() {
        let literal = Template::parse("${aws:username}*", Syntax { variables: false, wildcards: true }).unwrap();
        assert!(!literal.has_variables());
        assert!(Wildcard::from_tokens(literal.tokens()).matches("${aws:username}x"));
    }

    #[test]
    fn colons_of_variables_do_not_split() {
        let template = Template::parse("arn:aws:s3:::${aws:username}/a:b:*", FULL).unwrap();
        let parts = template.split_at_colons(6);
        assert_eq!(parts.len(), 6);
        assert!(parts[5].has_variables() && parts[5].ends_with_any_run());
        assert_eq!(parts[1].to_text(), "aws");
    }
}
