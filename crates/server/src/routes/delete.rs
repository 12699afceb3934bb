//! Serves `POST /api/v2/delete?bucket=`, the equivalent of DELETE for one bucket. [`Reader`] parses
//! 2.x's deletion predicates.

use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::action::Action;
use crate::error::{ApiResult, invalid};
use crate::http::{Parameters, Response};
use crate::params::{Dialect, WriteParams};
use crate::routes::buckets::policy_id;
use crate::routes::handler::{BodyBytes, PendingRequest, Request, RequestTarget};
use tidemark_coordinator::delete::delete;
use tidemark_coordinator::load_schemas::SchemaSelection;
use tidemark_influxql::ast::{
    BinaryOp, Cast, DeleteStatement, Expr, Measurement, MeasurementName, Source, Statement,
};
use tidemark_influxql::time_literal::{self, InvalidTime};
use tidemark_model::bug::OrBug;
use tidemark_model::limits::DELETE_PREDICATE_DEPTH_MAX;
use tidemark_model::time::{MAX_TIME_NS, MIN_TIME_NS};

const MEASUREMENT: &str = "_measurement";

#[derive(Debug, Deserialize)]
struct Body {
    start: Option<String>,
    stop: Option<String>,
    #[serde(default)]
    predicate: Option<String>,
}

pub(super) fn begin(request: &Request) -> ApiResult<PendingRequest> {
    let url = &request.url;
    let bucket = url.filled("bucket").or_else(|| url.filled("bucketID"));
    let named = bucket.map(|bucket| ("bucket".to_owned(), bucket.to_owned()));
    let named = Parameters::from_pairs(named.into_iter().collect());
    let WriteParams { database, policy, .. } = WriteParams::parse(Dialect::V2, &named)?;
    let bucket_id = policy_id(&database).filter(|_| policy.is_none());
    let target = Some(RequestTarget { database, policy, policy_id: None });
    Ok(PendingRequest { target, bucket_id, ..PendingRequest::stream(respond) })
}

async fn respond(request: Request, target: RequestTarget, body: BodyBytes) -> ApiResult<Action> {
    let RequestTarget { database, policy, .. } = target;
    let body: Body = body.json()?;
    // A range that lies outside the permitted times is empty.
    let start_ns = time_ns("start", body.start, MIN_TIME_NS..=i64::MAX)?;
    let stop_ns = time_ns("stop", body.stop, i64::MIN..=MAX_TIME_NS)?;
    let comparisons = parse(body.predicate.as_deref().unwrap_or_default())?;
    if let Some(statement) = statement(comparisons, start_ns, stop_ns)? {
        let selection = SchemaSelection::Policy(policy);
        let (statement, now_ns) = (Statement::Delete(statement), request.now_ns()?);
        delete(&request.io, statement, &database, selection, now_ns).await?;
    }
    Ok(Action::Respond(Response::empty(204)))
}

/// Returns the DELETE statement for a predicate. Both ends of the time range are inclusive, and a
/// comparison of a missing tag is false, as in 2.x. Returns `None` if no point can match, because
/// the predicate names two measurements or compares with an empty text, or the time range is empty.
fn statement(
    comparisons: Vec<Comparison>,
    start_ns: i64,
    stop_ns: i64,
) -> ApiResult<Option<DeleteStatement>> {
    if comparisons.iter().any(|c| c.key.contains('\0') || c.value.contains('\0')) {
        return invalid("the predicate contains a control character: remove the byte 0");
    }
    // InfluxQL or 2.x does not treat these keys as tags. InfluxQL treats `_name` as the
    // measurement.
    let is_reserved = |key: &str| {
        matches!(key, "_field" | "_value" | "_time" | "_name") || key.eq_ignore_ascii_case("time")
    };
    if let Some(Comparison { key, .. }) = comparisons.iter().find(|c| is_reserved(&c.key)) {
        let reason = "a delete removes whole points: select them by measurement and tags, and by \
                      time with start and stop";
        return invalid(format!("the key {key} is not supported: {reason}"));
    }
    if comparisons.iter().any(|c| c.key == MEASUREMENT && c.negated) {
        return invalid(
            "the operator != is not supported for _measurement: delete from one \
             measurement at a time",
        );
    }
    let mut measurements = comparisons.iter().filter(|c| c.key == MEASUREMENT).map(|c| &c.value);
    let measurement = measurements.next();
    let is_contradiction = measurements.any(|other| Some(other) != measurement);
    let equals_nothing = comparisons.iter().any(|c| !c.negated && c.value.is_empty());
    if is_contradiction || equals_nothing || start_ns > stop_ns {
        return Ok(None);
    }
    let name = measurement.map(|name| MeasurementName::Name(name.clone()));
    let source =
        name.map(|name| Source::Measurement(Measurement { database: None, policy: None, name }));
    let time = |op, ns| Expr::binary(op, Expr::var_ref("time"), Expr::IntegerLiteral(ns));
    let mut conditions = vec![time(BinaryOp::Ge, start_ns), time(BinaryOp::Le, stop_ns)];
    for Comparison { key, value, negated } in comparisons {
        if key == MEASUREMENT {
            continue;
        }
        // With the cast, the key never selects a field.
        let tag = Expr::VarRef { name: key, cast: Some(Cast::Tag) };
        if negated {
            let absent = Expr::StringLiteral(String::new());
            conditions.push(Expr::binary(BinaryOp::Ne, tag.clone(), absent));
        }
        let op = if negated { BinaryOp::Ne } else { BinaryOp::Eq };
        conditions.push(Expr::binary(op, tag, Expr::StringLiteral(value)));
    }
    let condition = all_of(&conditions);
    Ok(Some(DeleteStatement { sources: source.into_iter().collect(), condition }))
}

