//! Commands and what they print.

use std::path::Path;
use std::process::{Command, Output};

use clap::Parser;
use iamd::cli::Cli;
use serde_json::Value;

use crate::pages::{self, Block};

/// A command as a page shows it, with what follows it.
struct Example {
    place: String,
    command: String,
    output: String,
}

/// The examples of a block: a command follows `$ `, or fills the block; it goes on after a `\` and in quotes.
fn examples_of(path: &str, block: &Block) -> Vec<Example> {
    let console = block.language == "console";
    let mut examples: Vec<Example> = Vec::new();
    let mut unfinished = false;
    for (index, line) in block.lines.iter().enumerate() {
        let start = line.strip_prefix("$ ").or((!console).then_some(line.as_str()));
        match (examples.last_mut(), start) {
            (Some(example), _) if unfinished => example.command.extend(["\n", line]),
            (_, Some(command)) => {
                let place = format!("{path}:{}", block.line + index);
                examples.push(Example { place, command: command.to_owned(), output: String::new() });
            }
            (Some(example), None) => example.output.extend([line, "\n"]),
            (None, None) => panic!("{path}:{}: a console block begins with `$ `", block.line),
        }
        let example = examples.last().unwrap();
        unfinished = example.output.is_empty()
            && (example.command.ends_with('\\') || example.command.matches('\'').count() % 2 == 1);
    }
    examples
}

fn all_examples(languages: &[&str]) -> Vec<Example> {
    let mut examples = Vec::new();
    for page in pages::all() {
        for block in page.blocks().iter().filter(|block| languages.contains(&block.language.as_str())) {
            examples.extend(examples_of(&page.path, block));
        }
    }
    examples
}

/// The command as it is run here, if it is one of ours.
fn of_iamd(example: &Example) -> Option<String> {
    let command = example.command.strip_prefix("target/release/").unwrap_or(&example.command);
    command.starts_with("iamd ").then(|| command.to_owned())
}

/// A shell in the repository's root, where `iamd` is the program under test.
fn shell(script: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_iamd")).parent().unwrap().to_str().unwrap();
    let path = format!("{program}:{}", std::env::var("PATH").unwrap_or_default());
    Command::new("sh").args(["-c", script]).current_dir(pages::root()).env_clear().env("PATH", path).output().unwrap()
}

#[test]
fn commands_print_what_the_pages_say() {
    let mut count = 0;
    for example in all_examples(&["console"]) {
        // A service does not end: CI starts it.
        let command = of_iamd(&example).filter(|command| !command.starts_with("iamd serve"));
        let Some(command) = command else { continue };
        let output = shell(&format!("{{ {command}\n}} 2>&1"));
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed, example.output, "{}: `{command}` prints something else", example.place);
        count += 1;
    }
    assert!(count >= 3, "only {count} examples were found");
}

#[test]
fn commands_have_flags_that_exist() {
    let mut count = 0;
    for example in all_examples(&["console", "sh"]) {
        let Some(command) = of_iamd(&example) else { continue };
        let words = shell(&format!("iamd() {{ printf '%s\\n' \"$@\"; }}; {command}")).stdout;
        let words = String::from_utf8(words).unwrap();
        if let Err(error) = Cli::try_parse_from(std::iter::once("iamd").chain(words.lines())) {
            panic!("{}: {error}", example.place);
        }
        count += 1;
    }
    assert!(count >= 5, "only {count} commands were found");
}

/// `check` prints the message that the service sends, except that grpcurl leaves default values out.
#[test]
fn the_answer_in_the_readme_is_the_services() {
    let examples = all_examples(&["console"]);
    let asked: Vec<_> = examples.iter().filter(|example| example.command.starts_with("grpcurl ")).collect();
    assert!(!asked.is_empty(), "the README asks nothing");
    for Example { place, command, output } in asked {
        let request = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(request.path(), command.split('\'').nth(1).unwrap()).unwrap();
        let file = request.path().display();
        let check = format!("iamd check --policies examples/quickstart/store --format json --request {file}");
        let answer: Value = serde_json::from_slice(&shell(&check).stdout).unwrap();
        let shown: Value = serde_json::from_str(output).unwrap();
        assert_eq!(shown, without_defaults(answer), "{place}: the service answers something else");
    }
}

fn without_defaults(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().map(|(key, value)| (key, without_defaults(value)));
            let is_default = |value: &Value| *value == "" || *value == 0 || value.as_array().is_some_and(Vec::is_empty);
            members.filter(|(_, value)| !is_default(value)).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Array(elements) => elements.into_iter().map(without_defaults).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// CI runs these two lines word for word.
#[test]
fn the_readme_has_the_two_commands() {
    let readme = pages::read("README.md");
    for command in ["$ cargo run --release -- serve --policies examples/quickstart/store", "$ cargo test"] {
        assert_eq!(readme.lines().filter(|line| *line == command).count(), 1, "`{command}`");
    }
}

#[test]
fn json_examples_are_json() {
    let mut count = 0;
    for page in pages::all() {
        for block in page.blocks().iter().filter(|block| block.language == "json") {
            let parsed: Result<Value, _> = serde_json::from_str(&block.lines.join("\n"));
            assert!(parsed.is_ok(), "{}:{}: {parsed:?}", page.path, block.line);
            count += 1;
        }
    }
    assert!(count >= 2, "only {count} examples were found");
}

#[test]
fn the_organization_example_loads() {
    let blocks = pages::all().into_iter().filter(|page| page.path == "docs/policy-store.md").flat_map(|p| p.blocks());
    let example = blocks.into_iter().find(|block| block.language == "json").unwrap();
    let store = tempfile::tempdir().unwrap();
    std::fs::write(store.path().join("organization.json"), example.lines.join("\n")).unwrap();
    let output = shell(&format!("iamd validate --strict {} 2>&1", store.path().display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
