//! Parses a field value.

use super::Cause;
use super::error::quoted;
use super::number::{self, Number};
use tidemark_model::value::FieldType;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    String {
        /// The text without quotes.
        raw: &'a str,
        escaped: bool,
        newlines: u32,
    },
}

#[inline(always)]
pub(super) fn read(text: &str) -> Result<(Value<'_>, usize), Cause> {
    match text.as_bytes().first() {
        Some(b'0'..=b'9' | b'-' | b'.') => read_number(text),
        Some(b'"') => read_string(text),
        _ => read_boolean(text),
    }
}

#[inline(always)]
pub(super) fn is_end(byte: Option<&u8>) -> bool {
    matches!(byte, None | Some(b',' | b' ' | b'\n' | b'\r'))
}

fn whole(text: &str) -> &str {
    let end = text.bytes().position(|byte| is_end(Some(&byte)));
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

#[inline(always)]
fn read_number(text: &str) -> Result<(Value<'_>, usize), Cause> {
    let (number, length) = number::read(text.as_bytes());
    let value = match number {
        Number::Float(value) => Value::Float(value),
        Number::Integer(value) => Value::Integer(value),
        Number::Unsigned(value) => Value::Unsigned(value),
        Number::Malformed | Number::OutOfRange(_) => return Err(no_number(text, number, length)),
    };
    match is_end(text.as_bytes().get(length)) {
        true => Ok((value, length)),
        false => Err(no_number(text, number, length)),
    }
}

#[cold]
fn no_number(text: &str, number: Number, length: usize) -> Cause {
    let found = quoted(whole(text));
    let field_type = match number {
        Number::OutOfRange(b'i') => FieldType::Integer,
        Number::OutOfRange(b'u') => FieldType::Unsigned,
        Number::OutOfRange(_) => FieldType::Float,
        _ => return Cause::InvalidValue(found),
    };
    match is_end(text.as_bytes().get(length)) {
        true => Cause::ValueRange { found, field_type },
        false => Cause::InvalidValue(found),
    }
}

fn read_boolean(text: &str) -> Result<(Value<'_>, usize), Cause> {
    let word = whole(text);
    let value = match word.as_bytes() {
        [b't' | b'T'] | [b't' | b'T', b'r', b'u', b'e'] | [b'T', b'R', b'U', b'E'] => true,
        [b'f' | b'F'] | [b'f' | b'F', b'a', b'l', b's', b'e'] => false,
        [b'F', b'A', b'L', b'S', b'E'] => false,
        _ => return Err(Cause::InvalidValue(quoted(word))),
    };
    Ok((Value::Boolean(value), word.len()))
}

fn read_string(text: &str) -> Result<(Value<'_>, usize), Cause> {
    let bytes = text.as_bytes();
    let (mut at, mut escaped, mut newlines) = (1, false, 0);
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' {
            let raw = text.get(1..at).unwrap_or_default();
            return match bytes.get(at + 1) {
                None | Some(b',' | b' ' | b'\n') => {
                    Ok((Value::String { raw, escaped, newlines }, at + 1))
                }
                _ => read_bare_quotes(text),
            };
        }
        let escape = byte == b'\\';
        escaped |= escape;
        newlines += u32::from(byte == b'\n' || escape && bytes.get(at + 1) == Some(&b'\n'));
        at += 1 + usize::from(escape);
        if let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            at += plain_bytes(u64::from_le_bytes(*word));
        }
    }
    Err(Cause::UnbalancedQuotes)
}

/// Returns the number of bytes before the first quote, backslash or newline. The first byte is the
/// lowest byte of `word`.
#[inline(always)]
fn plain_bytes(word: u64) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The lowest set high bit marks a byte that equals `byte`. Higher bits may be wrong.
    let equal = |byte: u8| {
        let other = word ^ (ONES * u64::from(byte));
        other.wrapping_sub(ONES) & !other & (ONES << 7)
    };
    ((equal(b'"') | equal(b'\\') | equal(b'\n')).trailing_zeros() / 8) as usize
}

/// Reads a string that contains unescaped quotes. influxdb-python's `DataFrameClient` writes such
/// strings, and 1.x accepts them (`models.scanFields`, `scanFieldValue`).
///
/// Each quote without a preceding backslash starts or ends a quoted section. The value ends at a
/// comma, space or line end outside quoted sections. The quotes must balance, the last byte must be
/// a quote, and no `=` may occur outside quoted sections.
#[cold]
fn read_bare_quotes(text: &str) -> Result<(Value<'_>, usize), Cause> {
    let bytes = text.as_bytes();
    let (mut at, mut inside, mut escaped, mut newlines) = (0, false, false, 0);
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1);
        match byte {
            b'"' => inside = !inside,
            b',' | b' ' | b'\n' | b'=' if !inside => break,
            b'\r' if !inside && matches!(next, None | Some(b'\n')) => break,
            // An unquoted comma ends the value even after a backslash.
            b'\\' if inside || next != Some(&b',') => {
                escaped = true;
                newlines += u32::from(next == Some(&b'\n'));
                at += 1;
            }
            _ => newlines += u32::from(byte == b'\n'),
        }
        at += 1;
    }
    let length = at.min(bytes.len());
    let value = text.get(..length).unwrap_or_default();
    match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        _ if inside => Err(Cause::UnbalancedQuotes),
        Some(raw) if bytes.get(length) != Some(&b'=') => {
            Ok((Value::String { raw, escaped, newlines }, length))
        }
        _ => Err(Cause::InvalidString(quoted(value))),
    }
}

/// Calls `piece` with each part of the unescaped string, without the backslashes of `\"` and `\\`.
pub fn unescape_string(raw: &str, mut piece: impl FnMut(&str)) {
    let bytes = raw.as_bytes();
    let (mut start, mut at) = (0, 0);
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        at += found;
        if let Some(b'"' | b'\\') = bytes.get(at + 1) {
            piece(raw.get(start..at).unwrap_or_default());
            start = at + 1;
        }
        at += 2;
    }
    piece(raw.get(start..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_values_unescape_quotes_and_backslashes() {
        let unescaped = |raw: &str| {
            let mut text = String::new();
            unescape_string(raw, |piece| text.push_str(piece));
            text
        };
        for (raw, expected) in [
            (r#"a\"b"#, "a\"b"),
            (r"a\\", r"a\"),
            (r"\\\\", r"\\"),
            (r"\n\ü\,", r"\n\ü\,"),
            ("", ""),
        ] {
            assert_eq!(unescaped(raw), expected);
        }
    }

    #[test]
    fn string_values_end_at_closing_quote() {
        assert_eq!(
            read(r#""a\\" 1"#),
            Ok((Value::String { raw: r"a\\", escaped: true, newlines: 0 }, 5))
        );
        assert_eq!(
            read("\"a\nb\",c"),
            Ok((Value::String { raw: "a\nb", escaped: false, newlines: 1 }, 5))
        );
        assert_eq!(read(r#""a\""#), Err(Cause::UnbalancedQuotes));
        assert_eq!(read(r#""a"b"#), Err(Cause::InvalidString("\"a\"b".into())));
    }
}
