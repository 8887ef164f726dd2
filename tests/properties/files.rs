//! A scene as the files that it stands for.

use iamd::policy::PolicyKind;

use super::json::{Style, file, list_of, member, object, quoted};
use super::scene::{
    ACCOUNTS, Condition, Entity, Entries, Group, Level, Organization, Policy, Principals, Resource, Scene, Statement,
};

impl Scene {
    pub(super) fn files(&self, style: &mut Style) -> Vec<(String, String)> {
        let mut files = Vec::new();
        for user in &self.users {
            files.push(file(ACCOUNTS[user.account], user.name, user.text("User", style)));
        }
        for role in &self.roles {
            files.push(file(ACCOUNTS[role.account], role.name, role.text("Role", style)));
        }
        for group in &self.groups {
            files.push(file(ACCOUNTS[0], &group.name, group.text(style)));
        }
        for (account, policies) in ACCOUNTS.iter().zip(&self.managed) {
            files.extend(policies.iter().map(|p| file(account, &p.name, p.text(PolicyKind::Identity, style))));
        }
        for (n, resource) in self.resources.iter().enumerate() {
            files.push(file(ACCOUNTS[resource.account], &format!("r{n}"), resource.text(style)));
        }
        let endpoint = [
            member("VpcEndpointId", quoted("vpce-1")),
            member("PolicyDocument", self.endpoint.text(PolicyKind::VpcEndpoint, style)),
        ];
        files.push(file(ACCOUNTS[0], "endpoint", object(endpoint)));
        files.extend(self.organization.iter().map(|o| ("organization.json".to_owned(), o.text(style))));
        style.arrange(&mut files);
        files
    }
}

impl Entity {
    fn text(&self, kind: &str, style: &mut Style) -> String {
        let mut members = vec![
            member(&format!("{kind}Name"), quoted(self.name)),
            member(&format!("{kind}PolicyList"), inline(&self.inline, style)),
            member("AttachedManagedPolicies", attached(self.account, &self.attached)),
            member("Tags", tags(&self.tags)),
        ];
        if let Some(name) = &self.boundary {
            let arn = quoted(&managed_arn(self.account, name));
            members.push(member("PermissionsBoundary", object([member("PermissionsBoundaryArn", arn)])));
        }
        if !self.groups.is_empty() {
            members.push(member("GroupList", list_of(self.groups.iter().map(|name| quoted(name)))));
        }
        if let Some(trust) = &self.trust {
            members.push(member("AssumeRolePolicyDocument", trust.text(PolicyKind::Trust, style)));
        }
        object(members)
    }
}

impl Group {
    fn text(&self, style: &mut Style) -> String {
        object([
            member("GroupName", quoted(&self.name)),
            member("GroupPolicyList", inline(&self.inline, style)),
            member("AttachedManagedPolicies", attached(0, &self.attached)),
        ])
    }
}

impl Resource {
    fn text(&self, style: &mut Style) -> String {
        let mut members = vec![
            member("ResourceArn", quoted(self.arn)),
            member("AccountId", quoted(ACCOUNTS[self.account])),
            member("Tags", tags(&self.tags)),
        ];
        members.extend(self.policy.iter().map(|p| member("ResourcePolicy", p.text(PolicyKind::Resource, style))));
        object(members)
    }
}

impl Organization {
    fn text(&self, style: &mut Style) -> String {
        let [root, unit, first, second] = self.levels.each_ref().map(|level| member("AttachedPolicies", level.names()));
        let node = |id: &str, parent: &str, attached: String| {
            object([member("Id", quoted(id)), member("ParentId", quoted(parent)), attached])
        };
        let accounts = [node(ACCOUNTS[0], "ou-1", first), node(ACCOUNTS[1], "r-1", second)];
        let policies: Vec<String> = self.levels.iter().flat_map(|level| level.texts(style)).collect();
        object([
            member("Organization", r#"{"Id": "o-1", "MasterAccountId": "111111111111"}"#.to_owned()),
            member("Roots", list_of([object([member("Id", quoted("r-1")), root])])),
            member("OrganizationalUnits", list_of([node("ou-1", "r-1", unit)])),
            member("Accounts", list_of(accounts)),
            member("OrganizationPolicies", list_of(policies)),
        ])
    }
}

impl Level {
    fn names(&self) -> String {
        let full = self.full_access.then(|| quoted("p-FullAWSAccess"));
        let own = self.service_control.iter().chain(&self.resource_control);
        list_of(full.into_iter().chain(own.map(|policy| quoted(&format!("p-{}", policy.name)))))
    }

