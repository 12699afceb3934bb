//! Parses and prints `GROUP BY`.

use std::fmt;

use super::error::ParseError;
use super::expr::Expr;
use super::expr_parser;
use super::parser::Parser;
use super::token::{Keyword, TokenKind};

/// An entry of GROUP BY: a tag, `*`, a regex, or `time(interval[, offset])`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimension {
    /// The expression as written.
    pub expr: Expr,
}

pub(super) fn parse_clause(p: &mut Parser<'_>) -> Result<Vec<Dimension>, ParseError> {
    if !p.keyword_if(Keyword::Group) {
        return Ok(vec![]);
    }
    p.expect_keyword(Keyword::By)?;
    let mut dimensions = vec![parse(p)?];
    while p.scan_if(TokenKind::Comma) {
        dimensions.push(parse(p)?);
    }
    Ok(dimensions)
}

fn parse(p: &mut Parser<'_>) -> Result<Dimension, ParseError> {
    if let Some(regex) = p.regex_if()? {
        return Ok(Dimension { expr: Expr::Regex(regex) });
    }
    let expr = expr_parser::parse(p)?;
    p.skip_blank();
    Ok(Dimension { expr })
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expr)
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn parser_accepts_any_dimension() {
        check::stays(&[
            "SELECT mean(a) FROM m GROUP BY *",
            "SELECT mean(a) FROM m GROUP BY host, /x/, time(1m, -10s), a + 1",
            "SELECT mean(a) FROM m GROUP BY time(1m, now()), *::tag",
        ]);
        check::fails(&[
            ("SELECT a FROM m GROUP host", "found host, expected BY at line 1, char 23"),
            (
                "SELECT a FROM m GROUP BY host,",
                "found EOF, expected identifier, string, number, bool at line 1, char 32",
            ),
        ]);
    }
}
