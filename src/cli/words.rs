//! What clap alone would not say: of values that begin with a dash, and of those that are a variable's.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, Error};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// Writes `--flag -1` as `--flag=-1`: clap would take `-1` for a flag, and not say whose value it is. What begins with two
/// dashes is left to be a flag, so that a value that was forgotten is missed.
pub(super) fn join(command: &Command, words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    let (mut arguments, mut flags_end) = (None, false);
    for word in words {
        flags_end |= word == "--";
        match joined.last_mut() {
            Some(flag) if !flags_end && is_value(&word) && arguments.is_some_and(|of| wants_value(of, flag)) => {
                flag.push("=");
                flag.push(word);
                continue;
            }
            _ => {}
        }
        arguments = arguments.or_else(|| command.find_subcommand(&word));
        joined.push(word);
    }
    joined
}

/// `-` alone is one already; help and version are flags.
fn is_value(word: &OsStr) -> bool {
    let letters = word.as_encoded_bytes();
    letters.len() > 1 && letters.starts_with(b"-") && !letters.starts_with(b"--") && word != "-h" && word != "-V"
}

fn wants_value(command: &Command, word: &OsStr) -> bool {
    let Some(long) = word.to_str().and_then(|word| word.strip_prefix("--")) else { return false };
    let one = |argument: &Arg| argument.get_num_args().is_none_or(|number| number.max_values() == 1);
    let is_it = |argument: &&Arg| argument.get_long() == Some(long);
    command.get_arguments().find(is_it).is_some_and(|argument| argument.get_action().takes_values() && one(argument))
}

/// The flags that an error is about.
fn names(value: &ContextValue) -> Vec<String> {
    if let ContextValue::Strings(names) = value {
        return names.clone();
    }
    if let ContextValue::String(name) = value { vec![name.clone()] } else { Vec::new() }
}

/// Says which variable the value is from, if it is not from these words.
pub(super) fn name_variable(command: &Command, words: &[OsString], error: &mut Error) {
    let Some(arguments) = words.iter().find_map(|word| command.find_subcommand(word)) else { return };
    let named: Vec<String> = [ContextKind::InvalidArg, ContextKind::PriorArg]
        .into_iter()
        .filter_map(|kind| error.get(kind))
        .flat_map(names)
        .collect();
    let tips: Vec<StyledStr> = arguments
        .get_arguments()
        .filter(|argument| named.contains(&argument.to_string()) && !is_written(argument, words))
        .filter_map(|argument| argument.get_env().filter(|variable| std::env::var_os(variable).is_some()))
        .map(|variable| format!("the value is that of `{}`; set another, or unset it", variable.display()).into())
        .collect();
    if !tips.is_empty() {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
}

fn is_written(argument: &Arg, words: &[OsString]) -> bool {
    let Some(long) = argument.get_long() else { return true };
    let is_it = |word: &str| word.strip_prefix("--").is_some_and(|word| word.split('=').next() == Some(long));
    words.iter().any(|word| is_it(&word.to_string_lossy()))
}

/// The variables that values are from, by the flags whose values they are.
pub(super) fn variables(command: &Command, matches: &ArgMatches) -> BTreeMap<String, String> {
    let is_set = |argument: &&Arg| matches.value_source(argument.get_id().as_str()) == Some(ValueSource::EnvVariable);
    let named = |argument: &Arg| {
        let variable = argument.get_env()?.to_string_lossy().into_owned();
        Some((format!("--{}", argument.get_long()?), variable))
    };
    command.get_arguments().filter(is_set).filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;

    #[test]
    fn a_dash_begins_a_value_where_one_is_wanted() {
        let mut command = Cli::command();
        command.build();
        let join = |line: &str| {
            let words = join(&command, line.split(' ').map(OsString::from));
            words.join(OsStr::new(" ")).into_string().unwrap()
        };
        for (line, expected) in [
            ("iamd serve --max-connections -1", "iamd serve --max-connections=-1"),
            ("iamd serve --drain-delay -5s --strict", "iamd serve --drain-delay=-5s --strict"),
            ("iamd healthcheck --timeout -1s", "iamd healthcheck --timeout=-1s"),
            ("iamd serve --cache-size --strict", "iamd serve --cache-size --strict"),
            ("iamd serve --cache-size -h", "iamd serve --cache-size -h"),
            ("iamd serve --decision-log -", "iamd serve --decision-log -"),
            ("iamd serve --strict -1", "iamd serve --strict -1"),
            ("iamd serve --cache-size=1 -1", "iamd serve --cache-size=1 -1"),
            ("iamd serve -- --cache-size -1", "iamd serve -- --cache-size -1"),
            ("iamd serve --no-flag -1", "iamd serve --no-flag -1"),
            ("iamd --cache-size -1 serve", "iamd --cache-size -1 serve"),
            ("iamd test --output -x y", "iamd test --output -x y"),
        ] {
            assert_eq!(join(line), expected);
        }
    }
}
