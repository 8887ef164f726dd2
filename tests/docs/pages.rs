//! The pages: every Markdown file of the repository, taken apart into text and fenced blocks.

use std::fs;
use std::path::{Path, PathBuf};

/// A Markdown file.
pub struct Page {
    /// Relative to the repository.
    pub path: String,
    pub text: String,
}

/// A fenced block.
pub struct Block {
    pub language: String,
    /// Where its first line stands, from 1.
    pub line: usize,
    pub lines: Vec<String>,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the repository.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// All pages, sorted.
pub fn all() -> Vec<Page> {
    let mut paths = Vec::new();
    gather(root(), &mut paths);
    paths.sort();
    let page = |path: PathBuf| {
        let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        Page { text: read(&path), path }
    };
    paths.into_iter().map(page).collect()
}

fn gather(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_str().unwrap();
        let skipped = name.starts_with('.') || ["target", "corpus", "artifacts"].contains(&name);
        if entry.file_type().unwrap().is_dir() && !skipped {
            gather(&path, paths);
        } else if name.ends_with(".md") {
            paths.push(path);
        }
    }
}

impl Page {
    /// Its fenced blocks.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (index, line) in self.text.lines().enumerate() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(language), None) => {
                    open = Some(Block { language: language.to_owned(), line: index + 2, lines: Vec::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.lines.push(line.to_owned()),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", self.path);
        blocks
    }

    /// Its text without fenced blocks.
    pub fn prose(&self) -> String {
        let mut fenced = false;
        let outside = |line: &&str| {
            let fence = line.starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        };
        self.text.lines().filter(outside).map(|line| format!("{line}\n")).collect()
    }
}
