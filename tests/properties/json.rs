//! JSON as text: the same document can be written in many ways.

use super::dice::Dice;

/// How a store and its questions are written, where that must not matter.
#[derive(Default)]
pub(super) struct Style {
    /// Whether a lone value stands in a list.
    pub wrap: bool,
    /// Writes condition keys and actions in any case.
    pub respell: Option<Dice>,
    /// Gives the files in any order.
    pub shuffle_files: Option<Dice>,
}

impl Style {
    pub(super) fn list(&self, mut values: Vec<String>) -> String {
        match values.len() {
            1 if !self.wrap => values.remove(0),
            _ => list_of(values),
        }
    }

    pub(super) fn spelled(&mut self, text: &str) -> String {
        self.respell.as_mut().map_or_else(|| text.to_owned(), |dice| dice.respell(text))
    }

    pub(super) fn arrange(&mut self, files: &mut [(String, String)]) {
        if let Some(dice) = &mut self.shuffle_files {
            dice.shuffle(files);
        }
    }
}

pub(super) fn file(folder: &str, name: &str, text: String) -> (String, String) {
    (format!("{folder}/{name}.json"), text)
}

pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string")
}

/// Not a `serde_json::Map`, which sorts its keys.
pub(super) fn object(members: impl IntoIterator<Item = String>) -> String {
    format!("{{{}}}", members.into_iter().collect::<Vec<_>>().join(", "))
}

pub(super) fn member(key: &str, value: impl std::fmt::Display) -> String {
    format!("{}: {value}", quoted(key))
}

pub(super) fn list_of(values: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", values.into_iter().collect::<Vec<_>>().join(", "))
}
