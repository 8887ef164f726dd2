//! The policy store as `check`, `validate` and `test` load it: exactly as the service does.

use std::path::Path;

use super::report::{self, Tally, Terminal};
use crate::arn::AccountId;
use crate::checks;
use crate::config;
use crate::directory::{Loader, StoreOptions};
use crate::finding::Finding;
use crate::json::Node;
use crate::reload;
use crate::snapshot::{Loaded, Revision, Snapshot};

/// A store that is ready to decide, or everything that is wrong with it.
pub(super) type Store = Result<Snapshot, Vec<Finding>>;

/// How a store is read.
#[derive(Debug, clap::Args)]
pub(super) struct StoreArgs {
    /// Refuse a store with warnings
    #[arg(long, env = "IAMD_STRICT", value_parser = switch)]
    strict: bool,
    /// Account of entities whose ARN and folder name none
    #[arg(long, env = "IAMD_ACCOUNT_ID", value_name = "ID", value_parser = account_id)]
    account_id: Option<AccountId>,
    /// Partition of ARNs that the store leaves out
    #[arg(long, env = "IAMD_PARTITION", value_name = "NAME", default_value = "aws", value_parser = partition)]
    partition: String,
}

impl From<StoreArgs> for StoreOptions {
    fn from(args: StoreArgs) -> Self {
        Self { account_id: args.account_id, partition: args.partition, strict: args.strict }
    }
}

/// Its variable may say it.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    config::switch(text).ok_or_else(|| "its variable must be `true` or `false`, or not set".to_owned())
}

fn account_id(text: &str) -> Result<AccountId, String> {
    AccountId::parse(text).ok_or_else(|| "must be 12 digits".to_owned())
}

fn partition(text: &str) -> Result<String, String> {
    config::is_partition(text)
        .then(|| text.to_owned())
        .ok_or_else(|| "must be `aws`, `aws-cn`, `aws-us-gov` or another".to_owned())
}

/// Loads a directory.
pub(super) fn load(directory: &Path, options: &StoreOptions) -> Store {
    let loaded = reload::load_once(directory, options)?;
    Ok(loaded.into_snapshot(1))
}

/// Loads a directory, and checks what is written in it: the store, and what checks have found besides.
pub(super) fn load_and_check(directory: &Path, options: &StoreOptions) -> (Store, Vec<Finding>) {
    let (loaded, written) = reload::load_with_written(directory, options);
    (loaded.map(|loaded| loaded.into_snapshot(1)), checks::check(&written))
}

/// Prints why a directory cannot be loaded; the sentence that sums it up is left to the caller.
pub(super) fn refused(directory: &Path, findings: &[Finding], terminal: &mut Terminal) -> String {
    let seen: Vec<_> = findings.iter().map(|finding| report::seen_from_here(finding, directory)).collect();
    terminal.err.findings(&seen);
    format!("the policy store `{}` cannot be loaded: {}", report::shown_path(directory), Tally::of(&seen))
}

/// Loads a store that stands inside a file: an object or a list of what policy-store.md knows as a file.
pub(super) fn load_inline(file: &std::sync::Arc<str>, node: &Node<'_>, options: &StoreOptions) -> Store {
    let mut loader = Loader::new(options);
    loader.node(file, node);
    let (directory, warnings) = loader.finish()?;
    let bytes = u64::try_from(node.length).unwrap_or(u64::MAX);
    // Nothing compares the revisions of inline stores: they are never reloaded.
    Ok(Loaded { directory, revision: Revision([0; 32]), bytes, warnings }.into_snapshot(1))
}
