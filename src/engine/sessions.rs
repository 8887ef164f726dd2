//! Session policies, compiled and remembered: the same few arrive again and again, with ever new requests.

use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use crate::access::InvalidField;
use crate::evaluate::SessionPolicies;

/// What may stand for a piece of a pattern, a value or a key once it is compiled. Each of these characters of a text begins
/// at most one: an element of a list, a part of an ARN, a stretch between wildcards.
const PIECE_BYTES: usize = 256;
const BEGIN_A_PIECE: &[u8] = b",:*?$";

/// What each document takes besides: the map's slot, the counters, the first statement.
const DOCUMENT_BYTES: usize = 512;

/// How many there are room for before the map grows; a hint only.
const FEW: usize = 64;

/// Compiled session policies by their texts, those of one request together. Independent of the snapshot: what a session
/// policy says does not depend on the store.
///
/// Bounded in bytes. Keys are compared in full, and hashed with SipHash under a random key: the texts come from callers.
pub(super) struct CompiledSessions {
    /// None if nothing is to be remembered.
    compiled: Option<Compiled>,
}

type Compiled = Cache<Box<[String]>, Arc<SessionPolicies>, ByText, RandomState>;

impl CompiledSessions {
    /// Remembers as much as fits into so many bytes.
    pub(super) fn new(budget_bytes: usize) -> Self {
        let cache = || Cache::with(FEW, budget_bytes as u64, ByText, RandomState::new(), DefaultLifecycle::default());
        Self { compiled: (budget_bytes > 0).then(cache) }
    }

    /// The session policies of a request. What does not parse is an error, and is not remembered.
    pub(super) fn get(&self, documents: &[String]) -> Result<Arc<SessionPolicies>, InvalidField> {
        let Some(compiled) = &self.compiled else { return Ok(Arc::new(SessionPolicies::compile(documents)?)) };
        if let Some(found) = compiled.get(documents) {
            return Ok(found);
        }
        let policies = Arc::new(SessionPolicies::compile(documents)?);
        compiled.insert(documents.into(), Arc::clone(&policies));
        Ok(policies)
    }
}

impl fmt::Debug for CompiledSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.compiled.as_ref().map(Cache::len);
        f.debug_struct("CompiledSessions").field("entries", &entries).finish()
    }
}

/// Weighs an entry by its texts, which is more than it takes: of documents made of one thing only (actions, ARNs, variables,
/// values, keys, statements) the compiled form and the text took 0.2 to 0.9 of this, of AWS's ReadOnlyAccess 0.3.
#[derive(Clone)]
struct ByText;

impl Weighter<Box<[String]>, Arc<SessionPolicies>> for ByText {
    fn weight(&self, documents: &Box<[String]>, _: &Arc<SessionPolicies>) -> u64 {
        documents.iter().map(|text| document_bytes(text) as u64).sum()
    }
}

fn document_bytes(text: &str) -> usize {
    let pieces = text.bytes().filter(|byte| BEGIN_A_PIECE.contains(byte)).count();
    DOCUMENT_BYTES + 2 * text.len() + PIECE_BYTES * pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(n: usize) -> Vec<String> {
        let resource = format!("arn:aws:s3:::bucket-{n}/*");
        vec![format!(r#"{{"Statement": {{"Effect": "Allow", "Action": "s3:*", "Resource": "{resource}"}}}}"#)]
    }

    #[test]
    fn the_same_texts_are_compiled_once() {
        let sessions = CompiledSessions::new(1 << 20);
        let first = sessions.get(&documents(1)).unwrap();
        assert!(Arc::ptr_eq(&first, &sessions.get(&documents(1)).unwrap()));
        assert!(!Arc::ptr_eq(&first, &sessions.get(&documents(2)).unwrap()));
    }

    #[test]
    fn two_lists_are_the_same_only_text_by_text() {
        let sessions = CompiledSessions::new(1 << 20);
        let [one, two] = [documents(1), documents(2)].map(|texts| texts.concat());
        let both = sessions.get(&[one.clone(), two.clone()]).unwrap();
        assert!(!Arc::ptr_eq(&both, &sessions.get(&[two.clone(), one.clone()]).unwrap()));
        assert!(!Arc::ptr_eq(&both, &sessions.get(std::slice::from_ref(&one)).unwrap()));
        assert!(sessions.get(&[one + &two]).is_err());
    }

    #[test]
    fn what_is_held_stays_within_the_budget() {
        let budget = 1 << 20;
        let sessions = CompiledSessions::new(budget);
        for n in 0..10_000 {
            sessions.get(&documents(n)).unwrap();
        }
        let compiled = sessions.compiled.as_ref().unwrap();
        assert!(compiled.weight() <= budget as u64, "{}", compiled.weight());
        assert!(compiled.len() > 100, "{}", compiled.len());
    }

    #[test]
    fn errors_are_not_remembered_and_without_a_budget_nothing_is() {
        let sessions = CompiledSessions::new(1 << 20);
        assert!(sessions.get(&["{".to_owned()]).is_err());
        assert_eq!(sessions.compiled.as_ref().unwrap().len(), 0);
        let off = CompiledSessions::new(0);
        let first = off.get(&documents(1)).unwrap();
        assert!(!Arc::ptr_eq(&first, &off.get(&documents(1)).unwrap()));
    }
}
