//! Parses and prints the fields of SELECT.

use std::fmt;

use super::error::ParseError;
use super::expr::Expr;
use super::operator::BinaryOp;
use super::parser::Parser;
use super::token::{Keyword, TokenKind};
use super::{expr_parser, quote};

/// An entry of the SELECT clause. A wildcard or a regex expands to several columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The expression, which contains no comparison, `AND` or `OR`.
    pub expr: Expr,
    /// `AS …`, which is never empty.
    pub alias: Option<String>,
}

pub(super) fn parse_list(p: &mut Parser<'_>) -> Result<Vec<Field>, ParseError> {
    let mut fields = vec![parse(p)?];
    while p.scan_if(TokenKind::Comma) {
        fields.push(parse(p)?);
    }
    Ok(fields)
}

fn parse(p: &mut Parser<'_>) -> Result<Field, ParseError> {
    let expr = match p.regex_if()? {
        Some(regex) => Expr::Regex(regex),
        None => {
            let position = p.next().position;
            p.unscan();
            let expr = expr_parser::parse(p)?;
            if let Some(op) = condition_operator(&expr) {
                return Err(ParseError::OperatorInField { op, position });
            }
            expr
        }
    };
    let alias = if p.keyword_if(Keyword::As) { Some(p.ident()?) } else { None };
    p.skip_blank();
    Ok(Field { expr, alias: alias.filter(|alias| !alias.is_empty()) })
}

/// If several operands contain an operator for conditions, 1.x reports the last operator.
fn condition_operator(expr: &Expr) -> Option<BinaryOp> {
    match expr {
        Expr::Binary { op, .. } if op.is_condition() => Some(*op),
        Expr::Binary { left, right, .. } => {
            condition_operator(right).or_else(|| condition_operator(left))
        }
        Expr::Paren(inner) => condition_operator(inner),
        Expr::Call { args, .. } => args.iter().rev().find_map(condition_operator),
        _ => None,
    }
}

impl Field {
    /// Returns the column's name before conflicts are resolved: the alias, or the names of
    /// functions and fields joined by `_`. The name may be empty.
    pub fn name(&self) -> String {
        self.alias.clone().unwrap_or_else(|| name_of(&self.expr))
    }
}

fn name_of(expr: &Expr) -> String {
    match expr {
        Expr::Call { name, .. } | Expr::VarRef { name, .. } => name.clone(),
        Expr::Paren(inner) => name_of(inner),
        Expr::Binary { .. } => {
            let mut names = vec![];
            names_in(expr, &mut names);
            names.join("_")
        }
        _ => String::new(),
    }
}

fn names_in<'a>(expr: &'a Expr, names: &mut Vec<&'a str>) {
    match expr {
        Expr::Call { name, .. } | Expr::VarRef { name, .. } => names.push(name),
        Expr::Paren(inner) => names_in(inner, names),
        Expr::Binary { left, right, .. } => {
            names_in(left, names);
            names_in(right, names);
        }
        _ => {}
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.alias {
            Some(alias) => write!(f, "{} AS {}", self.expr, quote::ident(alias)),
            None => write!(f, "{}", self.expr),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bound_params::Params;
    use crate::check;
    use tidemark_model::configurable_limits::Limits;

    #[test]
    fn fields_are_expressions_with_names() {
        check::stays(&[
            "SELECT a AS b, \"a b\" AS \"c d\", /x/, *, *::tag, a::float FROM m",
            "SELECT top(a, host, 3) AS t, DISTINCT a, 1 FROM m",
        ]);
        check::prints(&[("SELECT a AS \"\" FROM m", "SELECT a FROM m")]);
        check::fails(&[
            ("SELECT a AS FROM m", "found FROM, expected identifier at line 1, char 13"),
            (
                "SELECT a, FROM m",
                "found FROM, expected identifier, string, number, bool at line 1, char 11",
            ),
            (
                "SELECT a, (b = 1) + f(c > 2) FROM m",
                "invalid operator > in SELECT clause at line 1, char 11; \
                    operator is intended for WHERE clause",
            ),
            (
                "SELECT (a OR b = 1) FROM m",
                "invalid operator OR in SELECT clause at line 1, char 8; \
                    operator is intended for WHERE clause",
            ),
        ]);
    }

    #[test]
    fn field_names_derive_from_expressions() {
        for (text, name) in [
            ("a AS b", "b"),
            ("a::float", "a"),
            ("MEAN(a)", "mean"),
            ("(((a)))", "a"),
            ("a + 2 * (max(b) - c)", "a_max_c"),
            ("-a", "a"),
            ("*", ""),
            ("1", ""),
        ] {
            let params = Params::default();
            let mut p = Parser::new(text, &params, Limits::default());
            assert_eq!(parse(&mut p).map(|field| field.name()), Ok(name.to_owned()), "{text}");
        }
    }
}
