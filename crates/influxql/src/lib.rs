#![doc = include_str!("../README.md")]
//! Parses InfluxQL statements ([`parse`]) and prints their canonical form (`Display`).
//!
//! The parser does not resolve names or check functions. The reference, including for unusual
//! behaviour, is package `influxql` of InfluxDB 1.x.

pub mod ast;
pub mod bound_params;
pub mod duration;
pub mod error;
pub mod expr;
pub mod lexer;
pub mod outline;
pub mod quote;
pub mod time_literal;
pub mod token;

#[cfg(test)]
mod check;
mod clause;
mod create_continuous_query;
mod create_subscription;
mod databases_and_policies;
mod delete_and_drop;
mod expr_parser;
mod parser;
mod select;
mod show;
mod source;
mod statement;
mod users;

use tidemark_model::configurable_limits::{Limit, Limits};

use ast::Statement;
use bound_params::Params;
use error::ParseError;
use expr::Expr;
use parser::{Parser, unexpected};
use token::TokenKind;

/// Parses all statements of `text`, separated by `;`. After an error, the caller must not execute
/// any of the statements.
pub fn parse(text: &str, params: &Params) -> Result<Vec<Statement>, ParseError> {
    parse_within(text, params, Limits::default())
}

/// Parses all statements of `text` like [`parse`], with the given limits.
pub fn parse_within(
    text: &str,
    params: &Params,
    limits: Limits,
) -> Result<Vec<Statement>, ParseError> {
    statements(&mut parser(text, params, limits)?)
}

fn statements(p: &mut Parser<'_>) -> Result<Vec<Statement>, ParseError> {
    let mut statements = vec![];
    let mut separated = true;
    loop {
        let token = p.next();
        match token.kind {
            TokenKind::Eof => return Ok(statements),
            TokenKind::Semicolon => separated = true,
            _ if !separated => return Err(unexpected(&token, &[";"])),
            _ => {
                let there = statements.len();
                p.limits().check(Limit::Statements, there, there + 1)?;
                p.unscan();
                p.begin_statement();
                statements.push(statement::parse(p)?);
                separated = false;
            }
        }
    }
}

/// Parses the first statement of `text` and ignores the rest. An empty text is an error.
pub fn parse_statement(text: &str, params: &Params) -> Result<Statement, ParseError> {
    statement::parse(&mut parser(text, params, Limits::default())?)
}

/// Parses the expression at the start of `text` and ignores the rest.
pub fn parse_expr(text: &str, params: &Params) -> Result<Expr, ParseError> {
    expr_parser::parse(&mut parser(text, params, Limits::default())?)
}

fn parser<'a>(text: &'a str, params: &'a Params, limits: Limits) -> Result<Parser<'a>, ParseError> {
    limits.check(Limit::QueryTextBytes, 0, text.len())?;
    Ok(Parser::new(text, params, limits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_model::limits::{
        QUERY_DEPTH_MAX, QUERY_TEXT_BYTES_MAX, REGEX_BYTES_MAX, REGEXES_PER_QUERY_MAX,
        SOURCES_WRITTEN_MAX, STATEMENTS_MAX,
    };

    fn error(text: &str) -> String {
        match parse(text, &Params::default()) {
            Ok(statements) => format!("{} statements", statements.len()),
            Err(error) => error.to_string(),
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
                        requested 1025, limit 1024 (REGEX_BYTES_MAX)";
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
        let parens =
            |n: usize| error(&format!("SELECT {}a{} FROM m", "(".repeat(n), ")".repeat(n)));
        let calls =
            |n: usize| error(&format!("SELECT {}a{} FROM m", "f(".repeat(n), ")".repeat(n)));
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
        assert_eq!(
            error(&format!("SELECT {} FROM m", "f((a)) + ".repeat(40) + "a")),
            "1 statements"
        );
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
}