    fn texts(&self, style: &mut Style) -> Vec<String> {
        let service = self.service_control.iter().map(|p| (p, "SERVICE_CONTROL_POLICY", PolicyKind::ServiceControl));
        let resource =
            self.resource_control.iter().map(|p| (p, "RESOURCE_CONTROL_POLICY", PolicyKind::ResourceControl));
        let text = |(policy, kind, policy_kind): (&Policy, &str, PolicyKind)| {
            object([
                member("Id", quoted(&format!("p-{}", policy.name))),
                member("Name", quoted(&policy.name)),
                member("Type", quoted(kind)),
                member("Content", policy.text(policy_kind, style)),
            ])
        };
        service.chain(resource).map(text).collect()
    }
}

impl Policy {
    pub(super) fn text(&self, kind: PolicyKind, style: &mut Style) -> String {
        let statements: Vec<String> = self.statements.iter().map(|statement| statement.text(kind, style)).collect();
        object([member("Version", quoted("2012-10-17")), member("Statement", style.list(statements))])
    }
}

impl Statement {
    fn text(&self, kind: PolicyKind, style: &mut Style) -> String {
        let deny = self.deny || kind == PolicyKind::ResourceControl;
        let mut members = vec![
            member("Sid", quoted(&self.sid)),
            member("Effect", quoted(if deny { "Deny" } else { "Allow" })),
            self.actions_in(kind).text("Action", style, true),
        ];
        match kind {
            PolicyKind::Identity | PolicyKind::Session | PolicyKind::ServiceControl => {}
            PolicyKind::ResourceControl => members.push(member("Principal", quoted("*"))),
            PolicyKind::Resource | PolicyKind::VpcEndpoint => members.push(self.principals.text(deny, style)),
            PolicyKind::Trust => members.push(self.principals.text(false, style)),
        }
        if kind != PolicyKind::Trust {
            members.push(self.resources.text("Resource", style, false));
        }
        if !self.conditions.is_empty() {
            members.push(member("Condition", self.condition(style)));
        }
        object(members)
    }

    /// RCPs name services, and take no `NotAction`.
    fn actions_in(&self, kind: PolicyKind) -> Entries {
        let mut actions = self.actions.clone();
        if kind == PolicyKind::ResourceControl {
            actions.negated = false;
            actions.entries.iter_mut().filter(|entry| **entry == "*").for_each(|entry| *entry = "s3:*");
        }
        actions
    }

    fn condition(&self, style: &mut Style) -> String {
        let mut operators: Vec<(&str, Vec<String>)> = Vec::new();
        for Condition { operator, key, values } in &self.conditions {
            let entry = member(&style.spelled(key), style.list(values.iter().map(|value| quoted(value)).collect()));
            match operators.iter_mut().find(|(name, _)| name == operator) {
                Some((_, keys)) => keys.push(entry),
                None => operators.push((operator, vec![entry])),
            }
        }
        object(operators.into_iter().map(|(operator, keys)| member(operator, object(keys))))
    }
}

impl Entries {
    fn text(&self, element: &str, style: &mut Style, respelled: bool) -> String {
        let spelled = |entry: &&str| if respelled { style.spelled(entry) } else { (*entry).to_owned() };
        let entries: Vec<String> = self.entries.iter().map(spelled).map(|entry| quoted(&entry)).collect();
        let name = if self.negated { format!("Not{element}") } else { element.to_owned() };
        member(&name, style.list(entries))
    }
}

impl Principals {
    fn text(&self, may_negate: bool, style: &mut Style) -> String {
        let mut kinds: Vec<(&str, Vec<String>)> = Vec::new();
        for (kind, value) in &self.entries {
            match kinds.iter_mut().find(|(known, _)| known == kind) {
                Some((_, values)) => values.push(quoted(value)),
                None => kinds.push((kind, vec![quoted(value)])),
            }
        }
        let name = if self.negated && may_negate { "NotPrincipal" } else { "Principal" };
        if kinds.is_empty() {
            return member(name, quoted("*"));
        }
        member(name, object(kinds.into_iter().map(|(kind, values)| member(kind, style.list(values)))))
    }
}

fn inline(policies: &[Policy], style: &mut Style) -> String {
    list_of(policies.iter().map(|policy| {
        let document = member("PolicyDocument", policy.text(PolicyKind::Identity, style));
        object([member("PolicyName", quoted(&policy.name)), document])
    }))
}

fn attached(account: usize, names: &[String]) -> String {
    list_of(names.iter().map(|name| object([member("PolicyArn", quoted(&managed_arn(account, name)))])))
}

fn managed_arn(account: usize, name: &str) -> String {
    format!("arn:aws:iam::{}:policy/{name}", ACCOUNTS[account])
}

fn tags(tags: &[(String, String)]) -> String {
    list_of(tags.iter().map(|(key, value)| object([member("Key", quoted(key)), member("Value", quoted(value))])))
}
