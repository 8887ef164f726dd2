//! What is read, and with which words the rest is refused.

use super::*;

fn error(text: &str) -> String {
    let errors = parse(text).expect_err("must be refused");
    let first = &errors[0];
    format!("{}:{}: {}", first.position.line, first.position.column, first.message)
}

#[test]
fn values_have_their_places() {
    let node = parse("{\n  \"é\": [1, \"x\\n\\ud83d\\ude00\"]}").unwrap();
    let member = &node.as_object().unwrap()[0];
    assert_eq!(member.position, Position { line: 2, column: 3 });
    let list = member.node.as_array().unwrap();
    assert_eq!(list[0].value, Value::Number("1"));
    assert_eq!(list[1].as_str(), Some("x\n😀"));
    assert_eq!(list[1].position, Position { line: 2, column: 12 });
    assert_eq!(node.depth, 2);
}

#[test]
fn errors_say_where_and_what() {
    assert_eq!(error(""), "1:1: the file is empty, expected JSON");
    assert_eq!(error("{\"a\": 1,}"), "1:9: expected a key in double quotes, found `}`");
    assert_eq!(error("{\"a\" 1}"), "1:6: expected `:` after the key, found `1`");
    assert_eq!(error("[1 2]"), "1:4: expected `,` or `]`, found `2`");
    assert_eq!(error("{\"a\": 1"), "1:8: expected `,` or `}`, but the file ends here");
    assert_eq!(error("\"a"), "1:3: the file ends inside a string");
    assert_eq!(error("[1] x"), "1:5: expected the end of the file, found `x`");
    assert_eq!(error("01"), "1:2: expected the end of the file, found `1`");
    assert_eq!(error("\"\\ud800\""), "1:8: a `\\u` escape is half of a surrogate pair");
}

#[test]
fn a_key_given_twice_is_refused_at_every_place() {
    let errors = parse("{\"a\": 1,\n \"\\u0061\": {\"b\": 1, \"b\": 2}}").unwrap_err();
    let texts: Vec<_> = errors.iter().map(|e| (e.position.line, e.message.as_str())).collect();
    assert_eq!(
        texts,
        [(2, "the key `b` is given twice, first on line 2"), (2, "the key `a` is given twice, first on line 1")]
    );
}

#[test]
fn nesting_has_an_end() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(parse(&deep(MAX_DEPTH)).is_ok());
    assert_eq!(error(&deep(MAX_DEPTH + 1)), "1:129: nested deeper than 128 levels");
}

#[test]
fn embedded_documents_point_at_their_string() {
    let at = Position { line: 7, column: 3 };
    let errors = parse_embedded("{\n 1}", at).unwrap_err();
    assert_eq!(errors[0].position, at);
    assert_eq!(errors[0].message, "expected a key in double quotes, found `1` (at 2:2 of the document in this string)");
}
