//! Parses a body: finds its lines, skips comments, and continues after a rejected line.

use std::ops::Range;

use super::error::{NotUtf8, quoted};
use super::number::Number;
use super::series_key::{end_of_key, unescape_name};
use super::value::{self, Value};
use super::{Cause, FieldKey, LineError, Rejected, Sink, number};
use tidemark_model::configurable_limits::{Exceeded, Limit, Limits};
use tidemark_model::limits::STRING_BYTES_MAX;
use tidemark_model::time::{MAX_TIME_NS, MIN_TIME_NS, Precision, S_NS};

const WORDS_OF_NAME_MAX: usize = 8;

/// The unit of a body's timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampUnit {
    /// The same unit for all lines.
    Fixed(Precision),
    /// A unit that is guessed from each timestamp's magnitude (InfluxDB 3 `precision=auto`).
    Auto,
}

impl TimestampUnit {
    #[inline(always)]
    fn to_ns(self, timestamp: i64) -> Option<i64> {
        let precision = match self {
            Self::Fixed(precision) => precision,
            // A timestamp below 5 · 10^9 is in seconds, below 5 · 10^12 in milliseconds, and below
            // 5 · 10^15 in microseconds.
            Self::Auto => match timestamp.unsigned_abs() / S_NS.unsigned_abs() {
                0..5 => Precision::Second,
                5..5_000 => Precision::Millisecond,
                5_000..5_000_000 => Precision::Microsecond,
                _ => Precision::Nanosecond,
            },
        };
        precision.to_ns(timestamp)
    }

    /// Returns the unit that the client probably meant, for a timestamp that is too large for this
    /// unit.
    fn meant(self, timestamp: i64) -> Option<Precision> {
        let Self::Fixed(given) = self else { return None };
        Precision::of_magnitude(timestamp).filter(|unit| unit.unit_ns() < given.unit_ns())
    }
}

/// The options for parsing a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The unit of the timestamps.
    pub unit: TimestampUnit,
    /// The time of points without a timestamp, in nanoseconds, before truncation to the unit.
    pub now_ns: i64,
    /// The limits for a line.
    pub limits: Limits,
    /// Whether a dropped field `time` is reported. 1.x and 2.x drop the field silently.
    pub reports_time_fields: bool,
}

impl Options {
    /// Creates options with the default limits.
    pub fn new(unit: TimestampUnit, now_ns: i64) -> Self {
        Self { unit, now_ns, limits: Limits::default(), reports_time_fields: true }
    }
}

/// Passes every line of `body` to `sink`, and returns the rejected lines or [`NotUtf8`].
pub fn parse<S: Sink>(body: &[u8], options: Options, sink: &mut S) -> Result<Rejected, NotUtf8> {
    let mut parser = Parser::new(options);
    parser.feed(body, true, sink)?;
    Ok(parser.into_rejected())
}

/// A parser for a body that arrives in pieces.
#[derive(Clone, Debug)]
pub struct Parser {
    /// The caller's options, with `now_ns` truncated to the unit.
    options: Options,
    consumed_bytes: u64,
    line: u32,
    rejected: Rejected,
    /// The state of the search for the end of a line that exceeded the size limit in an earlier
    /// piece. The parser rejected the line and skips its remaining bytes.
    skipping: Option<EndOfLine>,
    /// The number of blanks at the beginning of the current physical line that [`Parser::feed`] has
    /// already used. The columns of errors include these blanks.
    indent: u32,
}

impl Parser {
    /// Creates a parser for a new body.
    pub fn new(options: Options) -> Self {
        let unit_ns = match options.unit {
            TimestampUnit::Fixed(precision) => precision.unit_ns(),
            TimestampUnit::Auto => 1,
        };
        let now_ns = options.now_ns - options.now_ns.rem_euclid(unit_ns);
        let now_ns = now_ns.clamp(MIN_TIME_NS, MAX_TIME_NS);
        Self {
            options: Options { now_ns, ..options },
            consumed_bytes: 0,
            line: 1,
            rejected: Rejected::default(),
            skipping: None,
            indent: 0,
        }
    }

