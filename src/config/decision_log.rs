//! The flags of the decision log, as written and checked.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use clap::builder::StringValueParser;

use super::parse::Checker;

/// As written. None has a default, so that one that is given without a log is noticed.
#[derive(clap::Args, Clone, Debug)]
pub struct DecisionLogArgs {
    /// Log every decision, one JSON object a line: a file, or `-` for stdout [default: off]
    #[arg(long, env = "IAMD_DECISION_LOG", value_name = "PATH", help_heading = "Decision log")]
    pub decision_log: Option<String>,

    /// When the queue of the log is full: drop-newest, drop-oldest, block (for a while), or error (the call fails) [default: drop-newest]
    #[arg(long, env = "IAMD_DECISION_LOG_FULL", value_name = "WHAT", help_heading = "Decision log")]
    pub decision_log_full: Option<String>,

    /// With block: how long a stalled log may hold up a thread that serves [default: 100ms]
    #[arg(long, env = "IAMD_DECISION_LOG_BLOCK_TIMEOUT", value_name = "DURATION", help_heading = "Decision log")]
    pub decision_log_block_timeout: Option<String>,

    /// Memory for decisions that are not written yet [default: 32MiB, but no more than an eighth of the memory limit]
    #[arg(long, env = "IAMD_DECISION_LOG_QUEUE", value_name = "SIZE", help_heading = "Decision log")]
    pub decision_log_queue: Option<String>,

    /// Begin a new file before this one grows larger, 64KiB or more; 0 for never [default: 100MiB]
    #[arg(long, env = "IAMD_DECISION_LOG_MAX_BYTES", value_name = "SIZE", help_heading = "Decision log")]
    pub decision_log_max_bytes: Option<String>,

    /// Begin a new file when this one is older [default: never]
    #[arg(long, env = "IAMD_DECISION_LOG_MAX_AGE", value_name = "DURATION", help_heading = "Decision log")]
    pub decision_log_max_age: Option<String>,

    /// How many older files are kept; 0 for all [default: 10]
    #[arg(long, env = "IAMD_DECISION_LOG_MAX_FILES", value_name = "N", help_heading = "Decision log")]
    pub decision_log_max_files: Option<String>,

    /// Log only these decisions: denials
    #[arg(long, env = "IAMD_DECISION_LOG_ONLY", value_name = "WHICH", help_heading = "Decision log")]
    pub decision_log_only: Option<String>,

    /// Log only actions like this, such as `s3:*`; repeat for several
    #[arg(
        long,
        env = "IAMD_DECISION_LOG_ACTIONS",
        value_name = "PATTERN",
        value_delimiter = ',',
        help_heading = "Decision log"
    )]
    pub decision_log_actions: Vec<String>,

    /// Log only this part of what is allowed, such as 0.01; denials are all logged [default: 1]
    #[arg(long, env = "IAMD_DECISION_LOG_SAMPLE", value_name = "RATIO", help_heading = "Decision log")]
    pub decision_log_sample: Option<String>,

    /// Which values of condition keys and tags are logged: safe (those of keys known to be harmless) or full [default: safe]
    #[arg(long, env = "IAMD_DECISION_LOG_CONTEXT", value_name = "WHICH", help_heading = "Decision log")]
    pub decision_log_context: Option<String>,

    /// Log the values of condition keys like this; repeat for several
    #[arg(
        long,
        env = "IAMD_DECISION_LOG_KEEP_KEY",
        value_name = "PATTERN",
        value_delimiter = ',',
        help_heading = "Decision log"
    )]
    pub decision_log_keep_key: Vec<String>,

    /// Leave out the values of condition keys like this; repeat for several
    #[arg(
        long,
        env = "IAMD_DECISION_LOG_DROP_KEY",
        value_name = "PATTERN",
        value_delimiter = ',',
        help_heading = "Decision log"
    )]
    pub decision_log_drop_key: Vec<String>,

    /// Log a keyed hash in place of the values of condition keys like this; repeat for several
    #[arg(
        long,
        env = "IAMD_DECISION_LOG_HASH_KEY",
        value_name = "PATTERN",
        value_delimiter = ',',
        help_heading = "Decision log"
    )]
    pub decision_log_hash_key: Vec<String>,

    /// File with the secret that hashes are keyed with, 16 bytes or more
    #[arg(long, env = "IAMD_DECISION_LOG_HASH_KEY_FILE", value_name = "PATH", help_heading = "Decision log")]
    pub decision_log_hash_key_file: Option<PathBuf>,

    /// Log the statements that decided for every request, not only where the caller asked for them
    #[arg(
        long,
        env = "IAMD_DECISION_LOG_STATEMENTS",
        action = ArgAction::SetTrue,
        value_parser = StringValueParser::new(),
        help_heading = "Decision log"
    )]
    pub decision_log_statements: String,
}

