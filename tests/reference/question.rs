//! One request to one store, and the keys of section 7.

use iamd::access::PolicyType;

use super::caller::{Caller, Kind};
use super::facts::{FACTS, fold};
use super::organization;
use super::request::Request;
use super::store::{Resource, Store, account_of};
use super::values;
use super::wildcard::arn_parts;

pub(super) struct Question<'a> {
    pub store: &'a Store,
    pub request: &'a Request,
    pub caller: Caller<'a>,
    /// Folded.
    pub action: String,
    /// Who owns the resource.
    pub owner: Option<String>,
    /// In seconds.
    pub now: i64,
}

/// What KMS does without a key, by its reference.
const WITHOUT_KEY: [&str; 14] = [
    "connectcustomkeystore",
    "createalias",
    "createcustomkeystore",
    "createkey",
    "deletealias",
    "deletecustomkeystore",
    "describecustomkeystores",
    "disconnectcustomkeystore",
    "generaterandom",
    "listaliases",
    "listkeys",
    "listretirablegrants",
    "updatealias",
    "updatecustomkeystore",
];

impl<'a> Question<'a> {
    pub(super) fn new(store: &'a Store, request: &'a Request, now: i64) -> Self {
        let caller = Caller::new(request, store);
        let owner = owner(store, request, &caller);
        Self { store, request, caller, action: request.action.to_ascii_lowercase(), owner, now }
    }

    pub(super) fn service(&self) -> &str {
        self.action.split(':').next().unwrap()
    }

    /// Whether a trust policy answers: of `sts:AssumeRole...` whatever the resource is, of all else in STS for roles.
    pub(super) fn asks_trust(&self) -> bool {
        let of_role = self.service() == "sts" && self.resource_is("iam", "role/");
        of_role || ["sts:assumerole", "sts:setsourceidentity"].contains(&self.action.as_str()) || self.is_federation()
    }

    pub(super) fn is_federation(&self) -> bool {
        ["sts:assumerolewithwebidentity", "sts:assumerolewithsaml"].contains(&self.action.as_str())
    }

    /// Whether a KMS key answers (rule 78): of what uses one, whatever the resource is. An alias stands for one, but where
    /// it is itself what is made or moved.
    pub(super) fn asks_key(&self) -> bool {
        let of_alias = ["kms:createalias", "kms:updatealias", "kms:deletealias"].contains(&self.action.as_str());
        let uses_key = self.action.strip_prefix("kms:").is_some_and(|action| !WITHOUT_KEY.contains(&action));
        uses_key || self.resource_is("kms", "key/") || (self.resource_is("kms", "alias/") && !of_alias)
    }

    fn resource_is(&self, service: &str, kind: &str) -> bool {
        arn_parts(&self.request.resource).is_some_and(|parts| parts[2] == service && parts[5].starts_with(kind))
    }

    pub(super) fn resource_layer(&self) -> PolicyType {
        if self.asks_trust() { PolicyType::Trust } else { PolicyType::Resource }
    }

