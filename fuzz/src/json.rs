//! iamd's JSON parser beside `serde_json`: they accept the same texts and read the same values.
//!
//! Four differences are meant:
//! - a key given twice: `serde_json` keeps both (here, in a list), iamd refuses the text;
//! - nesting: iamd reads 128 levels, `serde_json` 127;
//! - numbers: iamd keeps the text of any number, `serde_json` refuses what is beyond an `f64`;
//! - half of a surrogate pair: both refuse it, but for different reasons, hence only the verdict is compared.

use std::fmt;

use iamd::json::{MAX_DEPTH, Node, Value, parse};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value as `serde_json` reads it, with the keys of objects in order and equal ones kept.
#[derive(Debug, PartialEq)]
enum Tree {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    String(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// Compares both parsers on one text.
pub fn compare(text: &str) {
    match (parse(text), serde_json::from_str::<Tree>(text)) {
        (Ok(node), Ok(tree)) => {
            assert!(same(&node, &tree), "{node:?} is not {tree:?}");
            assert!(!has_duplicates(&tree), "a key given twice was not found: {tree:?}");
        }
        (Ok(node), Err(error)) => {
            let meant = error.to_string().contains("number out of range") || node.depth >= MAX_DEPTH;
            assert!(meant, "only serde_json refuses {text:?}: {error}");
        }
        (Err(errors), Ok(tree)) => {
            assert!(errors.iter().all(|e| e.code == "duplicate-key"), "only iamd refuses {text:?}: {errors:?}");
            assert!(has_duplicates(&tree), "no key is given twice in {text:?}");
        }
        (Err(errors), Err(_)) => assert!(!errors.is_empty()),
    }
}

fn same(node: &Node<'_>, tree: &Tree) -> bool {
    match (&node.value, tree) {
        (Value::Null, Tree::Null) => true,
        (Value::Bool(ours), Tree::Bool(theirs)) => ours == theirs,
        (Value::Number(text), Tree::Signed(_) | Tree::Unsigned(_) | Tree::Float(_)) => {
            serde_json::from_str::<Tree>(text).is_ok_and(|alone| alone == *tree)
        }
        (Value::String(ours), Tree::String(theirs)) => ours == theirs,
        (Value::Array(ours), Tree::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Value::Object(ours), Tree::Object(theirs)) => {
            let equal = |(ours, (key, theirs)): (&iamd::json::Member<'_>, &(String, Tree))| {
                ours.key == *key && same(&ours.node, theirs)
            };
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(equal)
        }
        _ => false,
    }
}

fn has_duplicates(tree: &Tree) -> bool {
    match tree {
        Tree::Array(elements) => elements.iter().any(has_duplicates),
        Tree::Object(members) => {
            let mut keys: Vec<&String> = members.iter().map(|(key, _)| key).collect();
            keys.sort();
            keys.windows(2).any(|pair| pair[0] == pair[1]) || members.iter().any(|(_, value)| has_duplicates(value))
        }
        _ => false,
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Signed(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Tree::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(member) = members.next_entry()? {
            list.push(member);
        }
        Ok(Tree::Object(list))
    }
}
