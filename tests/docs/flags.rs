//! `docs/flags.md` is what clap knows.

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};
use iamd::cli::Cli;

use crate::pages;

const PAGE: &str = "docs/flags.md";

const HEAD: &str = "# Flags

<!-- Generated: `UPDATE_DOCS=1 cargo test --test docs` writes this file. -->

Each flag has an environment variable; the flag wins. `IAMD_LISTEN` takes several addresses with commas between them. Switches are
set by `true`, `yes`, `on` or `1`. Durations carry units (`500ms`, `5s`, `1m`), sizes are bytes or carry KiB, MiB or GiB.
";

#[test]
fn the_page_lists_every_flag() {
    let expected = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(pages::root().join(PAGE), &expected).unwrap();
    }
    assert!(pages::read(PAGE) == expected, "{PAGE} is not what the program has: UPDATE_DOCS=1 cargo test --test docs");
}

#[test]
fn pages_name_flags_that_exist() {
    let mut cli = Cli::command();
    cli.build();
    let flags: Vec<&str> = cli.get_subcommands().flat_map(Command::get_arguments).filter_map(Arg::get_long).collect();
    // Other pages speak of other tools' flags as well.
    let for_users = |page: &pages::Page| page.path == "README.md" || page.path.starts_with("docs/");
    for page in pages::all().into_iter().filter(for_users) {
        let prose = page.prose();
        let spans = prose.split('`').skip(1).step_by(2);
        for span in spans.filter(|span| span.starts_with("--") || span.starts_with("iamd ")) {
            let named = span.split_whitespace().filter_map(|word| word.strip_prefix("--"));
            for flag in named.map(|word| word.split('=').next().unwrap()) {
                assert!(flags.contains(&flag), "{}: `{span}`: there is no --{flag}", page.path);
            }
        }
    }
}

fn page() -> String {
    let mut cli = Cli::command();
    cli.build();
    let mut page = HEAD.to_owned();
    for command in cli.get_subcommands().filter(|command| command.get_name() != "help") {
        describe(command, &mut page);
    }
    page
}

fn describe(command: &Command, page: &mut String) {
    let about = command.get_about().unwrap().to_string();
    let after = command.get_after_help().map(|after| format!(" {after}")).unwrap_or_default();
    writeln!(page, "\n## `iamd {}`\n\n{about}.{after}", command.get_name()).unwrap();
    let arguments: Vec<&Arg> = command.get_arguments().filter(|argument| argument.get_id() != "help").collect();
    let mut headings: Vec<Option<&str>> = Vec::new();
    for argument in &arguments {
        if !headings.contains(&argument.get_help_heading()) {
            headings.push(argument.get_help_heading());
        }
    }
    for heading in headings {
        let title = heading.map(|heading| format!("\n### {heading} of `{}`\n", command.get_name()));
        writeln!(page, "{}\n| flag | variable | default | |\n|---|---|---|---|", title.unwrap_or_default()).unwrap();
        for argument in arguments.iter().filter(|argument| argument.get_help_heading() == heading) {
            writeln!(page, "{}", row(argument)).unwrap();
        }
    }
}

fn row(argument: &Arg) -> String {
    let takes_values = argument.get_action().takes_values();
    let names: Vec<String> = argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let values = if takes_values { names.join(" ") } else { String::new() };
    let flag = argument.get_long().map_or_else(|| format!("{values}..."), |long| format!("--{long} {values}"));
    let variable = argument.get_env().map(|name| format!("`{}`", name.to_str().unwrap())).unwrap_or_default();
    let defaults: Vec<&str> = argument.get_default_values().iter().map(|value| value.to_str().unwrap()).collect();
    let has_default = takes_values && !defaults.is_empty();
    let default = if has_default { format!("`{}`", defaults.join(",")) } else { String::new() };
    let mut help = argument.get_help().unwrap().to_string();
    if takes_values && !argument.get_possible_values().is_empty() {
        let possible: Vec<_> = argument.get_possible_values().iter().map(|v| format!("`{}`", v.get_name())).collect();
        write!(help, " ({})", possible.join(", ")).unwrap();
    }
    format!("| `{}` | {variable} | {default} | {} |", flag.trim(), help.replace('|', "\\|"))
}
