//! Assertions for the tests of statements.

use super::bound_params::Params;
use super::{parse, parse_expr};

/// The second text of each pair must also parse to the first text's statement.
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

pub(super) fn stays(texts: &[&str]) {
    prints(&texts.iter().map(|&text| (text, text)).collect::<Vec<_>>());
}

pub(super) fn fails(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let error = parse(text, &Params::default()).map_err(|error| error.to_string());
        assert_eq!(error, Err((*expected).to_owned()), "{text}");
    }
}

pub(super) fn expressions(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let printed = parse_expr(text, &Params::default()).map(|expr| expr.to_string());
        assert_eq!(printed, Ok((*expected).to_owned()), "{text}");
    }
}
