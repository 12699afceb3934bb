//! Decimal digits to numbers, eight at a time.

/// A number as it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// Without suffix.
    Float(f64),
    /// Suffix `i`.
    Integer(i64),
    /// Suffix `u`.
    Unsigned(u64),
    /// Well written, but too large for its type: the suffix, or a space for a float.
    OutOfRange(u8),
    /// Not a number.
    Malformed,
}

/// Up to here every integer is a float, exactly.
const EXACT_MAX: u64 = 1 << 53;

/// Powers of ten that are exact floats.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Digits that cannot overflow a u64.
const SAFE_DIGITS: usize = 19;

/// Reads the number at the start of `text` and returns it with its length, suffix included.
///
/// `-?` digits, with at most one `.` on either side of at least one digit, an exponent for floats.
pub(super) fn read(text: &str) -> (Number, usize) {
    let bytes = text.as_bytes();
    let negative = bytes.first() == Some(&b'-');
    let mut at = usize::from(negative);
    let mut mantissa = 0;
    let n_whole = digits(bytes, &mut at, &mut mantissa);
    match bytes.get(at) {
        Some(b'i') if n_whole > 0 => {
            let value = match n_whole < SAFE_DIGITS {
                // Eighteen digits are below i64::MAX.
                true => Some(if negative { -(mantissa as i64) } else { mantissa as i64 }),
                false => text.get(..at).and_then(|digits| digits.parse().ok()),
            };
            (value.map_or(Number::OutOfRange(b'i'), Number::Integer), at + 1)
        }
        Some(b'u') if n_whole > 0 && !negative => {
            let value = match n_whole <= SAFE_DIGITS {
                true => Some(mantissa),
                false => text.get(..at).and_then(|digits| digits.parse().ok()),
            };
            (value.map_or(Number::OutOfRange(b'u'), Number::Unsigned), at + 1)
        }
        _ => read_float(text, at, mantissa, n_whole),
    }
}

fn read_float(text: &str, mut at: usize, mut mantissa: u64, n_whole: usize) -> (Number, usize) {
    let bytes = text.as_bytes();
    let mut n_digits = n_whole;
    let mut exponent = 0_i32;
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        let n_fraction = digits(bytes, &mut at, &mut mantissa);
        n_digits += n_fraction;
        exponent = i32::try_from(n_fraction).map_or(i32::MIN, |n| -n);
    }
    if n_digits == 0 {
        return (Number::Malformed, at);
    }
    let mut plain = true;
    if let Some(b'e' | b'E') = bytes.get(at) {
        plain = false;
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        if digits(bytes, &mut at, &mut 0) == 0 {
            return (Number::Malformed, at);
        }
    }
    if plain
        && n_digits <= SAFE_DIGITS
        && mantissa <= EXACT_MAX
        && let Some(power) = POWERS.get(exponent.unsigned_abs() as usize)
    {
        // Both operands are exact, so the quotient is the correctly rounded value.
        let value = mantissa as f64 / power;
        let value = if bytes.first() == Some(&b'-') { -value } else { value };
        return (Number::Float(value), at);
    }
    match text.get(..at).and_then(|number| number.parse::<f64>().ok()) {
        Some(value) if value.is_finite() => (Number::Float(value), at),
        Some(_) => (Number::OutOfRange(b' '), at),
        None => (Number::Malformed, at),
    }
}

/// Reads the timestamp at the start of `text` and returns it with its length: `None` as value when
/// it does not fit, length 0 when there is none.
pub(super) fn read_timestamp(text: &str) -> (Option<i64>, usize) {
    let bytes = text.as_bytes();
    let negative = bytes.first() == Some(&b'-');
    let mut at = usize::from(negative);
    let mut value = 0;
    match digits(bytes, &mut at, &mut value) {
        0 => (None, 0),
        // Nineteen digits may pass i64::MAX, or be i64::MIN.
        n if n < SAFE_DIGITS || value <= i64::MAX as u64 && n == SAFE_DIGITS => {
            (Some(if negative { -(value as i64) } else { value as i64 }), at)
        }
        _ => (text.get(..at).and_then(|number| number.parse().ok()), at),
    }
}

