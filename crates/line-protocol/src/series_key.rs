//! Splits a raw series key into its measurement and tags.

use std::borrow::Cow;

use super::Cause;
use super::error::quoted;
use tidemark_model::configurable_limits::{Exceeded, Limit, Limits};
use tidemark_model::limits::SERIES_KEY_BYTES_MAX;
use tidemark_model::name::{NameKind, check_writable};

/// A tag key or value without escapes.
pub type Name<'a> = Cow<'a, str>;

/// A series key without escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesKey<'a> {
    /// The measurement, which is not empty.
    pub measurement: Name<'a>,
    /// The pairs of tag key and value, none empty. The keys are unique and ascending.
    pub tags: Vec<(Name<'a>, Name<'a>)>,
    pub(crate) was_sorted: bool,
}

impl<'a> SeriesKey<'a> {
    /// Creates the key of a series from names without escapes, for protocols other than line
    /// protocol. Sorts the tags.
    ///
    /// # Errors
    /// Returns the [`Cause`] if line protocol cannot represent the key.
    pub fn new(
        measurement: Name<'a>,
        mut tags: Vec<(Name<'a>, Name<'a>)>,
        limits: &Limits,
    ) -> Result<Self, Cause> {
        limits.check(Limit::Tags, 0, tags.len())?;
        let tag_bytes = tags.iter().map(|(key, value)| key.len() + value.len() + 2);
        check_key_bytes(measurement.len() + tag_bytes.sum::<usize>())?;
        check_writable(&measurement, NameKind::Measurement)?;
        for (key, value) in &tags {
            check_writable(key, NameKind::TagKey)?;
            check_writable(value, NameKind::TagValue)?;
        }
        let was_sorted = tags.is_sorted_by(|a, b| a.0 < b.0);
        if !was_sorted {
            sort_tags(&mut tags)?;
        }
        Ok(Self { measurement, tags, was_sorted })
    }
}

fn check_key_bytes(bytes: usize) -> Result<(), Cause> {
    if bytes <= SERIES_KEY_BYTES_MAX {
        return Ok(());
    }
    let (fault, name) = ("max key length exceeded", "SERIES_KEY_BYTES_MAX");
    Err(Cause::Limit(Exceeded::fixed(fault, name, SERIES_KEY_BYTES_MAX, bytes)))
}

fn sort_tags(tags: &mut [(Name<'_>, Name<'_>)]) -> Result<(), Cause> {
    tags.sort_by(|a, b| a.0.cmp(&b.0));
    let twice = tags.windows(2).find(|pair| matches!(pair, [a, b] if a.0 == b.0));
    match twice {
        Some([(tag, _), _]) => Err(Cause::DuplicateTag(quoted(tag))),
        _ => Ok(()),
    }
}

/// Splits a series key as written. The key ends before the first unescaped space.
///
/// # Errors
/// Returns the [`Cause`] and its byte offset within the key.
pub fn cut<'a>(raw: &'a str, limits: &Limits) -> Result<SeriesKey<'a>, (usize, Cause)> {
    check_key_bytes(raw.len()).map_err(|cause| (0, cause))?;
    if let Some(at) = raw.bytes().position(|byte| byte < 0x20) {
        return Err((at, Cause::ControlCharacter(raw.as_bytes().get(at).copied().unwrap_or(0))));
    }
    let mut at = end_of_key(raw.as_bytes(), |byte| byte == b',');
    let measurement = raw.get(..at).unwrap_or_default();
    if measurement.is_empty() {
        return Err((0, Cause::MissingMeasurement));
    }
    let mut key =
        SeriesKey { measurement: unescape_name(measurement), tags: Vec::new(), was_sorted: true };
    while at < raw.len() {
        let (tag, value, end) = cut_tag(raw, at + 1)?;
        if key.tags.last().is_some_and(|(last, _)| *last >= tag) {
            key.was_sorted = false;
        }
        key.tags.push((tag, value));
        at = end;
    }
    let checked = limits.check(Limit::Tags, 0, key.tags.len());
    checked.map_err(|exceeded| (0, Cause::Limit(exceeded)))?;
    if !key.was_sorted {
        sort_tags(&mut key.tags).map_err(|cause| (0, cause))?;
    }
    Ok(key)
}

fn cut_tag(raw: &str, start: usize) -> Result<(Name<'_>, Name<'_>, usize), (usize, Cause)> {
    let ends = |byte| matches!(byte, b'=' | b',');
    let equals = start + end_of_key(raw.as_bytes().get(start..).unwrap_or_default(), ends);
    let tag = raw.get(start..equals).unwrap_or_default();
    if raw.as_bytes().get(equals) != Some(&b'=') {
        let cause = match tag {
            "" => Cause::MissingTagKey,
            _ => Cause::TagWithoutEquals(quoted(tag)),
        };
        return Err((start, cause));
    }
    if tag.is_empty() {
        return Err((start, Cause::MissingTagKey));
    }
    let end = equals + 1 + end_of_key(raw.as_bytes().get(equals + 1..).unwrap_or_default(), ends);
    let value = raw.get(equals + 1..end).unwrap_or_default();
    if raw.as_bytes().get(end) == Some(&b'=') {
        return Err((end, Cause::EqualsInTagValue(quoted(tag))));
    }
    if value.is_empty() {
        return Err((end, Cause::MissingTagValue(quoted(tag))));
    }
    let tag = unescape_tag(tag);
    if tag == "time" {
        return Err((start, Cause::TagNamedTime));
    }
    Ok((tag, unescape_tag(value), end))
}

