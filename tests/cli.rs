//! The command line as people use it: exit codes, texts, and the shapes of machine-readable output.

#[cfg(test)]
mod cli {
    mod check;
    mod explain;
    mod program;
    mod suites;
    mod validate;
}
