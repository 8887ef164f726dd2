//! What they want to do, and what they want to do it to.

use std::borrow::Cow;

use arrayvec::ArrayString;

use super::letters::Letters;
use super::{InvalidField, shown};
use crate::arn::Arn;

/// What they want to do: `service:Name`, folded to lower case.
#[derive(Clone, Debug)]
pub struct Action<'a> {
    folded: Folded<'a>,
    colon: usize,
}

/// A text in lower case.
#[derive(Clone, Debug)]
enum Folded<'a> {
    /// As nearly all are: in place.
    Short(ArrayString<64>),
    /// Borrowed, where it is written so.
    Long(Cow<'a, str>),
}

/// The two ways in which an identity provider asks for a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Federation {
    /// `sts:AssumeRoleWithWebIdentity`
    WebIdentity,
    /// `sts:AssumeRoleWithSAML`
    Saml,
}

impl Federation {
    pub(super) fn accepts(self, provider: &str) -> bool {
        let saml = provider.contains(":saml-provider/");
        saml == (self == Self::Saml)
    }
}

impl<'a> Action<'a> {
    /// `sts:GetCallerIdentity`
    pub(super) const GET_CALLER_IDENTITY: Action<'static> =
        Action { folded: Folded::Long(Cow::Borrowed("sts:getcalleridentity")), colon: 3 };

    /// Reads `service:Name`; no wildcards.
    pub fn parse(text: &'a str) -> Result<Self, InvalidField> {
        let colon = colon(text)?;
        Ok(Self { folded: Folded::of(text), colon })
    }

    /// Becomes what [`Action::parse`] reads; on an error it is what it was.
    #[inline]
    pub(super) fn become_next(&mut self, text: &'a str) -> Result<(), InvalidField> {
        self.colon = colon(text)?;
        self.folded.become_next(text);
        Ok(())
    }

    /// The whole action in lower case.
    #[inline]
    pub fn folded(&self) -> &str {
        match &self.folded {
            Folded::Short(text) => text,
            Folded::Long(text) => text,
        }
    }

    /// The service's prefix in lower case.
    pub fn service(&self) -> &str {
        self.folded().get(..self.colon).unwrap_or_default()
    }

    /// The name in lower case.
    pub fn name(&self) -> &str {
        self.folded().get(self.colon + 1..).unwrap_or_default()
    }

    /// Whether an identity provider asks for a role, and how.
    pub fn federation(&self) -> Option<Federation> {
        match self.folded() {
            "sts:assumerolewithwebidentity" => Some(Federation::WebIdentity),
            "sts:assumerolewithsaml" => Some(Federation::Saml),
            _ => None,
        }
    }

    /// Whether it is asked together with a role, by whoever asks for that (rule 77).
    pub(super) fn goes_with_a_role(&self) -> bool {
        matches!(self.folded(), "sts:tagsession" | "sts:setsourceidentity")
    }

    /// Whether somebody asks for a role.
    pub fn assumes_role(&self) -> bool {
        self.folded() == "sts:assumerole" || self.federation().is_some()
    }
}

/// Where the name begins, if this is `service:Name`.
#[inline]
fn colon(text: &str) -> Result<usize, InvalidField> {
    const LETTERS: Letters = Letters::alphanumeric_and(b"-._");
    let colon = text.bytes().position(|b| b == b':').unwrap_or_default();
    match (text.get(..colon), text.get(colon + 1..)) {
        (Some(s), Some(n)) if !s.is_empty() && !n.is_empty() && LETTERS.make_up(s) && LETTERS.make_up(n) => Ok(colon),
        _ => Err(InvalidField::new(
            "action",
            format!("`{}` must be `service:Name`, such as `s3:GetObject`, without wildcards", shown(text)),
        )),
    }
}

impl<'a> Folded<'a> {
    fn of(text: &'a str) -> Self {
        if let Ok(mut short) = ArrayString::from(text) {
            short.make_ascii_lowercase();
            return Self::Short(short);
        }
        let is_upper = |byte: u8| byte.is_ascii_uppercase();
        Self::Long(if text.bytes().any(is_upper) { text.to_ascii_lowercase().into() } else { text.into() })
    }

    /// Becomes what [`Folded::of`] gives, in place where both are short.
    #[inline]
    fn become_next(&mut self, text: &'a str) {
        if let Self::Short(short) = self {
            short.clear();
            if short.try_push_str(text).is_ok() {
                return short.make_ascii_lowercase();
            }
        }
        *self = Self::of(text);
    }
}

impl PartialEq for Action<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.folded() == other.folded()
    }
}

impl Eq for Action<'_> {}

/// What they want to do it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceName<'a> {
    /// `*`: the action takes no resource.
    None,
    /// One resource.
    Arn(Arn<'a>),
}

impl<'a> ResourceName<'a> {
    /// Reads an ARN or `*`.
    pub fn parse(text: &'a str) -> Result<Self, InvalidField> {
        if text == "*" {
            return Ok(Self::None);
        }
        let wrong = |what: &str| InvalidField::new("resource", format!("`{}` {what}", shown(text)));
        let arn = Arn::parse(text).ok_or_else(|| {
            wrong("must be an ARN (`arn:partition:service:region:account:resource`), or `*` for an action without resources")
        })?;
        // Without an account it would count as the caller's own.
        if arn.account.starts_with(|c: char| c.is_ascii_digit()) && arn.account_id().is_none() {
            return Err(wrong("names an account that is not 12 digits"));
        }
        Ok(Self::Arn(arn))
    }

    /// As it was written.
    pub fn text(&self) -> &'a str {
        match self {
            Self::None => "*",
            Self::Arn(arn) => arn.text,
        }
    }

    /// The ARN, if it is one.
    pub fn arn(&self) -> Option<&Arn<'a>> {
        match self {
            Self::None => None,
            Self::Arn(arn) => Some(arn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_folded_however_long_it_is_and_whatever_it_was() {
        let texts: Vec<String> = [1, 60, 61, 62, 200]
            .into_iter()
            .flat_map(|length| ["x", "X"].map(|letter| format!("s3:{}", letter.repeat(length))))
            .collect();
        for (before, text) in texts.iter().flat_map(|before| texts.iter().map(move |text| (before, text))) {
            let action = Action::parse(text).unwrap();
            assert_eq!(action.folded(), text.to_lowercase());
            assert_eq!((action.service(), action.name().len()), ("s3", text.len() - 3));
            let mut next = Action::parse(before).unwrap();
            next.become_next("s3:*").unwrap_err();
            assert_eq!(next, Action::parse(before).unwrap());
            next.become_next(text).unwrap();
            assert_eq!((&next, next.name()), (&action, action.name()));
        }
    }
}
