//! `iamd check`: one decision, the statements that made it, and how it came about.

mod answer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;

use super::input::{self, Reader};
use super::report::{self, Exit, Tally, Terminal, counted};
use super::request::{self, decide_one, explain_one};
use super::store::{self, StoreArgs};
use crate::access::{Decision, Detail, InvalidField, shown};
use crate::arn::Arn;
use crate::directory::Directory;
use crate::finding::{Finding, Findings};
use crate::proto::v1::{ContextValues, IsAuthorizedRequest};
use crate::snapshot::Snapshot;

pub(super) use answer::statement_json;

/// The request, by flags or as a file, and the store that decides it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code: 0 allowed, 3 denied, 2 the request is not valid, 1 the store cannot be loaded.")]
pub struct CheckArgs {
    /// Directory of the policy store
    #[arg(long, env = "IAMD_POLICIES", value_name = "DIR")]
    policies: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    request: RequestFlags,
    /// The request as a file: an IsAuthorizedRequest in protobuf's JSON form; `-` reads stdin
    #[arg(long = "request", env = "IAMD_REQUEST", value_name = "FILE")]
    #[arg(conflicts_with_all = ["principal", "action", "resource", "context", "resource_account"])]
    #[arg(conflicts_with_all = ["session_policy", "session_tag", "federated_by"])]
    request_file: Option<PathBuf>,
    /// Also say, layer by layer and statement by statement, how the decision came about
    #[arg(long, env = "IAMD_EXPLAIN", value_parser = super::store::switch)]
    explain: bool,
    /// How to print the decision; `json` is an IsAuthorizedResponse
    #[arg(long, env = "IAMD_FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct RequestFlags {
    /// Who asks: an ARN, a service such as `ec2.amazonaws.com`, or `anonymous`
    #[arg(long, env = "IAMD_PRINCIPAL", value_name = "P", required_unless_present = "request_file")]
    principal: Option<String>,
    /// What they want to do, such as `s3:GetObject`
    #[arg(long, env = "IAMD_ACTION", value_name = "A", required_unless_present = "request_file")]
    action: Option<String>,
    /// What they want to do it to: an ARN, or `*` for an action without resources
    #[arg(long, env = "IAMD_RESOURCE", value_name = "R", required_unless_present = "request_file")]
    resource: Option<String>,
    /// A condition key and a value; repeat the key for several values
    #[arg(long, env = "IAMD_CONTEXT", value_name = "K=V", value_parser = key_value)]
    context: Vec<(String, String)>,
    /// Account that owns the resource, where neither its ARN nor the store says
    #[arg(long, env = "IAMD_RESOURCE_ACCOUNT", value_name = "ID")]
    resource_account: Option<String>,
    /// File with a session policy; repeat for several
    #[arg(long, env = "IAMD_SESSION_POLICY", value_name = "PATH")]
    session_policy: Vec<PathBuf>,
    /// A session tag and its value
    #[arg(long, env = "IAMD_SESSION_TAG", value_name = "K=V", value_parser = key_value)]
    session_tag: Vec<(String, String)>,
    /// For a federated user: ARN of the IAM user that called sts:GetFederationToken
    #[arg(long, env = "IAMD_FEDERATED_BY", value_name = "ARN")]
    federated_by: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Splits at the first `=`: keys have none, values may.
fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}

/// Runs the command.
pub fn run(args: CheckArgs) -> ExitCode {
    let mut terminal = Terminal::new();
    let exit = execute(args, &mut terminal);
    terminal.exit(exit)
}

fn execute(args: CheckArgs, terminal: &mut Terminal) -> Exit {
    let by_file = args.request_file.is_some();
    let request = match read_request(args.request_file.as_deref(), args.request) {
        Ok(request) => request,
        Err(problem) => return problem.report(terminal),
    };
    let snapshot = match store::load(&args.policies, &args.store.into()) {
        Ok(snapshot) => snapshot,
        Err(findings) => {
            let refused = store::refused(&args.policies, &findings, terminal);
            terminal.error(refused);
            return Exit::Failure;
        }
    };
    mention_warnings(&args.policies, &snapshot, terminal);
    let now = jiff::Timestamp::now();
    let answer = match args.explain {
        true => explain_one(&snapshot, &request, now).map(|(outcome, trace)| (outcome, Some(trace))),
        false => decide_one(&snapshot, &request, now, Detail::Statements).map(|outcome| (outcome, None)),
    };
    match answer {
        Ok((outcome, trace)) => {
            if outcome.decision == Decision::ImplicitDeny {
                mention_stranger(&request.principal, &snapshot, terminal);
            }
            answer::print(&outcome, trace.as_ref(), snapshot.version, args.format, terminal)
        }
        Err(invalid) => {
            terminal.error(invalid_words(&invalid, by_file));
            Exit::Usage
        }
    }
}

// --- the request ----------------------------------------------------------------------------------------------------

/// Why there is no request to decide.
enum Problem {
    Message(String),
    Findings(Vec<Finding>),
}

