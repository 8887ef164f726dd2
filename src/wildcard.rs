//! Patterns with `*` (any run of characters) and `?` (any one character), classified once and matched in linear time.
//!
//! A pattern is cut at its `*` into segments of fixed length. The first is anchored at the start of the text, the last
//! at its end, and each segment between them is looked for from where the one before it ended: the leftmost place is
//! always good enough, so nothing is ever tried twice. A segment is found by `memchr`'s linear substring search, or,
//! if it has a `?`, by bit-parallel search (Baeza-Yates and Gonnet, "A new approach to text searching", 1992).

use memchr::arch::all::{is_equal, is_prefix, is_suffix};
use memchr::memmem;

/// A piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// Stands for itself, whatever characters it holds.
    Text(&'a str),
    /// `*`
    AnyRun,
    /// `?`
    AnyOne,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Wildcard {
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    Any,
    Literal(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    /// No `*`, at least one `?`.
    Fixed(Box<Segment>),
    /// At least one `*`.
    General(Box<General>),
}

#[derive(Clone, Debug)]
struct General {
    first: Segment,
    middle: Box<[Segment]>,
    last: Segment,
}

/// How the texts begin that a pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Beginning<'p> {
    /// What they all begin with.
    pub text: &'p str,
    /// Whether that is a whole text, and the pattern matches no other.
    pub whole: bool,
}

impl Beginning<'_> {
    /// Of a pattern of which nothing is known.
    pub const ANY: Self = Self { text: "", whole: false };
}

impl Wildcard {
    /// Compiles a text in which `*` and `?` are wildcards.
    pub fn new(pattern: &str) -> Self {
        Self::from_tokens(tokens(pattern))
    }

    /// Compiles a pattern of which parts are known to be text.
    pub fn from_tokens<'a>(tokens: impl IntoIterator<Item = Token<'a>>) -> Self {
        let mut segments = vec![Segment::default()];
        for token in tokens {
            match (token, segments.last_mut()) {
                (Token::AnyRun, _) => segments.push(Segment::default()),
                (Token::AnyOne, Some(segment)) => segment.push_any(),
                (Token::Text(text), Some(segment)) => segment.push_text(text),
                (Token::AnyOne | Token::Text(_), None) => {}
            }
        }
        Self { shape: Shape::of(segments) }
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        match &self.shape {
            Shape::Any => true,
            Shape::Literal(literal) => is_equal(literal.as_bytes(), text.as_bytes()),
            Shape::Prefix(prefix) => is_prefix(text.as_bytes(), prefix.as_bytes()),
            Shape::Suffix(suffix) => is_suffix(text.as_bytes(), suffix.as_bytes()),
            Shape::Fixed(segment) => segment.strip_prefix(text).is_some_and(str::is_empty),
            Shape::General(general) => general.matches(text),
        }
    }

    /// How the texts begin that match.
    pub fn beginning(&self) -> Beginning<'_> {
        let text = match &self.shape {
            Shape::Any | Shape::Suffix(_) => "",
            Shape::Literal(text) => return Beginning { text, whole: true },
            Shape::Prefix(text) => text,
            Shape::Fixed(segment) => segment.beginning(),
            Shape::General(general) => general.first.beginning(),
        };
        Beginning { text, whole: false }
    }

    /// Whether it matches every text.
    pub fn is_any(&self) -> bool {
        matches!(self.shape, Shape::Any)
    }
}

/// What a text goes on with after these characters; as `str::strip_prefix`, which for a few characters takes longer: most of
/// it to get to the C library and back.
pub fn strip_prefix<'t>(text: &'t str, beginning: &str) -> Option<&'t str> {
    if is_prefix(text.as_bytes(), beginning.as_bytes()) { text.get(beginning.len()..) } else { None }
}

/// The tokens of a text in which `*` and `?` are wildcards.
pub fn tokens(pattern: &str) -> impl Iterator<Item = Token<'_>> {
    pattern.split_inclusive(['*', '?']).flat_map(|part| {
        let (text, wildcard) = match part.strip_suffix('*') {
            Some(text) => (text, Some(Token::AnyRun)),
            None => part.strip_suffix('?').map_or((part, None), |text| (text, Some(Token::AnyOne))),
        };
        let text = (!text.is_empty()).then_some(Token::Text(text));
        text.into_iter().chain(wildcard)
    })
}

impl General {
    fn matches(&self, text: &str) -> bool {
        let inner = self.first.strip_prefix(text).and_then(|rest| self.last.strip_suffix(rest));
        inner.is_some_and(|inner| find_all(&self.middle, inner))
    }
}

fn find_all(segments: &[Segment], text: &str) -> bool {
    let mut rest = text;
    segments.iter().all(|segment| match segment.find_end(rest).and_then(|end| rest.get(end..)) {
        Some(after) => {
            rest = after;
            true
        }
        None => false,
    })
}

