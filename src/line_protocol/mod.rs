//! Parses line protocol and hands each line to a [`Sink`].
//!
//! The grammar is InfluxDB's with the leniencies that clients rely on (CRLF, a byte order mark,
//! `.5`, `1.`, trailing spaces). Each line is taken whole or refused with its physical number; what
//! columns are, and which series a raw key names, is the sink's business (`batch::from_lines`).
//!
//! Escapes in names: a delimiter after a backslash is data, and the backslash is dropped; before
//! any other byte a backslash is data (1.x `models/points.go`). In strings only `\"` and `\\`.

mod cursor;
mod end_of_line;
mod error;
mod number;
mod parser;
mod series_key;
mod sink;
mod value;

pub use error::{Cause, LineError, NotUtf8, Rejected};
pub use parser::{Options, Parser, TimestampUnit, parse};
pub use series_key::{Name, SeriesKey, cut, is_canonical, unescape_name, write_canonical};
pub use sink::{FieldKey, Sink};
pub use value::unescape_string;
