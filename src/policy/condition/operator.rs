//! The names of operators: `[ForAllValues:|ForAnyValue:]Name[IfExists]`.

use crate::finding::near_miss;
use crate::policy::document::{Reader, Text};

/// An operator, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operator {
    pub(crate) quantifier: Option<Quantifier>,
    pub(crate) family: Family,
    pub(crate) negated: bool,
    pub(crate) if_exists: bool,
}

impl Operator {
    /// Whether a value of the request has to match one of the policy's: without the key the condition does not hold.
    pub(crate) fn demands_match(self) -> bool {
        let Self { quantifier, family, negated, if_exists } = self;
        !negated && !if_exists && family != Family::Null && quantifier != Some(Quantifier::ForAllValues)
    }
}

/// How an operator treats several values of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantifier {
    ForAllValues,
    ForAnyValue,
}

/// What an operator compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    String(StringMode),
    Numeric(Relation),
    Date(Relation),
    Bool,
    Binary,
    Ip,
    Arn,
    Null,
}

/// How strings are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StringMode {
    Exact,
    IgnoreCase,
    Like,
}

impl StringMode {
    /// Whether `*` and `?` are wildcards.
    pub(crate) fn has_wildcards(self) -> bool {
        self == Self::Like
    }
}

/// How ordered values are compared: the request's on the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Equals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

impl Relation {
    /// Whether it holds, given how the request's value compares with the policy's.
    pub(crate) fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Equals => ordering.is_eq(),
            Self::LessThan => ordering.is_lt(),
            Self::LessThanEquals => ordering.is_le(),
            Self::GreaterThan => ordering.is_gt(),
            Self::GreaterThanEquals => ordering.is_ge(),
        }
    }
}

/// Names, families, and whether the operator is the negated form.
const OPERATORS: [(&str, Family, bool); 27] = [
    ("StringEquals", Family::String(StringMode::Exact), false),
    ("StringNotEquals", Family::String(StringMode::Exact), true),
    ("StringEqualsIgnoreCase", Family::String(StringMode::IgnoreCase), false),
    ("StringNotEqualsIgnoreCase", Family::String(StringMode::IgnoreCase), true),
    ("StringLike", Family::String(StringMode::Like), false),
    ("StringNotLike", Family::String(StringMode::Like), true),
    ("NumericEquals", Family::Numeric(Relation::Equals), false),
    ("NumericNotEquals", Family::Numeric(Relation::Equals), true),
    ("NumericLessThan", Family::Numeric(Relation::LessThan), false),
    ("NumericLessThanEquals", Family::Numeric(Relation::LessThanEquals), false),
    ("NumericGreaterThan", Family::Numeric(Relation::GreaterThan), false),
    ("NumericGreaterThanEquals", Family::Numeric(Relation::GreaterThanEquals), false),
    ("DateEquals", Family::Date(Relation::Equals), false),
    ("DateNotEquals", Family::Date(Relation::Equals), true),
    ("DateLessThan", Family::Date(Relation::LessThan), false),
    ("DateLessThanEquals", Family::Date(Relation::LessThanEquals), false),
    ("DateGreaterThan", Family::Date(Relation::GreaterThan), false),
    ("DateGreaterThanEquals", Family::Date(Relation::GreaterThanEquals), false),
    ("Bool", Family::Bool, false),
    ("BinaryEquals", Family::Binary, false),
    ("IpAddress", Family::Ip, false),
    ("NotIpAddress", Family::Ip, true),
    ("ArnEquals", Family::Arn, false),
    ("ArnLike", Family::Arn, false),
    ("ArnNotEquals", Family::Arn, true),
    ("ArnNotLike", Family::Arn, true),
    ("Null", Family::Null, false),
];

const QUANTIFIERS: [(&str, Quantifier); 2] =
    [("ForAllValues", Quantifier::ForAllValues), ("ForAnyValue", Quantifier::ForAnyValue)];

/// Why a text is not the name of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnknownOperator {
    message: String,
    meant: Option<String>,
}

