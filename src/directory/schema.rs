//! Objects as AWS defines them: which keys they have, of which type, and which of them must be there.
//!
//! A key that AWS does not define is an error, and so is a value of another type: a typo must not drop a boundary.

use std::sync::Arc;

use crate::finding::Findings;
use crate::json::{Node, Value};

/// An object's keys. `what` names it in messages: `a user`, `an inline policy`.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) what: &'static str,
    pub(super) keys: &'static [Key],
}

/// A key of an object.
#[derive(Debug)]
pub(super) struct Key {
    name: &'static str,
    shape: Shape,
    required: bool,
}

/// What the value of a key must be.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Text,
    Flag,
    Number,
    /// AWS tools print dates as ISO 8601 or as seconds.
    Date,
    /// A policy document; what is in it is read elsewhere.
    Document,
    /// A value that only informs, and that we do not look into.
    Anything,
    Texts,
    One(&'static Object),
    Many(&'static Object),
}

impl Key {
    /// The same key, but an object without it is an error.
    pub(super) const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

const fn key(name: &'static str, shape: Shape) -> Key {
    Key { name, shape, required: false }
}

pub(super) const fn text(name: &'static str) -> Key {
    key(name, Shape::Text)
}

pub(super) const fn flag(name: &'static str) -> Key {
    key(name, Shape::Flag)
}

pub(super) const fn number(name: &'static str) -> Key {
    key(name, Shape::Number)
}

pub(super) const fn date(name: &'static str) -> Key {
    key(name, Shape::Date)
}

pub(super) const fn document(name: &'static str) -> Key {
    key(name, Shape::Document)
}

pub(super) const fn anything(name: &'static str) -> Key {
    key(name, Shape::Anything)
}

pub(super) const fn texts(name: &'static str) -> Key {
    key(name, Shape::Texts)
}

pub(super) const fn one(name: &'static str, object: &'static Object) -> Key {
    key(name, Shape::One(object))
}

pub(super) const fn many(name: &'static str, object: &'static Object) -> Key {
    key(name, Shape::Many(object))
}

/// Checks an object and all objects in it; readers may then take what is there, and leave what is not.
pub(super) fn check(node: &Node<'_>, object: &Object, file: &Arc<str>, findings: &mut Findings) {
    let Some(members) = node.as_object() else {
        let message = format!("{} must be an object, found {}", object.what, node.kind());
        findings.error(file, node.position, "wrong-type", message);
        return;
    };
    for member in members {
        match object.keys.iter().find(|key| key.name == member.key) {
            Some(key) => check_value(&member.node, key, file, findings),
            None => {
                let message = format!("unknown key `{}` in {}", member.key, object.what);
                findings
                    .error(file, member.position, "unknown-key", message)
                    .hint_near_miss(&member.key, object.keys.iter().map(|key| key.name));
            }
        }
    }
    for key in object.keys.iter().filter(|key| key.required) {
        if node.get(key.name).is_none() {
            let message = format!("{} needs `{}`", object.what, key.name);
            findings.error(file, node.position, "missing-key", message);
        }
    }
}

fn check_value(node: &Node<'_>, key: &Key, file: &Arc<str>, findings: &mut Findings) {
    let expected = match (key.shape, &node.value) {
        (Shape::Anything, _)
        | (Shape::Text, Value::String(_))
        | (Shape::Flag, Value::Bool(_))
        | (Shape::Number, Value::Number(_))
        | (Shape::Date, Value::String(_) | Value::Number(_))
        | (Shape::Document, Value::String(_) | Value::Object(_)) => return,
        (Shape::One(object), Value::Object(_)) => return check(node, object, file, findings),
        (Shape::Many(object), Value::Array(elements)) => {
            return elements.iter().for_each(|element| check(element, object, file, findings));
        }
        (Shape::Texts, Value::Array(elements)) => {
            let Some(other) = elements.iter().find(|element| element.as_str().is_none()) else { return };
            return wrong_type(other, format!("`{}` must hold strings", key.name), file, findings);
        }
        (Shape::Text, _) => "a string",
        (Shape::Flag, _) => "`true` or `false`",
        (Shape::Number, _) => "a number",
        (Shape::Date, _) => "a date, as a string or a number",
        (Shape::Document, _) => "a policy document, as an object or a string",
        (Shape::One(_), _) => "an object",
        (Shape::Many(_), _) => "a list of objects",
        (Shape::Texts, _) => "a list of strings",
    };
    wrong_type(node, format!("`{}` must be {expected}", key.name), file, findings);
}

fn wrong_type(node: &Node<'_>, expected: String, file: &Arc<str>, findings: &mut Findings) {
    findings.error(file, node.position, "wrong-type", expected + ", found " + node.kind());
}
