//! Every code that a finding about a policy store can have: what it weighs, and what it means in a sentence.
//!
//! `docs/findings/` has a page for each.

use super::Severity;
use super::Severity::{Error, SecurityWarning, Suggestion, Warning};

/// A kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Stable, kebab-case.
    pub name: &'static str,
    /// How much it weighs; where AWS itself broke the rule, loading may make less of it.
    pub severity: Severity,
    /// What it means: lowercase, no full stop.
    pub summary: &'static str,
}

impl Code {
    const fn new(name: &'static str, severity: Severity, summary: &'static str) -> Self {
        Self { name, severity, summary }
    }

    /// Where its page stands, from the root of the repository.
    pub fn page(&self) -> String {
        page(self.name)
    }
}

/// Where the page of a code stands, from the root of the repository.
pub fn page(name: &str) -> String {
    format!("docs/findings/{name}.md")
}

/// The code of this name.
pub fn find(name: &str) -> Option<&'static Code> {
    CODES.binary_search_by(|code| code.name.cmp(name)).ok().and_then(|index| CODES.get(index))
}

/// How much a code weighs.
pub(super) fn severity(name: &str) -> Severity {
    find(name).map_or(Warning, |code| code.severity)
}

/// All codes, sorted by name.
pub static CODES: &[Code] = &[
    Code::new("account-mismatch", Error, "`AccountId` is not the account that the ARN names"),
    Code::new("account-outside-organization", Warning, "an account of the store is not of its organization"),
    Code::new("action-without-resource", Warning, "an action that takes no resource is given some"),
    Code::new("address-in-network", Suggestion, "a network is named by an address within it"),
    Code::new("allow-everything", SecurityWarning, "a statement allows every action on every resource"),
    Code::new("allow-in-rcp", Error, "a resource control policy allows something"),
    Code::new("any-action-in-rcp", Warning, "a resource control policy is about every action"),
    Code::new("arn-account", Warning, "an ARN has an account where there is none, or none where there is one"),
    Code::new("arn-region", Warning, "an ARN has a region where there is none, or none where there is one"),
    Code::new("attachment-quota", Warning, "more managed policies are attached than AWS takes"),
    Code::new("canonical-user", Warning, "a canonical user id stands for nobody who can be told"),
    Code::new("condition-key-given-twice", Warning, "one condition key is given in two spellings"),
    Code::new("contradicting-conditions", Warning, "two conditions can never hold together"),
    Code::new("contradicting-elements", Error, "a statement has an element and its `Not` form"),
    Code::new("defined-twice", Error, "something is defined twice"),
    Code::new("deprecated-condition-key", Suggestion, "AWS has replaced a condition key"),
    Code::new("doubtful-resource", Suggestion, "an action that takes no resource may yet be asked for some"),
    Code::new("duplicate-key", Error, "a key is given twice in one JSON object"),
    Code::new("duplicate-sid", Error, "two statements of a policy have one Sid"),
    Code::new("duplicate-tag", Error, "a tag is given twice"),
    Code::new("duplicate-unique-id", Warning, "two users or roles have one unique id"),
    Code::new("early-variable", Error, "a variable stands where none is substituted"),
    Code::new("empty-condition", Suggestion, "a condition has nothing in it"),
    Code::new("empty-list", Error, "a list that must name something is empty"),
    Code::new("empty-sid", Suggestion, "a Sid is empty"),
    Code::new("empty-store", Error, "the policy store has no files"),
    Code::new("for-all-values-without-null-guard", SecurityWarning, "`ForAllValues:` allows where its key is missing"),
    Code::new("for-any-value-if-exists", Warning, "`IfExists` has no effect with `ForAnyValue:`"),
    Code::new("foreign-action", Warning, "a policy of a resource or of trust names an action of another service"),
    Code::new("foreign-policy", Error, "a managed policy of another account is attached"),
    Code::new("foreign-resource", Warning, "a resource policy names another resource"),
    Code::new("group-quota", Warning, "a user is in more groups than AWS takes"),
    Code::new("if-exists-with-allow", Suggestion, "`IfExists` allows where its key is missing"),
    Code::new("ignored-policy", Warning, "a policy of the organization decides no access"),
    Code::new("impossible-value", Warning, "a condition key never has a value like this"),
    Code::new("inline-quota", Warning, "the inline policies of one holder are longer than AWS takes together"),
    Code::new("internal-error", Error, "reading the store failed by a fault of the service"),
    Code::new("invalid-account", Error, "an account id is not 12 digits"),
    Code::new("invalid-action", Error, "an action is not `service:Name`"),
    Code::new("invalid-arn", Error, "an ARN is not what its place asks for"),
    Code::new("invalid-arn-account", Warning, "the account of an ARN is not 12 digits"),
    Code::new("invalid-arn-region", Warning, "the region of an ARN is not like one"),
    Code::new("invalid-condition-value", Error, "a value is not of its operator's type"),
    Code::new("invalid-effect", Error, "`Effect` is neither `Allow` nor `Deny`"),
    Code::new("invalid-id", Error, "an id is not well formed"),
    Code::new("invalid-key", Error, "a condition key is empty"),
    Code::new("invalid-name", Error, "a name is none that IAM takes"),
    Code::new("invalid-path", Error, "a path is none that IAM takes"),
    Code::new("invalid-principal", Error, "a principal is none that there can be"),
    Code::new("invalid-resource", Error, "a resource is not an ARN or `*`"),
    Code::new("invalid-sid", Error, "a Sid has more than letters and digits"),
    Code::new("invalid-tag", Error, "the key of a tag is empty"),
    Code::new("invalid-version", Error, "`Version` is no version of the policy language"),
    Code::new("irrelevant-condition-key", Warning, "no action of the statement gives a condition key"),
    Code::new("json-syntax", Error, "a file or document is not JSON"),
    Code::new("link-loop", Error, "a link leads back to a folder that it stands in"),
    Code::new("malformed-variable", Error, "a variable is not well formed"),
    Code::new("mfa-deny-without-if-exists", SecurityWarning, "a Deny for want of MFA lets access keys pass"),
    Code::new("missing-element", Error, "a policy or statement lacks an element"),
    Code::new("missing-key", Error, "an object lacks a key"),
    Code::new("missing-principal", Error, "a statement of a resource-based policy names nobody"),
    Code::new(
        "negated-operator-without-null-guard",
        SecurityWarning,
        "a negated operator allows where its key is missing",
    ),
    Code::new("no-account", Error, "nothing says to which account something belongs"),
    Code::new("no-default-version", Error, "it is not clear which version of a policy counts"),
    Code::new("no-root", Error, "an organization has no root"),
    Code::new("no-service-control-policy", Warning, "nothing is allowed below a place in the organization"),
    Code::new("not-action-in-rcp", Warning, "`NotAction` stands in a resource control policy"),
    Code::new("not-action-with-allow", SecurityWarning, "`NotAction` stands with `Allow`"),
    Code::new("not-defined", Error, "something refers to what the store does not have"),
    Code::new("not-principal-not-allowed", Error, "`NotPrincipal` stands where it has no place"),
    Code::new("not-principal-with-allow", Error, "`NotPrincipal` stands with `Allow`"),
    Code::new("not-principal-with-deny", Suggestion, "`NotPrincipal` denies more than it seems to"),
    Code::new("not-resource-with-allow", SecurityWarning, "`NotResource` stands with `Allow`"),
    Code::new("old-version", Suggestion, "the version is, or for want of one means, 2008-10-17"),
    Code::new("operator-type-mismatch", Warning, "a condition operator does not fit the type of its key"),
    Code::new("parents-in-a-circle", Error, "units of an organization are below each other"),
    Code::new("pass-any-role", SecurityWarning, "every role can be passed to every service"),
    Code::new("pass-role-to-any-service", Suggestion, "roles can be passed to every service that trusts them"),
    Code::new(
        "plain-operator-on-multivalued-key",
        Warning,
        "an operator for one value stands with a key that has several",
    ),
    Code::new("policy-syntax", Error, "something in a policy is not of the right JSON type"),
    Code::new("principal-not-allowed", Error, "`Principal` stands where it has no place"),
    Code::new("private-address", Warning, "`aws:SourceIp` is compared with a private address"),
    Code::new(
        "provider-without-condition",
        SecurityWarning,
        "everyone whom an identity provider knows may assume a role",
    ),
    Code::new("public-access", SecurityWarning, "everyone has access, whatever their account"),
    Code::new("quota", Warning, "a policy is longer than AWS takes"),
    Code::new("redundant-action", Suggestion, "another entry covers an action"),
    Code::new("redundant-principal", Suggestion, "another entry covers a principal"),
    Code::new("redundant-resource", Suggestion, "another entry covers a resource"),
    Code::new("redundant-statement", Suggestion, "another statement covers a statement"),
    Code::new("redundant-value", Suggestion, "another value covers a value"),
    Code::new("resource-not-allowed", Error, "`Resource` stands in a trust policy"),
    Code::new("second-root", Error, "an organization has two roots"),
    Code::new("service-linked-boundary", Error, "a service-linked role has a permissions boundary"),
    Code::new("service-linked-role-for-any-service", Warning, "service-linked roles can be made for every service"),
    Code::new("service-principal-without-source", SecurityWarning, "a service has access on behalf of any account"),
    Code::new("service-without-rcp", Warning, "a resource control policy names a service that has none"),
    Code::new(
        "set-operator-on-single-valued-key",
        Warning,
        "an operator for several values stands with a key that has one",
    ),
    Code::new("spoofable-condition-key", SecurityWarning, "a statement allows by what the caller says of itself"),
    Code::new("surrounding-whitespace", Warning, "a value begins or ends with white space"),
    Code::new("too-deep", Error, "something is nested too deep"),
    Code::new("too-large", Error, "a file, a document or the store is too large"),
    Code::new("too-long", Error, "a value is too long"),
    Code::new("truncated-dump", Error, "an account dump is not whole"),
    Code::new("trust-policy-quota", Warning, "a trust policy fits only if AWS has raised a quota"),
    Code::new("two-documents", Error, "a managed policy has a document and versions"),
    Code::new("unfit-assume-action", Warning, "a role is not assumed like this by those whom it trusts"),
    Code::new("unknown-action", Warning, "a service has no such action"),
    Code::new("unknown-arn-service", Warning, "no service has ARNs like this"),
    Code::new("unknown-condition-key", Warning, "AWS knows no such condition key"),
    Code::new("unknown-document", Error, "a file holds nothing that a policy store knows"),
    Code::new("unknown-element", Error, "the policy language has no such element"),
    Code::new("unknown-key", Error, "AWS defines no such key"),
    Code::new("unknown-operator", Error, "there is no such condition operator"),
    Code::new("unknown-owner", Warning, "nothing says which account owns a resource"),
    Code::new("unknown-parent", Error, "a parent is not in the organization"),
    Code::new("unknown-partition", Warning, "AWS has no such partition"),
    Code::new("unknown-policy-type", Error, "AWS has no such type of organization policy"),
    Code::new("unknown-resource-type", Warning, "a service has no resources named like this"),
    Code::new("unknown-service", Warning, "AWS has no such service"),
    Code::new("unknown-service-principal", Warning, "a name is not known as that of a service of AWS"),
    Code::new("unknown-version", Warning, "`Version` is a date that is no version"),
    Code::new("unmatched-action", Warning, "a pattern matches no action"),
    Code::new("unreadable-file", Error, "a file cannot be read"),
    Code::new("unresolved-references", Warning, "references may lead to what cannot be read"),
    Code::new("unusable-resource", Warning, "no action of the statement takes a resource"),
    Code::new("variable-without-version", Warning, "a variable is plain text for want of the version"),
    Code::new("wildcard-without-like", Warning, "a wildcard stands for itself, under this operator"),
    Code::new("wrong-type", Error, "a value is not of the right JSON type"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_told_apart() {
        assert!(CODES.windows(2).all(|pair| pair[0].name < pair[1].name));
        for code in CODES {
            assert_eq!(find(code.name), Some(code));
            let begin = code.summary.strip_prefix("AWS").unwrap_or(code.summary);
            assert!(!begin.ends_with('.') && !begin.starts_with(char::is_uppercase), "{}", code.name);
        }
        assert_eq!(severity("no-such-code"), Warning);
    }
}
