//! What would change, equal requests together.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::{Value as Json, json};

use crate::access::{Decision, Outcome, PolicyType};
use crate::cli::check::statement_json;
use crate::cli::report::{self, Exit, Stream, Terminal, counted, printable};
use crate::cli::request;
use crate::decision_log::read::Logged;
use crate::proto::v1::IsAuthorizedRequest;

/// So many lines that cannot be read are shown; the rest is counted.
const SHOWN_LINES: usize = 20;

/// So many masked keys are named.
const SHOWN_KEYS: usize = 10;

/// What has become of the lines.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Decisions that were made again.
    decided: usize,
    /// Of which so many came out otherwise.
    changed: usize,
    /// Decisions that depend on what is masked.
    masked: usize,
    /// The masked keys that they depend on, and how many of them on each.
    masked_keys: BTreeMap<String, usize>,
    /// Lines that are none, or whose request is none.
    unreadable: usize,
    /// Decisions that the log says are missing in it.
    pub(super) dropped: u64,
    changes: BTreeMap<Group, Change>,
}

/// What equal requests have in common.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    /// Access that is gained stands first, then what is lost.
    kind: Kind,
    /// As JSON, so that equal requests read equally.
    request: String,
    was: String,
    was_by: String,
    /// By the clock, it may come out in more ways than one.
    now: Decision,
    now_by: PolicyType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Gained,
    Lost,
    Other,
}

#[derive(Debug)]
struct Change {
    request: IsAuthorizedRequest,
    now: Outcome,
    count: usize,
    first: jiff::Timestamp,
    last: jiff::Timestamp,
}

impl Report {
    /// A decision was made again.
    pub(super) fn decided(&mut self, logged: &Logged, now: &Outcome) {
        self.decided += 1;
        if now.decision.as_str() == logged.decision {
            return;
        }
        self.changed += 1;
        let kind = match now.decision {
            Decision::Allow => Kind::Gained,
            _ if logged.decision == Decision::Allow.as_str() => Kind::Lost,
            Decision::ExplicitDeny | Decision::ImplicitDeny => Kind::Other,
        };
        let group = Group {
            kind,
            request: request::to_json(&logged.request).to_string(),
            was: logged.decision.clone(),
            was_by: logged.decided_by.clone(),
            now: now.decision,
            now_by: now.decided_by,
        };
        let change = self.changes.entry(group).or_insert_with(|| Change {
            request: logged.request.clone(),
            now: now.clone(),
            count: 0,
            first: logged.time,
            last: logged.time,
        });
        change.count += 1;
        change.first = change.first.min(logged.time);
        change.last = change.last.max(logged.time);
    }

    /// A decision depends on these keys, whose values are masked.
    pub(super) fn masked(&mut self, keys: Vec<String>) {
        self.masked += 1;
        for key in keys {
            *self.masked_keys.entry(key).or_default() += 1;
        }
    }

    /// A line cannot be decided, for this reason.
    pub(super) fn unreadable(&mut self, why: impl Display, terminal: &mut Terminal) {
        self.unreadable += 1;
        if self.unreadable <= SHOWN_LINES {
            terminal.err.line(printable(&why.to_string()));
        }
    }

    /// What would change, for people.
    pub(super) fn print(&self, out: &mut Stream) {
        for (group, change) in &self.changes {
            let now = &change.now;
            let words = format!("{} -> {}", printable(&group.was), now.decision.as_str());
            let words = if group.kind == Kind::Gained { out.paint.green(words) } else { out.paint.red(words) };
            let (by, was_by) = (now.decided_by.as_str(), printable(&group.was_by));
            let times = if change.count == 1 { "once".to_owned() } else { format!("{} times", change.count) };
            out.line(format_args!("{words}, decided by {by} (was: {was_by}), {times}, last at {}", change.last));
            out.line(format_args!("  {}", printable(&group.request)));
            for statement in now.explanation.iter().flat_map(|explanation| &explanation.statements) {
                out.line(format_args!("  {}", report::statement(statement)));
            }
        }
    }

    /// All of it, for machines.
    pub(super) fn to_json(&self) -> Json {
        let changes: Vec<_> = self.changes.iter().map(|(group, change)| change.to_json(group)).collect();
        json!({
            "changes": changes,
            "decided": self.decided,
            "changed": self.changed,
            "masked": self.masked,
            "maskedKeys": self.masked_keys,
            "unreadable": self.unreadable,
            "dropped": self.dropped,
            "undecided": self.undecided(),
        })
    }

    /// Decisions of which it is not known whether they would change, though the log can be read.
    fn undecided(&self) -> u64 {
        self.dropped.saturating_add(u64::try_from(self.masked).unwrap_or(u64::MAX))
    }

    /// Says how many, and how the command ends.
    pub(super) fn summarize(&self, terminal: &mut Terminal, allows_undecided: bool) -> Exit {
        self.say_how_many(terminal);
        if self.decided == 0 && (self.unreadable > 0 || !allows_undecided) {
            terminal.error("nothing in the log can be decided again");
            return Exit::Failure;
        }
        match (self.changed, self.unreadable, self.undecided()) {
            (1.., _, _) => Exit::Changed,
            // Whether these would change, nobody knows.
            (0, 1.., _) => Exit::Usage,
            (0, 0, 1..) if !allows_undecided => Exit::Undecided,
            (0, 0, _) => Exit::Success,
        }
    }

    fn say_how_many(&self, terminal: &mut Terminal) {
        let Self { decided, changed, masked, unreadable, dropped, .. } = self;
        if *unreadable > SHOWN_LINES {
            terminal.err.line(format_args!("and {} more", counted(unreadable - SHOWN_LINES, "line")));
        }
        let groups = counted(self.changes.len(), "request");
        terminal.err.line(format_args!("{changed} of {} would change, of {groups}", counted(*decided, "decision")));
        if *masked > 0 {
            let masked = counted(*masked, "decision");
            terminal.err.line(format_args!("{masked} cannot be made again: they depend on what is masked in the log"));
            self.say_which_keys(terminal);
        }
        if *unreadable > 0 {
            terminal.err.line(format_args!("{} cannot be read", counted(*unreadable, "line")));
        }
        if *dropped > 0 {
            terminal.err.line(format_args!("{dropped} decisions are missing in the log, as it says"));
        }
    }

    /// The masked keys that most decisions depend on.
    fn say_which_keys(&self, terminal: &mut Terminal) {
        let mut keys: Vec<_> = self.masked_keys.iter().collect();
        keys.sort_by_key(|(_, times)| Reverse(**times));
        for (key, times) in keys.iter().take(SHOWN_KEYS) {
            terminal.err.line(format_args!("  {}: {times}", printable(key)));
        }
        if keys.len() > SHOWN_KEYS {
            terminal.err.line(format_args!("  and {} more", counted(keys.len() - SHOWN_KEYS, "key")));
        }
    }
}

impl Change {
    fn to_json(&self, group: &Group) -> Json {
        let explanation = self.now.explanation.as_deref().cloned().unwrap_or_default();
        let statements: Vec<_> = explanation.statements.iter().map(statement_json).collect();
        json!({
            "request": request::to_json(&self.request),
            "was": {"decision": group.was, "decidedBy": group.was_by},
            "now": {
                "decision": self.now.decision.as_str(),
                "decidedBy": self.now.decided_by.as_str(),
                "statements": statements,
                "missingContextKeys": explanation.missing_context_keys,
            },
            "count": self.count,
            "first": self.first.to_string(),
            "last": self.last.to_string(),
        })
    }
}
