//! Amazon Resource Names: `arn:partition:service:region:account:resource`.

use std::fmt;

/// A 12-digit AWS account id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId([u8; 12]);

impl AccountId {
    /// Reads exactly twelve digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; 12] = text.as_bytes().try_into().ok()?;
        // To the end in any case, all at once.
        let all_are_digits = digits.iter().fold(true, |all, digit| all & digit.is_ascii_digit());
        all_are_digits.then_some(Self(digits))
    }

    /// The twelve digits, as bytes: to read them as text takes longer than to hash or compare them.
    pub fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }

    /// The twelve digits.
    pub fn as_str(&self) -> &str {
        // INVARIANT: only digits, see `parse`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An ARN, split into its six parts; the last holds the rest, `:` and `/` included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Arn<'a> {
    /// The whole ARN.
    pub text: &'a str,
    /// `aws`, `aws-cn`, `aws-us-gov`, ...
    pub partition: &'a str,
    /// The service's prefix, e.g. `s3`.
    pub service: &'a str,
    /// The region; empty where the service has none in its ARNs.
    pub region: &'a str,
    /// The account; empty for S3 buckets, `aws` for AWS's own resources.
    pub account: &'a str,
    /// Everything after the fifth colon.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Splits an ARN. None unless it starts with `arn:`, has six parts, and partition, service and resource are not
    /// empty.
    #[inline]
    pub fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("arn:")?;
        let (partition, rest) = cut(rest)?;
        let (service, rest) = cut(rest)?;
        let (region, rest) = cut(rest)?;
        let (account, resource) = cut(rest)?;
        let arn = Self { text, partition, service, region, account, resource };
        let complete = !arn.partition.is_empty() && !arn.service.is_empty() && !arn.resource.is_empty();
        complete.then_some(arn)
    }

    /// The account, where the ARN names one.
    pub fn account_id(&self) -> Option<AccountId> {
        AccountId::parse(self.account)
    }

    /// The six parts, `arn` first.
    pub fn parts(&self) -> [&'a str; 6] {
        ["arn", self.partition, self.service, self.region, self.account, self.resource]
    }
}

/// What stands before the first colon, and behind it. By single bytes: the parts are so short that more would take longer.
fn cut(text: &str) -> Option<(&str, &str)> {
    let colon = text.bytes().position(|b| b == b':')?;
    Some((text.get(..colon)?, text.get(colon + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_parts_and_the_last_holds_the_rest() {
        let arn = Arn::parse("arn:aws:lambda:us-east-1:123456789012:function:f:prod").unwrap();
        assert_eq!(arn.parts(), ["arn", "aws", "lambda", "us-east-1", "123456789012", "function:f:prod"]);
        assert_eq!(arn.account_id().unwrap().as_str(), "123456789012");
    }

    #[test]
    fn what_is_not_an_arn() {
        for text in
            ["", "arn", "arn:aws:s3", "arn:aws:s3:::", "arn::s3:::b", "arn:aws::::b", "x:aws:s3:::b", "bucket/a"]
        {
            assert_eq!(Arn::parse(text), None, "{text}");
        }
    }

    #[test]
    fn accounts_are_twelve_digits() {
        assert!(AccountId::parse("123456789012").is_some());
        for text in ["12345678901", "1234567890123", "12345678901a", "aws", ""] {
            assert_eq!(AccountId::parse(text), None, "{text}");
        }
    }
}
