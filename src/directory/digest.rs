//! Whether two documents say the same.

use sha2::{Digest as _, Sha256};

use crate::json::{Node, Value};

/// SHA-256.
pub type Digest = [u8; 32];

/// A digest of what a document says, wherever it stands and in whatever order its keys are.
pub(super) fn digest(document: &Node<'_>) -> Digest {
    let mut hasher = Sha256::new();
    feed(document, &mut hasher);
    hasher.finalize().into()
}

/// Every value with its kind and length before it, so that no two documents feed the same bytes.
fn feed(node: &Node<'_>, hasher: &mut Sha256) {
    let mut tagged = |kind: u8, length: usize, bytes: &[u8]| {
        hasher.update([kind]);
        hasher.update(length.to_le_bytes());
        hasher.update(bytes);
    };
    match &node.value {
        Value::Null => tagged(b'n', 0, &[]),
        Value::Bool(value) => tagged(b'b', 1, &[u8::from(*value)]),
        Value::Number(text) => tagged(b'0', text.len(), text.as_bytes()),
        Value::String(text) => tagged(b's', text.len(), text.as_bytes()),
        Value::Array(elements) => {
            tagged(b'[', elements.len(), &[]);
            elements.iter().for_each(|element| feed(element, hasher));
        }
        Value::Object(members) => {
            tagged(b'{', members.len(), &[]);
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|a, b| a.key.cmp(&b.key));
            for member in sorted {
                hasher.update(member.key.len().to_le_bytes());
                hasher.update(member.key.as_bytes());
                feed(&member.node, hasher);
            }
        }
    }
}
