//! Defines assertions for the tests of statements. A test case is a pair: the text of a statement,
//! and its canonical text or error.

use super::bound_params::Params;
use super::{parse, parse_expr};

/// Checks that the first text of each pair parses as one statement and prints as the second text.
/// The second text must parse to the same statement.
pub(super) fn prints(cases: &[(&str, &str)]) {
    let params = Params::default();
    for (text, expected) in cases {
        let statements = parse(text, &params);
        let [statement] = statements.as_deref().unwrap_or_default() else {
            panic!("{text}: not one statement: {statements:?}");
        };
        assert_eq!(statement.to_string(), *expected, "{text}");
        if !expected.contains("[REDACTED]") {
            assert_eq!(parse(expected, &params), statements, "{text}");
        }
    }
}

/// Checks that each text prints unchanged.
pub(super) fn stays(texts: &[&str]) {
    prints(&texts.iter().map(|&text| (text, text)).collect::<Vec<_>>());
}

/// Checks that parsing each text returns the given error.
pub(super) fn fails(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let error = parse(text, &Params::default()).map_err(|error| error.to_string());
        assert_eq!(error, Err((*expected).to_owned()), "{text}");
    }
}

/// Checks that the first text of each pair parses as an expression and prints as the second text.
pub(super) fn expressions(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let printed = parse_expr(text, &Params::default()).map(|expr| expr.to_string());
        assert_eq!(printed, Ok((*expected).to_owned()), "{text}");
    }
}
