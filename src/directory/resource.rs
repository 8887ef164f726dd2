//! Resources and VPC endpoints as their files say.

use std::sync::Arc;

use super::draft::Draft;
use super::{Resource, VpcEndpoint};
use crate::access::shown;
use crate::arn::{AccountId, Arn};
use crate::json::Node;
use crate::policy::PolicyKind;

impl Draft {
    /// Takes in a resource whose keys are checked.
    pub(super) fn resource(&mut self, file: &Arc<str>, node: &Node<'_>) {
        let Some(arn_node) = node.get("ResourceArn") else { return };
        let Some(text) = arn_node.as_str() else { return };
        let tags = self.tags(file, node);
        let document = node.get("ResourcePolicy");
        let policy = document.and_then(|document| self.compile(file, document, PolicyKind::Resource, text));
        let Some(arn) = self.resource_arn(file, arn_node) else { return };
        let account = self.resource_owner(file, node, &arn);
        if account.is_none() && policy.is_some() {
            let message = format!("nothing says which account owns `{text}`: each caller counts as of that account");
            self.findings
                .warning(file, arn_node.position, "unknown-owner", message)
                .hint("give `AccountId`, or put the file in a folder named after the account");
        }
        self.accounts.extend(account);
        self.resources.push((text.into(), node.position, Arc::new(Resource { account, tags, policy })));
    }

    fn resource_arn<'n>(&mut self, file: &Arc<str>, node: &'n Node<'_>) -> Option<Arn<'n>> {
        let text = node.as_str()?;
        let pattern = text.contains(['*', '?']) || text.contains("${");
        // An account is 12 digits, empty, or a word such as `aws`.
        let slip = |arn: &Arn<'_>| arn.account.starts_with(|c: char| c.is_ascii_digit()) && arn.account_id().is_none();
        let (problem, hint) = match Arn::parse(text) {
            Some(_) if pattern => {
                ("a resource's ARN cannot have wildcards or variables", "a policy governs its ARN and what is under it")
            }
            Some(arn) if slip(&arn) => ("its account is not 12 digits", "an account id has exactly 12 digits"),
            Some(arn) => return Some(arn),
            None => ("it is not an ARN", "an ARN is `arn:partition:service:region:account:resource`"),
        };
        let message = format!("`{}` does not name a resource: {problem}", shown(text));
        self.findings.error(file, node.position, "invalid-arn", message).hint(hint);
        None
    }

    fn resource_owner(&mut self, file: &Arc<str>, node: &Node<'_>, arn: &Arn<'_>) -> Option<AccountId> {
        let written = self.written_account(file, node, "AccountId");
        match (written, arn.account_id()) {
            (Some(written), Some(own)) if written != own => {
                let position = node.get("AccountId").map_or(node.position, |account| account.position);
                let message = format!("`AccountId` is `{written}`, but the ARN says `{own}`");
                self.findings.error(file, position, "account-mismatch", message);
                None
            }
            (Some(account), _) | (None, Some(account)) => Some(account),
            (None, None) => self.account_around(file),
        }
    }

    /// The account that stands at `key`; None if there is none, or after an error.
    pub(super) fn written_account(&mut self, file: &Arc<str>, node: &Node<'_>, key: &str) -> Option<AccountId> {
        let value = node.get(key)?;
        let text = value.as_str()?;
        let account = AccountId::parse(text);
        if account.is_none() {
            let message = format!("`{key}` is `{}`, which is not a 12-digit account id", shown(text));
            self.findings.error(file, value.position, "invalid-account", message);
        }
        account
    }

    /// Takes in a VPC endpoint whose keys are checked.
    pub(super) fn vpc_endpoint(&mut self, file: &Arc<str>, node: &Node<'_>) {
        let Some(id_node) = node.get("VpcEndpointId") else { return };
        let Some(id) = id_node.as_str() else { return };
        if id.is_empty() {
            self.findings.error(file, id_node.position, "invalid-id", "the id of a VPC endpoint is empty");
        }
        let written = self.written_account(file, node, "OwnerId");
        let owner = written.or_else(|| self.account_around(file));
        let document = node.get("PolicyDocument");
        let policy = document.and_then(|document| self.compile(file, document, PolicyKind::VpcEndpoint, id));
        let Some(policy) = policy else { return };
        self.vpc_endpoints.push((id.into(), node.position, Arc::new(VpcEndpoint { owner, policy })));
    }
}
