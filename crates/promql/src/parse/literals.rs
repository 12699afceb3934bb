//! The values of numbers, durations and quoted texts.

/// The units of durations, from the largest to the smallest, in milliseconds.
pub(crate) const DURATION_UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 60 * 60 * 1000),
    ("w", 7 * 24 * 60 * 60 * 1000),
    ("d", 24 * 60 * 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// The maximum duration: that of Go, 2^63 nanoseconds.
const DURATION_MS_MAX: i64 = i64::MAX / 1_000_000;

/// Parses a number as Go does. Integers may be hexadecimal, binary or octal.
pub(super) fn number(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "inf" => return Some(f64::INFINITY),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    if lower.starts_with('_') || lower.ends_with('_') || lower.contains("__") {
        return None;
    }
    let digits = lower.replace('_', "");
    if let Some(hex) = digits.strip_prefix("0x") {
        return hexadecimal(hex);
    }
    // Go reads a leading zero as the prefix of an octal integer, if the digits permit.
    let is_octal = digits.len() > 1 && digits.starts_with('0');
    if let Some(octal) = is_octal.then(|| i64::from_str_radix(&digits, 8).ok()).flatten() {
        return Some(octal as f64);
    }
    digits.parse().ok().filter(|value: &f64| value.is_finite())
}

fn hexadecimal(text: &str) -> Option<f64> {
    if let Ok(integer) = i64::from_str_radix(text, 16) {
        return Some(integer as f64);
    }
    let (mantissa, exponent) = text.split_once('p')?;
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = u64::from_str_radix(&format!("{integer}{fraction}"), 16).ok()?;
    let exponent: i32 = exponent.parse().ok()?;
    let shift = exponent.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?;
    Some(digits as f64 * 2f64.powi(shift)).filter(|value| value.is_finite())
}

/// Parses a duration such as `1h30m`, in milliseconds.
pub(super) fn duration_ms(text: &str) -> Result<i64, String> {
    let invalid = || format!("not a valid duration string: {}", super::super::format::quote(text));
    let (mut rest, mut total, mut units) = (text, 0i64, DURATION_UNITS.iter());
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(digits).unwrap_or_default();
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (name, after) = after.split_at_checked(letters).unwrap_or_default();
        let (_, unit_ms) = units.find(|(unit, _)| *unit == name).ok_or_else(invalid)?;
        if number.is_empty() {
            return Err(invalid());
        }
        let ms = number.parse::<i64>().ok().and_then(|number| number.checked_mul(*unit_ms));
        let sum = ms.and_then(|ms| total.checked_add(ms)).filter(|sum| *sum <= DURATION_MS_MAX);
        total = sum.ok_or("duration out of range")?;
        rest = after;
    }
    Ok(total)
}

/// Returns a number of seconds as milliseconds.
pub(super) fn seconds_ms(seconds: f64) -> Result<i64, String> {
    let ms = seconds * 1000.0;
    if ms.is_nan() || ms.abs() > DURATION_MS_MAX as f64 {
        return Err("duration out of range".to_owned());
    }
    Ok(ms.round() as i64)
}

/// Parses a quoted text as Go does. Returns `None` for an invalid escape
/// sequence, or if the text is not UTF-8.
pub(super) fn unquote(text: &str) -> Option<String> {
    let mark = text.chars().next()?;
    let inner = text.get(1..text.len().checked_sub(1)?)?;
    if mark == '`' {
        return Some(inner.to_owned());
    }
    let (mut bytes, mut chars) = (vec![], inner.chars());
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escaped = match chars.next()? {
            'a' => b'\x07',
            'b' => b'\x08',
            'f' => b'\x0c',
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => b'\x0b',
            '\\' => b'\\',
            c @ ('"' | '\'') if c == mark => c as u8,
            'x' => u8::try_from(digits(&mut chars, 2, 16)?).ok()?,
            c @ '0'..='7' => {
                let high = c.to_digit(8)? * 64;
                u8::try_from(high + digits(&mut chars, 2, 8)?).ok()?
            }
            c @ ('u' | 'U') => {
                let code = digits(&mut chars, if c == 'u' { 4 } else { 8 }, 16)?;
                bytes.extend(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        };
        bytes.push(escaped);
    }
    String::from_utf8(bytes).ok()
}

fn digits(chars: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    (0..count).try_fold(0, |value: u32, _| {
        value.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)
    })
}
