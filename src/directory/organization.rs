//! The organization as its file says: which policies hold at which level above each account.

mod control_policies;
mod tree;

use std::sync::Arc;

use control_policies::ControlPolicies;
use tree::Tree;

use super::draft::Draft;
use super::entity::elements;
use super::{Membership, Organization};
use crate::access::shown;
use crate::arn::AccountId;
use crate::json::Node;

impl Draft {
    /// Takes in the organization, whose keys are checked.
    pub(super) fn organization(&mut self, file: &Arc<str>, node: &Node<'_>) {
        let organization = self.read_organization(file, node).map(Arc::new);
        self.organizations.push((node.position, organization));
    }

    fn read_organization(&mut self, file: &Arc<str>, node: &Node<'_>) -> Option<Organization> {
        let described = node.get("Organization")?;
        let id = described.get("Id").and_then(|id| self.organization_id(file, id));
        let management_account = self.written_account(file, described, "MasterAccountId");
        let policies = ControlPolicies::read(self, file, elements(node, "OrganizationPolicies"));
        let tree = Tree::read(self, file, node, management_account);
        let (id, management_account) = (id?, management_account?);
        let mut accounts = tree.memberships(self, &policies, id);
        // Its management account belongs to an organization, listed or not.
        accounts.entry(management_account).or_insert_with(|| Membership {
            path: None,
            service_control: Vec::new(),
            resource_control: Vec::new(),
        });
        Some(Organization { id: id.into(), management_account, accounts })
    }

    /// An id of the organization, a root or a unit. They make up paths, so that `/` is not for them; AWS's own form is
    /// not insisted on.
    fn organization_id<'n>(&mut self, file: &Arc<str>, node: &'n Node<'_>) -> Option<&'n str> {
        let id = node.as_str()?;
        if !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Some(id);
        }
        let message = format!("`{}` is not an id: it has letters, digits and `-`", shown(id));
        self.findings.error(file, node.position, "invalid-id", message);
        None
    }

    fn account_id_of<'n>(&mut self, file: &Arc<str>, node: &'n Node<'_>) -> Option<&'n str> {
        let id = node.as_str()?;
        if AccountId::parse(id).is_some() {
            return Some(id);
        }
        let message = format!("`{}` is not a 12-digit account id", shown(id));
        self.findings.error(file, node.position, "invalid-account", message);
        None
    }
}
