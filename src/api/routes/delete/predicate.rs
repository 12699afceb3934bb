//! Parses 2.x's deletion predicates: `key = "value" AND key != "value" …`, with optional parentheses
//! around any part.

use crate::api::error::{ApiError, ApiResult};
use crate::model::bug::OrBug;
use crate::model::limits::DELETE_PREDICATE_DEPTH_MAX;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    /// A tag key, or `_measurement`.
    pub(super) key: String,
    pub(super) value: String,
    /// Whether the operator is `!=`.
    pub(super) negated: bool,
}

pub(super) fn parse(text: &str) -> ApiResult<Vec<Comparison>> {
    let mut reader = Reader { text, rest: text, depth: 0 };
    let mut comparisons = Vec::new();
    if reader.peek().is_some() {
        reader.all(&mut comparisons)?;
    }
    match reader.peek() {
        None => Ok(comparisons),
        Some(_) => Err(reader.syntax_error("expected AND or the end of the predicate")),
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    depth: usize,
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
        let end = self.rest.find(|c| !of_word(c)).unwrap_or(self.rest.len());
        self.rest.get(..end).or_bug()
    }

    fn all(&mut self, into: &mut Vec<Comparison>) -> ApiResult<()> {
        loop {
            self.term(into)?;
            let word = self.word().to_ascii_uppercase();
            match word.as_str() {
                "AND" => self.rest = self.rest.get(word.len()..).or_bug(),
                "OR" => {
                    return Err(self.syntax_error("the logical operator OR is not supported yet"));
                }
                _ => return Ok(()),
            }
        }
    }

    fn term(&mut self, into: &mut Vec<Comparison>) -> ApiResult<()> {
        if !self.takes("(") {
            into.push(self.comparison()?);
            return Ok(());
        }
        self.depth += 1;
        if self.depth > DELETE_PREDICATE_DEPTH_MAX {
            return Err(self.syntax_error("parentheses are too deep"));
        }
        self.all(into)?;
        self.depth -= 1;
        match self.takes(")") {
            true => Ok(()),
            false => Err(self.syntax_error("expected AND or )")),
        }
    }

    fn comparison(&mut self) -> ApiResult<Comparison> {
        let key = self.name("expected a tag key or _measurement")?;
        for operator in ["=~", "!~", "<", ">"] {
            if self.takes(operator) {
                return Err(
                    self.syntax_error(&format!("the operator {operator} is not supported yet"))
                );
            }
        }
        let negated = self.takes("!=");
        if !negated && !self.takes("=") {
            return Err(self.syntax_error("expected = or != after a key"));
        }
        if self.peek() == Some('~') {
            return Err(self.syntax_error("the operator =~ is not supported yet"));
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
                    return Err(self.syntax_error(expected));
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
        Err(self.syntax_error("a quoted text has no closing quote"))
    }

    fn syntax_error(&self, reason: &str) -> ApiError {
        let at = self.text.len() - self.rest.len();
        ApiError::Invalid(format!("invalid predicate: {reason} at byte {at} of {:?}", self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(String, &'static str, String)>, String> {
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
            assert_eq!(parsed(text), Ok(expected.into_iter().map(owned).collect()), "{text}");
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
            assert_eq!(parsed(text), Err(expected), "{text}");
        }
        let deep = "(".repeat(40);
        assert!(parsed(&deep).unwrap_err().contains("parentheses are too deep"));
    }
}
