//! The question and the answer: [`AccessRequest`] and [`Outcome`].
//!
//! A request is valid by type: whoever holds an [`AccessRequest`] holds a well-formed principal, action and resource.
//! It borrows from the message that it was made of; an action is folded to lower case once, here, and keys are compared in any
//! case.

mod action;
mod keyed;
mod letters;
mod outcome;
mod principal;

use std::fmt;

pub use action::{Action, Federation, ResourceName};
pub use keyed::{Context, Keyed, Tags, fold_case, fold_key};
pub use outcome::{Decision, Detail, Explanation, Outcome, PolicyType, StatementRef};
pub use principal::{
    BUILT_IN_IDENTITY_PROVIDERS, Caller, Principal, SERVICE_DOMAINS, is_iam_name, is_service_principal,
};

use crate::arn::{AccountId, Arn};

/// "May this principal do this action on this resource?", checked and ready to be decided.
#[derive(Debug)]
pub struct AccessRequest<'a> {
    /// Who asks.
    pub principal: Principal<'a>,
    /// What they want to do.
    pub action: Action<'a>,
    /// What they want to do it to.
    pub resource: ResourceName<'a>,
    /// The condition keys of the request.
    pub context: Context<'a>,
    /// Owner of the resource, where neither its ARN nor the store says.
    pub resource_account: Option<AccountId>,
    /// Session policies, JSON documents.
    pub session_policies: &'a [String],
    /// Session tags of an assumed-role or federated session.
    pub session_tags: Tags<'a>,
    /// The IAM user that a federated user's session belongs to, if the caller said so.
    pub federated_by: Option<&'a str>,
}

/// The fields of a request as they arrive, before they are checked.
#[derive(Debug, Default)]
pub struct RawRequest<'a> {
    /// `principal` of the wire.
    pub principal: &'a str,
    /// `action` of the wire.
    pub action: &'a str,
    /// `resource` of the wire.
    pub resource: &'a str,
    /// `context` of the wire: key and values, in any order.
    pub context: Vec<(&'a str, &'a [String])>,
    /// `resource_account` of the wire; empty when absent.
    pub resource_account: &'a str,
    /// `session_policies` of the wire.
    pub session_policies: &'a [String],
    /// `session_tags` of the wire, in any order.
    pub session_tags: Vec<(&'a str, &'a str)>,
    /// `federated_by` of the wire; empty when absent.
    pub federated_by: &'a str,
}

/// A field that is not what it should be: becomes INVALID_ARGUMENT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    /// Name of the field on the wire, e.g. `principal`.
    pub field: &'static str,
    /// What it is and what it should be.
    pub message: String,
}

impl InvalidField {
    /// A field and what is wrong with it.
    pub fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl<'a> AccessRequest<'a> {
    /// Checks every field; the first that is wrong is named.
    pub fn new(raw: &RawRequest<'a>) -> Result<Self, InvalidField> {
        let mut request = Self::of_nobody();
        request.become_next(raw)?;
        request.session_tags = Tags::new("session_tags", raw.session_tags.iter().copied())?;
        let pairs = raw.context.iter().map(|(key, values)| (*key, values.iter().map(String::as_str)));
        request.context = Context::new("context", pairs)?;
        match request.without_session() {
            Some(field) => Err(InvalidField::new(
                field,
                "only a session has them: a role, an assumed-role session or a federated user",
            )),
            None => Ok(request),
        }
    }

    /// Nobody asks for what only the authenticated are told: to become another one. (A request is too large to be moved from hand
    /// to hand, as it would be out of a `Result`.)
    #[inline]
    pub fn of_nobody() -> Self {
        Self {
            principal: Principal::Anonymous,
            action: Action::GET_CALLER_IDENTITY,
            resource: ResourceName::None,
            context: Context::default(),
            resource_account: None,
            session_policies: &[],
            session_tags: Tags::default(),
            federated_by: None,
        }
    }

    /// Becomes another request, by the fields that have no keys: with the same context, and without session tags. The first field
    /// that is wrong is named, and then this is one request in part and the other in part.
    ///
    /// Session tags and another context are to be put in, and then [`Context::settle`] and [`AccessRequest::settle_tags`] say whether
    /// all is right.
    #[inline]
    pub fn become_next(&mut self, raw: &RawRequest<'a>) -> Result<(), InvalidField> {
        self.action.become_next(raw.action)?;
        // Who belongs to an account is the same whatever the action.
        if self.principal.caller().is_none_or(|caller| caller.arn != raw.principal) {
            self.principal = Principal::parse(raw.principal, &self.action)?;
        }
        self.resource = ResourceName::parse(raw.resource)?;
        self.resource_account = parse_resource_account(raw.resource_account)?;
        self.session_policies = raw.session_policies;
        self.session_tags = Tags::default();
        self.federated_by = parse_federated_by(raw.federated_by, &self.principal)?;
        Ok(())
    }

    /// Whether its session tags are right, when all were put in: no two of the same key, and none of who has no session.
    pub fn settle_tags(&mut self) -> bool {
        self.session_tags.settle() && self.without_session().is_none()
    }

    /// The field that only a session has, where this is none.
    fn without_session(&self) -> Option<&'static str> {
        if self.principal.is_session() {
            None
        } else if !self.session_tags.is_empty() {
            Some("session_tags")
        } else if !self.session_policies.is_empty() {
            Some("session_policies")
        } else {
            None
        }
    }
}

fn parse_resource_account(text: &str) -> Result<Option<AccountId>, InvalidField> {
    if text.is_empty() {
        return Ok(None);
    }
    let account = AccountId::parse(text);
    let wrong = || InvalidField::new("resource_account", format!("`{}` is not a 12-digit account id", shown(text)));
    account.map(Some).ok_or_else(wrong)
}

fn parse_federated_by<'a>(text: &'a str, principal: &Principal<'a>) -> Result<Option<&'a str>, InvalidField> {
    if text.is_empty() {
        return Ok(None);
    }
    let user = Arn::parse(text).filter(|arn| arn.service == "iam" && arn.resource.starts_with("user/"));
    match (user, principal) {
        (Some(user), Principal::FederatedUser(caller))
            if user.account_id() == Some(caller.account) && user.resource.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Ok(Some(text))
        }
        _ => Err(InvalidField::new(
            "federated_by",
            format!("`{}` must be the ARN of an IAM user in the account of the federated user that asks", shown(text)),
        )),
    }
}

/// Input as it may stand in a message: cut at 128 characters, control characters escaped.
pub fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(128).flat_map(char::escape_debug).collect();
    if text.chars().nth(128).is_some() {
        shown.push_str("...");
    }
    shown
}