/// Returns the position of the first byte that ends the key. A byte after a backslash does not
/// count.
pub(super) fn end_of_key(rest: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    let mut before = 0;
    rest.iter()
        .position(|&byte| {
            let end = ends(byte) && before != b'\\';
            before = byte;
            end
        })
        .unwrap_or(rest.len())
}

/// Removes the escapes of a measurement or field key.
pub fn unescape_name(raw: &str) -> Cow<'_, str> {
    unescape(raw, |byte| matches!(byte, b',' | b'=' | b' ' | b'"'))
}

fn unescape_tag(raw: &str) -> Cow<'_, str> {
    unescape(raw, |byte| matches!(byte, b',' | b'=' | b' '))
}

fn unescape(raw: &str, is_special: impl Fn(u8) -> bool) -> Cow<'_, str> {
    if !raw.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut characters = raw.chars().peekable();
    while let Some(character) = characters.next() {
        let escape = character == '\\'
            && characters.peek().is_some_and(|next| u8::try_from(*next).is_ok_and(&is_special));
        if !escape {
            text.push(character);
        }
    }
    Cow::Owned(text)
}

/// Whether `raw` is the only spelling of its series, so that a lookup can compare the texts.
pub fn is_canonical(raw: &str, key: &SeriesKey<'_>) -> bool {
    key.was_sorted && !raw.as_bytes().contains(&b'\\')
}

/// Replaces `out` with the series' canonical text: sorted tags, and only the necessary escapes.
pub fn write_canonical(key: &SeriesKey<'_>, out: &mut String) {
    out.clear();
    escape_measurement(&key.measurement, |piece| out.push_str(piece));
    for (tag, value) in &key.tags {
        out.push(',');
        escape_tag(tag, |piece| out.push_str(piece));
        out.push('=');
        escape_tag(value, |piece| out.push_str(piece));
    }
}

/// Passes the pieces of the escaped measurement to `push`.
pub fn escape_measurement(name: &str, push: impl FnMut(&str)) {
    escape(name, b", ", b"=\"", push);
}

/// Passes the pieces of the escaped tag key or tag value to `push`.
pub fn escape_tag(text: &str, push: impl FnMut(&str)) {
    escape(text, b",= ", b"", push);
}

/// Passes the pieces of the escaped field key to `push`.
pub fn escape_field_key(name: &str, push: impl FnMut(&str)) {
    escape(name, b",= ", b"\"", push);
}

/// Passes the pieces of the escaped text to `push`. The bytes in `always` are always escaped. The
/// bytes in `after_backslash` are escaped only after a backslash, because InfluxDB 3 does not
/// remove their escapes.
fn escape(text: &str, always: &[u8], after_backslash: &[u8], mut push: impl FnMut(&str)) {
    let (mut start, mut before) = (0, 0);
    for (at, byte) in text.bytes().enumerate() {
        if always.contains(&byte) || before == b'\\' && after_backslash.contains(&byte) {
            push(text.get(start..at).unwrap_or_default());
            push("\\");
            start = at;
        }
        before = byte;
    }
    push(text.get(start..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: &str) {
        let mut canonical = String::new();
        let text = match cut(raw, &Limits::default()) {
            Ok(key) => {
                write_canonical(&key, &mut canonical);
                let again = cut(&canonical, &Limits::default()).unwrap();
                assert_eq!((&again.measurement, &again.tags), (&key.measurement, &key.tags));
                assert!(!is_canonical(raw, &key) || canonical == raw);
                let tags: Vec<String> =
                    key.tags.iter().map(|(tag, value)| format!("<{tag}>=<{value}>")).collect();
                format!("<{}> {}", key.measurement, tags.join(" "))
            }
            Err((at, cause)) => format!("{at}: {cause}"),
        };
        assert_eq!(text.trim_end(), expected);
    }

    #[test]
    fn series_keys_split_and_unescape() {
        check("cpu", "<cpu>");
        check("cpu,b=2,a=1", "<cpu> <a>=<1> <b>=<2>");
        check(r"c\,p\ u,a\=b=c\,d\ e", "<c,p u> <a=b>=<c,d e>");
        check(r#"c\=u\"v"#, r#"<c=u"v>"#);
        check(r#"c\\=u\\"v"#, r#"<c\=u\"v>"#);
        check(r#"m,t\"u=v\"w"#, r#"<m> <t\"u>=<v\"w>"#);
        check(r"m,t=\\server\share", r"<m> <t>=<\\server\share>");
        check(r"m,t=a\\ b", r"<m> <t>=<a\ b>");
        // 1.6.7 unescapes such a measurement twice, and loses the point.
        check(r"q\\,a=1", r"<q\,a=1>");
        check(r"q\\\,a=1,b=2", r"<q\\,a=1> <b>=<2>");
        check(r"q,t\\,a=1", r"<q> <t\,a>=<1>");
    }

    #[test]
    fn series_key_errors_name_position() {
        check(",a=1", "0: missing measurement, expected a name before the first ','");
        check("m,", "2: missing tag key, expected key=value after ','");
        check("m,=a", "2: missing tag key, expected key=value after ','");
        check("m,a", "2: missing tag value: no '=' in 'a', expected key=value");
        check("m,b=1,a,c=1", "6: missing tag value: no '=' in 'a', expected key=value");
        check(
            "m,a=,b=1",
            "4: missing tag value of 'a', expected text after '=' (leave out tags without a value)",
        );
        check(
            "m,a=b=c",
            "5: invalid tag format: unescaped '=' in the value of tag 'a', write '\\='",
        );
        check("m,a=1,b=1,a=1", "0: duplicate tags: the tag 'a' is specified more than once");
        check("m,time=1", "2: input tag \"time\" is invalid: the name is reserved for timestamps");
        check("m\u{1}", "1: control character 0x01 in a name, expected printable text");
    }
}
