//! What is wrong with a file, worded for the person who will mend it: where, what, and a hint.

pub mod codes;

use std::fmt;
use std::io;
use std::sync::Arc;

/// A place in a text: line and column, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Position {
    /// The first character of a text.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Refuses the snapshot.
    Error,
    /// Lets more happen than is likely to be meant. Only checks give it; never refuses the snapshot.
    SecurityWarning,
    /// Does not refuse the snapshot, unless `--strict` and it comes of loading.
    Warning,
    /// Could be written better, and would decide the same. Only checks give it; never refuses the snapshot.
    Suggestion,
}

impl Severity {
    /// The word people read: `error`, `security warning`, `warning` or `suggestion`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::SecurityWarning => "security warning",
            Self::Warning => "warning",
            Self::Suggestion => "suggestion",
        }
    }
}

impl Severity {
    /// The word machines read: as [`Severity::as_str`], in one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::SecurityWarning => "security_warning",
            Self::Warning => "warning",
            Self::Suggestion => "suggestion",
        }
    }
}

/// What findings about the policy store as a whole name as their file.
pub const WHOLE_STORE: &str = ".";

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Path relative to the policy store's root.
    pub file: Arc<str>,
    /// Where in the file.
    pub position: Position,
    /// How much it weighs.
    pub severity: Severity,
    /// Stable, kebab-case name of the rule that was broken, e.g. `duplicate-key`.
    pub code: &'static str,
    /// What is wrong: lowercase, no full stop, the author's input in backticks.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl fmt::Display for Finding {
    /// `path:line:col: message`, then an indented `hint:` line if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        write!(f, "{}:{line}:{column}: ", self.file)?;
        if self.severity != Severity::Error {
            write!(f, "{}: ", self.severity.as_str())?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// How many words all near misses of one list of findings may be looked for among: more than 300 times all of AWS's
/// condition keys. A store with thousands of slips is told of all of them, with hints for the first.
pub const WORDS_TO_COMPARE: usize = 500_000;

/// Findings of many files, gathered so that all are reported at once.
#[derive(Debug)]
pub struct Findings {
    list: Vec<Finding>,
    errors: usize,
    near_misses: NearMisses,
}

impl Default for Findings {
    fn default() -> Self {
        Self { list: Vec::new(), errors: 0, near_misses: NearMisses::within(WORDS_TO_COMPARE) }
    }
}

impl Findings {
    /// No findings yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// No findings yet, and a search for what was meant among so many words at most.
    pub fn within(words: usize) -> Self {
        Self { near_misses: NearMisses::within(words), ..Self::default() }
    }

    /// Among how many words what was meant may still be looked for.
    pub fn words_left(&self) -> usize {
        self.near_misses.left()
    }

    /// No findings yet, and no search for what was meant: for what is read at a request, which must not be made slow.
    pub fn without_near_misses() -> Self {
        Self { near_misses: NearMisses::default(), ..Self::default() }
    }

    /// Adds an error at a place; `hint` is attached with [`Findings::hint`].
    pub fn error(
        &mut self,
        file: &Arc<str>,
        position: Position,
        code: &'static str,
        message: impl Into<String>,
    ) -> &mut Self {
        self.push(Severity::Error, file, position, code, message.into())
    }

    /// Adds a warning at a place.
    pub fn warning(
        &mut self,
        file: &Arc<str>,
        position: Position,
        code: &'static str,
        message: impl Into<String>,
    ) -> &mut Self {
        self.push(Severity::Warning, file, position, code, message.into())
    }

    /// Adds what a check has found: its severity is the one that [`codes`] gives its code.
    pub fn found(
        &mut self,
        file: &Arc<str>,
        position: Position,
        code: &'static str,
        message: impl Into<String>,
    ) -> &mut Self {
        self.push(codes::severity(code), file, position, code, message.into())
    }

    /// Adds a finding that is made already.
    pub fn add(&mut self, finding: Finding) {
        self.errors += usize::from(finding.severity == Severity::Error);
        self.list.push(finding);
    }

    /// Attaches a hint to the finding added last.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        if let Some(last) = self.list.last_mut() {
            last.hint = Some(one_line(hint.into()));
        }
        self
    }

    /// Attaches `did you mean ...?` to the finding added last, if a near miss is likely.
    pub fn hint_near_miss<'a>(&mut self, written: &str, known: impl IntoIterator<Item = &'a str>) -> &mut Self {
        match self.near_misses.find(written, known) {
            Some(meant) => self.hint(format!("did you mean `{meant}`?")),
            None => self,
        }
    }

    /// Whether anything refuses the snapshot; with `strict`, warnings do too.
    pub fn refuses(&self, strict: bool) -> bool {
        strict && !self.list.is_empty() || self.error_count() > 0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many findings are errors.
    pub fn error_count(&self) -> usize {
        self.errors
    }

    /// Takes over the findings of `other`.
    pub fn append(&mut self, mut other: Self) {
        self.list.append(&mut other.list);
        self.errors += other.errors;
    }

    /// All findings, sorted by file, place and severity, without repetitions.
    pub fn into_sorted(mut self) -> Vec<Finding> {
        self.list.sort();
        self.list.dedup();
        self.list
    }

    fn push(
        &mut self,
        severity: Severity,
        file: &Arc<str>,
        position: Position,
        code: &'static str,
        message: String,
    ) -> &mut Self {
        let message = one_line(message);
        self.add(Finding { file: Arc::clone(file), position, severity, code, message, hint: None });
        self
    }
}

