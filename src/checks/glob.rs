//! Patterns with `*` and `?` compared with each other: whether one covers another, whether both can match one text.

/// A pattern as characters, `*` and `?` being wildcards.
pub(super) type Glob = [char];

/// Whether everything that `narrow` matches is matched by `wide`, as far as that shows without search: false where in
/// doubt.
pub(super) fn covers(wide: &Glob, narrow: &Glob) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where to go on if the run that the last `*` took was too short.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(&character) = narrow.get(from) {
        match wide.get(at) {
            Some('*') => {
                retry = Some((at + 1, from));
                at += 1;
            }
            Some(&own) if own == character || own == '?' && character != '*' => {
                (at, from) = (at + 1, from + 1);
            }
            _ => {
                let Some((after, taken)) = retry else { return false };
                retry = Some((after, taken + 1));
                (at, from) = (after, taken + 1);
            }
        }
    }
    wide.get(at..).is_some_and(|rest| rest.iter().all(|c| *c == '*'))
}

/// How many steps [`covers`] may take: few where the two begin differently, which most do.
pub(super) fn steps_to_cover(wide: &Glob, narrow: &Glob) -> usize {
    let plain = wide.iter().take_while(|c| !matches!(c, '*' | '?')).count();
    let alike = wide.get(..plain).is_some_and(|begin| narrow.starts_with(begin));
    if alike { 2 + wide.len() + narrow.len() } else { 2 }
}

/// Whether some text matches both. Takes as many steps as the product of the lengths, at most.
pub(super) fn intersects(left: &Glob, right: &Glob) -> bool {
    let (left, right) = past_common(left, right);
    let wild = |c: Option<&char>| matches!(c, Some('*' | '?'));
    if !wild(left.first()) && !wild(right.first()) {
        // Equal characters are cut off: both are empty, or they differ here.
        return left.is_empty() && right.is_empty();
    }
    // `reach[j]`: what remains of `left` and `right[j..]` have a text in common.
    let mut reach: Vec<bool> = vec![false; right.len() + 1];
    for at in (0..=left.len()).rev() {
        let own = left.get(at);
        let mut diagonal = false;
        for from in (0..=right.len()).rev() {
            let other = right.get(from);
            let below = reach.get(from).copied().unwrap_or_default();
            let beside = reach.get(from + 1).copied().unwrap_or_default();
            let meets = match (own, other) {
                (None, None) => true,
                (Some('*'), None) => below,
                (None, Some('*')) => beside,
                (None, _) | (_, None) => false,
                (Some('*'), Some(_)) | (Some(_), Some('*')) => below || beside,
                (Some(a), Some(b)) => diagonal && (a == b || *a == '?' || *b == '?'),
            };
            diagonal = below;
            if let Some(cell) = reach.get_mut(from) {
                *cell = meets;
            }
        }
    }
    reach.first().copied().unwrap_or_default()
}

/// Both without the plain characters that they begin with in common.
fn past_common<'a>(left: &'a Glob, right: &'a Glob) -> (&'a Glob, &'a Glob) {
    let plain = |c: &char| !matches!(c, '*' | '?');
    let common = left.iter().zip(right).take_while(|(a, b)| a == b && plain(a)).count();
    (left.get(common..).unwrap_or_default(), right.get(common..).unwrap_or_default())
}

/// A text as a pattern.
pub(super) fn glob(text: &str) -> Vec<char> {
    text.chars().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_covers() {
        for (wide, narrow, expected) in [
            ("*", "", true),
            ("*", "a*b", true),
            ("a*", "a", true),
            ("a*", "ab*", true),
            ("a*", "*", false),
            ("a?", "ab", true),
            ("a?", "a*", false),
            ("a?", "a?", true),
            ("*b*", "*b", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "a*c", false),
            ("a*bc", "abcbc", true),
            ("abc", "abc", true),
            ("abc", "ab", false),
            ("ab", "abc", false),
            ("", "", true),
            ("", "*", false),
        ] {
            assert_eq!(covers(&glob(wide), &glob(narrow)), expected, "{wide} over {narrow}");
        }
    }

    #[test]
    fn what_meets() {
        for (left, right, expected) in [
            ("", "", true),
            ("*", "", true),
            ("a", "", false),
            ("?*", "", false),
            ("?*", "a", true),
            ("a*", "*b", true),
            ("a*c", "ab*", true),
            ("a*", "b*", false),
            ("role/*", "?*/x", true),
            ("role/a", "role/?*", true),
            ("role/", "role/?*", false),
            ("my-bucket", "?*/?*", false),
            ("*a*b*", "c?c", false),
            ("*a*b*", "c??b", true),
            ("??", "?*?", true),
            ("?", "?*?", false),
            ("ab", "ab", true),
            ("ab", "ac", false),
        ] {
            assert_eq!(intersects(&glob(left), &glob(right)), expected, "{left} and {right}");
            assert_eq!(intersects(&glob(right), &glob(left)), expected, "{right} and {left}");
        }
    }
}
