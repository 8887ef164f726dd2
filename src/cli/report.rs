//! How findings and decisions look on a terminal, and how a command ends.
//!
//! Data goes to stdout, everything else to stderr; both through one writer that takes a closed pipe for what it is:
//! the reader has seen enough.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::access::StatementRef;
use crate::finding::{Finding, Severity, WHOLE_STORE, io_words};
use crate::telemetry::wants_colours;

/// How a command ends; operations.md gives the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done; for `check`: allowed.
    Success,
    /// `check`: the store cannot be loaded.
    Failure,
    /// The arguments, or a file that they name, are not what they should be.
    Usage,
    /// `check`: denied.
    Denied,
    /// `validate`: the store has errors.
    Refused,
    /// `test`: a test failed.
    TestFailed,
    /// `replay`: a decision would change.
    Changed,
    /// `replay`: no decision would change of those that could be decided again; others could not.
    Undecided,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Denied => 3,
            Self::Refused => 4,
            Self::TestFailed => 5,
            Self::Changed => 6,
            Self::Undecided => 7,
        }
    }
}

// --- where it goes --------------------------------------------------------------------------------------------------

/// Stdout for data, stderr for everything else.
pub(super) struct Terminal {
    /// Stdout.
    pub(super) out: Stream,
    /// Stderr.
    pub(super) err: Stream,
}

impl Terminal {
    /// The process's own streams; coloured where a person looks at them.
    pub(super) fn new() -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let (out_paint, err_paint) = (Paint::new(out.is_terminal()), Paint::new(err.is_terminal()));
        Self { out: Stream::new(out, out_paint), err: Stream::new(err, err_paint) }
    }

    /// An `error: ...` on stderr.
    pub(super) fn error(&mut self, message: impl Display) {
        let label = self.err.paint.red("error:");
        self.err.line(format_args!("{label} {message}"));
    }

    /// Ends the command. Answers that could not be written must not look like answers.
    pub(super) fn exit(mut self, exit: Exit) -> ExitCode {
        self.out.flush();
        match self.out.failure.take() {
            None => ExitCode::from(exit.code()),
            Some(failure) => {
                self.error(format_args!("stdout cannot be written: {}", io_words(&failure)));
                ExitCode::from(Exit::Failure.code())
            }
        }
    }
}

/// One of the two streams.
pub(super) struct Stream {
    sink: Box<dyn Write>,
    /// Whether and how it is coloured.
    pub(super) paint: Paint,
    /// After the reader has gone, or the first failure, nothing more is written.
    closed: bool,
    failure: Option<io::Error>,
}

impl Stream {
    fn new(sink: impl Write + 'static, paint: Paint) -> Self {
        Self { sink: Box::new(sink), paint, closed: false, failure: None }
    }

    /// Writes a line.
    pub(super) fn line(&mut self, text: impl Display) {
        if !self.closed {
            let written = writeln!(self.sink, "{text}");
            self.note(written);
        }
    }

    /// Writes findings as text, each with its place.
    pub(super) fn findings<'f>(&mut self, findings: impl IntoIterator<Item = &'f Finding>) {
        for finding in findings {
            let text = self.paint.finding(finding);
            self.line(text);
        }
    }

    fn flush(&mut self) {
        if !self.closed {
            let flushed = self.sink.flush();
            self.note(flushed);
        }
    }

    fn note(&mut self, result: io::Result<()>) {
        let Err(error) = result else { return };
        self.closed = true;
        if error.kind() != io::ErrorKind::BrokenPipe {
            self.failure = Some(error);
        }
    }
}

// --- colour ---------------------------------------------------------------------------------------------------------

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    on: bool,
}

impl Paint {
    fn new(is_terminal: bool) -> Self {
        Self { on: wants_colours(is_terminal) }
    }

    /// For what is wrong.
    pub(super) fn red(self, text: impl Display) -> String {
        self.wrap("31", text)
    }

    /// For what is right.
    pub(super) fn green(self, text: impl Display) -> String {
        self.wrap("32", text)
    }

    fn yellow(self, text: impl Display) -> String {
        self.wrap("33", text)
    }

