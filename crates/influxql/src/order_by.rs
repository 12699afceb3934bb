//! Parses and prints `ORDER BY`. As in 1.x, only time is allowed.

use std::fmt;

use super::error::ParseError;
use super::parser::{Parser, unexpected};
use super::token::{Keyword, TokenKind};

/// `ORDER BY time [ASC|DESC]`, or `ORDER BY ASC|DESC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// Whether the clause names `time`. The name affects only the printed text.
    pub named: bool,
    /// Whether the latest row comes first.
    pub descending: bool,
}

pub(super) fn parse_clause(p: &mut Parser<'_>) -> Result<Option<OrderBy>, ParseError> {
    if !p.keyword_if(Keyword::Order) {
        return Ok(None);
    }
    p.expect_keyword(Keyword::By)?;
    let token = p.next();
    let order = match token.kind {
        TokenKind::Keyword(Keyword::Asc) => OrderBy { named: false, descending: false },
        TokenKind::Keyword(Keyword::Desc) => OrderBy { named: false, descending: true },
        TokenKind::Ident => {
            let descending = direction(p);
            if token.text != "time" {
                return Err(ParseError::OrderBy);
            }
            OrderBy { named: true, descending }
        }
        _ => return Err(unexpected(&token, &["identifier", "ASC", "DESC"])),
    };
    let mut several = false;
    while p.next_if(TokenKind::Comma) {
        p.ident()?;
        direction(p);
        several = true;
    }
    if several { Err(ParseError::OrderBy) } else { Ok(Some(order)) }
}

fn direction(p: &mut Parser<'_>) -> bool {
    let descending = p.keyword_if(Keyword::Desc);
    if !descending {
        p.keyword_if(Keyword::Asc);
    }
    descending
}

impl fmt::Display for OrderBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = if self.named { "time " } else { "" };
        let direction = if self.descending { "DESC" } else { "ASC" };
        write!(f, "{column}{direction}")
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn order_by_accepts_only_time() {
        check::stays(&["SELECT a FROM m ORDER BY DESC", "SELECT a FROM m ORDER BY time DESC"]);
        check::prints(&[
            ("SELECT a FROM m ORDER BY time", "SELECT a FROM m ORDER BY time ASC"),
            ("SHOW SERIES ORDER BY asc", "SHOW SERIES ORDER BY ASC"),
        ]);
        check::fails(&[
            ("SELECT a FROM m ORDER BY a", "only ORDER BY time supported at this time"),
            ("SELECT a FROM m ORDER BY TIME", "only ORDER BY time supported at this time"),
            ("SELECT a FROM m ORDER BY time, a DESC", "only ORDER BY time supported at this time"),
            (
                "SELECT a FROM m ORDER BY 1",
                "found 1, expected identifier, ASC, DESC at line 1, char 26",
            ),
            ("SELECT a FROM m ORDER time", "found time, expected BY at line 1, char 23"),
        ]);
    }
}
