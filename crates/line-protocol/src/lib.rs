#![doc = include_str!("../README.md")]
//!
//! Parses line protocol and passes each line to a [`Sink`].
//!
//! The grammar is InfluxDB's, including the lenient forms that clients rely on: CRLF, a byte order
//! mark, `.5`, `1.` and trailing spaces. The parser accepts or rejects each line as a whole and
//! reports the physical line number of a rejected line.
//!
//! In names, a backslash before a comma, a space or `=` is an escape and is dropped. In measurements
//! and field keys, `\"` is also an escape. Before any other byte, a backslash is part of the name
//! (1.x `models/points.go`). In strings, the only escapes are `\"` and `\\`.

mod error;
mod number;
mod parser;
mod series_key;
mod sink;
mod value;

pub use error::{Cause, LineError, NotUtf8, Rejected};
pub use parser::{Options, Parser, TimestampUnit, parse};
pub use series_key::{
    Name, SeriesKey, cut, escape_field_key, escape_measurement, escape_tag, is_canonical,
    unescape_name, write_canonical,
};
pub use sink::{FieldKey, Sink};
pub use value::unescape_string;
