//! Who something in IAM is: kind, account, name and ARN, given or built.

use std::fmt;
use std::sync::Arc;

use super::draft::Draft;
use crate::access::{is_iam_name, shown};
use crate::arn::{AccountId, Arn};
use crate::finding::Position;
use crate::json::Node;

/// The kinds of things in IAM that have a name and an ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    User,
    Role,
    Group,
    ManagedPolicy,
}

impl Kind {
    /// Every kind.
    pub(super) const ALL: [Self; 4] = [Self::User, Self::Role, Self::Group, Self::ManagedPolicy];

    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Role => "role",
            Self::Group => "group",
            Self::ManagedPolicy => "managed policy",
        }
    }

    /// The key that gives the name.
    pub(super) const fn name_key(self) -> &'static str {
        match self {
            Self::User => "UserName",
            Self::Role => "RoleName",
            Self::Group => "GroupName",
            Self::ManagedPolicy => "PolicyName",
        }
    }

    /// How the resource part of its ARN starts, before the path.
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Role => "role",
            Self::Group => "group",
            Self::ManagedPolicy => "policy",
        }
    }
}

/// A place in a file of the store.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) file: Arc<str>,
    pub(super) position: Position,
}

impl Place {
    pub(super) fn new(file: &Arc<str>, position: Position) -> Self {
        Self { file: Arc::clone(file), position }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.position.line, self.position.column)
    }
}

/// Who something is, and where it is defined.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) kind: Kind,
    /// None for AWS's own policies.
    pub(super) owner: Option<AccountId>,
    pub(super) name: Box<str>,
    pub(super) arn: Box<str>,
    pub(super) place: Place,
    /// False after an error: then the ARN is made up, and the thing is read for its other errors only.
    pub(super) known: bool,
}

impl Identity {
    /// Account, ARN and name.
    pub(super) fn names(&self) -> (Option<AccountId>, &str, &str) {
        (self.owner, &self.arn, &self.name)
    }

    fn unknown(file: &Arc<str>, position: Position, kind: Kind) -> Self {
        let (name, arn) = Default::default();
        Self { kind, owner: None, name, arn, place: Place::new(file, position), known: false }
    }
}

/// What a file says about who something is.
#[derive(Debug)]
pub(super) struct WrittenIdentity<'a> {
    pub(super) kind: Kind,
    pub(super) name: &'a str,
    /// Where the name stands, or what is named by its file.
    pub(super) name_position: Position,
    pub(super) arn: Option<&'a Node<'a>>,
    pub(super) path: Option<&'a Node<'a>>,
    /// Where the whole thing starts.
    pub(super) position: Position,
}

impl Draft {
    /// Who the object is, by its name, `Arn` and `Path`.
    pub(super) fn identify(&mut self, file: &Arc<str>, node: &Node<'_>, kind: Kind) -> Identity {
        let Some((name, at)) = node.get(kind.name_key()).and_then(|name| Some((name.as_str()?, name.position))) else {
            self.unreadable(file, node.position); // The schema has said why.
            return Identity::unknown(file, node.position, kind);
        };
        self.identify_written(
            file,
            &WrittenIdentity {
                kind,
                name,
                name_position: at,
                arn: node.get("Arn").filter(|arn| arn.as_str().is_some()),
                path: node.get("Path").filter(|path| path.as_str().is_some()),
                position: node.position,
            },
        )
    }

    pub(super) fn identify_written(&mut self, file: &Arc<str>, written: &WrittenIdentity<'_>) -> Identity {
        let WrittenIdentity { kind, position, .. } = *written;
        let Some((owner, arn)) = self.owner_and_arn(file, written) else {
            self.unreadable(file, position);
            return Identity::unknown(file, position, kind);
        };
        Identity { kind, owner, name: written.name.into(), arn, place: Place::new(file, position), known: true }
    }

    fn owner_and_arn(
        &mut self,
        file: &Arc<str>,
        written: &WrittenIdentity<'_>,
    ) -> Option<(Option<AccountId>, Box<str>)> {
        let path = self.check_name_and_path(file, written)?;
        match written.arn {
            Some(node) => self.given_arn(file, written, node, path),
            None => self.built_arn(file, written, path.unwrap_or("/")),
        }
    }

