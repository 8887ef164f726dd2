//! Policies that are asked together.

use std::sync::Arc;

use super::compile::CompiledPolicy;

/// The policies that are attached to a user or role directly, or those of a group; whoever has the same ones shares them.
#[derive(Debug)]
pub struct PolicySet {
    policies: Box<[Arc<CompiledPolicy>]>,
}

impl PolicySet {
    /// A set of policies, of which none occurs twice.
    pub fn new(policies: Vec<Arc<CompiledPolicy>>) -> Self {
        Self { policies: policies.into() }
    }

    /// They, in the order in which they are attached.
    pub fn policies(&self) -> &[Arc<CompiledPolicy>] {
        &self.policies
    }
}