    /// What the store describes that the request's resource is or continues, longest first.
    pub(super) fn governing(&self) -> Vec<&'a Resource> {
        governing(self.store, &self.request.resource)
    }

    /// Same account and same partition (rule 67).
    pub(super) fn is_at_home(&self) -> bool {
        let partition = arn_parts(&self.request.resource).map_or(self.caller.partition, |parts| parts[1]);
        self.caller.account.is_some() && self.caller.account == self.owner.as_deref() && self.same_partition(partition)
    }

    pub(super) fn same_partition(&self, partition: &str) -> bool {
        self.caller.account.is_none() || partition == self.caller.partition
    }

    /// Whether anything but the caller's own account says who owns the resource.
    pub(super) fn owner_is_known(&self) -> bool {
        known_owner(self.store, self.request).is_some()
    }

    // --- keys -------------------------------------------------------------------------------------------------------

    /// The value of a variable: of a single-valued key that is there and not empty (rules 47, 49).
    pub(super) fn single_value(&self, key: &str) -> Option<String> {
        let values = self.values(key)?;
        let single = FACTS.multivalued(&fold(key)) != Some(true) && values.len() == 1 && !values[0].is_empty();
        single.then(|| values[0].clone())
    }

    /// The values of a key; None when absent.
    pub(super) fn values(&self, key: &str) -> Option<Vec<String>> {
        let key = fold(key);
        let values = match key.as_str() {
            "aws:currenttime" | "aws:epochtime" => Some(self.clock(&key)),
            "aws:userid" => self.user_id(),
            _ if key.starts_with("aws:principaltag/") => one(self.principal_tag(&key["aws:principaltag/".len()..])),
            _ if key.starts_with("aws:principal") => self.of_caller(&key),
            "aws:username" => one((self.caller.kind == Kind::User).then(|| self.caller.name.to_owned())),
            "aws:resourceaccount" => one(self.owner.clone()),
            "aws:resourceorgid" | "aws:resourceorgpaths" => self.of_organization(&key, self.owner.as_deref()),
            _ => one(self.resource_tag(&key)).or_else(|| self.given(&key)),
        };
        values.filter(|values| !values.is_empty())
    }

    fn given(&self, key: &str) -> Option<Vec<String>> {
        let found = self.request.context.iter().find(|(given, _)| fold(given) == key);
        found.map(|(_, values)| values.clone()).filter(|values| !values.is_empty())
    }

    fn of_caller(&self, key: &str) -> Option<Vec<String>> {
        let Caller { kind, text, account, .. } = self.caller;
        let kind_name = match kind {
            Kind::Root => Some("Account"),
            Kind::User => Some("User"),
            Kind::Role | Kind::Session => Some("AssumedRole"),
            Kind::FederatedUser => Some("FederatedUser"),
            Kind::Anonymous => Some("Anonymous"),
            Kind::Service | Kind::IdentityProvider => None,
        };
        match key {
            "aws:principalarn" => one(self.principal_arn()),
            "aws:principalaccount" if kind == Kind::Anonymous => one(Some("anonymous".to_owned())),
            "aws:principalaccount" => one(account.map(str::to_owned)),
            "aws:principaltype" => one(kind_name.map(str::to_owned)),
            "aws:principalisawsservice" => one(Some((kind == Kind::Service).to_string())),
            "aws:principalservicename" => one((kind == Kind::Service).then(|| text.to_owned())),
            // Who has no account is in no organization, and only services have their names.
            "aws:principalorgid" | "aws:principalorgpaths" => account.and_then(|_| self.of_organization(key, account)),
            "aws:principalservicenameslist" => self.given(key).filter(|_| kind == Kind::Service),
            _ => self.given(key),
        }
    }

    /// Of a session its role's, with the path.
    fn principal_arn(&self) -> Option<String> {
        let Caller { kind, text, partition, account, name, entity, .. } = self.caller;
        match (kind, entity) {
            (Kind::Role | Kind::Session, Some(role)) => Some(role.arn.clone()),
            (Kind::Session, None) => Some(format!("arn:{partition}:iam::{}:role/{name}", account?)),
            _ => account.map(|_| text.to_owned()),
        }
    }

    /// Where the store gives no id, the request may (rule 54).
    fn user_id(&self) -> Option<Vec<String>> {
        let given = self.given("aws:userid");
        let Caller { kind, account, name, session, entity, .. } = self.caller;
        match (kind, entity.and_then(|entity| entity.id.clone())) {
            (Kind::Root, _) => one(account.map(str::to_owned)),
            (Kind::FederatedUser, _) => one(account.map(|account| format!("{account}:{name}"))),
            (Kind::User, Some(id)) => one(Some(id)),
            (Kind::Session, Some(id)) => one(Some(format!("{id}:{session}"))),
            // Only the session's name is not known.
            (Kind::Role, Some(id)) => {
                given.filter(|values| values.iter().all(|value| value.starts_with(&format!("{id}:"))))
            }
            (Kind::Anonymous, _) => one(Some("anonymous".to_owned())),
            _ => given,
        }
    }

    /// The user's or role's own, overlaid by session tags.
    fn principal_tag(&self, name: &str) -> Option<String> {
        let own = self.caller.entity.map(|entity| entity.tags.as_slice()).unwrap_or_default();
        tag(&self.request.session_tags, name).or_else(|| tag(own, name))
    }

    /// Of the account's place in the organization; without an organization the request may say (rule 54).
    fn of_organization(&self, key: &str, account: Option<&str>) -> Option<Vec<String>> {
        let Some(organization) = &self.store.organization else { return self.given(key) };
        let id = organization["Organization"]["Id"].as_str().unwrap();
        let account = account.filter(|account| organization::has(organization, account))?;
        if key.ends_with("id") {
            return Some(vec![id.to_owned()]);
        }
        let levels = organization::levels(organization, account)?;
        let above = &levels[..levels.len() - 1];
        let path = above.iter().fold(format!("{id}/"), |path, node| format!("{path}{}/", node["Id"].as_str().unwrap()));
        Some(vec![path])
    }

    /// `aws:ResourceTag/KEY` and `SERVICE:ResourceTag/KEY` of what the store describes; a request cannot override it.
    fn resource_tag(&self, key: &str) -> Option<String> {
        let (prefix, name) = key.split_once(":resourcetag/")?;
        let resource = self.request.resource.as_str();
        let service = arn_parts(resource)?[2];
        if prefix != "aws" && prefix != service {
            return None;
        }
        tag(self.store.tags(resource)?, name)
    }

    /// A time that the request gives counts for both keys, unless it gives both.
    fn clock(&self, key: &str) -> Vec<String> {
        let other = if key == "aws:currenttime" { "aws:epochtime" } else { "aws:currenttime" };
        let as_key = |seconds: i64| match key {
            "aws:epochtime" => seconds.to_string(),
            _ => jiff::Timestamp::from_second(seconds).unwrap().to_string(),
        };
        let instant =
            |text: &String| values::date(text).and_then(|at| i64::try_from(at.div_euclid(1_000_000_000)).ok());
        let converted = |text: &String| instant(text).map_or_else(|| text.clone(), as_key);
        // Of several times nobody can say which is meant: they stay as they are.
        let from_other = || {
            let values = self.given(other)?;
            Some(if values.len() == 1 { values.iter().map(converted).collect() } else { values })
        };
        self.given(key).or_else(from_other).unwrap_or_else(|| vec![as_key(self.now)])
    }
}

