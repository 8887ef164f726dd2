//! Values that a key never has, as far as AWS says how they look.

use crate::policy::{Family, StringMode, Text};

use super::Parsed;
use crate::checks::Subject;
use crate::checks::reference::is_region;

/// How the values of some keys look.
struct Form {
    /// In lower case.
    keys: &'static [&'static str],
    fits: fn(&str) -> bool,
    what: &'static str,
}

const FORMS: [Form; 7] = [
    Form {
        keys: &[
            "aws:principalaccount",
            "aws:resourceaccount",
            "aws:sourceaccount",
            "aws:sourceowner",
            "aws:vpceaccount",
            "kms:calleraccount",
            "s3:resourceaccount",
        ],
        fits: |value| value.len() == 12 && value.bytes().all(|b| b.is_ascii_digit()),
        what: "the 12 digits of an account",
    },
    Form {
        keys: &["aws:principalorgid", "aws:resourceorgid", "aws:sourceorgid", "aws:vpceorgid"],
        fits: |value| value.starts_with("o-"),
        what: "the id of an organization, `o-...`",
    },
    Form { keys: &["aws:sourcevpc"], fits: |value| value.starts_with("vpc-"), what: "the id of a VPC, `vpc-...`" },
    Form {
        keys: &["aws:sourcevpce"],
        fits: |value| value.starts_with("vpce-"),
        what: "the id of a VPC endpoint, `vpce-...`",
    },
    Form { keys: &["aws:requestedregion"], fits: is_region, what: "a region, such as `eu-central-1`" },
    Form {
        keys: &["aws:principaltype"],
        fits: |value| ["Account", "User", "FederatedUser", "AssumedRole", "Anonymous"].contains(&value),
        what: "`Account`, `User`, `FederatedUser`, `AssumedRole` or `Anonymous`",
    },
    Form {
        keys: &["aws:principalorgpaths", "aws:resourceorgpaths", "aws:sourceorgpaths", "aws:vpceorgpaths"],
        fits: |value| value.starts_with("o-") && value.ends_with('/'),
        what: "a path that begins with the organization and ends in `/`",
    },
];

/// A value that is compared as it is, and is not what the key's values are like.
pub(super) fn check(condition: &Parsed<'_>, value: &Text, subject: &mut Subject<'_>) {
    let text = &value.text;
    let exact = match condition.operator.family {
        Family::String(StringMode::Exact) => true,
        Family::String(StringMode::Like) => !text.contains(['*', '?']),
        Family::String(StringMode::IgnoreCase)
        | Family::Numeric(_)
        | Family::Date(_)
        | Family::Bool
        | Family::Binary
        | Family::Ip
        | Family::Arn
        | Family::Null => false,
    };
    let form = FORMS.iter().find(|form| form.keys.contains(&&*condition.key.folded));
    let Some(Form { fits, what, .. }) = form.filter(|_| exact && !text.contains(['*', '?', '$'])) else { return };
    if !fits(text) && text.trim() == text {
        let message = format!("`{text}` is never a value of `{}`, which is {what}", condition.key.spelled);
        subject.report(value.position, "impossible-value", message);
    }
}
