#![doc = include_str!("../README.md")]
//!
//! Parses line protocol and passes each line to a [`Sink`].
//!
//! The grammar is InfluxDB's, including the lenient forms that clients rely on: CRLF, a byte order
//! mark, `.5`, `1.` and trailing spaces. The parser accepts or rejects each line as a whole and
//! reports the physical line number of a rejected line.
//!
//! In names, a backslash before a comma, a space or `=` is an escape and is dropped. In
//! measurements and field keys, `\"` is also an escape. Before any other byte, a backslash is part
//! of the name (1.x `models/points.go`). In strings, the only escapes are `\"` and `\\`.

mod error;
mod number;
mod parser;
mod series_key;
mod value;

pub use error::{Cause, LineError, NotUtf8, Rejected};
pub use parser::{Options, Parser, TimestampUnit, parse};
pub use series_key::{
    Name, SeriesKey, cut, escape_field_key, escape_measurement, escape_tag, is_canonical,
    unescape_name, write_canonical,
};
pub use value::unescape_string;

/// The key of the field that a method of [`Sink`] receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKey<'a> {
    /// The key that [`Sink::expected_field`] just returned.
    Expected,
    /// A different key as written. The key is not empty and may contain escapes.
    Raw(&'a str),
}

/// A receiver of lines. For each line, the sink receives the series, the fields, and then
/// [`Sink::commit`] or [`Sink::rollback`].
///
/// [`Sink::expected_series`] and [`Sink::expected_field`] predict the next key. If a prediction is
/// correct, the parser calls [`Sink::begin_expected`] or passes [`FieldKey::Expected`], and the
/// sink needs no lookup of the key. If a prediction is empty, the parser does not compare it.
pub trait Sink {
    /// Returns the expected series key of the next line, as written.
    fn expected_series(&self) -> &[u8];

    /// Starts a line of the expected series.
    fn begin_expected(&mut self);

    /// Starts a line of the series with this key, as written.
    ///
    /// # Errors
    /// Returns the [`Cause`] and its byte offset within the key.
    fn begin(&mut self, raw_key: &str) -> Result<(), (usize, Cause)>;

    /// Returns the expected next field key as written, including its `=`.
    fn expected_field(&self) -> &[u8];

    /// Receives a float value, or returns the [`Cause`] for which the line is rejected.
    fn float(&mut self, key: FieldKey<'_>, value: f64) -> Result<(), Cause>;

    /// Receives a signed integer value.
    fn integer(&mut self, key: FieldKey<'_>, value: i64) -> Result<(), Cause>;

    /// Receives an unsigned integer value.
    fn unsigned(&mut self, key: FieldKey<'_>, value: u64) -> Result<(), Cause>;

    /// Receives a boolean value.
    fn boolean(&mut self, key: FieldKey<'_>, value: bool) -> Result<(), Cause>;

    /// Receives a string value without its quotes. The value contains escapes if `escaped` is set.
    fn string(&mut self, key: FieldKey<'_>, raw: &str, escaped: bool) -> Result<(), Cause>;

    /// Ends the line, which is one point at `time_ns`. `line` is the number of the physical line.
    /// After an error, [`Self::rollback`] follows.
    fn commit(&mut self, time_ns: i64, line: u32) -> Result<(), Cause>;

    /// Discards all input since the last commit or rollback.
    fn rollback(&mut self);
}
