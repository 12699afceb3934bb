//! Formats floats in exactly the same way as Go.

/// A value that JSON cannot represent. Go, and therefore 1.x, rejects a document with such a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("json: unsupported value: {0}")]
pub struct Unsupported(pub &'static str);

/// Appends `value` in the format of Go's `encoding/json`, with the fewest digits that parse as
/// `value`. Values from 1e-6 to 1e21 (exclusive) have no exponent. Whole numbers have no fraction.
///
/// # Errors
/// [`Unsupported`] for infinities. The caller must write NaN values as null.
pub fn json_float(value: f64, out: &mut Vec<u8>) -> Result<(), Unsupported> {
    if value.is_infinite() {
        return Err(Unsupported(if value > 0.0 { "+Inf" } else { "-Inf" }));
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        exponential(value, out);
    } else {
        positional(value, out);
    }
    Ok(())
}

/// Appends `value` without an exponent, regardless of its size (Go's format 'f'). 1.x uses this
/// format in CSV.
pub fn csv_float(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        positional(value, out);
    } else {
        let text = if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        out.extend_from_slice(text.as_bytes());
    }
}

fn positional(value: f64, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    if text.contains('e') {
        // `Display` writes the same digits without an exponent, but is slower.
        return out.extend_from_slice(value.to_string().as_bytes());
    }
    out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
}

/// Unlike Rust, Go writes the sign of a positive exponent.
fn exponential(value: f64, out: &mut Vec<u8>) {
    let text = format!("{value:e}");
    let text = if value.abs() < 1.0 { text } else { text.replace('e', "e+") };
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: f64) -> String {
        let mut out = Vec::new();
        json_float(value, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_print_as_in_go() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (1.5e-6, "0.0000015"),
            (9.99e-7, "9.99e-7"),
            (1e-7, "1e-7"),
            (1e-10, "1e-10"),
            (1e20, "100000000000000000000"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (-1e17, "-100000000000000000"),
            (-1e21, "-1e+21"),
            (-2.5e-8, "-2.5e-8"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (1.0 / 3.0, "0.3333333333333333"),
            (16_777_216.0, "16777216"),
        ] {
            assert_eq!(json(value), text);
        }
    }

    #[test]
    fn infinite_float_is_json_error() {
        let error = json_float(f64::NEG_INFINITY, &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "json: unsupported value: -Inf");
    }

    #[test]
    fn csv_floats_have_no_exponent() {
        let mut out = Vec::new();
        csv_float(1e21, &mut out);
        out.push(b' ');
        csv_float(1e-7, &mut out);
        assert_eq!(out, b"1000000000000000000000 0.0000001");
    }

    #[test]
    fn every_float_reads_back_as_itself() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let value = f64::from_bits(random.u64(..));
            if value.is_finite() {
                assert_eq!(json(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
            }
        }
    }
}
