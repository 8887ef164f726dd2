//! The policies of an organization: SCPs and RCPs, and those that decide no access.

use std::collections::HashMap;
use std::sync::Arc;

use crate::access::shown;
use crate::directory::digest::digest;
use crate::directory::draft::Draft;
use crate::directory::identity::Place;
use crate::finding::{Findings, Position};
use crate::json::{self, Node};
use crate::policy::{self, CompiledPolicy, PolicyKind, PolicyName};

const FULL_ACCESS: &str = "p-FullAWSAccess";
const FULL_ACCESS_DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
const FULL_ACCESS_FILE: &str = "aws-managed/p-FullAWSAccess.json";
const RESOURCE_FULL_ACCESS: &str = "p-RCPFullAWSAccess";
const RESOURCE_FULL_ACCESS_DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#;

const SERVICE_CONTROL: &str = "SERVICE_CONTROL_POLICY";
const RESOURCE_CONTROL: &str = "RESOURCE_CONTROL_POLICY";

/// Types of organization policies that have no say in who may do what.
const OTHER_TYPES: [&str; 11] = [
    "AISERVICES_OPT_OUT_POLICY",
    "BACKUP_POLICY",
    "BEDROCK_POLICY",
    "CHATBOT_POLICY",
    "DECLARATIVE_POLICY_EC2",
    "INSPECTOR_POLICY",
    "NETWORK_SECURITY_DIRECTOR_POLICY",
    "S3_POLICY",
    "SECURITYHUB_POLICY",
    "TAG_POLICY",
    "UPGRADE_ROLLOUT_POLICY",
];

/// What an organization's policy comes to.
enum Definition<'n> {
    /// An SCP or RCP that compiles.
    Control { kind: PolicyKind, content: Node<'n>, file: Arc<str> },
    /// An SCP or RCP with errors.
    Broken(PolicyKind),
    /// Another type of policy, or `p-RCPFullAWSAccess`: RCPs only deny, full access stands at each level without it.
    Nothing,
}

/// The policies of an organization, by id.
pub(super) struct ControlPolicies<'n> {
    by_id: HashMap<&'n str, (Place, Definition<'n>)>,
}

/// The policies at one level.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    pub(super) service_control: Vec<Arc<CompiledPolicy>>,
    pub(super) resource_control: Vec<Arc<CompiledPolicy>>,
    /// Whether an SCP is attached, be it one with errors.
    pub(super) has_service_control: bool,
}

