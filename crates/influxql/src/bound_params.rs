//! Converts the JSON object in `params=` to tokens. One token replaces each `$name` (1.x
//! `params.go`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::duration;
use super::expr::format_plain;
use super::token::{Keyword, TokenKind};

/// The parameter values of a query, indexed by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    values: BTreeMap<String, BoundValue>,
}

/// The kind and text of a token. A value that cannot be bound is a [`TokenKind::BoundParam`] with
/// the reason as its text.
type BoundValue = (TokenKind, String);

/// The reason why `params=` is rejected.
#[derive(Debug, thiserror::Error)]
pub enum InvalidParams {
    /// The text is not JSON.
    #[error("error parsing query parameters: {0}")]
    Json(#[from] serde_json::Error),
    /// The text ends inside a value.
    #[error("error parsing query parameters: unexpected EOF")]
    Truncated,
    /// The text is JSON, but not an object.
    #[error(
        "error parsing query parameters: json: cannot unmarshal {0} into Go value of type \
        map[string]interface {{}}"
    )]
    NotAnObject(&'static str),
    /// An integer is greater than `i64::MAX`.
    #[error("error parsing json value: strconv.ParseInt: parsing \"{0}\": value out of range")]
    IntegerRange(u64),
}

impl Params {
    /// Parses the text of `params=`. An empty text and `null` contain no parameters. Like 1.x, this
    /// function ignores the text after the first JSON value.
    ///
    /// A string, number or boolean becomes a literal token. An object such as `{"identifier":
    /// "host"}` has one entry: the key is the kind of the token, and the value is its text. An
    /// invalid value is an error only in a query that uses the parameter.
    ///
    /// # Errors
    /// Returns [`InvalidParams`] if the value is not an object or an integer exceeds `i64::MAX`.
    pub fn from_json(text: &str) -> Result<Self, InvalidParams> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let first = serde_json::Deserializer::from_str(text).into_iter::<Value>().next();
        let object = match first {
            None => return Err(InvalidParams::Truncated),
            Some(Err(error)) if error.is_eof() => return Err(InvalidParams::Truncated),
            Some(value) => value?,
        };
        let object = match object {
            Value::Object(object) => object,
            Value::Null => return Ok(Self::default()),
            Value::Array(_) => return Err(InvalidParams::NotAnObject("array")),
            Value::String(_) => return Err(InvalidParams::NotAnObject("string")),
            Value::Number(_) => return Err(InvalidParams::NotAnObject("number")),
            Value::Bool(_) => return Err(InvalidParams::NotAnObject("bool")),
        };
        Self::from_object(object)
    }

    /// Binds the values of an object like [`Self::from_json`].
    pub fn from_object(object: Map<String, Value>) -> Result<Self, InvalidParams> {
        let mut values = BTreeMap::new();
        for (name, value) in object {
            if let Some(integer) = value.as_u64().filter(|_| value.as_i64().is_none()) {
                return Err(InvalidParams::IntegerRange(integer));
            }
            values.insert(name, bind(value));
        }
        Ok(Self { values })
    }

    pub(super) fn token(&self, name: &str) -> Option<&(TokenKind, String)> {
        self.values.get(name)
    }
}

fn bind(value: Value) -> BoundValue {
    match value {
        Value::String(text) => (TokenKind::String, text),
        Value::Bool(true) => (TokenKind::Keyword(Keyword::True), String::new()),
        Value::Bool(false) => (TokenKind::Keyword(Keyword::False), String::new()),
        Value::Number(value) => match value.as_i64() {
            Some(value) => (TokenKind::Integer, value.to_string()),
            None => float(value.as_f64()),
        },
        Value::Object(object) => bind_object(object),
        Value::Array(_) => unbound("unable to bind parameter with type []interface {}"),
        Value::Null => unbound("unable to bind parameter with type <nil>"),
    }
}

fn bind_object(object: Map<String, Value>) -> BoundValue {
    let mut entries = object.into_iter();
    let (Some((kind, value)), None) = (entries.next(), entries.next()) else {
        return unbound("bound object parameter value must have exactly one entry");
    };
    match (kind.as_str(), value) {
        ("ident" | "identifier", Value::String(text)) => (TokenKind::Ident, text),
        ("ident" | "identifier", _) => unbound("identifier must be a string value"),
        ("regex", Value::String(text)) => (TokenKind::Regex, text),
        ("regex", _) => unbound("regex literal must be a string value"),
        ("string", Value::String(text)) => (TokenKind::String, text),
        ("string", _) => unbound("string literal must be a string value"),
        ("float" | "number", value) => float(value.as_f64()),
        ("int" | "integer", value) => match value.as_i64() {
            Some(value) => (TokenKind::Integer, value.to_string()),
            None => unbound("integer literal must be an integer value"),
        },
        ("duration", Value::String(text)) => (TokenKind::Duration, text),
        ("duration", value) => match value.as_i64() {
            Some(ns) => (TokenKind::Duration, duration::format(ns)),
            None => unbound("duration literal must be a string or integer value"),
        },
        (other, _) => unbound(&format!("unknown bind object type: {other}")),
    }
}