    /// Returns the lines rejected so far.
    pub fn into_rejected(self) -> Rejected {
        self.rejected
    }

    /// Passes the lines of the body's next piece to `sink` and returns the number of bytes used.
    /// Unless `last` is true, the caller must put the unused bytes before the next piece.
    ///
    /// # Errors
    /// Returns [`NotUtf8`]. The caller must reject the body.
    pub fn feed<S: Sink>(
        &mut self,
        piece: &[u8],
        last: bool,
        sink: &mut S,
    ) -> Result<usize, NotUtf8> {
        let text = match simdutf8::compat::from_utf8(piece) {
            Ok(text) => text,
            Err(error) => {
                let valid = piece.get(..error.valid_up_to()).unwrap_or_default();
                if last || error.error_len().is_some() {
                    let lines = memchr::memchr_iter(b'\n', valid).count();
                    return Err(NotUtf8 {
                        line: self.line.saturating_add(lines as u32),
                        byte: self.consumed_bytes + valid.len() as u64 + 1,
                    });
                }
                std::str::from_utf8(valid).unwrap_or_default()
            }
        };
        let used = self.lines(text, last, sink);
        self.consumed_bytes += used as u64;
        Ok(used)
    }

    fn lines<S: Sink>(&mut self, text: &str, last: bool, sink: &mut S) -> usize {
        let bytes = text.as_bytes();
        let mut at = 0;
        if self.consumed_bytes == 0 && text.starts_with('\u{feff}') {
            at = '\u{feff}'.len_utf8();
        }
        if let Some(end) = self.skipping.take() {
            at = self.skip(bytes, end);
        }
        loop {
            let from = at;
            while let Some(b' ' | b'\t' | b'\r' | b'\n' | 0) = bytes.get(at) {
                self.line += u32::from(bytes.get(at) == Some(&b'\n'));
                at += 1;
            }
            match bytes.get(at) {
                None => return self.keep_indent(text, from, at),
                Some(b'#') => match memchr::memchr(b'\n', bytes.get(at..).unwrap_or_default()) {
                    Some(length) => at += length,
                    None if last => return bytes.len(),
                    None if self.too_long(bytes, at).is_none() => return at,
                    None => {
                        let comment = bytes.get(at..).unwrap_or_default();
                        return at + self.skip(comment, EndOfLine::of_comment());
                    }
                },
                Some(_) => {
                    let start = at;
                    let mut cursor = Cursor { text, at };
                    let result = self.read_line(&mut cursor, start, last, sink);
                    at = cursor.at;
                    match result {
                        Ok(true) => {}
                        Ok(false) => {
                            sink.rollback();
                            return self.wait(text, from, start);
                        }
                        Err(fault) => {
                            sink.rollback();
                            let rest = bytes.get(start..).unwrap_or_default();
                            match EndOfLine::default().find(rest) {
                                None if !last => return self.wait(text, from, start),
                                end => at = end.map_or(bytes.len(), |length| start + length),
                            }
                            self.reject(text, from, start..at, fault);
                        }
                    }
                }
            }
        }
    }

    /// Handles a line that continues in the next piece, and returns the number of bytes used. If
    /// the line already exceeds the size limit, rejects and skips the line. `from` is at or before
    /// the start of the physical line.
    #[cold]
    fn wait(&mut self, text: &str, from: usize, start: usize) -> usize {
        let bytes = text.as_bytes();
        let Some(cause) = self.too_long(bytes, start) else {
            return self.keep_indent(text, from, start);
        };
        self.reject(text, from, start..start, Fault { at: start, cause });
        start + self.skip(bytes.get(start..).unwrap_or_default(), EndOfLine::default())
    }

    /// Adds the blanks of the physical line before `at` to `indent`, because the next piece begins
    /// at `at`. Returns `at`.
    #[cold]
    fn keep_indent(&mut self, text: &str, from: usize, at: usize) -> usize {
        let line_start = physical_line(text, from, at);
        self.indent = self.indent_before(line_start) + (at - line_start) as u32;
        at
    }