impl Shape {
    /// Classifies segments, between each two of which stands a `*`.
    fn of(mut segments: Vec<Segment>) -> Self {
        let last = segments.pop().unwrap_or_default();
        if segments.is_empty() {
            return if last.has_any { Self::Fixed(Box::new(last)) } else { Self::Literal(last.text.into()) };
        }
        let first = segments.remove(0);
        let middle: Box<[_]> = segments.into_iter().filter(|s| !s.is_empty()).map(Segment::prepared).collect();
        match (first.is_empty(), middle.is_empty(), last.is_empty()) {
            (true, true, true) => Self::Any,
            (false, true, true) if !first.has_any => Self::Prefix(first.text.into()),
            (true, true, false) if !last.has_any => Self::Suffix(last.text.into()),
            _ => Self::General(Box::new(General { first, middle, last })),
        }
    }
}

/// A run of characters without `*`.
#[derive(Clone, Debug, Default)]
struct Segment {
    /// The characters; where `gaps` holds true, any character.
    text: String,
    /// Per character of `text`, whether it stands for any; empty as long as none does.
    gaps: Vec<bool>,
    has_any: bool,
    finder: Option<Box<memmem::Finder<'static>>>,
}

impl Segment {
    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Its characters up to the first that may be any.
    fn beginning(&self) -> &str {
        let gap = self.gaps.iter().position(|gap| *gap);
        let end = gap.and_then(|gap| self.text.char_indices().nth(gap)).map(|(start, _)| start);
        end.map_or(&self.text, |end| self.text.get(..end).unwrap_or_default())
    }

    fn push_text(&mut self, text: &str) {
        self.text.push_str(text);
        if self.has_any {
            self.gaps.extend(text.chars().map(|_| false));
        }
    }

    fn push_any(&mut self) {
        if !self.has_any {
            self.has_any = true;
            self.gaps = self.text.chars().map(|_| false).collect();
        }
        self.text.push('?');
        self.gaps.push(true);
    }

    /// Ready to be searched for, not only compared.
    fn prepared(mut self) -> Self {
        if !self.has_any {
            self.finder = Some(Box::new(memmem::Finder::new(self.text.as_bytes()).into_owned()));
        }
        self
    }

    /// Its characters, None for any.
    fn symbols(&self) -> impl DoubleEndedIterator<Item = Option<char>> {
        let characters: Vec<char> = self.text.chars().collect();
        characters.into_iter().zip(self.gaps.clone()).map(|(character, any)| (!any).then_some(character))
    }

    fn strip_prefix<'t>(&self, text: &'t str) -> Option<&'t str> {
        if !self.has_any {
            return strip_prefix(text, &self.text);
        }
        let mut characters = text.chars();
        let agrees = self.symbols().all(|symbol| agree(symbol, characters.next()));
        agrees.then_some(characters.as_str())
    }

    fn strip_suffix<'t>(&self, text: &'t str) -> Option<&'t str> {
        if !self.has_any {
            let end = text.len().checked_sub(self.text.len())?;
            return if is_suffix(text.as_bytes(), self.text.as_bytes()) { text.get(..end) } else { None };
        }
        let mut characters = text.chars();
        let agrees = self.symbols().rev().all(|symbol| agree(symbol, characters.next_back()));
        agrees.then_some(characters.as_str())
    }

    /// Where its leftmost occurrence ends, in bytes.
    fn find_end(&self, text: &str) -> Option<usize> {
        match &self.finder {
            Some(finder) => finder.find(text.as_bytes()).map(|start| start + self.text.len()),
            None => BitParallel::new(&self.symbols().collect::<Vec<_>>()).find_end(text),
        }
    }
}

fn agree(symbol: Option<char>, character: Option<char>) -> bool {
    match (symbol, character) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(wanted), Some(found)) => wanted == found,
    }
}

/// Searches for symbols by keeping, in one bit each, which prefixes of them end at the current character: n characters
/// and m symbols take n * m/64 steps, whatever they are.
///
/// Made at each search, since its masks can be much larger than the pattern and few patterns need it.
struct BitParallel {
    length: usize,
    /// Per character that occurs: bit i is set if symbol i accepts it. Sorted by character.
    masks: Vec<(char, Vec<u64>)>,
    /// The same for all other characters.
    others: Vec<u64>,
}

