//! The matchers of selectors.

use std::rc::Rc;

use tidemark_model::regex::{Pattern, RegexWork};

use super::error::Error;

/// The operators of matchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// Returns the operator as written in PromQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// A condition on the value of a label. A missing label has an empty value.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The name of the label.
    pub label: String,
    /// The operator.
    pub op: MatchOp,
    /// The text or the regex in RE2 syntax.
    pub value: String,
    /// The compiled regex of [`MatchOp::Regex`] and [`MatchOp::NotRegex`].
    pattern: Option<Rc<Pattern>>,
}

impl Matcher {
    /// Creates a matcher and compiles its regex.
    ///
    /// # Errors
    /// [`Error::Parse`] if the regex is invalid.
    pub fn new(label: String, op: MatchOp, value: String) -> Result<Self, Error> {
        Self::with_work(label, op, value, &RegexWork::limited())
    }

    /// Creates a matcher that shares the steps of slow matches with other matchers.
    pub(crate) fn with_work(
        label: String,
        op: MatchOp,
        value: String,
        work: &RegexWork,
    ) -> Result<Self, Error> {
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Rc::new(compile(&value, work)?)),
        };
        Ok(Self { label, op, value, pattern })
    }

    /// Whether the label's value fulfils the condition.
    pub fn matches(&self, value: &str) -> bool {
        let is_match = self.pattern.as_ref().map_or(self.value == value, |p| p.is_match(value));
        match self.op {
            MatchOp::Equal | MatchOp::Regex => is_match,
            MatchOp::NotEqual | MatchOp::NotRegex => !is_match,
        }
    }

    /// Returns the memory of the compiled regex, in bytes.
    pub(crate) fn compiled_bytes(&self) -> usize {
        self.pattern.as_ref().map_or(0, |pattern| pattern.compiled_bytes())
    }

    /// Returns an error if a match took too many steps. The results of the matcher may then be
    /// wrong.
    ///
    /// # Errors
    /// [`Error::TooMuch`] if the regex is too slow for these texts.
    pub fn check(&self) -> Result<(), Error> {
        let checked = self.pattern.as_ref().map_or(Ok(()), |pattern| pattern.check());
        checked.map_err(|error| Error::TooMuch(error.to_string()))
    }
}

/// Compiles a regex that matches whole texts. As in Prometheus 3, `.` matches a line break.
fn compile(regex: &str, work: &RegexWork) -> Result<Pattern, Error> {
    Ok(Pattern::new(&format!("^(?s:{regex})$"), work)?)
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.label, self.op, &self.value) == (&other.label, other.op, &other.value)
    }
}