impl<'n> ControlPolicies<'n> {
    pub(super) fn read(draft: &mut Draft, file: &Arc<str>, nodes: &'n [Node<'n>]) -> Self {
        let mut policies = Self { by_id: HashMap::new() };
        for node in nodes {
            policies.define(draft, file, node);
        }
        policies.define_built_in(file);
        policies
    }

    fn define(&mut self, draft: &mut Draft, file: &Arc<str>, node: &'n Node<'n>) {
        let summary = node.get("PolicySummary");
        let field = |key| node.get(key).or_else(|| summary.and_then(|summary| summary.get(key)));
        for key in ["Id", "Type"] {
            if field(key).is_none() && summary.is_none() {
                let message = format!("an organization policy needs `{key}`");
                draft.findings.error(file, node.position, "missing-key", message);
            }
        }
        let (Some(id_node), Some(type_node)) = (field("Id"), field("Type")) else { return };
        let (Some(id), Some(policy_type)) = (id_node.as_str(), type_node.as_str()) else { return };
        let place = Place::new(file, node.position);
        if let Some((first, _)) = self.by_id.get(id) {
            draft.defined_twice(&format!("the organization policy `{}`", shown(id)), &place, first);
            return;
        }
        // AWS's own need no content; where they are written out all the same, they count as they are written.
        let own =
            node.get("Content").is_none_or(|content| id == RESOURCE_FULL_ACCESS && is_resource_full_access(content));
        let definition = match (id, control_kind(policy_type)) {
            (FULL_ACCESS | RESOURCE_FULL_ACCESS, _) if own => return,
            (_, Some(kind)) => Self::control(draft, file, node, id, kind),
            (_, None) => {
                other_type(draft, file, type_node.position, id, policy_type);
                Definition::Nothing
            }
        };
        self.by_id.insert(id, (place, definition));
    }

    /// Compiled once for its errors and warnings, attached or not.
    fn control(draft: &mut Draft, file: &Arc<str>, node: &'n Node<'n>, id: &str, kind: PolicyKind) -> Definition<'n> {
        let Some(content) = node.get("Content") else {
            let message = format!("the organization policy `{}` needs `Content`", shown(id));
            draft.findings.error(file, node.position, "missing-key", message);
            return Definition::Broken(kind);
        };
        match draft.compile(file, content, kind, id) {
            Some(_) => Definition::Control { kind, content: content.clone(), file: Arc::clone(file) },
            None => Definition::Broken(kind),
        }
    }

    fn define_built_in(&mut self, file: &Arc<str>) {
        let place = Place::new(file, Position::START);
        let kind = PolicyKind::ServiceControl;
        let full_access = match json::parse(FULL_ACCESS_DOCUMENT) {
            Ok(content) => Definition::Control { kind, content, file: FULL_ACCESS_FILE.into() },
            Err(_) => Definition::Broken(kind),
        };
        self.by_id.entry(FULL_ACCESS).or_insert((place.clone(), full_access));
        self.by_id.entry(RESOURCE_FULL_ACCESS).or_insert((place, Definition::Nothing));
    }

    /// Adds a policy to a level, called by the id of the node it is attached to. False if there is no such policy.
    ///
    /// So a policy is compiled for each node it is attached to: an answer names the level that denies, and the file and
    /// line in it name the policy.
    pub(super) fn attach(&self, id: &str, node_id: &str, level: &mut Level) -> bool {
        let Some((_, definition)) = self.by_id.get(id) else { return false };
        match definition {
            Definition::Nothing => {}
            Definition::Broken(kind) => level.has_service_control |= *kind == PolicyKind::ServiceControl,
            Definition::Control { kind, content, file } => {
                let name = PolicyName { reference: node_id.into(), file: Arc::clone(file) };
                // Its findings were reported where it is defined.
                let policy = policy::load(content, *kind, name, &mut Findings::new()).map(Arc::new);
                if *kind == PolicyKind::ServiceControl {
                    level.has_service_control = true;
                    level.service_control.extend(policy);
                } else {
                    level.resource_control.extend(policy);
                }
            }
        }
        true
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.by_id.keys().copied()
    }
}

/// Whether this is the document of `p-RCPFullAWSAccess`, which is no RCP that one could write: those only deny.
fn is_resource_full_access(content: &Node<'_>) -> bool {
    let same =
        |node: &Node<'_>| json::parse(RESOURCE_FULL_ACCESS_DOCUMENT).is_ok_and(|own| digest(&own) == digest(node));
    match content.as_str() {
        Some(text) => json::parse(text).is_ok_and(|node| same(&node)),
        None => same(content),
    }
}

fn control_kind(policy_type: &str) -> Option<PolicyKind> {
    match policy_type {
        SERVICE_CONTROL => Some(PolicyKind::ServiceControl),
        RESOURCE_CONTROL => Some(PolicyKind::ResourceControl),
        _ => None,
    }
}

fn other_type(draft: &mut Draft, file: &Arc<str>, position: Position, id: &str, policy_type: &str) {
    if OTHER_TYPES.contains(&policy_type) {
        let message = format!("`{}` is ignored: a {policy_type} decides no access", shown(id));
        draft.findings.warning(file, position, "ignored-policy", message);
    } else {
        let known = OTHER_TYPES.into_iter().chain([SERVICE_CONTROL, RESOURCE_CONTROL]);
        let message = format!("unknown type of organization policy `{}`", shown(policy_type));
        draft
            .findings
            .error(file, position, "unknown-policy-type", message)
            .hint(format!("policies that decide access are {SERVICE_CONTROL} and {RESOURCE_CONTROL}"))
            .hint_near_miss(policy_type, known);
    }
}