    /// Returns the number of blanks that earlier pieces contained in the physical line that starts
    /// at `line_start`.
    fn indent_before(&self, line_start: usize) -> u32 {
        if line_start == 0 { self.indent } else { 0 }
    }

    fn too_long(&self, bytes: &[u8], start: usize) -> Option<Cause> {
        self.options.limits.check(Limit::LineBytes, 0, bytes.len() - start).err().map(Cause::from)
    }

    #[cold]
    fn skip(&mut self, bytes: &[u8], mut end: EndOfLine) -> usize {
        let found = end.find(bytes);
        let length = found.unwrap_or(bytes.len());
        let skipped = bytes.get(..length).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', skipped).count() as u32;
        if found.is_none() {
            self.skipping = Some(end);
        }
        length
    }

    fn reject(&mut self, text: &str, from: usize, refused: Range<usize>, fault: Fault) {
        let line_start = physical_line(text, from, refused.start);
        let (line, indent) = (self.line, self.indent_before(line_start));
        self.rejected.push(|| line_error(line, indent, text, line_start, fault));
        let refused = text.as_bytes().get(refused).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', refused).count() as u32;
    }

    /// Parses the line at `cursor` and commits it. Returns `false` if the line continues in the
    /// next piece.
    fn read_line<S: Sink>(
        &mut self,
        cursor: &mut Cursor<'_>,
        start: usize,
        last: bool,
        sink: &mut S,
    ) -> Result<bool, Fault> {
        read_series(cursor, last, sink)?;
        let (inner_newlines, time_field_at) = read_fields(cursor, sink)?;
        let time_ns = match read_timestamp(cursor)? {
            None => self.options.now_ns,
            Some((timestamp, at)) => {
                match timestamp.and_then(|count| self.options.unit.to_ns(count)) {
                    Some(time_ns) => time_ns,
                    None => {
                        let meant = timestamp.and_then(|count| self.options.unit.meant(count));
                        let cause = Cause::TimestampRange { found: cursor.word(at), meant };
                        return Err(Fault::new(at, cause));
                    }
                }
            }
        };
        self.options
            .limits
            .check(Limit::LineBytes, 0, cursor.at - start)
            .map_err(|exceeded| Fault::new(start, exceeded))?;
        if cursor.peek().is_none() && !last {
            return Ok(false);
        }
        sink.commit(time_ns, self.line).map_err(|cause| Fault::new(start, cause))?;
        if let Some(at) = time_field_at.filter(|_| self.options.reports_time_fields) {
            self.leave_out_time(cursor.text, start, at);
        }
        self.line += inner_newlines + u32::from(cursor.peek().is_some());
        cursor.at += usize::from(cursor.peek().is_some());
        Ok(true)
    }

    #[cold]
    fn leave_out_time(&mut self, text: &str, start: usize, at: usize) {
        let line_start = physical_line(text, 0, start);
        let (line, indent) = (self.line, self.indent_before(line_start));
        self.rejected.push_without_time(|| {
            line_error(line, indent, text, line_start, Fault::new(at, Cause::FieldNamedTime))
        });
    }
}

/// Returns the start of the physical line that contains `at`, but at least `from`.
fn physical_line(text: &str, from: usize, at: usize) -> usize {
    let before = text.get(from..at).unwrap_or_default();
    before.rfind('\n').map_or(from, |newline| from + newline + 1)
}

/// Creates the error of a fault. The physical line starts at `line_start`, after `indent` blanks in
/// earlier pieces. The error's column counts these blanks.
fn line_error(line: u32, indent: u32, text: &str, line_start: usize, fault: Fault) -> LineError {
    let before = text.get(line_start..fault.at).unwrap_or_default();
    LineError { line, column: indent + before.chars().count() as u32 + 1, cause: fault.cause }
}

