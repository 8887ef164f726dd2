//! Who listens while statements are compared. Deciding and explaining are one code path: it tells a [`Listener`] what it
//! finds, and what tells [`Nobody`] compiles to nothing.

use super::condition::Values;
use super::key::ConditionKey;
use super::principal::GrantClass;

/// Hears how a statement is compared with a request: the entries of an element in order, then the element; the variables
/// of an entry or condition before it.
pub trait Listener {
    /// Whether to look at everything that can matter, so that what is heard does not depend on the order of things.
    const EXHAUSTIVE: bool;

    /// An entry was compared; `index` is its place in the element.
    fn entry(&self, _index: usize, _found: Found) {}

    /// An element was compared as far as needed; whether the statement is about the request, as far as it says.
    fn element(&self, _element: ElementName, _matches: bool) {}

    /// A variable was replaced by its value or default; None where it has neither.
    fn variable(&self, _key: &ConditionKey, _value: Option<&str>) {}

    /// A condition was tested: what came of it, None where that cannot be told; and what that means for the statement.
    fn condition(&self, _key: &ConditionKey, _values: &Values<'_>, _result: Option<bool>, _holds: bool) {}
}

/// What an entry has to do with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It matches.
    Match,
    /// It does not.
    NoMatch,
    /// It has a variable without value.
    Unresolved,
    /// It names the caller, thus directly.
    Names(GrantClass),
}

impl Found {
    /// Match or NoMatch.
    pub(super) fn of(matched: bool) -> Self {
        if matched { Self::Match } else { Self::NoMatch }
    }
}

/// The elements that a statement may be compared by, besides its conditions; plain or with `Not`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementName {
    /// `Action`
    Action,
    /// `NotAction`
    NotAction,
    /// `Principal`
    Principal,
    /// `NotPrincipal`
    NotPrincipal,
    /// `Resource`
    Resource,
    /// `NotResource`
    NotResource,
}

/// Hears nothing: only the decision matters.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Listener for Nobody {
    const EXHAUSTIVE: bool = false;
}
