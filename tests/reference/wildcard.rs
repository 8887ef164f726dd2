//! Wildcards and ARNs: as naive as can be.

/// One sign of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Char(char),
    /// `?`
    One,
    /// `*`
    Any,
}

/// A pattern without variables.
pub(super) fn signs(text: &str) -> Vec<Sign> {
    text.chars().map(sign).collect()
}

pub(super) fn sign(c: char) -> Sign {
    match c {
        '*' => Sign::Any,
        '?' => Sign::One,
        c => Sign::Char(c),
    }
}

/// Whether the pattern covers the whole text.
pub(super) fn matches(pattern: &[Sign], text: &str) -> bool {
    match (pattern.split_first(), text.chars().next()) {
        (None, first) => first.is_none(),
        // A star in the end takes whatever comes: it spares long texts the recursion.
        (Some((Sign::Any, [])), _) => true,
        (Some((Sign::Any, rest)), None) => matches(rest, text),
        (Some((Sign::Any, rest)), Some(c)) => matches(rest, text) || matches(pattern, &text[c.len_utf8()..]),
        (Some(_), None) => false,
        (Some((Sign::One, rest)), Some(c)) => matches(rest, &text[c.len_utf8()..]),
        (Some((Sign::Char(wanted), rest)), Some(c)) => *wanted == c && matches(rest, &text[c.len_utf8()..]),
    }
}

/// The six parts of an ARN; None if it is none.
pub(super) fn arn_parts(text: &str) -> Option<Vec<&str>> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let whole = parts.len() == 6 && parts[0] == "arn" && !parts[1].is_empty() && !parts[2].is_empty();
    (whole && !parts[5].is_empty()).then_some(parts)
}

/// Rule 23: part by part; a short pattern that ends in `*` covers the rest.
pub(super) fn arn_matches(pattern: &[Vec<Sign>], arn: &str) -> bool {
    let Some(parts) = arn_parts(arn) else { return false };
    let short = pattern.len() < 6;
    if short && pattern.last().is_none_or(|last| last.last() != Some(&Sign::Any)) {
        return false;
    }
    pattern.iter().zip(parts).all(|(pattern, part)| matches(pattern, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arn(pattern: &str, text: &str) -> bool {
        arn_matches(&pattern.splitn(6, ':').map(signs).collect::<Vec<_>>(), text)
    }

    /// Rule 24, word for word.
    #[test]
    fn the_example_of_the_contract() {
        let pattern = "arn:aws:s3:::bucket/*/test/*";
        for yes in ["bucket/1/2/test/3/o", "bucket//test/o", "bucket/1/test/"] {
            assert!(arn(pattern, &format!("arn:aws:s3:::{yes}")), "{yes}");
        }
        for no in ["bucket/test/o", "bucket/1-test/o", "bucket/1/2/test.jpg"] {
            assert!(!arn(pattern, &format!("arn:aws:s3:::{no}")), "{no}");
        }
    }

    #[test]
    fn parts_are_compared_one_by_one() {
        assert!(arn("arn:aws:lambda:us-east-1:*", "arn:aws:lambda:us-east-1:123456789012:function:f"));
        assert!(!arn("arn:aws:sns:*:1:finance/*", "arn:aws:sns:us-east-2:9:store/abc:1:finance/d.txt"));
        assert!(arn("arn:aws:sns:*:9:store/*", "arn:aws:sns:us-east-2:9:store/abc:1:finance/d.txt"));
        assert!(!arn("arn:aws:s3:::b", "arn:aws:s3:::b/k"));
    }
}
