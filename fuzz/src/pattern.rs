//! Patterns by their plainest definitions.

/// Whether a pattern with `*` and `?` matches the whole text: dynamic programming, a row per character of the pattern.
pub fn wildcard(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    // INVARIANT: `reached[i]` says whether the pattern so far matches the first `i` characters.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for symbol in pattern.chars() {
        let mut next = vec![false; text.len() + 1];
        for i in 0..=text.len() {
            next[i] = match symbol {
                '*' => reached[i] || i > 0 && next[i - 1],
                '?' => i > 0 && reached[i - 1],
                literal => i > 0 && reached[i - 1] && text[i - 1] == literal,
            };
        }
        reached = next;
    }
    reached[text.len()]
}

/// Whether the entry of a Resource element matches an ARN (evaluation.md, rule 23), variables being off; None if it is
/// no pattern of an ARN, or no ARN begins like it.
pub fn resource(pattern: &str, arn: &str) -> Option<bool> {
    let patterns: Vec<&str> = pattern.splitn(6, ':').collect();
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let covers_rest = patterns.len() < 6 && pattern.ends_with('*');
    let may_begin = wildcard(patterns[0], "arn");
    let is_pattern = (patterns.len() == 6 || covers_rest) && may_begin && pattern.chars().count() <= 2048;
    is_pattern.then(|| patterns.iter().zip(parts).all(|(pattern, part)| wildcard(pattern, part)))
}
