//! Parses decimal numbers, eight digits at a time.

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    /// A number that is too large for its type. The byte is the suffix, or a space for a float.
    OutOfRange(u8),
    Malformed,
}

const EXACT_MAX: u64 = 1 << 53;

const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

const SHIFTS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

const SAFE_DIGITS: usize = 19;

/// The number of bytes that [`read_short`] loads. These bytes contain the number and the next byte.
const WINDOW: usize = 32;

/// Reads a number with up to seven digits before the point, up to fifteen after it, no exponent,
/// and a comma or space after it. The length includes the suffix.
#[inline(always)]
pub(super) fn read_short(text: &[u8]) -> Option<(Number, usize)> {
    let window: &[u8; WINDOW] = text.first_chunk()?;
    let negative = window[0] == b'-';
    let start = usize::from(negative);
    let (whole, n_whole) = leading_digits(word(window, start)?);
    let mut at = start + n_whole;
    if n_whole.wrapping_sub(1) >= 7 {
        return None;
    }
    let magnitude = match window.get(at)? {
        b'i' if matches!(window.get(at + 1)?, b',' | b' ') => {
            let value = whole as i64;
            return Some((Number::Integer(if negative { -value } else { value }), at + 1));
        }
        b'.' => {
            let (fraction, n) = leading_digits(word(window, at + 1)?);
            let mut mantissa = whole * SHIFTS.get(n)? + fraction;
            let mut n_fraction = n;
            if n == 8 {
                let (fraction, n) = leading_digits(word(window, at + 9)?);
                mantissa = mantissa.wrapping_mul(*SHIFTS.get(n)?).wrapping_add(fraction);
                n_fraction = 8 + n;
            }
            at += 1 + n_fraction;
            if n_whole + n_fraction > SAFE_DIGITS || n_fraction == 16 {
                return None;
            }
            scaled(mantissa, n_fraction)?
        }
        _ => whole as f64,
    };
    // Any other byte could start an exponent, a suffix or invalid text.
    if !matches!(window.get(at)?, b',' | b' ') {
        return None;
    }
    Some((Number::Float(if negative { -magnitude } else { magnitude }), at))
}

/// Reads an optional `-`, digits with at most one `.`, and an exponent for floats. The length
/// includes the suffix.
pub(super) fn read(bytes: &[u8]) -> (Number, usize) {
    let negative = bytes.first() == Some(&b'-');
    let mut at = usize::from(negative);
    let mut mantissa = 0;
    let n_whole = digits(bytes, &mut at, &mut mantissa);
    match bytes.get(at) {
        Some(b'i') if n_whole > 0 => {
            let value = match n_whole < SAFE_DIGITS {
                // Eighteen digits are below i64::MAX.
                true => Some(if negative { -(mantissa as i64) } else { mantissa as i64 }),
                false => parsed(bytes, at),
            };
            (value.map_or(Number::OutOfRange(b'i'), Number::Integer), at + 1)
        }
        Some(b'u') if n_whole > 0 && !negative => {
            let value = match n_whole <= SAFE_DIGITS {
                true => Some(mantissa),
                false => parsed(bytes, at),
            };
            (value.map_or(Number::OutOfRange(b'u'), Number::Unsigned), at + 1)
        }
        _ => read_float(bytes, at, mantissa, n_whole),
    }
}

fn parsed<T: std::str::FromStr>(bytes: &[u8], length: usize) -> Option<T> {
    std::str::from_utf8(bytes.get(..length)?).ok()?.parse().ok()
}

fn read_float(bytes: &[u8], mut at: usize, mut mantissa: u64, n_whole: usize) -> (Number, usize) {
    let mut n_digits = n_whole;
    let mut n_fraction = 0;
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        n_fraction = digits(bytes, &mut at, &mut mantissa);
        n_digits += n_fraction;
    }
    if n_digits == 0 {
        return (Number::Malformed, at);
    }
    let mut plain = n_digits <= SAFE_DIGITS;
    if let Some(b'e' | b'E') = bytes.get(at) {
        plain = false;
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        if digits(bytes, &mut at, &mut 0) == 0 {
            return (Number::Malformed, at);
        }
    }
    if plain && let Some(value) = scaled(mantissa, n_fraction) {
        let value = if bytes.first() == Some(&b'-') { -value } else { value };
        return (Number::Float(value), at);
    }
    match parsed::<f64>(bytes, at) {
        Some(value) if value.is_finite() => (Number::Float(value), at),
        Some(_) => (Number::OutOfRange(b' '), at),
        None => (Number::Malformed, at),
    }
}

#[inline(always)]
fn scaled(mantissa: u64, digits: usize) -> Option<f64> {
    let power = POWERS.get(digits)?;
    match mantissa <= EXACT_MAX {
        // Both operands are exact, so the quotient is the correctly rounded value.
        true => Some(mantissa as f64 / power),
        false => rounded_quotient(mantissa, digits),
    }
}

/// 5^-q for q = 0..=22 as 128 bits, rounded up. The highest bit is set.
const RECIPROCALS: [u128; 23] = {
    let mut table = [1 << 127; 23];
    let (mut q, mut power) = (1, 5_u128);
    while q < table.len() {
        let shift = 128 - power.leading_zeros();
        let (quotient, rest) = ((1 << 127) / power, (1_u128 << 127) % power);
        table[q] = (quotient << shift) + (rest << shift) / power + 1;
        q += 1;
        power *= 5;
    }
    table
};

