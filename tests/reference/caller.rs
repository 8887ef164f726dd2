//! Who asks, and what the store knows of them.

use super::request::Request;
use super::store::{Entity, Store, account_of};
use super::wildcard::arn_parts;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Root,
    User,
    /// A session of a role whose session name is not known.
    Role,
    /// A session of a role with this name.
    Session,
    FederatedUser,
    Service,
    IdentityProvider,
    Anonymous,
}

pub(super) struct Caller<'a> {
    pub kind: Kind,
    /// As it was written.
    pub text: &'a str,
    pub partition: &'a str,
    /// None for services, identity providers and anonymous.
    pub account: Option<&'a str>,
    /// Of the role, the user or the federated user; without path.
    pub name: &'a str,
    /// Of the session.
    pub session: &'a str,
    /// ARN of the user behind a federated user; empty if nobody says.
    pub federated_by: &'a str,
    /// The user, the role, or the user behind a federated user.
    pub entity: Option<&'a Entity>,
    /// It is, or belongs to, a user or role that differs in path or case from the one of its name in the store: there is
    /// none such, and so it is let past nothing (rules 15, 16, 63).
    pub misnamed: bool,
}

impl<'a> Caller<'a> {
    pub(super) fn new(request: &'a Request, store: &'a Store) -> Self {
        let text = request.principal.as_str();
        let nobody = |kind| Caller {
            kind,
            text,
            partition: "",
            account: None,
            name: "",
            session: "",
            federated_by: &request.federated_by,
            entity: None,
            misnamed: false,
        };
        if is_provider(text, &request.action) {
            return nobody(Kind::IdentityProvider);
        }
        let Some(parts) = arn_parts(text) else {
            return nobody(if text == "anonymous" { Kind::Anonymous } else { Kind::Service });
        };
        let path: Vec<&str> = parts[5].split('/').collect();
        let last = path[path.len() - 1];
        let known = Caller { partition: parts[1], account: Some(parts[4]), name: last, ..nobody(Kind::Root) };
        match path[0] {
            "root" => Caller { name: "", ..known },
            "user" => Caller { kind: Kind::User, entity: user(store, text), ..known }.unless_taken(&store.users, last),
            "federated-user" => {
                let user_name = request.federated_by.rsplit('/').next().unwrap();
                let entity = user(store, &request.federated_by);
                Caller { kind: Kind::FederatedUser, entity, ..known }.unless_taken(&store.users, user_name)
            }
            "assumed-role" => {
                let entity = role(store, &parts, path[1]);
                let caller = Caller { kind: Kind::Session, name: path[1], session: last, entity, ..known };
                caller.unless_taken(&store.roles, path[1])
            }
            _ => {
                let entity = role(store, &parts, last).filter(|role| role.arn == text);
                Caller { kind: Kind::Role, entity, ..known }.unless_taken(&store.roles, last)
            }
        }
    }

    /// Names are unique in an account, whatever their path and case.
    fn unless_taken(self, entities: &[Entity], name: &str) -> Self {
        let has_name =
            |entity: &Entity| entity.name.eq_ignore_ascii_case(name) && account_of(&entity.arn) == self.account;
        let misnamed = self.entity.is_none() && entities.iter().any(has_name);
        Caller { misnamed, ..self }
    }

    pub(super) fn is_role(&self) -> bool {
        matches!(self.kind, Kind::Role | Kind::Session)
    }

    /// Rule 70: by what the store knows.
    pub(super) fn is_service_linked(&self) -> bool {
        self.is_role() && self.entity.is_some_and(|role| role.arn.contains(":role/aws-service-role/"))
    }
}

/// Identity providers ask for roles, and for what goes with it; `cognito-identity.amazonaws.com` is a service besides.
fn is_provider(text: &str, action: &str) -> bool {
    let hosts = ["accounts.google.com", "cognito-identity.amazonaws.com", "www.amazon.com", "graph.facebook.com"];
    let asks_for_a_role = ["assumerolewithwebidentity", "assumerolewithsaml", "tagsession", "setsourceidentity"];
    let action = action.to_ascii_lowercase();
    let asks = action.strip_prefix("sts:").is_some_and(|name| asks_for_a_role.contains(&name));
    asks && (hosts.contains(&text) || text.contains(":oidc-provider/") || text.contains(":saml-provider/"))
}

fn user<'a>(store: &'a Store, arn: &str) -> Option<&'a Entity> {
    store.users.iter().find(|user| user.arn == arn)
}

/// A session's ARN carries no path: partition, account and name are compared (rule 15).
fn role<'a>(store: &'a Store, parts: &[&str], name: &str) -> Option<&'a Entity> {
    let is = |role: &&Entity| {
        role.name == name && account_of(&role.arn) == Some(parts[4]) && role.arn.split(':').nth(1) == Some(parts[1])
    };
    store.roles.iter().find(is)
}
