//! `iamd-load report`: one Markdown page, with its plots, from the raw results of a directory.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::sample::{self, Sample, Session};

mod page;
mod plots;
mod svg;
mod table;

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Directory with raw.jsonl; README.md and the plots are written into it
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// What a report is made of.
#[derive(Debug)]
struct Results {
    sessions: Vec<Session>,
    samples: Vec<Sample>,
}

pub fn run(args: &ReportArgs) -> Result<(), String> {
    let (sessions, samples) = sample::read(&args.directory.join("raw.jsonl"))?;
    let results = Results { sessions, samples };
    for (name, text) in files(&results) {
        write(&args.directory.join(&name), &text)?;
        println!("{}", args.directory.join(name).display());
    }
    Ok(())
}

/// Every file of a report, by name.
fn files(results: &Results) -> Vec<(String, String)> {
    let plots = plots::plots(results);
    let names: Vec<&str> = plots.iter().map(|plot| plot.name).collect();
    let mut files = vec![("README.md".to_owned(), page::page(results, &names))];
    files.extend(plots.into_iter().map(|plot| (format!("{}.svg", plot.name), plot.svg)));
    files
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

#[cfg(test)]
mod tests;