fn float(value: Option<f64>) -> BoundValue {
    match value {
        Some(value) => (TokenKind::Number, format_plain(value)),
        None => unbound("number literal must be a float value"),
    }
}

fn unbound(reason: &str) -> BoundValue {
    (TokenKind::BoundParam, reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn bound(query: &str, params: &str) -> String {
        let params = match Params::from_json(params) {
            Ok(params) => params,
            Err(error) => return error.to_string(),
        };
        match parse(query, &params) {
            Ok(statements) => statements.iter().map(ToString::to_string).collect(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn bound_values_become_literals() {
        for (value, printed) in [
            ("2", "2"),
            ("-2", "-2"),
            ("2.5", "2.5"),
            ("2.0", "2.0"),
            ("\"it's\"", "'it\\'s'"),
            ("true", "true"),
            ("{\"identifier\": \"a b\"}", "\"a b\""),
            ("{\"ident\": \"select\"}", "\"select\""),
            ("{\"string\": \"x\"}", "'x'"),
            ("{\"float\": 2}", "2.0"),
            ("{\"number\": 2.5}", "2.5"),
            ("{\"int\": 2}", "2"),
            ("{\"integer\": -9223372036854775808}", "-9223372036854775808"),
            ("{\"duration\": \"90s\"}", "90s"),
            ("{\"duration\": 60000000000}", "1m"),
            ("{\"regex\": \"a/b\"}", "/a\\/b/"),
        ] {
            let params = format!("{{\"x\": {value}}}");
            let expected = format!("SELECT a FROM m WHERE {printed}");
            assert_eq!(bound("SELECT a FROM m WHERE $x", &params), expected);
        }
    }

    #[test]
    fn bound_parameters_replace_single_tokens() {
        let params = "{\"m\": {\"ident\": \"a; DROP\"}, \"n\": 3, \"r\": {\"regex\": \"^x\"}, \
            \"two words\": {\"duration\": \"1h\"}}";
        assert_eq!(
            bound(
                "SELECT $m, $m(v) FROM $m, $r WHERE a =~ $r AND b > $\"two words\" LIMIT $n",
                params
            ),
            "SELECT \"a; DROP\", \"a; drop\"(v) FROM \"a; DROP\", /^x/ WHERE a =~ /^x/ AND b > 1h LIMIT 3"
        );
        assert_eq!(bound("SELECT a FROM m LIMIT $n", "{\"n\": -1}"), {
            "LIMIT must be >= 0 at line 1, char 23"
        });
        assert_eq!(bound("SELECT a FROM m LIMIT $n", "{\"n\": \"1\"}"), {
            "found 1, expected integer at line 1, char 23"
        });
    }

    #[test]
    fn invalid_bound_values_are_reported() {
        for (value, error) in [
            ("null", "unable to bind parameter with type <nil>"),
            ("[1]", "unable to bind parameter with type []interface {}"),
            ("{}", "bound object parameter value must have exactly one entry"),
            (
                "{\"int\": 1, \"float\": 1}",
                "bound object parameter value must have exactly one entry",
            ),
            ("{\"what\": 1}", "unknown bind object type: what"),
            ("{\"ident\": 1}", "identifier must be a string value"),
            ("{\"regex\": 1}", "regex literal must be a string value"),
            ("{\"string\": 1}", "string literal must be a string value"),
            ("{\"float\": \"1\"}", "number literal must be a float value"),
            ("{\"int\": 1.5}", "integer literal must be an integer value"),
            ("{\"duration\": true}", "duration literal must be a string or integer value"),
        ] {
            let params = format!("{{\"x\": {value}}}");
            let expected = format!("missing parameter: {error}");
            assert_eq!(bound("SELECT a FROM m WHERE b = $x", &params), expected, "{value}");
            assert_eq!(bound("SELECT a FROM m", &params), "SELECT a FROM m", "{value}");
        }
        assert_eq!(bound("SELECT $y FROM m", "{\"x\": 1}"), "missing parameter: y");
        assert_eq!(bound("SELECT $ FROM m", "{\"x\": 1}"), "empty bound parameter");
        let duration = "{\"x\": {\"duration\": \"1y\"}}";
        assert_eq!(bound("SELECT $x FROM m", duration), "invalid duration");
    }

    #[test]
    fn bound_parameters_must_be_object() {
        let refused = |text| Params::from_json(text).map_err(|error| error.to_string());
        for nothing in ["", "null", "{}", " {} trailing"] {
            assert_eq!(refused(nothing), Ok(Params::default()), "{nothing}");
        }
        for (text, error) in [
            ("{", "error parsing query parameters: unexpected EOF"),
            (
                "[1]",
                "error parsing query parameters: json: cannot unmarshal array into Go value of type \
                    map[string]interface {}",
            ),
            (
                "{\"x\": 9223372036854775808}",
                "error parsing json value: strconv.ParseInt: parsing \"9223372036854775808\": \
                    value out of range",
            ),
        ] {
            assert_eq!(refused(text), Err(error.to_owned()));
        }
        let deep = format!("{{\"x\": {}", "[".repeat(100_000));
        assert!(refused(&deep).is_err_and(|e| e.starts_with("error parsing query parameters: ")));
    }
}
