//! The tree of an organization: root, units, accounts.

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use super::control_policies::{ControlPolicies, Level};
use crate::access::shown;
use crate::arn::AccountId;
use crate::directory::draft::Draft;
use crate::directory::entity::elements;
use crate::directory::identity::Place;
use crate::directory::{Map, Membership};
use crate::finding::Position;
use crate::json::Node;

/// Deepest nesting of units that is read; AWS allows five levels.
const MAX_DEPTH: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Root,
    Unit,
    Account,
}

/// A root, unit or account as it is written.
struct TreeNode<'n> {
    kind: Kind,
    id: &'n str,
    position: Position,
    parent: Option<(&'n str, Position)>,
    attached: Vec<(&'n str, Position)>,
}

/// Everything in the organization, in the order of the file.
pub(super) struct Tree<'n> {
    file: Arc<str>,
    nodes: Vec<TreeNode<'n>>,
    by_id: HashMap<&'n str, usize>,
    management_account: Option<AccountId>,
    /// Whether every node could be read: else a parent that is missing may be one that could not.
    whole: bool,
}

/// What holds from the root down to a node.
#[derive(Clone, Default)]
struct Chain {
    path: String,
    levels: Vec<Level>,
}

impl<'n> Tree<'n> {
    pub(super) fn read(
        draft: &mut Draft,
        file: &Arc<str>,
        node: &'n Node<'n>,
        management_account: Option<AccountId>,
    ) -> Self {
        let (nodes, by_id) = (Vec::new(), HashMap::new());
        let mut tree = Self { file: Arc::clone(file), nodes, by_id, management_account, whole: true };
        let lists = [(Kind::Root, "Roots"), (Kind::Unit, "OrganizationalUnits"), (Kind::Account, "Accounts")];
        for (kind, key) in lists {
            for element in elements(node, key) {
                tree.add(draft, kind, element);
            }
        }
        tree.check_roots(draft, node);
        tree
    }

    fn add(&mut self, draft: &mut Draft, kind: Kind, node: &'n Node<'n>) {
        let id = node.get("Id").and_then(|id| match kind {
            Kind::Account => draft.account_id_of(&self.file, id),
            Kind::Root | Kind::Unit => draft.organization_id(&self.file, id),
        });
        let Some(id) = id else {
            self.whole = false;
            return;
        };
        if let Some(first) = self.by_id.get(id).and_then(|index| self.nodes.get(*index)) {
            let first = Place::new(&self.file, first.position);
            draft.defined_twice(&format!("`{id}`"), &Place::new(&self.file, node.position), &first);
            return;
        }
        let parent = node.get("ParentId").and_then(|parent| Some((parent.as_str()?, parent.position)));
        let attached = elements(node, "AttachedPolicies").iter();
        let attached = attached.filter_map(|policy| Some((policy.as_str()?, policy.position))).collect();
        self.by_id.insert(id, self.nodes.len());
        self.nodes.push(TreeNode { kind, id, position: node.position, parent, attached });
    }

    fn check_roots(&self, draft: &mut Draft, node: &Node<'_>) {
        let Some(roots) = node.get("Roots") else { return };
        match roots.as_array().unwrap_or_default() {
            [] if roots.as_array().is_some() => {
                draft.findings.error(&self.file, roots.position, "no-root", "an organization needs a root");
            }
            [_, second, ..] => {
                let message = "an organization has one root, this is the second";
                draft.findings.error(&self.file, second.position, "second-root", message);
            }
            _ => {}
        }
    }