impl Operator {
    /// Takes a name apart.
    pub(crate) fn parse(text: &str) -> Result<Self, UnknownOperator> {
        let (quantifier, name) = match text.split_once(':') {
            None => (None, text),
            Some((prefix, name)) => (Some(quantifier(prefix, text)?), name),
        };
        let (base, if_exists) = name.strip_suffix("IfExists").map_or((name, false), |base| (base, true));
        let Some((_, family, negated)) = OPERATORS.iter().find(|(known, ..)| *known == base) else {
            return Err(unknown(text, quantifier.map(|_| text.len() - name.len()), base, if_exists));
        };
        let operator = Self { quantifier, family: *family, negated: *negated, if_exists };
        if operator.family == Family::Null && (if_exists || quantifier.is_some()) {
            let message = format!("`{text}` is not an operator: `Null` stands alone");
            return Err(UnknownOperator { message, meant: Some("Null".to_owned()) });
        }
        Ok(operator)
    }
}

fn quantifier(prefix: &str, text: &str) -> Result<Quantifier, UnknownOperator> {
    let found = QUANTIFIERS.iter().find(|(name, _)| *name == prefix);
    found.map(|(_, quantifier)| *quantifier).ok_or_else(|| UnknownOperator {
        message: format!("unknown operator `{text}`: the prefix is `ForAllValues:` or `ForAnyValue:`"),
        meant: near_miss(prefix, QUANTIFIERS.map(|(name, _)| name)).map(|name| text.replacen(prefix, name, 1)),
    })
}

fn unknown(text: &str, prefix_length: Option<usize>, base: &str, if_exists: bool) -> UnknownOperator {
    let prefix = text.get(..prefix_length.unwrap_or(0)).unwrap_or_default();
    let suffix = if if_exists { "IfExists" } else { "" };
    let meant = near_miss(base, OPERATORS.iter().map(|(name, ..)| *name));
    UnknownOperator {
        message: format!("unknown operator `{text}`"),
        meant: meant.map(|name| format!("{prefix}{name}{suffix}")),
    }
}

impl UnknownOperator {
    /// Adds it to the findings.
    pub(in crate::policy) fn report(&self, operator: &Text, reader: &mut Reader<'_>) {
        let finding = reader.error(operator.position, "unknown-operator", self.message.as_str());
        if let Some(meant) = &self.meant {
            finding.hint(format!("did you mean `{meant}`?"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let operator = Operator::parse("ForAnyValue:StringNotLikeIfExists").unwrap();
        assert_eq!(operator.quantifier, Some(Quantifier::ForAnyValue));
        assert_eq!(operator.family, Family::String(StringMode::Like));
        assert!(operator.negated && operator.if_exists);
    }

    #[test]
    fn what_demands_a_match() {
        let demands = |name: &str| Operator::parse(name).unwrap().demands_match();
        for name in ["StringEquals", "Bool", "ForAnyValue:ArnLike"] {
            assert!(demands(name), "{name}");
        }
        for name in ["StringNotEquals", "BoolIfExists", "ForAllValues:ArnLike", "ForAnyValue:ArnNotLike", "Null"] {
            assert!(!demands(name), "{name}");
        }
    }

    #[test]
    fn near_misses_are_named() {
        let cases = [
            ("StringEqual", "unknown operator `StringEqual`", Some("StringEquals")),
            ("stringEquals", "unknown operator `stringEquals`", Some("StringEquals")),
            ("ForAnyValue:StringLikes", "unknown operator `ForAnyValue:StringLikes`", Some("ForAnyValue:StringLike")),
            ("StringEqualIfExists", "unknown operator `StringEqualIfExists`", Some("StringEqualsIfExists")),
            (
                "ForAnyValues:Bool",
                "unknown operator `ForAnyValues:Bool`: the prefix is `ForAllValues:` or `ForAnyValue:`",
                Some("ForAnyValue:Bool"),
            ),
            ("NullIfExists", "`NullIfExists` is not an operator: `Null` stands alone", Some("Null")),
            ("Frobnicate", "unknown operator `Frobnicate`", None),
        ];
        for (text, message, meant) in cases {
            let error = Operator::parse(text).unwrap_err();
            assert_eq!((error.message.as_str(), error.meant.as_deref()), (message, meant));
        }
    }
}