const DEFAULT_QUEUE: usize = 32 << 20;
const LEAST_QUEUE: usize = 64 << 10;

/// How decisions are logged.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionLogOptions {
    /// Where lines go.
    pub target: LogTarget,
    /// What happens to decisions that find no room.
    pub when_full: WhenFull,
    /// Memory for decisions that are not written yet.
    pub queue_bytes: usize,
    /// Whether nobody has written that.
    pub queue_is_default: bool,
    /// When a new file is begun.
    pub rotation: Rotation,
    /// Which decisions are logged.
    pub filter: LogFilter,
    /// What of them is not said.
    pub masks: MaskOptions,
    /// Whether the statements are logged of every decision.
    pub statements: bool,
}

impl DecisionLogOptions {
    /// Of so much memory, what the queue takes by default at most.
    pub(super) fn queue_share(memory_limit: u64) -> u64 {
        (memory_limit / 8).max(LEAST_QUEUE as u64)
    }

    /// The same where so many bytes of memory may be used (0: any).
    pub fn within(&self, memory_limit: u64) -> Self {
        let most = usize::try_from(Self::queue_share(memory_limit)).unwrap_or(usize::MAX);
        let is_cut = self.queue_is_default && memory_limit > 0;
        Self { queue_bytes: if is_cut { self.queue_bytes.min(most) } else { self.queue_bytes }, ..self.clone() }
    }
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file, made if there is none.
    File(PathBuf),
}

/// What happens to decisions that find no room in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// They are not logged.
    DropNewest,
    /// Those that wait longest make room.
    DropOldest,
    /// The thread waits for room, so long for each stall of the log.
    Block(Duration),
    /// The call fails.
    Error,
}

/// When a new file is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Size that a file does not exceed; None: any.
    pub max_bytes: Option<u64>,
    /// Age that a file does not exceed; None: any.
    pub max_age: Option<Duration>,
    /// Older files that are kept; None: all.
    pub max_files: Option<usize>,
}

/// Which decisions are logged.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFilter {
    /// Denials, and nothing else.
    pub denials_only: bool,
    /// Patterns of actions, one of which must match; none: all.
    pub actions: Vec<String>,
    /// The part of what is allowed that is logged, from 0 to 1.
    pub sample: f64,
}

/// What is not said of condition keys, tags and session policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskOptions {
    /// Whether values are logged of which nothing is known.
    pub full: bool,
    /// Patterns of keys whose values are logged.
    pub keep: Vec<String>,
    /// Patterns of keys whose values are left out.
    pub drop: Vec<String>,
    /// Patterns of keys whose values are hashed.
    pub hash: Vec<String>,
    /// The file with the secret for that.
    pub hash_key_file: Option<PathBuf>,
}

/// A smaller file would hold a hundred lines at most, and be moved aside before it is read.
const LEAST_FILE_BYTES: usize = 64 << 10;
const MOST_FILE_BYTES: usize = 1 << 40;

