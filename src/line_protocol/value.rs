//! One field value.

use super::Cause;
use super::error::quoted;
use super::number::{self, Number};
use crate::model::value::FieldType;

/// A value as it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    /// Without quotes; whether there are escapes in it.
    String(&'a str, bool),
}

/// Reads the value at the start of `text` and returns it with its length.
pub(super) fn read(text: &str) -> Result<(Value<'_>, usize), Cause> {
    match text.as_bytes().first() {
        Some(b'0'..=b'9' | b'-' | b'.') => read_number(text),
        Some(b'"') => read_string(text),
        _ => read_boolean(text),
    }
}

/// Whether a value may end before `byte`.
pub(super) fn is_end(byte: Option<&u8>) -> bool {
    matches!(byte, None | Some(b',' | b' ' | b'\n' | b'\r'))
}

/// The text up to where a value would end.
fn whole(text: &str) -> &str {
    let end = text.bytes().position(|byte| is_end(Some(&byte)));
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

#[inline]
fn read_number(text: &str) -> Result<(Value<'_>, usize), Cause> {
    let (number, length) = number::read(text);
    if !is_end(text.as_bytes().get(length)) {
        return Err(Cause::InvalidValue(quoted(whole(text))));
    }
    let value = match number {
        Number::Float(value) => Value::Float(value),
        Number::Integer(value) => Value::Integer(value),
        Number::Unsigned(value) => Value::Unsigned(value),
        Number::Malformed => return Err(Cause::InvalidValue(quoted(whole(text)))),
        Number::OutOfRange(suffix) => {
            let field_type = match suffix {
                b'i' => FieldType::Integer,
                b'u' => FieldType::Unsigned,
                _ => FieldType::Float,
            };
            return Err(Cause::ValueRange { found: quoted(whole(text)), field_type });
        }
    };
    Ok((value, length))
}

fn read_boolean(text: &str) -> Result<(Value<'_>, usize), Cause> {
    let word = whole(text);
    let value = match word {
        "t" | "T" | "true" | "True" | "TRUE" => true,
        "f" | "F" | "false" | "False" | "FALSE" => false,
        _ => return Err(Cause::InvalidValue(quoted(word))),
    };
    Ok((Value::Boolean(value), word.len()))
}

fn read_string(text: &str) -> Result<(Value<'_>, usize), Cause> {
    let bytes = text.as_bytes();
    let (mut at, mut escaped) = (1, false);
    loop {
        let found = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest));
        at += found.ok_or(Cause::UnbalancedQuotes)?;
        if bytes.get(at) == Some(&b'"') {
            break;
        }
        // Whatever follows a backslash does not close the string.
        escaped = true;
        at += 2;
    }
    let raw = text.get(1..at).unwrap_or_default();
    if !is_end(bytes.get(at + 1)) {
        let rest = text.get(at + 1..).unwrap_or_default();
        return Err(Cause::InvalidValue(quoted(&format!("\"{}\"{}", quoted(raw), whole(rest)))));
    }
    Ok((Value::String(raw, escaped), at + 1))
}

/// Calls `piece` with the parts of a string as written between which nothing but the backslashes
/// of `\"` and `\\` is left out.
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
    fn strings_unescape_quotes_and_backslashes_only() {
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
    fn strings_end_at_the_first_bare_quote() {
        assert_eq!(read(r#""a\\" 1"#), Ok((Value::String(r"a\\", true), 5)));
        assert_eq!(read("\"a\nb\",c"), Ok((Value::String("a\nb", false), 5)));
        assert_eq!(read(r#""a\""#), Err(Cause::UnbalancedQuotes));
        assert_eq!(read(r#""a"b"#), Err(Cause::InvalidValue("\"a\"b".into())));
    }
}