/// Joins the conditions with AND. The tree is balanced, so that recursive walks need little stack.
fn all_of(conditions: &[Expr]) -> Option<Expr> {
    let (left, right) = match conditions {
        [] | [_] => return conditions.first().cloned(),
        _ => conditions.split_at(conditions.len() / 2),
    };
    all_of(left).zip(all_of(right)).map(|(left, right)| Expr::binary(BinaryOp::And, left, right))
}

/// Parses a time. Changes a time outside `limits` to the nearest end of `limits`, because clients
/// send such times to select all points.
fn time_ns(name: &str, text: Option<String>, limits: RangeInclusive<i64>) -> ApiResult<i64> {
    match time_literal::parse(text.as_deref().unwrap_or_default(), |_| 0) {
        Ok(time_ns) => Ok(time_ns),
        Err(InvalidTime::Overflow(_)) => Ok(*limits.end()),
        Err(InvalidTime::Underflow(_)) => Ok(*limits.start()),
        Err(InvalidTime::Syntax) => invalid(format!(
            "invalid RFC3339Nano for field {name}, please format your time with RFC3339Nano \
             format, example: 2009-01-02T23:00:00Z"
        )),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparison {
    /// A tag key, or `_measurement`.
    key: String,
    value: String,
    /// Whether the operator is `!=`.
    negated: bool,
}

/// Parses `key = "value" AND key != "value" …`, with optional parentheses around any part.
fn parse(text: &str) -> ApiResult<Vec<Comparison>> {
    let mut reader = Reader { text, rest: text };
    let (mut comparisons, mut depth) = (Vec::new(), 0);
    let mut expects_comparison = reader.peek().is_some();
    while expects_comparison {
        while reader.takes("(") {
            depth += 1;
            if depth > DELETE_PREDICATE_DEPTH_MAX {
                return reader.syntax_error("parentheses are too deep");
            }
        }
        comparisons.push(reader.comparison()?);
        while depth > 0 && reader.takes(")") {
            depth -= 1;
        }
        let word = reader.word().to_ascii_uppercase();
        if word == "OR" {
            return reader.syntax_error("the logical operator OR is not supported yet");
        }
        expects_comparison = word == "AND";
        if expects_comparison {
            reader.rest = reader.rest.get(word.len()..).or_bug();
        }
    }
    match reader.peek() {
        _ if depth > 0 => reader.syntax_error("expected AND or )"),
        None => Ok(comparisons),
        Some(_) => reader.syntax_error("expected AND or the end of the predicate"),
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn takes(&mut self, symbol: &str) -> bool {
        self.peek();
        let rest = self.rest.strip_prefix(symbol);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Returns the next bare word, which may be empty.
    fn word(&mut self) -> &str {
        self.peek();
        let of_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '+' | ':');
        self.rest.split(|c| !of_word(c)).next().unwrap_or_default()
    }

    fn comparison(&mut self) -> ApiResult<Comparison> {
        let key = self.name("expected a tag key or _measurement")?;
        for operator in ["=~", "!~", "<", ">"] {
            if self.takes(operator) {
                return self.syntax_error(&format!("the operator {operator} is not supported yet"));
            }
        }
        let negated = self.takes("!=");
        if !negated && !self.takes("=") {
            return self.syntax_error("expected = or != after a key");
        }
        if self.peek() == Some('~') {
            return self.syntax_error("the operator =~ is not supported yet");
        }
        let value = self.name("expected a value after the operator")?;
        Ok(Comparison { key, value, negated })
    }

    fn name(&mut self, expected: &str) -> ApiResult<String> {
        match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            _ => {
                let word = self.word().to_owned();
                if word.is_empty() {
                    return self.syntax_error(expected);
                }
                self.rest = self.rest.get(word.len()..).or_bug();
                Ok(word)
            }
        }
    }

    fn quoted(&mut self, quote: char) -> ApiResult<String> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, escaped @ ('"' | '\'' | '\\'))) => text.push(escaped),
                    _ => break,
                },
                '\n' => break,
                end if end == quote => {
                    self.rest = self.rest.get(at + 1..).or_bug();
                    return Ok(text);
                }
                other => text.push(other),
            }
        }
        self.syntax_error("a quoted text has no closing quote")
    }

    fn syntax_error<T>(&self, reason: &str) -> ApiResult<T> {
        let at = self.text.len() - self.rest.len();
        invalid(format!("invalid predicate: {reason} at byte {at} of {:?}", self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(predicate: &str) -> Result<Option<String>, String> {
        let comparisons = parse(predicate).map_err(|e| e.to_string())?;
        let statement = statement(comparisons, -5, 7).map_err(|e| e.to_string())?;
        Ok(statement.map(|statement| Statement::Delete(statement).to_string()))
    }

    #[test]
    fn delete_predicate_becomes_statement() {
        for (predicate, expected) in [
            ("", "DELETE WHERE time >= -5 AND time <= 7"),
            ("_measurement=m", "DELETE FROM m WHERE time >= -5 AND time <= 7"),
            (
                "_measurement=\"a \\\"b\\\"\" AND host='it\\'s' and (\"k\"=1.5)",
                "DELETE FROM \"a \\\"b\\\"\" WHERE time >= -5 AND time <= 7 AND \
                 host::tag = 'it\\'s' AND k::tag = '1.5'",
            ),
            ("k!=v", "DELETE WHERE time >= -5 AND time <= 7 AND k::tag != '' AND k::tag != 'v'"),
            ("_measurement=m AND _measurement=m", "DELETE FROM m WHERE time >= -5 AND time <= 7"),
        ] {
            assert_eq!(parsed(predicate), Ok(Some(expected.to_owned())), "{predicate}");
        }
        assert_eq!(parsed("_measurement=a AND _measurement=b"), Ok(None));
        assert_eq!(parsed("k=\"\""), Ok(None));
        assert!(parsed("_measurement!=a").unwrap_err().contains("!= is not supported"));
        for key in ["_field", "_value", "_time", "_name", "time", "TIME"] {
            let reason = parsed(&format!("{key}=\"v\"")).unwrap_err();
            assert!(reason.starts_with(&format!("the key {key} is not supported: ")), "{reason}");
        }
    }

    fn compared(text: &str) -> Result<Vec<(String, &'static str, String)>, String> {
        let operator = |negated| if negated { "!=" } else { "=" };
        let parts = |c: Comparison| (c.key, operator(c.negated), c.value);
        let all = parse(text).map(|all| all.into_iter().map(parts).collect());
        all.map_err(|error| error.to_string())
    }

    #[test]
    fn delete_predicate_parses_comparisons() {
        for (text, expected) in [
            ("  ", vec![]),
            ("a=\"b\"", vec![("a", "=", "b")]),
            ("\"a b\" = 'c'", vec![("a b", "=", "c")]),
            ("a != b AND c!='d'", vec![("a", "!=", "b"), ("c", "!=", "d")]),
            (
                "_measurement=\"m\" AND (k=v and ((l = \"\")))",
                vec![("_measurement", "=", "m"), ("k", "=", "v"), ("l", "=", "")],
            ),
            ("and=or AND or=1.5e+3", vec![("and", "=", "or"), ("or", "=", "1.5e+3")]),
            (r#"a="q\"b\\c\nd\'e""#, vec![("a", "=", "q\"b\\c\nd'e")]),
        ] {
            let owned = |(key, operator, value): (&str, &'static str, &str)| {
                (key.to_owned(), operator, value.to_owned())
            };
            assert_eq!(compared(text), Ok(expected.into_iter().map(owned).collect()), "{text}");
        }
    }

    #[test]
    fn invalid_delete_predicate_is_reported() {
        for (text, reason) in [
            ("a", "expected = or != after a key at byte 1"),
            ("a=", "expected a value after the operator at byte 2"),
            ("=b", "expected a tag key or _measurement at byte 0"),
            ("a=b AND", "expected a tag key or _measurement at byte 7"),
            ("a=b OR c=d", "the logical operator OR is not supported yet at byte 4"),
            ("a!b", "expected = or != after a key at byte 1"),
            ("a!~/b/", "the operator !~ is not supported yet at byte 3"),
            ("a=~/b/", "the operator =~ is not supported yet at byte 3"),
            ("a>1", "the operator > is not supported yet at byte 2"),
            ("(a=b", "expected AND or ) at byte 4"),
            ("a=b)", "expected AND or the end of the predicate at byte 3"),
            ("a=b c=d", "expected AND or the end of the predicate at byte 4"),
            ("a=\"b", "a quoted text has no closing quote at byte 2"),
            ("a=\"\\x\"", "a quoted text has no closing quote at byte 2"),
        ] {
            let expected = format!("invalid predicate: {reason} of {text:?}");
            assert_eq!(compared(text), Err(expected), "{text}");
        }
        let deep = "(".repeat(40);
        assert!(compared(&deep).unwrap_err().contains("parentheses are too deep"));
    }
}