#[inline(always)]
fn read_series<S: Sink>(cursor: &mut Cursor<'_>, last: bool, sink: &mut S) -> Result<(), Fault> {
    let rest = cursor.rest();
    let expected = sink.expected_series();
    if !expected.is_empty()
        && starts_with(rest, expected)
        && rest.get(expected.len()) == Some(&b' ')
    {
        cursor.at += expected.len() + 1;
        sink.begin_expected();
    } else {
        let mut length = end_of_key(rest, |byte| matches!(byte, b' ' | b'\n'));
        if length == rest.len() && !last {
            // The sink must not receive an incomplete key. An incomplete key that ends after a
            // backslash could later match the first bytes of a longer key.
            return Err(cursor.fault(Cause::MissingFields));
        }
        let at_space = rest.get(length) == Some(&b' ');
        if !at_space && rest.get(..length).is_some_and(|key| key.ends_with(b"\r")) {
            length -= 1;
        }
        let raw = cursor.rest_text().get(..length).unwrap_or_default();
        sink.begin(raw).map_err(|(at, cause)| Fault::new(cursor.at + at, cause))?;
        cursor.at += length;
        if !at_space {
            return Err(cursor.fault(Cause::MissingFields));
        }
    }
    cursor.skip_blanks();
    Ok(())
}

/// Parses the fields and passes them to `sink`, except a field called `time`. Returns the number of
/// newlines in strings, and the position of the value of `time`, if any.
#[inline(always)]
fn read_fields<S: Sink>(
    cursor: &mut Cursor<'_>,
    sink: &mut S,
) -> Result<(u32, Option<usize>), Fault> {
    let (mut newlines, mut n_fields, mut time_field_at) = (0, 0_usize, None);
    if cursor.at_end() {
        return Err(cursor.fault(Cause::MissingFields));
    }
    loop {
        let rest = cursor.rest();
        let expected = sink.expected_field();
        let (key, is_time) = if !expected.is_empty() && starts_with(rest, expected) {
            cursor.at += expected.len();
            (FieldKey::Expected, false)
        } else {
            let raw = read_field_key(cursor)?;
            (FieldKey::Raw(raw), unescape_name(raw) == "time")
        };
        let value_at = cursor.at;
        let taken = match number::read_short(cursor.rest()) {
            Some((number, length)) if !is_time => {
                cursor.at += length;
                match number {
                    Number::Integer(value) => sink.integer(key, value),
                    Number::Float(value) => sink.float(key, value),
                    _ => Ok(()),
                }
            }
            _ => {
                let (value, length) = match value::read(cursor.rest_text()) {
                    Ok(found) => found,
                    Err(cause) => return Err(no_value(cursor, sink, key, cause)),
                };
                cursor.at += length;
                if let Value::String { raw, newlines: inner, .. } = value {
                    if raw.len() > STRING_BYTES_MAX {
                        let (fault, name) = ("the string is too long", "STRING_BYTES_MAX");
                        let exceeded = Exceeded::fixed(fault, name, STRING_BYTES_MAX, raw.len());
                        return Err(Fault::new(value_at, exceeded));
                    }
                    newlines += inner;
                }
                if is_time {
                    time_field_at = Some(value_at);
                    Ok(())
                } else {
                    hand_over(sink, key, value)
                }
            }
        };
        if let Err(cause) = taken {
            return Err(Fault::new(value_at, cause));
        }
        n_fields += usize::from(!is_time);
        match cursor.peek() {
            Some(b',') => cursor.at += 1,
            _ if n_fields == 0 => return Err(Fault::new(value_at, Cause::OnlyTime)),
            _ => return Ok((newlines, time_field_at)),
        }
    }
}

#[cold]
fn no_value<S: Sink>(cursor: &Cursor<'_>, sink: &S, key: FieldKey<'_>, cause: Cause) -> Fault {
    if !value::is_end(cursor.rest().first()) {
        return cursor.fault(cause);
    }
    let key = match key {
        FieldKey::Raw(raw) => quoted(raw),
        FieldKey::Expected => {
            quoted(&String::from_utf8_lossy(sink.expected_field())).trim_end_matches('=').to_owned()
        }
    };
    cursor.fault(Cause::MissingFieldValue(key))
}