impl Problem {
    fn report(self, terminal: &mut Terminal) -> Exit {
        match self {
            Self::Message(message) => terminal.error(message),
            Self::Findings(findings) => {
                terminal.err.findings(&findings);
                terminal.error(Tally::of(&findings));
            }
        }
        Exit::Usage
    }
}

fn read_request(file: Option<&Path>, flags: RequestFlags) -> Result<IsAuthorizedRequest, Problem> {
    match file {
        Some(path) => from_file(path),
        None => from_flags(flags).map_err(Problem::Message),
    }
}

fn from_file(path: &Path) -> Result<IsAuthorizedRequest, Problem> {
    let (name, text) = match path.to_str() {
        Some("-") => (Arc::from("<stdin>"), input::read_stdin()),
        _ => (report::shown_path(path), input::read_file(path)),
    };
    let text = text.map_err(|why| Problem::Message(format!("--request: `{name}` {why}")))?;
    let mut findings = Findings::new();
    let mut reader = Reader { file: &name, findings: &mut findings };
    let request = reader.parse(&text).map(|node| request::read(&node, &mut reader));
    match request {
        Some(request) if findings.error_count() == 0 => Ok(request),
        _ => Err(Problem::Findings(findings.into_sorted())),
    }
}

fn from_flags(flags: RequestFlags) -> Result<IsAuthorizedRequest, String> {
    let mut session_tags = HashMap::new();
    for (key, value) in flags.session_tag {
        if session_tags.insert(key.clone(), value).is_some() {
            return Err(format!("--session-tag: `{}` is given twice", report::printable(&key)));
        }
    }
    let mut context: HashMap<String, ContextValues> = HashMap::new();
    for (key, value) in flags.context {
        context.entry(key).or_default().values.push(value);
    }
    let session_policies = flags.session_policy.iter().map(|path| read_session_policy(path)).collect::<Result<_, _>>();
    Ok(IsAuthorizedRequest {
        principal: flags.principal.unwrap_or_default(),
        action: flags.action.unwrap_or_default(),
        resource: flags.resource.unwrap_or_default(),
        context,
        resource_account: flags.resource_account.unwrap_or_default(),
        session_policies: session_policies?,
        session_tags,
        federated_by: flags.federated_by.unwrap_or_default(),
        detail: 0,
    })
}

fn read_session_policy(path: &Path) -> Result<String, String> {
    input::read_file(path).map_err(|why| format!("--session-policy: `{}` {why}", report::shown_path(path)))
}

/// Names the flag, or the field of the file, that is to be mended.
fn invalid_words(invalid: &InvalidField, by_file: bool) -> String {
    let InvalidField { field, message } = invalid;
    if by_file {
        return format!("--request: {field}: {message}");
    }
    let flag = match *field {
        "session_policies" => "session-policy".to_owned(),
        "session_tags" => "session-tag".to_owned(),
        _ => field.replace('_', "-"),
    };
    format!("--{flag}: {message}")
}

// --- the store ------------------------------------------------------------------------------------------------------

fn mention_warnings(directory: &Path, snapshot: &Snapshot, terminal: &mut Terminal) {
    if !snapshot.warnings.is_empty() {
        let warnings = counted(snapshot.warnings.len(), "warning");
        let directory = report::shown_path(directory);
        terminal.err.line(format_args!("{warnings} in the policy store, see `iamd validate {directory}`"));
    }
}

/// A name with a typo is nobody, whom nothing allows anything: correct, and puzzling.
fn mention_stranger(principal: &str, snapshot: &Snapshot, terminal: &mut Terminal) {
    if let Some(kind) = stranger(principal, &snapshot.directory) {
        let principal = shown(principal);
        terminal.err.line(format_args!("the policy store has no {kind} `{principal}`, so it has no identity policies"));
    }
}

/// `user` or `role`, if the principal is one that the store does not have.
fn stranger(principal: &str, directory: &Directory) -> Option<&'static str> {
    let arn = Arn::parse(principal)?;
    let (kind, path) = arn.resource.split_once('/')?;
    let has_role = |name: &str| {
        let role = arn.account_id().and_then(|account| directory.roles.named(account, name));
        role.is_some_and(|role| role.entity.name() == name)
    };
    let unknown_role = |name: Option<&str>| (!has_role(name?)).then_some("role");
    match kind {
        "user" => directory.users.get(principal).is_none().then_some("user"),
        "role" => unknown_role(path.rsplit('/').next()),
        "assumed-role" => unknown_role(path.split('/').next()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_at_the_first_equals_sign() {
        let pair = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(key_value("a:B=c=d"), pair("a:B", "c=d"));
        assert_eq!(key_value("a:B="), pair("a:B", ""));
        for text in ["a:B", "=c", ""] {
            assert_eq!(key_value(text), Err("must be KEY=VALUE".to_owned()), "{text}");
        }
    }

    #[test]
    fn invalid_fields_name_their_flag() {
        let invalid = InvalidField::new("session_policies", "no");
        assert_eq!(invalid_words(&invalid, false), "--session-policy: no");
        assert_eq!(invalid_words(&InvalidField::new("resource_account", "no"), false), "--resource-account: no");
        assert_eq!(invalid_words(&invalid, true), "--request: session_policies: no");
    }
}