/// None where no log is asked for.
pub(super) fn check(args: &DecisionLogArgs, check: &mut Checker) -> Option<DecisionLogOptions> {
    let statements = check.switch("--decision-log-statements", &args.decision_log_statements);
    let Some(target) = &args.decision_log else {
        for flag in given(args, statements) {
            check.problem(flag, "says nothing without --decision-log; write where to log, such as `--decision-log -`");
        }
        return None;
    };
    let target = match target.as_str() {
        "-" => LogTarget::Stdout,
        "" => {
            check.problem("--decision-log", "`` is no path; write a file, or `-` for stdout");
            LogTarget::Stdout
        }
        path => LogTarget::File(path.into()),
    };
    Some(DecisionLogOptions {
        when_full: when_full(args, check),
        queue_bytes: args
            .decision_log_queue
            .as_deref()
            .map_or(DEFAULT_QUEUE, |text| check.size("--decision-log-queue", text, LEAST_QUEUE..=16 << 30)),
        queue_is_default: args.decision_log_queue.is_none(),
        rotation: rotation(args, &target, check),
        filter: filter(args, check),
        masks: masks(args, check),
        statements,
        target,
    })
}

/// The flags that are given besides `--decision-log`.
fn given(args: &DecisionLogArgs, statements: bool) -> impl Iterator<Item = &'static str> {
    let flags = [
        ("--decision-log-full", args.decision_log_full.is_some()),
        ("--decision-log-block-timeout", args.decision_log_block_timeout.is_some()),
        ("--decision-log-queue", args.decision_log_queue.is_some()),
        ("--decision-log-max-bytes", args.decision_log_max_bytes.is_some()),
        ("--decision-log-max-age", args.decision_log_max_age.is_some()),
        ("--decision-log-max-files", args.decision_log_max_files.is_some()),
        ("--decision-log-only", args.decision_log_only.is_some()),
        ("--decision-log-actions", !args.decision_log_actions.is_empty()),
        ("--decision-log-sample", args.decision_log_sample.is_some()),
        ("--decision-log-context", args.decision_log_context.is_some()),
        ("--decision-log-keep-key", !args.decision_log_keep_key.is_empty()),
        ("--decision-log-drop-key", !args.decision_log_drop_key.is_empty()),
        ("--decision-log-hash-key", !args.decision_log_hash_key.is_empty()),
        ("--decision-log-hash-key-file", args.decision_log_hash_key_file.is_some()),
        ("--decision-log-statements", statements),
    ];
    flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag)
}

fn when_full(args: &DecisionLogArgs, check: &mut Checker) -> WhenFull {
    const FLAG: &str = "--decision-log-block-timeout";
    let word = args.decision_log_full.as_deref().unwrap_or("drop-newest");
    let timeout =
        args.decision_log_block_timeout.as_deref().map(|text| check.duration(FLAG, text, Duration::from_millis(1)));
    let what = match word {
        "drop-newest" => WhenFull::DropNewest,
        "drop-oldest" => WhenFull::DropOldest,
        "block" => return WhenFull::Block(timeout.unwrap_or(Duration::from_millis(100))),
        "error" => WhenFull::Error,
        _ => {
            let message = format!("`{word}` is not known; write `drop-newest`, `drop-oldest`, `block` or `error`");
            check.problem("--decision-log-full", message);
            return WhenFull::DropNewest;
        }
    };
    if timeout.is_some() {
        check.problem(FLAG, format!("says nothing with `--decision-log-full {word}`, only with `block`"));
    }
    what
}

fn rotation(args: &DecisionLogArgs, target: &LogTarget, check: &mut Checker) -> Rotation {
    let flags = [
        ("--decision-log-max-bytes", &args.decision_log_max_bytes),
        ("--decision-log-max-age", &args.decision_log_max_age),
        ("--decision-log-max-files", &args.decision_log_max_files),
    ];
    if *target == LogTarget::Stdout {
        for (flag, _) in flags.into_iter().filter(|(_, text)| text.is_some()) {
            check.problem(flag, "says nothing of stdout; give --decision-log a file");
        }
    }
    let [(bytes_flag, bytes), (age_flag, age), (files_flag, files)] = flags;
    let none_if_zero = |number: usize| (number > 0).then_some(number);
    if files.as_deref().is_some_and(|files| files != "0") && age.is_none() && bytes.as_deref() == Some("0") {
        let message =
            format!("says nothing where files are never rotated; give {age_flag}, or leave `{bytes_flag} 0` out");
        check.problem(files_flag, message);
    }
    let max_bytes = bytes.as_deref().map_or(100 << 20, |text| check.size(bytes_flag, text, 0..=MOST_FILE_BYTES));
    if (1..LEAST_FILE_BYTES).contains(&max_bytes) {
        let text = bytes.as_deref().unwrap_or_default();
        let allowed = format!("0 for never, or a whole number from {LEAST_FILE_BYTES} to {MOST_FILE_BYTES}");
        check.problem(bytes_flag, format!("`{text}` is not allowed; write {allowed}"));
    }
    Rotation {
        max_bytes: none_if_zero(max_bytes).and_then(|bytes| u64::try_from(bytes).ok()),
        max_age: age.as_deref().map(|text| check.duration(age_flag, text, Duration::from_secs(1))),
        max_files: none_if_zero(files.as_deref().map_or(10, |text| check.number(files_flag, text, 0..=1_000_000))),
    }
}