fn read_field_key<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Fault> {
    let rest = cursor.rest();
    let length = end_of_key(rest, |byte| matches!(byte, b'=' | b',' | b' ' | b'\n'));
    let key = cursor.rest_text().get(..length).unwrap_or_default();
    if rest.get(length) != Some(&b'=') {
        let key = key.trim_end_matches('\r');
        let cause = match key {
            "" => Cause::MissingFieldKey,
            _ => {
                let name = cursor.name_with_space();
                Cause::FieldWithoutEquals { found: quoted(key), name }
            }
        };
        return Err(cursor.fault(cause));
    }
    if key.is_empty() {
        return Err(cursor.fault(Cause::MissingFieldKey));
    }
    if let Some((at, &byte)) = key.as_bytes().iter().enumerate().find(|(_, byte)| **byte < 0x20) {
        return Err(Fault::new(cursor.at + at, Cause::ControlCharacter(byte)));
    }
    cursor.at += length + 1;
    Ok(key)
}

#[inline(always)]
fn hand_over<S: Sink>(sink: &mut S, key: FieldKey<'_>, value: Value<'_>) -> Result<(), Cause> {
    match value {
        Value::Float(value) => sink.float(key, value),
        Value::Integer(value) => sink.integer(key, value),
        Value::Unsigned(value) => sink.unsigned(key, value),
        Value::Boolean(value) => sink.boolean(key, value),
        Value::String { raw, escaped, .. } => sink.string(key, raw, escaped),
    }
}

/// Returns a timestamp and its position. The timestamp is `None` if it does not fit into an i64.
#[inline(always)]
fn read_timestamp(cursor: &mut Cursor<'_>) -> Result<Option<(Option<i64>, usize)>, Fault> {
    if cursor.at_end() {
        return Ok(None);
    }
    cursor.skip_blanks();
    if cursor.at_end() {
        return Ok(None);
    }
    let start = cursor.at;
    let (timestamp, length) = number::read_timestamp(cursor.rest());
    cursor.at += length;
    if length == 0 || !value::is_end(cursor.rest().first()) || cursor.peek() == Some(b',') {
        return Err(Fault::new(start, Cause::InvalidTimestamp(cursor.word(start))));
    }
    cursor.skip_blanks();
    if !cursor.at_end() {
        return Err(cursor.fault(Cause::TrailingContent(cursor.word(cursor.at))));
    }
    Ok(Some((timestamp, start)))
}

struct Fault {
    at: usize,
    cause: Cause,
}

impl Fault {
    fn new(at: usize, cause: impl Into<Cause>) -> Self {
        Self { at, cause: cause.into() }
    }
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline(always)]
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Returns the rest of the text. The cursor stops only at ASCII bytes, so it is always at a
    /// character boundary.
    #[inline(always)]
    fn rest_text(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn fault(&self, cause: Cause) -> Fault {
        Fault { at: self.at, cause }
    }

    /// Returns the word at `at`, shortened for an error message.
    fn word(&self, at: usize) -> String {
        let rest = self.text.get(at..).unwrap_or_default();
        // A carriage return in the middle of a line is not quoted.
        let rest = rest.trim_start_matches('\r');
        quoted(rest.split([' ', '\n', '\r']).next().unwrap_or_default())
    }

    /// Suggests an escaped name for a word without `=` at the position of a field, because the word
    /// may be part of a name with unescaped spaces. Returns `None` if no `=` follows in the line.
    #[cold]
    fn name_with_space(&self) -> Option<String> {
        let line = self.rest_text().split('\n').next()?;
        let end = line.find([',', '='])?;
        let (words, behind) = line.split_at(end);
        behind.contains('=').then_some(())?;
        let words = words.split(' ').filter(|word| !word.is_empty());
        let mut words: Vec<&str> = words.take(WORDS_OF_NAME_MAX + 1).collect();
        if words.len() > WORDS_OF_NAME_MAX {
            return None;
        }
        let before = self.text.get(..self.at).unwrap_or_default();
        if let Some(before) = before.strip_suffix(' ') {
            if behind.starts_with('=') {
                words.pop();
            }
            words.insert(0, before.trim_end_matches(' ').rsplit([',', '=', '\n']).next()?);
        }
        (words.len() > 1).then(|| quoted(&words.join("\\ ")))
    }

    /// Skips spaces, tabs and NUL bytes, as in 1.x (`skipWhitespace`).
    #[inline(always)]
    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | 0) = self.peek() {
            self.at += 1;
        }
    }

    /// Whether the line ends here, possibly after a `\r`. If so, the cursor moves to the newline or
    /// the end of the text.
    #[inline(always)]
    fn at_end(&mut self) -> bool {
        match self.rest() {
            [] | [b'\n', ..] => true,
            [b'\r'] | [b'\r', b'\n', ..] => {
                self.at += 1;
                true
            }
            _ => false,
        }
    }
}

