//! Policies as their authors wrote them, for checks: what is compiled has forgotten how it was put.

use super::document::{PolicyDocument, Reader};
use super::{PolicyKind, PolicyName, percent_decoded, quota};
use crate::finding::{Findings, Position};
use crate::json::{self, Node};

/// A policy as it is written.
#[derive(Debug)]
pub struct WrittenPolicy {
    /// What it is called, and where it was read.
    pub name: PolicyName,
    /// What it is attached to.
    pub kind: PolicyKind,
    /// Where it starts.
    pub position: Position,
    /// How many characters it has, white space between them aside.
    pub characters: usize,
    /// Its elements, without the statements that have errors.
    pub document: PolicyDocument,
}

/// Reads what [`super::load`] reads, and says nothing of what is wrong with it: that is for `load` to say. None if it
/// cannot be read at all.
pub fn written(document: &Node<'_>, kind: PolicyKind, name: PolicyName) -> Option<WrittenPolicy> {
    let Some(text) = document.as_str() else {
        return written_object(document, kind, name);
    };
    let text = percent_decoded(text).ok()?;
    written_object(&json::parse_embedded(&text, document.position).ok()?, kind, name)
}

fn written_object(node: &Node<'_>, kind: PolicyKind, name: PolicyName) -> Option<WrittenPolicy> {
    if node.length > super::MAX_DOCUMENT_BYTES || node.depth > super::MAX_DOCUMENT_DEPTH {
        return None;
    }
    let mut findings = Findings::without_near_misses();
    let document = Reader { file: &name.file, findings: &mut findings }.document(node)?;
    let (position, characters) = (node.position, quota::characters(node));
    Some(WrittenPolicy { name, kind, position, characters, document })
}
