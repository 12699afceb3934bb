//! Formats floats as InfluxQL does.

/// Never prints an exponent, like Go's `FormatFloat(v, 'f', -1, 64)`.
pub(crate) fn format_plain(value: f64) -> String {
    format!("{value}")
}

/// Adds `.0` to [`format_plain`] if the text would otherwise parse as an integer.
pub(crate) fn format_literal(value: f64) -> String {
    let mut text = format_plain(value);
    if !text.contains('.') {
        text.push_str(".0");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float_literals_print_without_exponent() {
        for (value, plain, literal) in [
            (2.0, "2", "2.0"),
            (0.23, "0.23", "0.23"),
            (-0.0, "-0", "-0.0"),
            (1e-7, "0.0000001", "0.0000001"),
            (1e21, "1000000000000000000000", "1000000000000000000000.0"),
        ] {
            assert_eq!(format_plain(value), plain);
            assert_eq!(format_literal(value), literal);
        }
    }
}