fn one(value: Option<String>) -> Option<Vec<String>> {
    value.map(|value| vec![value])
}

fn tag(tags: &[(String, String)], name: &str) -> Option<String> {
    tags.iter().find(|(key, _)| fold(key) == name).map(|(_, value)| value.clone())
}

fn governing<'a>(store: &'a Store, arn: &str) -> Vec<&'a Resource> {
    let governs = |resource: &&Resource| {
        arn.strip_prefix(resource.arn.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':']))
    };
    let mut found: Vec<&Resource> = store.resources.iter().filter(governs).collect();
    found.sort_by_key(|resource| std::cmp::Reverse(resource.arn.len()));
    found
}

/// The account of the ARN; else of what governs the resource, what has a policy first; else what the request says; else
/// the caller's.
fn owner(store: &Store, request: &Request, caller: &Caller<'_>) -> Option<String> {
    known_owner(store, request).or_else(|| caller.account.map(str::to_owned))
}

fn known_owner(store: &Store, request: &Request) -> Option<String> {
    let governing = governing(store, &request.resource);
    let with_policy = governing.iter().find(|resource| resource.policy.is_some());
    let described = with_policy.or_else(|| governing.first()).and_then(|resource| resource.account.clone());
    let given = Some(request.resource_account.clone()).filter(|account| !account.is_empty());
    let of_arn = account_of(&request.resource).map(str::to_owned);
    of_arn.or(described).or(given)
}