/// Whether `rest` starts with `key`. Compares up to eight bytes at a time, because
/// `slice::starts_with` compares single bytes in WASM.
#[inline(always)]
fn starts_with(rest: &[u8], key: &[u8]) -> bool {
    let Some(head) = rest.get(..key.len()) else { return false };
    match key.len() {
        0..4 => head == key,
        4..8 => {
            head.first_chunk::<4>() == key.first_chunk::<4>()
                && head.last_chunk::<4>() == key.last_chunk::<4>()
        }
        8..=16 => {
            head.first_chunk::<8>() == key.first_chunk::<8>()
                && head.last_chunk::<8>() == key.last_chunk::<8>()
        }
        _ => {
            let words = head.as_chunks::<8>().0.iter().zip(key.as_chunks::<8>().0);
            head.last_chunk::<8>() == key.last_chunk::<8>()
                && words.into_iter().all(|(a, b)| u64::from_le_bytes(*a) == u64::from_le_bytes(*b))
        }
    }
}

/// The scanner's state within a rejected line. The line ends at the first newline that is neither
/// escaped nor inside a string. Only quotes at the positions of field values start a string (1.x
/// `models.scanLine`).
#[derive(Clone, Copy, Debug, Default)]
struct EndOfLine {
    is_comment: bool,
    escaped: bool,
    in_fields: bool,
    in_string: bool,
    equals: usize,
    commas: usize,
}

impl EndOfLine {
    /// Creates the state for a comment, which ends at the first newline.
    fn of_comment() -> Self {
        Self { is_comment: true, ..Self::default() }
    }

    /// Returns the position of the line's newline in the next piece, or `None` if the line
    /// continues after the piece.
    fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.is_comment {
            return memchr::memchr(b'\n', bytes);
        }
        for (at, &byte) in bytes.iter().enumerate() {
            if std::mem::take(&mut self.escaped) {
                continue;
            }
            match byte {
                b'\\' => self.escaped = true,
                b'\n' if !self.in_string => return Some(at),
                b' ' if !self.in_string => self.in_fields = true,
                b'=' if self.in_fields && !self.in_string => self.equals += 1,
                b',' if self.in_fields && !self.in_string => self.commas += 1,
                b'"' if self.in_fields && self.equals > self.commas => {
                    self.in_string = !self.in_string;
                }
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::starts_with;

    #[test]
    fn starts_with_compares_every_byte() {
        let text: Vec<u8> = (0..40).collect();
        for length in 0..=30 {
            let key = &text[..length];
            assert!(starts_with(&text, key));
            assert!(length == 0 || !starts_with(&text[..length - 1], key));
            for at in 0..length {
                let mut other = key.to_vec();
                other[at] ^= 1;
                assert!(!starts_with(&text, &other), "{length} {at}");
            }
        }
    }
}
