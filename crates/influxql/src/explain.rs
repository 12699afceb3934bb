//! Parses and prints `EXPLAIN`.

use std::fmt;

use super::error::ParseError;
use super::parser::Parser;
use super::select::{IntoClause, SelectStatement};
use super::token::Keyword;

/// `EXPLAIN [ANALYZE] [VERBOSE] SELECT …`
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainStatement {
    /// The query to explain.
    pub select: Box<SelectStatement>,
    /// Whether `ANALYZE` is present. With `ANALYZE`, the query is also executed.
    pub analyze: bool,
    /// Whether `VERBOSE`, an option of the last 1.x versions without effect, is present.
    pub verbose: bool,
}

impl ExplainStatement {
    pub(super) fn parse(p: &mut Parser<'_>) -> Result<Self, ParseError> {
        let analyze = p.keyword_if(Keyword::Analyze);
        let verbose = p.word_if("VERBOSE");
        p.expect_keyword(Keyword::Select)?;
        let select = Box::new(SelectStatement::parse(p, IntoClause::Optional)?);
        Ok(Self { select, analyze, verbose })
    }
}

impl fmt::Display for ExplainStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let analyze = if self.analyze { "ANALYZE " } else { "" };
        let verbose = if self.verbose { "VERBOSE " } else { "" };
        write!(f, "EXPLAIN {analyze}{verbose}{}", self.select)
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn explain_accepts_only_select() {
        check::stays(&[
            "EXPLAIN SELECT a FROM m",
            "EXPLAIN ANALYZE SELECT a FROM m",
            "EXPLAIN ANALYZE VERBOSE SELECT a FROM m",
        ]);
        check::fails(&[
            ("EXPLAIN", "found EOF, expected SELECT at line 1, char 9"),
            ("EXPLAIN SHOW SERIES", "found SHOW, expected SELECT at line 1, char 9"),
        ]);
    }
}