    /// Walks down from the root: where each account stands, and what is attached above it.
    pub(super) fn memberships(
        &self,
        draft: &mut Draft,
        policies: &ControlPolicies<'_>,
        organization: &str,
    ) -> Map<AccountId, Membership> {
        let levels: Vec<Level> = self.nodes.iter().map(|node| self.level(draft, policies, node)).collect();
        let (children, orphans) = self.children(draft);
        let mut reached = vec![false; self.nodes.len()];
        let mut accounts = Map::default();
        let top = Rc::new(Chain { path: format!("{organization}/"), levels: Vec::new() });
        let is_root = |(index, node): (usize, &TreeNode<'_>)| (node.kind == Kind::Root).then_some(index);
        let roots = self.nodes.iter().enumerate().filter_map(is_root);
        let mut queue: VecDeque<(usize, Rc<Chain>)> = roots.map(|root| (root, Rc::clone(&top))).collect();
        while let Some((index, above)) = queue.pop_front() {
            let (Some(node), Some(level), Some(seen)) =
                (self.nodes.get(index), levels.get(index), reached.get_mut(index))
            else {
                continue;
            };
            *seen = true;
            let mut chain = Chain::clone(&above);
            chain.levels.push(level.clone());
            if let (Kind::Account, Some(account)) = (node.kind, AccountId::parse(node.id)) {
                accounts.insert(account, chain.membership());
                continue;
            }
            if chain.levels.len() > MAX_DEPTH + 1 {
                let message = format!("`{}` is nested deeper than {MAX_DEPTH} units", node.id);
                draft.findings.error(&self.file, node.position, "too-deep", message);
                below(index, &children).for_each(|child| mark_below(child, &children, &mut reached));
                continue;
            }
            chain.path += node.id;
            chain.path.push('/');
            let chain = Rc::new(chain);
            queue.extend(below(index, &children).map(|child| (child, Rc::clone(&chain))));
        }
        orphans.into_iter().for_each(|orphan| mark_below(orphan, &children, &mut reached));
        self.report_unreached(draft, &reached);
        accounts
    }

    /// The policies attached to a node.
    fn level(&self, draft: &mut Draft, policies: &ControlPolicies<'_>, node: &TreeNode<'_>) -> Level {
        let mut level = Level::default();
        let mut all_known = true;
        let mut attached: HashSet<&str> = HashSet::new();
        for (id, position) in &node.attached {
            if attached.insert(id) && !policies.attach(id, node.id, &mut level) {
                all_known = false;
                let message = format!("the organization policy `{}` is not defined", shown(id));
                let meant = draft.near_misses.find(id, policies.ids());
                draft.findings.error(&self.file, *position, "not-defined", message);
                if let Some(meant) = meant {
                    draft.findings.hint(format!("did you mean `{meant}`?"));
                }
            }
        }
        let held = AccountId::parse(node.id).is_none_or(|account| Some(account) != self.management_account);
        if held && all_known && !level.has_service_control {
            let message = format!("no SCP is attached to `{}`: nothing is allowed there", node.id);
            draft
                .findings
                .warning(&self.file, node.position, "no-service-control-policy", message)
                .hint("every level from the root to the account needs one, such as `p-FullAWSAccess`");
        }
        level
    }

    /// The children of each node, and the nodes whose parent is not known.
    fn children(&self, draft: &mut Draft) -> (HashMap<usize, Vec<usize>>, Vec<usize>) {
        let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut orphans = Vec::new();
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.kind != Kind::Root) {
            let Some((parent, position)) = node.parent else {
                orphans.push(index); // The schema has said so.
                continue;
            };
            match self.by_id.get(parent).filter(|parent| self.may_have_children(**parent)) {
                Some(parent) => children.entry(*parent).or_default().push(index),
                None => {
                    orphans.push(index);
                    self.report_unknown_parent(draft, parent, position);
                }
            }
        }
        (children, orphans)
    }

    fn may_have_children(&self, index: usize) -> bool {
        self.nodes.get(index).is_some_and(|node| node.kind != Kind::Account)
    }

    fn report_unknown_parent(&self, draft: &mut Draft, parent: &str, position: Position) {
        if !self.whole {
            return;
        }
        let known = self.nodes.iter().filter(|node| node.kind != Kind::Account).map(|node| node.id);
        let message = format!("the parent `{}` is not a root or organizational unit of this file", shown(parent));
        let meant = draft.near_misses.find(parent, known);
        draft.findings.error(&self.file, position, "unknown-parent", message);
        if let Some(meant) = meant {
            draft.findings.hint(format!("did you mean `{meant}`?"));
        }
    }

    /// Whoever has a parent, but is not below a root, is below itself.
    fn report_unreached(&self, draft: &mut Draft, reached: &[bool]) {
        for (node, _) in self.nodes.iter().zip(reached).filter(|(_, reached)| !**reached) {
            let position = node.parent.map_or(node.position, |(_, position)| position);
            let message = format!("the parents of `{}` lead in a circle, not to a root", node.id);
            draft.findings.error(&self.file, position, "parents-in-a-circle", message);
        }
    }
}

impl Chain {
    /// Of the account at the end of the chain.
    fn membership(self) -> Membership {
        let (service_control, resource_control) =
            self.levels.into_iter().map(|level| (level.service_control, level.resource_control)).unzip();
        Membership { path: Some(self.path.into()), service_control, resource_control }
    }
}

fn below(index: usize, children: &HashMap<usize, Vec<usize>>) -> impl Iterator<Item = usize> {
    children.get(&index).into_iter().flatten().copied()
}

fn mark_below(index: usize, children: &HashMap<usize, Vec<usize>>, reached: &mut [bool]) {
    let mut queue = vec![index];
    while let Some(next) = queue.pop() {
        if let Some(seen @ false) = reached.get_mut(next) {
            *seen = true;
            queue.extend(below(next, children));
        }
    }
}