fn filter(args: &DecisionLogArgs, check: &mut Checker) -> LogFilter {
    if let Some(word) = args.decision_log_only.as_deref().filter(|word| *word != "denials") {
        check.problem("--decision-log-only", format!("`{word}` is not known; write `denials`, or leave the flag out"));
    }
    let sample = match args.decision_log_sample.as_deref() {
        None => 1.0,
        Some(text) => text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).unwrap_or_else(|| {
            check.problem("--decision-log-sample", format!("`{text}` is not a ratio; write a number from 0 to 1"));
            1.0
        }),
    };
    if args.decision_log_only.is_some() && args.decision_log_sample.is_some() {
        let message = "is about what is allowed, of which `--decision-log-only denials` logs nothing; leave one out";
        check.problem("--decision-log-sample", message);
    }
    for pattern in args.decision_log_actions.iter().filter(|pattern| **pattern != "*" && !pattern.contains(':')) {
        let message = format!("`{pattern}` matches no action; write a service and an action, such as `s3:*`");
        check.problem("--decision-log-actions", message);
    }
    LogFilter { denials_only: args.decision_log_only.is_some(), actions: args.decision_log_actions.clone(), sample }
}

fn masks(args: &DecisionLogArgs, check: &mut Checker) -> MaskOptions {
    let full = match args.decision_log_context.as_deref() {
        None | Some("safe") => false,
        Some("full") => true,
        Some(word) => {
            check.problem("--decision-log-context", format!("`{word}` is not known; write `safe` or `full`"));
            false
        }
    };
    if !args.decision_log_hash_key.is_empty() && args.decision_log_hash_key_file.is_none() {
        let message = "needs --decision-log-hash-key-file: without a secret, values could be guessed from their hashes";
        check.problem("--decision-log-hash-key", message);
    }
    for (flag, patterns) in [
        ("--decision-log-keep-key", &args.decision_log_keep_key),
        ("--decision-log-drop-key", &args.decision_log_drop_key),
        ("--decision-log-hash-key", &args.decision_log_hash_key),
    ] {
        if patterns.iter().any(String::is_empty) {
            check.problem(flag, "`` matches no key; write a condition key, such as `aws:userid` or `saml:*`");
        }
    }
    if full && !args.decision_log_keep_key.is_empty() {
        check.problem(
            "--decision-log-keep-key",
            "says nothing with `--decision-log-context full`, which keeps every key",
        );
    }
    let masked = |pattern: &&String| {
        args.decision_log_drop_key.contains(pattern) || args.decision_log_hash_key.contains(pattern)
    };
    for pattern in args.decision_log_keep_key.iter().filter(masked) {
        let message = format!("`{pattern}` is also to be dropped or hashed; leave one out");
        check.problem("--decision-log-keep-key", message);
    }
    for pattern in args.decision_log_hash_key.iter().filter(|pattern| args.decision_log_drop_key.contains(pattern)) {
        check.problem("--decision-log-hash-key", format!("`{pattern}` is also to be dropped; leave one out"));
    }
    MaskOptions {
        full,
        keep: args.decision_log_keep_key.clone(),
        drop: args.decision_log_drop_key.clone(),
        hash: args.decision_log_hash_key.clone(),
        hash_key_file: args.decision_log_hash_key_file.clone(),
    }
}

#[cfg(test)]
mod tests;
