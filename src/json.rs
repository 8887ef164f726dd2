//! JSON with places: strict RFC 8259, every value and key with line and column, a key given twice refused.
//!
//! A lenient reader keeps the last of two equal keys, which lets a document say one thing to its reviewer and
//! another to the service (evaluation.md, rule 4); and an error without its line helps nobody. Neither is to be had
//! from `serde_json`, against which this parser is fuzzed.

use std::borrow::Cow;
use std::fmt;

use crate::finding::Position;

/// Deepest nesting of arrays and objects that is read: a policy document may have 64 levels, and stands a few levels
/// deep in its file.
pub const MAX_DEPTH: usize = 128;

/// A value and where it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Node<'a> {
    /// Where the value starts.
    pub position: Position,
    /// How deep its own nesting goes: 0 for a scalar.
    pub depth: usize,
    /// Length of the value in the text, in bytes.
    pub length: usize,
    /// The value.
    pub value: Value<'a>,
}

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it was written.
    Number(&'a str),
    /// A string, escapes resolved.
    String(Cow<'a, str>),
    /// `[...]`
    Array(Vec<Node<'a>>),
    /// `{...}`, in the order of the text; keys are unique.
    Object(Vec<Member<'a>>),
}

/// One `"key": value` of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Member<'a> {
    /// The key, escapes resolved.
    pub key: Cow<'a, str>,
    /// Where the key starts.
    pub position: Position,
    /// The value.
    pub node: Node<'a>,
}

/// Why a text is not JSON as we read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where.
    pub position: Position,
    /// `json-syntax`, `duplicate-key` or `too-deep`.
    pub code: &'static str,
    /// What, in the words of a finding.
    pub message: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<'a> Node<'a> {
    /// The member with this key, if this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Node<'a>> {
        self.as_object()?.iter().find(|member| member.key == key).map(|member| &member.node)
    }

    /// The members, if this is an object.
    pub fn as_object(&self) -> Option<&[Member<'a>]> {
        if let Value::Object(members) = &self.value { Some(members) } else { None }
    }

    /// The elements, if this is an array.
    pub fn as_array(&self) -> Option<&[Node<'a>]> {
        if let Value::Array(elements) = &self.value { Some(elements) } else { None }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = &self.value { Some(text) } else { None }
    }

    /// What this is, for messages: `a string`, `an object`, ...
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        }
    }
}

/// Parses a whole text.
pub fn parse(text: &str) -> Result<Node<'_>, Vec<SyntaxError>> {
    Parser::new(text, None).document()
}

/// Who reads a text in parts: a dump of a million users is a few hundred bytes a user as a text, and a few thousand once it is
/// parsed, so that it is not parsed as a whole.
pub trait PartReader<'a> {
    /// Whether the elements of the list at this key of a document are to be had one by one.
    fn wants(&self, key: &str) -> bool;
    /// Such an element; the list is then empty in the document.
    fn element(&mut self, key: &str, element: &Node<'a>);
    /// An element of the list that the whole text is; the list is then empty.
    fn document(&mut self, document: &Node<'a>);
}

/// Parses a whole text as [`parse`] does, and hands the elements of large lists over as they come. A document is what the text
/// is, or each element of the list that it is. After an error, nothing of what was handed over counts.
pub fn parse_in_parts<'a>(text: &'a str, reader: &mut dyn PartReader<'a>) -> Result<Node<'a>, Vec<SyntaxError>> {
    let mut parser = Parser::new(text, None);
    parser.skip_space();
    let is_list = parser.peek() == Some(b'[');
    parser.parts = Some(Parts { reader, documents_at: if is_list { 2 } else { 1 } });
    parser.next_list = if is_list { ListOf::Documents } else { ListOf::Nodes };
    parser.document()
}

/// Parses a document that stands in a string of another one: every place is that of the string, and a syntax error
/// also tells where inside.
pub fn parse_embedded(text: &str, at: Position) -> Result<Node<'_>, Vec<SyntaxError>> {
    Parser::new(text, Some(at)).document()
}

/// Up to so many keys are compared with each other, which costs less than to sort them.
const FEW_MEMBERS: usize = 16;

