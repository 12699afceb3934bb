//! Tests the parser with the cases of InfluxDB's own tests.

use serde_json::Value;
use tidemark_influxql::ast::BinaryOp;
use tidemark_influxql::bound_params::Params;
use tidemark_influxql::duration;
use tidemark_influxql::lexer::Lexer;
use tidemark_influxql::token::{Keyword, TokenKind};
use tidemark_influxql::{parse, parse_expr, parse_statement, quote};

use crate::repository::influxdata_cases;

fn text<'a>(case: &'a Value, key: &str) -> Option<&'a str> {
    case.get(key).and_then(Value::as_str)
}

#[test]
fn parser_cases_agree() {
    let mut different = vec![];
    for case in influxdata_cases("parser") {
        let (id, query) = (text(&case, "id").unwrap(), text(&case, "query").unwrap());
        let params = Params::from_json(&case["params"].to_string()).unwrap();
        let answer = match text(&case, "kind").unwrap() {
            "statement" => parse_statement(query, &params).map(|statement| statement.to_string()),
            "expr" => parse_expr(query, &params).map(|expr| expr.to_string()),
            "query" => parse(query, &params).map(|statements| {
                let texts: Vec<_> = statements.iter().map(ToString::to_string).collect();
                texts.join(";\n")
            }),
            kind => panic!("{id}: a kind of case that is not known: {kind}"),
        };
        let answer = answer.map_err(|error| error.to_string());
        let expected = match text(&case, "error") {
            Some(error) => Err(error.to_owned()),
            None => Ok(text(&case, "ast").unwrap().to_owned()),
        };
        if answer != expected {
            different
                .push(format!("{id}\n  {query}\n  expected {expected:?}\n  answered {answer:?}"));
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}

/// Returns the name that 1.x uses for a token type.
fn token_name(kind: TokenKind) -> String {
    let name = match kind {
        TokenKind::BoundParam => "BOUNDPARAM",
        TokenKind::Integer => "INTEGER",
        TokenKind::Operator(BinaryOp::Add) => "ADD",
        TokenKind::Operator(BinaryOp::Sub) => "SUB",
        TokenKind::Operator(BinaryOp::Mul) => "MUL",
        TokenKind::Operator(BinaryOp::Div) => "DIV",
        TokenKind::Operator(BinaryOp::Mod) => "MOD",
        TokenKind::Operator(BinaryOp::Eq) => "EQ",
        TokenKind::Operator(BinaryOp::Ne) => "NEQ",
        TokenKind::Operator(BinaryOp::EqRegex) => "EQREGEX",
        TokenKind::Operator(BinaryOp::NeRegex) => "NEQREGEX",
        TokenKind::Operator(BinaryOp::Lt) => "LT",
        TokenKind::Operator(BinaryOp::Le) => "LTE",
        TokenKind::Operator(BinaryOp::Gt) => "GT",
        TokenKind::Operator(BinaryOp::Ge) => "GTE",
        TokenKind::LeftParen => "LPAREN",
        TokenKind::RightParen => "RPAREN",
        TokenKind::Comma => "COMMA",
        TokenKind::Semicolon => "SEMICOLON",
        TokenKind::Colon => "COLON",
        TokenKind::DoubleColon => "DOUBLECOLON",
        TokenKind::Dot => "DOT",
        TokenKind::Keyword(keyword) => keyword.as_str(),
        other => other.as_str(),
    };
    name.to_owned()
}

fn scanner_case(case: &Value) -> (String, String) {
    let source = text(case, "s").or(text(case, "in")).unwrap_or_default();
    match text(case, "test").unwrap() {
        "TestScanner_Scan" => {
            let token = Lexer::new(source).scan();
            let mut expected = format!("{} {:?}", case["tok"].as_str().unwrap(), "");
            let mut found = format!("{} {:?}", token_name(token.kind), "");
            if let Some(literal) = text(case, "lit") {
                expected = format!("{} {literal:?}", case["tok"].as_str().unwrap());
                found = format!("{} {:?}", token_name(token.kind), token.text);
            }
            if let Some(position) = text(case, "pos") {
                let (line, char) = (token.position.line, token.position.char);
                expected.push_str(position);
                found.push_str(&format!("influxql.Pos{{'Line': {line}, 'Char': {char}}}"));
            }
            (expected, found)
        }
        "TestScanRegex" => {
            let token = Lexer::new(source).scan_regex();
            let expected = format!("{} {}", text(case, "tok").unwrap(), text(case, "lit").unwrap());
            (expected, format!("{} {}", token_name(token.kind), token.text))
        }
        "TestScanString" => {
            let token = Lexer::new(source).scan();
            let expected = match text(case, "err") {
                None => "ok",
                Some(error) => error,
            };
            let found = match token.kind {
                TokenKind::String | TokenKind::Ident => "ok",
                TokenKind::BadString => "bad string",
                TokenKind::BadEscape => "bad escape",
                _ => "another token",
            };
            let literal = text(case, "out").unwrap();
            (format!("{expected} {literal:?}"), format!("{found} {:?}", token.text))
        }
        "TestParseDuration" => {
            let expected = match text(case, "err") {
                None => Ok(case["d"].as_i64().unwrap()),
                Some(error) => Err(error.to_owned()),
            };
            let found = duration::parse(source).map_err(|error| error.to_string());
            (format!("{expected:?}"), format!("{found:?}"))
        }
        "TestFormatDuration" => (source.to_owned(), duration::format(case["d"].as_i64().unwrap())),
        "TestQuote" => (text(case, "out").unwrap().to_owned(), quote::string(source)),
        "TestQuoteIdent" => {
            let segments: Vec<_> =
                case["ident"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
            (source.to_owned(), quote::path(&segments))
        }
        "TestDeleteSeriesStatement_String" | "TestDropSeriesStatement_String" => {
            let statement = parse_statement(source, &Params::default());
            (source.to_owned(), statement.map_or_else(|e| e.to_string(), |s| s.to_string()))
        }
        test => (format!("a known kind of case, not {test}"), String::new()),
    }
}

#[test]
fn scanner_cases_agree() {
    let mut different = vec![];
    for case in influxdata_cases("scanner") {
        let (expected, found) = scanner_case(&case);
        if expected != found {
            different.push(format!("{case}\n  expected {expected}\n  found {found}"));
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}

#[test]
fn future_and_past_are_not_keywords() {
    assert_eq!(Keyword::lookup("future"), None);
    let params = Params::default();
    let query = "SELECT future, past FROM future WHERE past > 1.0";
    assert_eq!(parse_statement(query, &params).map(|s| s.to_string()), Ok(query.to_owned()));
}