/// Returns `mantissa` ÷ 10^`digits` for a mantissa above 2^53. The product with a 128-bit
/// reciprocal is sufficiently exact in this range (Lemire, "Number parsing at a gigabyte per
/// second").
fn rounded_quotient(mantissa: u64, digits: usize) -> Option<f64> {
    let reciprocal = *RECIPROCALS.get(digits)?;
    let zeros = mantissa.leading_zeros();
    let mantissa = mantissa << zeros;
    let mut product = u128::from(mantissa) * (reciprocal >> 64);
    // The lower half of the reciprocal is needed only if it can change the significant bits.
    if (product >> 64) as u64 & 0x1ff == 0x1ff {
        product += (u128::from(mantissa) * u128::from(reciprocal as u64)) >> 64;
    }
    let (low, high) = (product as u64, (product >> 64) as u64);
    let upper = high >> 63;
    let shift = upper + 9;
    let mut bits = high >> shift;
    // Only small powers of ten can produce a value halfway between two floats, rounded to even.
    if low <= 1 && digits <= 4 && bits & 3 == 1 && bits << shift == high {
        bits &= !1;
    }
    bits = (bits + (bits & 1)) >> 1;
    // log2(10) × 2^16.
    let log2 = (-(digits as i64) * 217_706) >> 16;
    let mut exponent = log2 + 63 + upper as i64 - i64::from(zeros) + 1023;
    if bits >> 53 == 1 {
        bits >>= 1;
        exponent += 1;
    }
    Some(f64::from_bits((exponent as u64) << 52 | bits & ((1 << 52) - 1)))
}

/// Returns the value and its length in bytes. The value is `None` if it does not fit into an i64.
/// The length is 0 if there is no timestamp.
#[inline(always)]
pub(super) fn read_timestamp(bytes: &[u8]) -> (Option<i64>, usize) {
    let negative = bytes.first() == Some(&b'-');
    let mut at = usize::from(negative);
    let mut value = 0;
    match digits(bytes, &mut at, &mut value) {
        0 => (None, 0),
        // A number of nineteen digits may exceed i64::MAX or equal i64::MIN.
        n if n < SAFE_DIGITS || value <= i64::MAX as u64 && n == SAFE_DIGITS => {
            (Some(if negative { -(value as i64) } else { value as i64 }), at)
        }
        _ => (parsed(bytes, at), at),
    }
}

#[inline(always)]
fn digits(bytes: &[u8], at: &mut usize, value: &mut u64) -> usize {
    let start = *at;
    while let Some(chunk) = bytes.get(*at..).and_then(|rest| rest.first_chunk()) {
        let (digits, n) = leading_digits(u64::from_le_bytes(*chunk));
        let shift = SHIFTS.get(n).copied().unwrap_or_default();
        *value = value.wrapping_mul(shift).wrapping_add(digits);
        *at += n;
        if n < 8 {
            return *at - start;
        }
    }
    while let Some(digit) = bytes.get(*at).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
    {
        *value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        *at += 1;
    }
    *at - start
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// Returns the value and the number of the ASCII digits at the low end of `word`.
#[inline(always)]
fn leading_digits(word: u64) -> (u64, usize) {
    let digits = word ^ 0x3030_3030_3030_3030;
    // A byte above 9 is not a digit. Adding 0x76 sets the byte's high bit unless it is already set.
    let others = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    let n = (others.trailing_zeros() / 8) as usize;
    if n == 0 {
        return (0, 0);
    }
    // The shift moves the last digit to the top byte and fills the lower bytes with zeros.
    let digits = digits << (64 - 8 * n);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff, n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Number, rest: &str) {
        let (number, length) = read(text.as_bytes());
        assert_eq!((number, &text[length..]), (expected, rest), "{text}");
        if let Some(short) = read_short(text.as_bytes()) {
            assert_eq!(short, (number, length), "{text}");
        }
    }

    #[test]
    fn numbers_end_at_first_other_character() {
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
            assert_eq!(read(bad.as_bytes()).0, Number::Malformed, "{bad}");
        }
    }

    #[test]
    fn integer_limits_are_exact() {
        check("9223372036854775807i", Number::Integer(i64::MAX), "");
        check("-9223372036854775808i", Number::Integer(i64::MIN), "");
        check("9223372036854775808i", Number::OutOfRange(b'i'), "");
        check("00000000000000000000012i", Number::Integer(12), "");
        check("18446744073709551615u", Number::Unsigned(u64::MAX), "");
        check("18446744073709551616u", Number::OutOfRange(b'u'), "");
        check("999999999999999999i", Number::Integer(999_999_999_999_999_999), "");
        check("-1u", Number::Float(-1.0), "u");
        check("1.0i", Number::Float(1.0), "i");
        assert_eq!(read_timestamp(b"-9223372036854775808 "), (Some(i64::MIN), 20));
        assert_eq!(read_timestamp(b"9223372036854775808"), (None, 19));
        assert_eq!(read_timestamp(b"x"), (None, 0));
    }

    #[test]
    fn fast_float_parser_equals_standard_parser() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..50_000 {
            let value = f64::from_bits(random.u64(..));
            let text = match random.u8(0..5) {
                0 => format!("{:.*}", random.usize(0..20), random.f64() * 1000.0),
                1 => format!("{}", random.u64(..) >> random.u8(0..64)),
                2 => format!("{}", random.f64() * f64::from(random.i32(..))),
                3 => format!("{}.{}", random.u64(1 << 53..1 << 54), random.u8(..)),
                _ if value.is_finite() => format!("{value:e}"),
                _ => continue,
            };
            for rest in ["", ", 123456789 123456789 123456789 123456789"] {
                check(&(text.clone() + rest), Number::Float(text.parse().unwrap()), rest);
            }
        }
        for digits in 0..=22 {
            for _ in 0..2_000 {
                let mantissa = random.u64(EXACT_MAX + 1..);
                let text = format!("{mantissa}e-{digits}");
                assert_eq!(rounded_quotient(mantissa, digits), text.parse().ok(), "{text}");
            }
        }
    }
}
