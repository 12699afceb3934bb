//! Finds the placeholders of a prepared statement.

use std::collections::HashSet;

use crate::api::error::{ApiError, ApiResult};
use crate::model::bug::OrBug;
use crate::model::limits::{PLACEHOLDERS_MAX, PREPARED_TEXT_BYTES_MAX};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Placeholders {
    /// The text, with each `?` replaced by `$1`, `$2` and so on.
    pub(super) text: String,
    /// The unique names without `$`: numbers in ascending order, then other names in order of
    /// occurrence.
    pub(super) names: Vec<String>,
}

impl Placeholders {
    /// Finds the placeholders of a statement: `?`, `$1` and `$name` outside of strings, quoted
    /// names and comments.
    pub(super) fn of(statement: &str) -> ApiResult<Self> {
        if statement.len() > PREPARED_TEXT_BYTES_MAX {
            return Err(ApiError::Invalid(format!(
                "the statement has {} bytes, and a prepared statement can have at most \
                 {PREPARED_TEXT_BYTES_MAX} (PREPARED_TEXT_BYTES_MAX)",
                statement.len()
            )));
        }
        let (mut found, mut known) = (Self::default(), HashSet::new());
        let mut rest = statement;
        let mut questions = 0;
        while let Some(first) = rest.chars().next() {
            let skipped = match first {
                '\'' | '"' => rest.get(1..).and_then(|inner| inner.find(first)).map(|at| at + 2),
                '-' if rest.starts_with("--") => rest.find('\n'),
                '/' if rest.starts_with("/*") => rest.find("*/").map(|at| at + 2),
                '?' => {
                    questions += 1;
                    found.text.push_str(&format!("${questions}"));
                    found.note(questions.to_string(), &mut known)?;
                    rest = rest.get(1..).or_bug();
                    continue;
                }
                '$' => {
                    let name: String = (rest.chars().skip(1))
                        .take_while(|c| c.is_alphanumeric() || *c == '_')
                        .collect();
                    let bytes = 1 + name.len();
                    if !name.is_empty() {
                        found.note(name, &mut known)?;
                    }
                    Some(bytes)
                }
                first => Some(first.len_utf8()),
            };
            // An unterminated string or comment extends to the end of the text.
            let (passed, behind) = rest.split_at(skipped.unwrap_or(rest.len()).min(rest.len()));
            found.text.push_str(passed);
            rest = behind;
        }
        // A stable sort keeps the order of names that are not numbers.
        found.names.sort_by_key(|name| name.parse().unwrap_or(u32::MAX));
        Ok(found)
    }

    fn note(&mut self, name: String, known: &mut HashSet<String>) -> ApiResult<()> {
        if known.insert(name.clone()) {
            self.names.push(name);
        }
        if self.names.len() > PLACEHOLDERS_MAX {
            return Err(ApiError::Invalid(format!(
                "the statement has more than {PLACEHOLDERS_MAX} parameters (PLACEHOLDERS_MAX): \
                 write some of the values as literals in the statement"
            )));
        }
        Ok(())
    }

    /// Assigns each column of values to a placeholder. The assignment is by name if every column
    /// has the name of a placeholder, else by position.
    pub(super) fn bind(&self, columns: &[String]) -> ApiResult<Vec<String>> {
        let bare = |name: &String| name.trim_start_matches('$').to_owned();
        let named: Vec<String> = columns.iter().map(bare).collect();
        let known: HashSet<&String> = self.names.iter().collect();
        if !named.is_empty() && named.iter().all(|name| known.contains(name)) {
            return Ok(named);
        }
        if columns.len() != self.names.len() {
            return Err(ApiError::Invalid(format!(
                "the statement has {} parameters, and the request contains {} values",
                self.names.len(),
                columns.len()
            )));
        }
        Ok(self.names.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_ignore_strings_and_comments() {
        let names = |text: &str| Placeholders::of(text).unwrap().names;
        assert_eq!(names("SELECT $2, $b, $1, $b, $10 FROM t"), ["1", "2", "10", "b"]);
        let found =
            Placeholders::of("SELECT '?', \"?$a\", ? -- ? $c\n/* $d ? */ + ? + 'it''s ?'").unwrap();
        assert_eq!(found.names, ["1", "2"]);
        assert_eq!(found.text, "SELECT '?', \"?$a\", $1 -- ? $c\n/* $d ? */ + $2 + 'it''s ?'");
        for whole in ["", "SELECT 'a", "SELECT 1 -- ?", "/* ?", "é$", "SELECT 1"] {
            let found = Placeholders::of(whole).unwrap();
            assert_eq!((found.text.as_str(), found.names.len()), (whole, 0));
        }
    }

    #[test]
    fn placeholders_bind_by_name_or_position() {
        let places = Placeholders::of("SELECT $2, $1").unwrap();
        let bound = |names: &[&str]| {
            places.bind(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(bound(&["2", "1"]).unwrap(), ["2", "1"]);
        assert_eq!(bound(&["$2", "$1"]).unwrap(), ["2", "1"]);
        // ADBC's Python driver numbers parameters from 0.
        assert_eq!(bound(&["0", "1"]).unwrap(), ["1", "2"]);
        assert_eq!(bound(&["a", "b"]).unwrap(), ["1", "2"]);
        assert!(bound(&["a"]).is_err() && bound(&["a", "b", "c"]).is_err());
        assert_eq!(Placeholders::of("SELECT 1").unwrap().bind(&[]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn prepared_statement_size_is_limited() {
        let error = |text: &str| Placeholders::of(text).unwrap_err().to_string();
        assert_eq!(Placeholders::of(&"?".repeat(PLACEHOLDERS_MAX)).unwrap().names.len(), 1_000);
        for many in ["?".repeat(40_000), (0..20_000).map(|n| format!("$n{n} ")).collect()] {
            assert!(error(&many).contains("more than 1000 parameters (PLACEHOLDERS_MAX)"));
        }
        let long = " ".repeat(PREPARED_TEXT_BYTES_MAX + 1);
        assert!(error(&long).starts_with("the statement has 256001 bytes"), "{}", error(&long));
    }
}