fn has_duplicates(members: &[Member<'_>]) -> bool {
    let mut rest = members;
    while let [first, others @ ..] = rest {
        if others.iter().any(|other| other.key == first.key) {
            return true;
        }
        rest = others;
    }
    false
}

struct Parser<'a, 'r> {
    text: &'a str,
    offset: usize,
    /// Where the text is embedded; then all places are this one.
    embedded_at: Option<Position>,
    /// Position of `counted`, an offset at or before `offset`: places are counted forward, once.
    place: Position,
    counted: usize,
    nesting: usize,
    duplicates: Vec<SyntaxError>,
    /// To whom elements of lists are handed over, if to anybody.
    parts: Option<Parts<'a, 'r>>,
    /// What the list is made of that starts next.
    next_list: ListOf,
}

struct Parts<'a, 'r> {
    reader: &'r mut dyn PartReader<'a>,
    /// Nesting of the members of documents.
    documents_at: usize,
}

/// What a list is made of.
#[derive(Default)]
enum ListOf {
    /// Nodes that are kept in it.
    #[default]
    Nodes,
    /// Documents, which are handed over.
    Documents,
    /// Elements of the list at this key of a document, which are handed over.
    Elements(String),
}

impl<'a, 'r> Parser<'a, 'r> {
    fn new(text: &'a str, embedded_at: Option<Position>) -> Self {
        let (place, duplicates, next_list) = (Position::START, Vec::new(), ListOf::Nodes);
        Self { text, offset: 0, embedded_at, place, counted: 0, nesting: 0, duplicates, parts: None, next_list }
    }

    /// Notes what the value of this key is a list of.
    fn expect_list(&mut self, key: &str) {
        let wanted = |parts: &Parts<'a, 'r>| parts.documents_at == self.nesting && parts.reader.wants(key);
        if self.peek() == Some(b'[') && self.parts.as_ref().is_some_and(wanted) {
            self.next_list = ListOf::Elements(key.to_owned());
        }
    }

    fn document(mut self) -> Result<Node<'a>, Vec<SyntaxError>> {
        let parsed = self.whole();
        match parsed {
            Ok(node) if self.duplicates.is_empty() => Ok(node),
            Ok(_) => Err(self.duplicates),
            Err(error) => {
                self.duplicates.push(error);
                Err(self.duplicates)
            }
        }
    }

    fn whole(&mut self) -> Result<Node<'a>, SyntaxError> {
        self.skip_space();
        if self.peek().is_none() {
            return Err(self.error("the file is empty, expected JSON"));
        }
        let node = self.node()?;
        self.skip_space();
        match self.peek() {
            None => Ok(node),
            Some(_) => Err(self.unexpected("the end of the file")),
        }
    }

    fn node(&mut self) -> Result<Node<'a>, SyntaxError> {
        let position = self.position();
        let start = self.offset;
        let (value, depth) = match self.peek() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::array)?,
            Some(b'"') => (Value::String(self.string()?), 0),
            Some(b'-' | b'0'..=b'9') => (Value::Number(self.number()?), 0),
            Some(b't') => (self.literal("true", Value::Bool(true))?, 0),
            Some(b'f') => (self.literal("false", Value::Bool(false))?, 0),
            Some(b'n') => (self.literal("null", Value::Null)?, 0),
            _ => return Err(self.unexpected("a JSON value")),
        };
        Ok(Node { position, depth, length: self.offset - start, value })
    }

    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<(Value<'a>, usize), SyntaxError>,
    ) -> Result<(Value<'a>, usize), SyntaxError> {
        if self.nesting == MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(self.coded("too-deep", message));
        }
        self.nesting += 1;
        self.offset += 1;
        let (value, inner) = read(self)?;
        self.nesting -= 1;
        Ok((value, inner + 1))
    }

    fn object(&mut self) -> Result<(Value<'a>, usize), SyntaxError> {
        let mut members: Vec<Member<'a>> = Vec::new();
        let mut depth = 0;
        self.skip_space();
        if self.eat(b'}') {
            return Ok((Value::Object(members), depth));
        }
        loop {
            self.skip_space();
            let position = self.position();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            let key = self.string()?;
            self.skip_space();
            if !self.eat(b':') {
                return Err(self.unexpected("`:` after the key"));
            }
            self.skip_space();
            self.expect_list(&key);
            let node = self.node()?;
            depth = depth.max(node.depth);
            members.push(Member { key, position, node });
            self.skip_space();
            if self.eat(b'}') {
                self.note_duplicates(&members);
                return Ok((Value::Object(members), depth));
            }
            if !self.eat(b',') {
                return Err(self.unexpected("`,` or `}`"));
            }
        }
    }

    fn array(&mut self) -> Result<(Value<'a>, usize), SyntaxError> {
        let list = std::mem::take(&mut self.next_list);
        let mut elements = Vec::new();
        let mut depth = 0;
        self.skip_space();
        if self.eat(b']') {
            return Ok((Value::Array(elements), depth));
        }
        loop {
            self.skip_space();
            let node = self.node()?;
            depth = depth.max(node.depth);
            match (&list, &mut self.parts) {
                (ListOf::Documents, Some(parts)) => parts.reader.document(&node),
                (ListOf::Elements(key), Some(parts)) => parts.reader.element(key, &node),
                (ListOf::Nodes, _) | (_, None) => elements.push(node),
            }
            self.skip_space();
            if self.eat(b']') {
                return Ok((Value::Array(elements), depth));
            }
            if !self.eat(b',') {
                return Err(self.unexpected("`,` or `]`"));
            }
        }
    }

    /// Two equal keys are noted, not fatal: the rest of the file is still read for its own errors.
    fn note_duplicates(&mut self, members: &[Member<'a>]) {
        if members.len() <= FEW_MEMBERS && !has_duplicates(members) {
            return;
        }
        let mut sorted: Vec<&Member<'a>> = members.iter().collect();
        sorted.sort_by(|a, b| (&a.key, a.position).cmp(&(&b.key, b.position)));
        for pair in sorted.windows(2) {
            let [first, second] = pair else { continue };
            if first.key == second.key {
                let message = format!("the key `{}` is given twice, first on line {}", second.key, first.position.line);
                self.duplicates.push(SyntaxError { position: second.position, code: "duplicate-key", message });
            }
        }
    }

    fn literal(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, SyntaxError> {
        if !self.rest().starts_with(word) {
            return Err(self.unexpected("a JSON value"));
        }
        self.offset += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<&'a str, SyntaxError> {
        let start = self.offset;
        self.eat(b'-');
        match self.peek() {
            Some(b'0') => self.offset += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("a digit")),
        }
        if self.eat(b'.') {
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.offset += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.offset += 1;
            }
            self.some_digits()?;
        }
        Ok(self.text.get(start..self.offset).unwrap_or_default())
    }

    fn some_digits(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            Some(b'0'..=b'9') => {
                self.digits();
                Ok(())
            }
            _ => Err(self.unexpected("a digit")),
        }
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.offset += 1;
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        self.offset += 1;
        let mut owned: Option<String> = None;
        loop {
            let run = self.plain_run()?;
            match self.peek() {
                Some(b'"') => {
                    self.offset += 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(run),
                        Some(text) => Cow::Owned(text + run),
                    });
                }
                _ => {
                    let text = owned.get_or_insert_default();
                    text.push_str(run);
                    let escaped = self.escape()?;
                    owned.get_or_insert_default().push(escaped);
                }
            }
        }
    }

    /// The characters up to the next quote or backslash.
    fn plain_run(&mut self) -> Result<&'a str, SyntaxError> {
        let start = self.offset;
        loop {
            match self.peek() {
                Some(b'"' | b'\\') => return Ok(self.text.get(start..self.offset).unwrap_or_default()),
                Some(0..=0x1f) => return Err(self.error("a control character in a string must be escaped")),
                Some(_) => self.offset += 1,
                None => return Err(self.error("the file ends inside a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        self.offset += 1;
        let code = self.peek();
        self.offset += usize::from(code.is_some());
        match code {
            Some(b'"') => Ok('"'),
            Some(b'\\') => Ok('\\'),
            Some(b'/') => Ok('/'),
            Some(b'b') => Ok('\u{8}'),
            Some(b'f') => Ok('\u{c}'),
            Some(b'n') => Ok('\n'),
            Some(b'r') => Ok('\r'),
            Some(b't') => Ok('\t'),
            Some(b'u') => self.unicode_escape(),
            _ => {
                self.offset -= usize::from(code.is_some());
                Err(self.error("unknown escape in a string"))
            }
        }
    }

    fn unicode_escape(&mut self) -> Result<char, SyntaxError> {
        let first = self.hex4()?;
        let scalar = match first {
            0xd800..=0xdbff if self.rest().starts_with("\\u") => {
                self.offset += 2;
                match self.hex4()? {
                    low @ 0xdc00..=0xdfff => 0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00),
                    _ => first,
                }
            }
            _ => first,
        };
        char::from_u32(scalar).ok_or_else(|| self.error("a `\\u` escape is half of a surrogate pair"))
    }

    fn hex4(&mut self) -> Result<u32, SyntaxError> {
        let digits = self.text.get(self.offset..self.offset + 4);
        let value = digits
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|d| u32::from_str_radix(d, 16).ok())
            .ok_or_else(|| self.error("`\\u` needs four hexadecimal digits"))?;
        self.offset += 4;
        Ok(value)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.offset += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.offset += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    /// The place of `offset`. Counts forward from the place asked for last, so that a whole file is counted once.
    fn position(&mut self) -> Position {
        if let Some(position) = self.embedded_at {
            return position;
        }
        self.own_position()
    }

    fn own_position(&mut self) -> Position {
        let passed = self.text.get(self.counted..self.offset).unwrap_or_default();
        for character in passed.chars() {
            match character {
                '\n' => self.place = Position { line: self.place.line.saturating_add(1), column: 1 },
                _ => self.place.column = self.place.column.saturating_add(1),
            }
        }
        self.counted = self.offset.max(self.counted);
        self.place
    }

    fn unexpected(&mut self, expected: &str) -> SyntaxError {
        let found = self.rest().chars().next();
        self.error(match found {
            Some(character) => format!("expected {expected}, found `{}`", character.escape_debug()),
            None => format!("expected {expected}, but the file ends here"),
        })
    }

    fn error(&mut self, message: impl Into<String>) -> SyntaxError {
        self.coded("json-syntax", message.into())
    }

    fn coded(&mut self, code: &'static str, mut message: String) -> SyntaxError {
        let inner = self.own_position();
        if self.embedded_at.is_some() {
            message += &format!(" (at {}:{} of the document in this string)", inner.line, inner.column);
        }
        SyntaxError { position: self.embedded_at.unwrap_or(inner), code, message }
    }
}

#[cfg(test)]
mod tests;
