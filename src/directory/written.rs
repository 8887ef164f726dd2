//! What the files say, as it is written there: for checks, which judge how a thing is put.

use std::sync::Arc;

use crate::finding::Position;
use crate::policy::WrittenPolicy;

/// The policies of a store as they are written, and who has how many.
#[derive(Debug, Default)]
pub struct Written {
    /// Every policy document, in the order of the files.
    pub policies: Vec<WrittenPolicy>,
    /// Users, roles and groups, in the order of the files.
    pub holders: Vec<Holder>,
}

/// Somebody to whom policies are attached.
#[derive(Debug)]
pub struct Holder {
    /// Its ARN.
    pub arn: Box<str>,
    /// `user`, `role` or `group`.
    pub kind: &'static str,
    /// Path of its file, relative to the policy store's root.
    pub file: Arc<str>,
    /// Where it is defined.
    pub position: Position,
    /// How many managed policies are attached to it.
    pub attached: usize,
    /// How many groups it is in.
    pub groups: usize,
}