    fn wrap(self, code: &str, text: impl Display) -> String {
        if self.on { format!("\u{1b}[1;{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }

    /// The finding as [`Finding`] displays itself, its first line in the colour of its severity.
    fn finding(self, finding: &Finding) -> String {
        let text = finding.to_string();
        let (first, rest) = text.split_at(text.find('\n').unwrap_or(text.len()));
        let first = match finding.severity {
            Severity::Error => self.red(first),
            Severity::SecurityWarning | Severity::Warning => self.yellow(first),
            Severity::Suggestion => first.to_owned(),
        };
        first + rest
    }
}

// --- words ----------------------------------------------------------------------------------------------------------

/// How many findings there are, and in how many files.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// How many errors.
    pub(super) errors: usize,
    /// How many security warnings; only checks give them.
    pub(super) security_warnings: usize,
    /// How many warnings.
    pub(super) warnings: usize,
    /// How many suggestions; only checks give them.
    pub(super) suggestions: usize,
    files: BTreeSet<Arc<str>>,
}

impl Tally {
    /// Counts.
    pub(super) fn of<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> Self {
        let mut tally = Self::default();
        for finding in findings {
            match finding.severity {
                Severity::Error => tally.errors += 1,
                Severity::SecurityWarning => tally.security_warnings += 1,
                Severity::Warning => tally.warnings += 1,
                Severity::Suggestion => tally.suggestions += 1,
            }
            tally.files.insert(Arc::clone(&finding.file));
        }
        tally
    }
}

impl Display for Tally {
    /// `2 errors, 1 warning in 14 files`; what only checks give is counted where there is some.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", counted(self.errors, "error"), counted(self.warnings, "warning"))?;
        for (count, noun) in [(self.security_warnings, "security warning"), (self.suggestions, "suggestion")] {
            if count > 0 {
                write!(f, ", {}", counted(count, noun))?;
            }
        }
        if self.files.is_empty() { Ok(()) } else { write!(f, " in {}", counted(self.files.len(), "file")) }
    }
}

/// `no errors`, `1 error`, `2 errors`
pub(super) fn counted(count: usize, noun: &str) -> String {
    match count {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// The finding with its file's path as seen from here, not from the store's root.
pub(super) fn seen_from_here(finding: &Finding, directory: &Path) -> Finding {
    let file = match finding.file.as_ref() {
        WHOLE_STORE => shown_path(directory),
        file => shown_path(&directory.join(file)),
    };
    Finding { file, ..finding.clone() }
}

/// A path for people.
pub(super) fn shown_path(path: &Path) -> Arc<str> {
    printable(&path.to_string_lossy()).into()
}

/// `IDENTITY arn:aws:iam::123456789012:policy/P Sid users/a.json:3:9`; a statement without Sid is `#INDEX`.
pub(super) fn statement(statement: &StatementRef) -> String {
    let StatementRef { policy_type, policy, index, sid, file, line, column } = statement;
    let name = if sid.is_empty() { format!("#{index}") } else { sid.to_string() };
    printable(&format!("{} {policy} {name} {file}:{line}:{column}", policy_type.as_str()))
}

/// Text on one line, without control characters that could steer a terminal.
pub(super) fn printable(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Position;

    fn finding(severity: Severity, file: &str) -> Finding {
        let (message, hint) = ("a is wrong".to_owned(), Some("do b".to_owned()));
        Finding { file: file.into(), position: Position::START, severity, code: "code", message, hint }
    }

    #[test]
    fn findings_are_counted_with_their_files() {
        let some = [
            finding(Severity::Error, "a.json"),
            finding(Severity::Error, "b.json"),
            finding(Severity::Warning, "a.json"),
        ];
        assert_eq!(Tally::of(&some).to_string(), "2 errors, 1 warning in 2 files");
        assert_eq!(Tally::of(&[]).to_string(), "no errors, no warnings");
    }

    #[test]
    fn only_the_first_line_is_coloured() {
        let on = Paint { on: true };
        assert_eq!(on.finding(&finding(Severity::Error, "a")), "\u{1b}[1;31ma:1:1: a is wrong\u{1b}[0m\n  hint: do b");
        assert_eq!(
            on.finding(&finding(Severity::Warning, "a")),
            "\u{1b}[1;33ma:1:1: warning: a is wrong\u{1b}[0m\n  hint: do b"
        );
        assert_eq!(Paint { on: false }.finding(&finding(Severity::Error, "a")), "a:1:1: a is wrong\n  hint: do b");
    }

    #[test]
    fn a_closed_pipe_is_quiet_and_a_full_disk_is_not() {
        struct Broken(io::ErrorKind);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut pipe = Stream::new(Broken(io::ErrorKind::BrokenPipe), Paint { on: false });
        pipe.line("a");
        assert!(pipe.closed && pipe.failure.is_none());
        let mut disk = Stream::new(Broken(io::ErrorKind::StorageFull), Paint { on: false });
        disk.line("a");
        assert!(disk.failure.is_some());
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mé\n"), "a\\u{1b}[31mé\\n");
    }
}
