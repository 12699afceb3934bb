//! Parses `tz('…')`, the time zone of a query.

use super::error::ParseError;
use super::expr::Expr;
use super::expr_parser;
use super::parser::Parser;
use tidemark_model::zone;

/// The name must be in the IANA time zone database. `''` and `Local` mean `UTC`. In 1.x, `Local` is
/// the server's zone.
pub(super) fn parse(p: &mut Parser<'_>) -> Result<Option<String>, ParseError> {
    if !p.peek_word("tz") {
        return Ok(None);
    }
    let Expr::Call { mut args, .. } = expr_parser::parse(p)? else {
        return Err(ParseError::TimezoneNotCall);
    };
    let (Some(arg), true) = (args.pop(), args.is_empty()) else {
        return Err(ParseError::TimezoneArguments);
    };
    let Expr::StringLiteral(name) = arg else { return Err(ParseError::TimezoneNotString) };
    match name.as_str() {
        "" | "Local" => Ok(Some("UTC".to_owned())),
        known if zone::exists(known) => Ok(Some(name)),
        _ => Err(ParseError::UnknownTimezone { name }),
    }
}

#[cfg(test)]
mod tests {
    use crate::check;

    #[test]
    fn time_zone_names_must_exist() {
        check::prints(&[
            ("SELECT a FROM m tz('')", "SELECT a FROM m TZ('UTC')"),
            ("SELECT a FROM m TZ('Local')", "SELECT a FROM m TZ('UTC')"),
            ("SELECT a FROM m Tz('America/New_York')", "SELECT a FROM m TZ('America/New_York')"),
        ]);
        check::fails(&[
            ("SELECT a FROM m tz('america/new_york')", "unable to find time zone america/new_york"),
            ("SELECT a FROM m tz('../UTC')", "unable to find time zone ../UTC"),
            ("SELECT a FROM m tz", "tz must be a function call"),
            ("SELECT a FROM m tz()", "tz requires exactly one argument"),
            ("SELECT a FROM m tz('UTC', 'UTC')", "tz requires exactly one argument"),
            ("SELECT a FROM m tz(UTC)", "expected string argument in tz()"),
        ]);
    }
}
