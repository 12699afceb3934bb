//! Tests statements in general, and contains the assertions for the tests of single statements.

use super::*;
use tidemark_model::limits::{
    QUERY_DEPTH_MAX, QUERY_TEXT_BYTES_MAX, REGEX_BYTES_MAX, REGEXES_PER_QUERY_MAX,
    SOURCES_WRITTEN_MAX, STATEMENTS_MAX,
};

/// The second text of each pair must also parse to the first text's statement.
pub(super) fn prints(cases: &[(&str, &str)]) {
    let params = Params::default();
    for (text, expected) in cases {
        let statements = parse(text, &params);
        let [statement] = statements.as_deref().unwrap_or_default() else {
            panic!("{text}: not one statement: {statements:?}");
        };
        assert_eq!(statement.to_string(), *expected, "{text}");
        if !expected.contains("[REDACTED]") {
            assert_eq!(parse(expected, &params), statements, "{text}");
        }
    }
}

pub(super) fn stays(texts: &[&str]) {
    prints(&texts.iter().map(|&text| (text, text)).collect::<Vec<_>>());
}

pub(super) fn fails(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let error = parse(text, &Params::default()).map_err(|error| error.to_string());
        assert_eq!(error, Err((*expected).to_owned()), "{text}");
    }
}

pub(super) fn expressions(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let printed = parse_expr(text, &Params::default()).map(|expr| expr.to_string());
        assert_eq!(printed, Ok((*expected).to_owned()), "{text}");
    }
}

fn error(text: &str) -> String {
    match parse(text, &Params::default()) {
        Ok(statements) => format!("{} statements", statements.len()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn nul_character_is_rejected() {
    for text in ["SELECT a FROM m\0 LIMIT 1", "DELETE FROM m \0WHERE t = 'a'", "SHOW DATABASES;\0x"]
    {
        assert_eq!(error(text), "query contains a NUL character: remove it");
    }
}

#[test]
fn statements_are_separated_by_semicolons() {
    assert_eq!(error(""), "0 statements");
    assert_eq!(error(" ;; -- nothing\n"), "0 statements");
    assert_eq!(error("SHOW USERS;SHOW USERS"), "2 statements");
    assert_eq!(error("SHOW USERS SHOW USERS"), "found SHOW, expected ; at line 1, char 12");
}

#[test]
fn text_and_statements_are_limited() {
    let fill = |bytes: usize| format!("SHOW USERS{}", " ".repeat(bytes - 10));
    assert_eq!(error(&fill(QUERY_TEXT_BYTES_MAX)), "1 statements");
    assert_eq!(
        error(&fill(QUERY_TEXT_BYTES_MAX + 1)),
        "the query is too long: current 0, requested 65537, limit 65536 (QUERY_TEXT_BYTES_MAX)"
    );
    assert_eq!(error(&"SHOW USERS;".repeat(STATEMENTS_MAX)), "100 statements");
    assert_eq!(
        error(&"SHOW USERS;".repeat(STATEMENTS_MAX + 1)),
        "too many statements: current 100, requested 101, limit 100 (STATEMENTS_MAX)"
    );
}

#[test]
fn regex_length_is_limited() {
    let query = |bytes: usize| error(&format!("SELECT a FROM /{}/", "b".repeat(bytes)));
    assert_eq!(query(REGEX_BYTES_MAX), "1 statements");
    let expected = "error parsing regexp: the regular expression is too long: current 0, \
                    requested 16385, limit 16384 (REGEX_BYTES_MAX)";
    assert!(query(REGEX_BYTES_MAX + 1).starts_with(expected), "{}", query(REGEX_BYTES_MAX + 1));
}

#[test]
fn distinct_regexes_are_limited() {
    let query = |n: usize, different: usize| {
        let terms: Vec<_> = (0..n).map(|i| format!("a =~ /{}/", i % different)).collect();
        error(&format!("SELECT a FROM m WHERE {}", terms.join(" OR ")))
    };
    assert_eq!(query(3000, REGEXES_PER_QUERY_MAX), "1 statements");
    let refused = query(REGEXES_PER_QUERY_MAX + 1, REGEXES_PER_QUERY_MAX + 1);
    let expected = "query has more than 100 different regular expressions at line 1, char ";
    assert!(refused.starts_with(expected), "{refused}");
}

#[test]
fn sources_per_statement_are_limited() {
    let from = |count: usize| format!("SELECT a FROM {}", vec!["m"; count].join(","));
    let within = from(SOURCES_WRITTEN_MAX);
    assert_eq!(error(&format!("{within};{within}")), "2 statements");
    let show = within.replace("SELECT a", "SHOW SERIES");
    assert_eq!(error(&show), "1 statements");
    let expected = "the statement lists more than 2000 sources at line 1, char ";
    let inner = format!("{within},(SELECT a FROM m)");
    for text in [format!("{within},m"), format!("{show},m"), inner, from(30_000)] {
        assert!(error(&text).starts_with(expected), "{}", error(&text));
    }
}

#[test]
fn nesting_is_limited() {
    let parens = |n: usize| error(&format!("SELECT {}a{} FROM m", "(".repeat(n), ")".repeat(n)));
    let calls = |n: usize| error(&format!("SELECT {}a{} FROM m", "f(".repeat(n), ")".repeat(n)));
    let subqueries = |n: usize| {
        let open = "(SELECT a FROM ".repeat(n);
        error(&format!("SELECT a FROM {open}m{}", ")".repeat(n)))
    };
    for nested in [parens as fn(usize) -> String, calls, subqueries] {
        assert_eq!(nested(QUERY_DEPTH_MAX), "1 statements");
        let refused = nested(QUERY_DEPTH_MAX + 1);
        assert!(
            refused.starts_with(
                "the query nests too deeply: current 32, requested 33, limit 32 \
                 (QUERY_DEPTH_MAX) at line 1"
            ),
            "{refused}"
        );
    }
    assert_eq!(error(&format!("SELECT {} FROM m", "f((a)) + ".repeat(40) + "a")), "1 statements");
    let half = QUERY_DEPTH_MAX / 2 + 1;
    let mixed = format!(
        "SELECT a FROM {}m WHERE {}a{}{}",
        "(SELECT a FROM ".repeat(half),
        "(".repeat(half),
        ")".repeat(half),
        ")".repeat(half)
    );
    assert!(error(&mixed).starts_with("the query nests too deeply"), "{}", error(&mixed));
}