/// Advances `at` past digits, adds them to `value` (wrapping), and returns how many there were.
#[inline]
fn digits(bytes: &[u8], at: &mut usize, value: &mut u64) -> usize {
    let start = *at;
    while let Some(chunk) = bytes.get(*at..).and_then(|rest| rest.first_chunk::<8>()) {
        let Some(eight) = eight_digits(u64::from_le_bytes(*chunk)) else { break };
        *value = value.wrapping_mul(100_000_000).wrapping_add(eight);
        *at += 8;
    }
    while let Some(digit) = bytes.get(*at).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
    {
        *value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        *at += 1;
    }
    *at - start
}

/// The value of eight ASCII digits, first one lowest in `word`; `None` if one of them is none.
#[inline]
fn eight_digits(word: u64) -> Option<u64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    let nibbles = word.wrapping_sub(ZEROS);
    // A byte is a digit if its high nibble is 3 and adding 6 to it does not carry into that.
    let high = 0xf0f0_f0f0_f0f0_f0f0;
    if word & high != ZEROS || word.wrapping_add(0x0606_0606_0606_0606) & high != ZEROS {
        return None;
    }
    let pairs = nibbles.wrapping_mul(10).wrapping_add(nibbles >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Number, rest: &str) {
        let (number, length) = read(text);
        assert_eq!((number, &text[length..]), (expected, rest), "{text}");
    }

    #[test]
    fn numbers_end_where_they_end() {
        check("1", Number::Float(1.0), "");
        check("-1.5,x", Number::Float(-1.5), ",x");
        check(".5 ", Number::Float(0.5), " ");
        check("-.5", Number::Float(-0.5), "");
        check("1.", Number::Float(1.0), "");
        check("1.e2", Number::Float(100.0), "");
        check("1E-3", Number::Float(0.001), "");
        check("123456789012345678.25", Number::Float(123_456_789_012_345_680.0), "");
        check("0.1234567890123456789", Number::Float(0.123_456_789_012_345_68), "");
        check("1e400", Number::OutOfRange(b' '), "");
        check("1e-400", Number::Float(0.0), "");
        for bad in [".", "-", "-.", "1e", "1e+", "e1", "+1", "i", "x"] {
            assert_eq!(read(bad).0, Number::Malformed, "{bad}");
        }
    }

    #[test]
    fn integers_reach_their_limits_and_no_further() {
        check("9223372036854775807i", Number::Integer(i64::MAX), "");
        check("-9223372036854775808i", Number::Integer(i64::MIN), "");
        check("9223372036854775808i", Number::OutOfRange(b'i'), "");
        check("00000000000000000000012i", Number::Integer(12), "");
        check("18446744073709551615u", Number::Unsigned(u64::MAX), "");
        check("18446744073709551616u", Number::OutOfRange(b'u'), "");
        check("999999999999999999i", Number::Integer(999_999_999_999_999_999), "");
        check("-1u", Number::Float(-1.0), "u");
        check("1.0i", Number::Float(1.0), "i");
        assert_eq!(read_timestamp("-9223372036854775808 "), (Some(i64::MIN), 20));
        assert_eq!(read_timestamp("9223372036854775808"), (None, 19));
        assert_eq!(read_timestamp("x"), (None, 0));
    }

    #[test]
    fn the_fast_path_is_the_slow_path() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let value = f64::from_bits(random.u64(..));
            let text = match random.u8(0..3) {
                0 => format!("{:.*}", random.usize(0..20), random.f64() * 1000.0),
                1 => format!("{}", random.u64(..) >> random.u8(0..64)),
                _ if value.is_finite() => format!("{value:e}"),
                _ => continue,
            };
            check(&text, Number::Float(text.parse().unwrap()), "");
        }
    }
}