    /// The path, if one is written; None if name or path are not what IAM allows.
    fn check_name_and_path<'a>(&mut self, file: &Arc<str>, written: &WrittenIdentity<'a>) -> Option<Option<&'a str>> {
        let WrittenIdentity { kind, name, .. } = *written;
        let name_ok = is_iam_name(name);
        if !name_ok {
            let message = format!("`{}` is not the name of a {}", shown(name), kind.noun());
            self.findings
                .error(file, written.name_position, "invalid-name", message)
                .hint("a name has letters, digits and `_+=,.@-`");
        }
        let path = written.path.and_then(Node::as_str);
        let graphic = |path: &str| path.bytes().all(|b| b.is_ascii_graphic());
        let path_ok = path.is_none_or(|path| path.starts_with('/') && path.ends_with('/') && graphic(path));
        if let (false, Some(node)) = (path_ok, written.path) {
            let message = format!("`{}` is not a path", shown(path.unwrap_or_default()));
            self.findings
                .error(file, node.position, "invalid-path", message)
                .hint("a path starts and ends with `/`, such as `/` or `/engineering/`");
        }
        (name_ok && path_ok).then_some(path)
    }

    /// The ARN as it is written, if it fits kind, path and name.
    fn given_arn(
        &mut self,
        file: &Arc<str>,
        written: &WrittenIdentity<'_>,
        node: &Node<'_>,
        path: Option<&str>,
    ) -> Option<(Option<AccountId>, Box<str>)> {
        let WrittenIdentity { kind, name, .. } = *written;
        let text = node.as_str().unwrap_or_default();
        let of_aws = |arn: &Arn<'_>| arn.account == "aws" && kind == Kind::ManagedPolicy;
        let arn = Arn::parse(text)
            .filter(|arn| arn.service == "iam" && arn.region.is_empty())
            .filter(|arn| arn.account_id().is_some() || of_aws(arn));
        if let Some(arn) = arn.filter(|arn| fits(arn.resource, kind, path, name)) {
            return Some((arn.account_id(), text.into()));
        }
        let (partition, account) =
            arn.map_or((self.options.partition.as_str(), "ACCOUNT"), |a| (a.partition, a.account));
        let expected = format!("arn:{partition}:iam::{account}:{}{}{name}", kind.prefix(), path.unwrap_or("/"));
        let message = format!("`{}` is not the ARN of the {} `{name}`", shown(text), kind.noun());
        self.findings
            .error(file, node.position, "invalid-arn", message)
            .hint(format!("its ARN is `{expected}`; it may be left out"));
        None
    }

    fn built_arn(
        &mut self,
        file: &Arc<str>,
        written: &WrittenIdentity<'_>,
        path: &str,
    ) -> Option<(Option<AccountId>, Box<str>)> {
        let WrittenIdentity { kind, name, .. } = *written;
        let Some(account) = self.account_around(file) else {
            let message = format!("the account of the {} `{name}` is not known", kind.noun());
            self.findings.error(file, written.position, "no-account", message).hint(
                "give its `Arn`, put the file in a folder named with the account's 12 digits, or set --account-id",
            );
            return None;
        };
        let partition = &self.options.partition;
        let arn = format!("arn:{partition}:iam::{account}:{}{path}{name}", kind.prefix());
        Some((Some(account), arn.into()))
    }

    /// The account that a file stands for: of the nearest folder named with 12 digits, else the one of the options.
    pub(super) fn account_around(&self, file: &str) -> Option<AccountId> {
        let mut folders = file.rsplit('/').skip(1);
        folders.find_map(AccountId::parse).or(self.options.account_id)
    }
}

/// Whether the resource part of an ARN is of this kind, path (if one is written) and name.
fn fits(resource: &str, kind: Kind, path: Option<&str>, name: &str) -> bool {
    let Some(rest) = resource.strip_prefix(kind.prefix()).and_then(|rest| rest.strip_suffix(name)) else {
        return false;
    };
    match path {
        Some(path) => rest == path,
        None => rest.starts_with('/') && rest.ends_with('/'),
    }
}