impl BitParallel {
    fn new(symbols: &[Option<char>]) -> Self {
        let words = symbols.len().div_ceil(64);
        let mut others = vec![0; words];
        let mut characters: Vec<char> = symbols.iter().filter_map(|s| *s).collect();
        characters.sort_unstable();
        characters.dedup();
        let gaps = symbols.iter().enumerate().filter(|(_, symbol)| symbol.is_none());
        gaps.for_each(|(index, _)| set_bit(&mut others, index));
        // What accepts any character accepts each that occurs.
        let mut masks: Vec<(char, Vec<u64>)> = characters.into_iter().map(|c| (c, others.clone())).collect();
        for (index, character) in symbols.iter().enumerate().filter_map(|(index, symbol)| Some((index, (*symbol)?))) {
            let found = masks.binary_search_by_key(&character, |(c, _)| *c).ok();
            if let Some((_, mask)) = found.and_then(|found| masks.get_mut(found)) {
                set_bit(mask, index);
            }
        }
        Self { length: symbols.len(), masks, others }
    }

    fn find_end(&self, text: &str) -> Option<usize> {
        let mut state = vec![0u64; self.others.len()];
        for (offset, character) in text.char_indices() {
            let found = self.masks.binary_search_by_key(&character, |(c, _)| *c).ok();
            let mask = found.and_then(|index| self.masks.get(index)).map_or(&self.others, |(_, mask)| mask);
            let mut carry = 1;
            for (word, mask) in state.iter_mut().zip(mask) {
                let next = *word >> 63;
                *word = ((*word << 1) | carry) & mask;
                carry = next;
            }
            let last = self.length - 1;
            if state.get(last / 64).is_some_and(|word| word >> (last % 64) & 1 == 1) {
                return Some(offset + character.len_utf8());
            }
        }
        None
    }
}

fn set_bit(mask: &mut [u64], index: usize) {
    if let Some(word) = mask.get_mut(index / 64) {
        *word |= 1 << (index % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, by recursion over both.
    fn oracle(pattern: &[char], text: &[char]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some('*'), _) => oracle(&pattern[1..], text) || !text.is_empty() && oracle(pattern, &text[1..]),
            (Some('?'), Some(_)) => oracle(&pattern[1..], &text[1..]),
            (Some(p), Some(t)) if p == t => oracle(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    #[test]
    fn shapes() {
        let cases = [
            ("*", "", true),
            ("*", "any", true),
            ("**", "any", true),
            ("", "", true),
            ("", "a", false),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*b*", "abc", true),
            ("?", "é", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*?", "", false),
            ("*a?c*", "xxaxabcx", true),
            ("?*?", "a", false),
            ("*x?z", "xyzxyz", true),
            ("a/*/b/*", "a//b/", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Wildcard::new(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn beginnings() {
        let cases = [
            ("*", ("", false)),
            ("*a", ("", false)),
            ("a*", ("a", false)),
            ("ab", ("ab", true)),
            ("", ("", true)),
            ("é?a", ("é", false)),
            ("ab?*c", ("ab", false)),
            ("?a", ("", false)),
            ("a*b*", ("a", false)),
        ];
        for (pattern, (text, whole)) in cases {
            assert_eq!(Wildcard::new(pattern).beginning(), Beginning { text, whole }, "{pattern}");
        }
    }

    #[test]
    fn text_tokens_are_never_wildcards() {
        let literal_star = Wildcard::from_tokens([Token::Text("a*"), Token::AnyRun]);
        assert!(literal_star.matches("a*b"));
        assert!(!literal_star.matches("ab"));
        let literal_question = Wildcard::from_tokens([Token::AnyRun, Token::Text("?"), Token::AnyOne, Token::AnyRun]);
        assert!(literal_question.matches("x?y"));
        assert!(!literal_question.matches("xy"));
    }

    #[test]
    fn hard_patterns_end() {
        let text = "a".repeat(1 << 20);
        for pattern in ["*a".repeat(1024) + "b", "*a?".repeat(682) + "b", "*".to_owned() + &"a?".repeat(1023) + "b*"] {
            assert!(!Wildcard::new(&pattern).matches(&text));
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab?*é]{0,10}", text in "[abé]{0,12}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            let pattern = Wildcard::new(&pattern);
            prop_assert_eq!(pattern.matches(&text), oracle(&p, &t));
            let Beginning { text: beginning, whole } = pattern.beginning();
            let begins = if whole { text == beginning } else { text.starts_with(beginning) };
            prop_assert!(begins || !pattern.matches(&text), "what matches begins so");
        }

        #[test]
        fn long_gapped_segments_agree(pattern in "\\*[ab?]{60,140}\\*", text in "[ab]{60,200}") {
            let expected = (0..=text.len()).any(|start| {
                let symbols = pattern.trim_matches('*').as_bytes();
                let window = text.as_bytes().get(start..start + symbols.len());
                window.is_some_and(|w| symbols.iter().zip(w).all(|(s, c)| *s == b'?' || s == c))
            });
            prop_assert_eq!(Wildcard::new(&pattern).matches(&text), expected);
        }
    }
}