/// How many characters of a text are shown at either end, when it is too long to be shown whole.
const SHOWN_AT_EITHER_END: usize = 500;

/// A text as it may stand in a log or in a header: it quotes what its author wrote, which may hold line breaks or a
/// megabyte. Control characters are escaped; of a long text the beginning and the end are kept.
fn one_line(text: String) -> String {
    let whole = text.len() <= 2 * SHOWN_AT_EITHER_END;
    if whole && !text.contains(char::is_control) {
        return text;
    }
    let count = text.chars().count();
    let (head, tail) = match count > 2 * SHOWN_AT_EITHER_END {
        true => (SHOWN_AT_EITHER_END, count - SHOWN_AT_EITHER_END),
        false => (count, count),
    };
    let mut line = String::new();
    for (index, character) in text.chars().enumerate().filter(|(index, _)| *index < head || *index >= tail) {
        if index == tail {
            line.push_str(" ... ");
        }
        match character.is_control() {
            true => line.extend(character.escape_debug()),
            false => line.push(character),
        }
    }
    line
}

/// Near misses among many words, looked for as long as that is cheap. By default, never.
#[derive(Debug, Default)]
pub struct NearMisses {
    comparisons_left: usize,
}

impl NearMisses {
    /// As many comparisons as this, over all searches.
    pub const fn within(comparisons: usize) -> Self {
        Self { comparisons_left: comparisons }
    }

    /// How many comparisons are left.
    pub const fn left(&self) -> usize {
        self.comparisons_left
    }

    /// The known word nearest to what was written, as [`near_miss`] finds it among the words that can be afforded.
    pub fn find<'a>(&mut self, written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        let left = &mut self.comparisons_left;
        let affordable = known.into_iter().take(*left).inspect(|_| *left = left.saturating_sub(1));
        near_miss(written, affordable)
    }
}

/// The known word nearest to what was written, if it is near enough to have been meant:
/// at most a third of the letters differ, case aside.
pub fn near_miss<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lowered = written.to_lowercase();
    let length = lowered.chars().count();
    // As many letters differ as one is longer, at least: most words need no more than this, and however long a text is,
    // it is not compared with short ones.
    let is_near = |word: &&str| word.chars().count().abs_diff(length) * 3 <= length;
    known
        .into_iter()
        .filter(is_near)
        .map(|word| (strsim::osa_distance(&lowered, &word.to_lowercase()), word))
        .min()
        .filter(|(distance, _)| *distance * 3 <= length)
        .map(|(_, word)| word)
}

/// An I/O error in the words of a finding.
pub fn io_words(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    let mut letters = words.chars();
    letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_errors_read_like_findings() {
        assert_eq!(io_words(&io::Error::from_raw_os_error(2)), "no such file or directory");
    }

    #[test]
    fn near_misses_are_found_and_far_ones_are_not() {
        let known = ["StringEquals", "StringLike", "Bool"];
        assert_eq!(near_miss("StringEqual", known), Some("StringEquals"));
        assert_eq!(near_miss("stringequals", known), Some("StringEquals"));
        assert_eq!(near_miss("Frobnicate", known), None);
        assert_eq!(near_miss(&"StringEquals".repeat(1 << 20), known), None);
    }

    #[test]
    fn near_misses_are_looked_for_within_a_budget() {
        let hint = |mut findings: Findings| {
            findings.error(&"a.json".into(), Position::START, "c", "m").hint_near_miss("Boool", ["Bool"]);
            findings.into_sorted()[0].hint.clone()
        };
        assert_eq!(hint(Findings::new()).as_deref(), Some("did you mean `Bool`?"));
        assert_eq!(hint(Findings::without_near_misses()), None);
    }

    #[test]
    fn what_is_quoted_fits_on_one_line() {
        let mut findings = Findings::new();
        let file: Arc<str> = "a.json".into();
        let long = "é".repeat(5_000);
        findings.error(&file, Position::START, "a", "the key `a\nb\u{1b}[0m` is \"given\" twice").hint("a\tb");
        findings.error(&file, Position::START, "b", format!("`{long}` is no action"));
        let list = findings.into_sorted();
        let (keys, action): (Vec<_>, Vec<_>) = list.iter().partition(|finding| finding.code == "a");
        assert_eq!(keys[0].message, r#"the key `a\nb\u{1b}[0m` is "given" twice"#);
        assert_eq!(keys[0].hint.as_deref(), Some(r"a\tb"));
        assert_eq!(action[0].message, format!("`{} ... {}` is no action", "é".repeat(499), "é".repeat(486)));
    }

    #[test]
    fn a_finding_reads_as_place_message_hint() {
        let mut findings = Findings::new();
        let file: Arc<str> = "users/a.json".into();
        findings
            .error(&file, Position { line: 3, column: 9 }, "unknown-operator", "unknown operator `StringEqual`")
            .hint_near_miss("StringEqual", ["StringEquals"]);
        let text = findings.into_sorted()[0].to_string();
        assert_eq!(text, "users/a.json:3:9: unknown operator `StringEqual`\n  hint: did you mean `StringEquals`?");
    }
}
