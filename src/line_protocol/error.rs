//! Names every reason why a line, or a whole body, is refused, with the words of each.

use crate::model::configurable_limits::Exceeded;
use crate::model::limits::{CELLS_PER_REQUEST_MAX, QUOTED_CHARS_MAX, REJECTED_LINES_NAMED_MAX};
use crate::model::time::Precision;
use crate::model::value::FieldType;

/// The lines of a body that were refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// How many lines were refused.
    pub count: u64,
    /// Lines that were taken, but for a field called `time`.
    pub without_time: u64,
    /// The first [`REJECTED_LINES_NAMED_MAX`] of both, ascending by line.
    pub named: Vec<LineError>,
}

impl Rejected {
    /// Counts a line, and names it while there is room.
    pub(super) fn push(&mut self, error: impl FnOnce() -> LineError) {
        self.count += 1;
        self.name(error);
    }

    /// Counts a line that was taken without its field `time`, and names it while there is room.
    pub(super) fn push_without_time(&mut self, error: impl FnOnce() -> LineError) {
        self.without_time += 1;
        self.name(error);
    }

    fn name(&mut self, error: impl FnOnce() -> LineError) {
        if self.named.len() < REJECTED_LINES_NAMED_MAX {
            self.named.push(error());
        }
    }
}

/// One refused line. Its text is the cause and the column, without the number of the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause} (column {column})")]
pub struct LineError {
    /// 1-based physical line on which the refused line started.
    pub line: u32,
    /// 1-based character of that line (newlines inside its strings count) where reading stopped.
    pub column: u32,
    /// What is wrong and what was expected.
    pub cause: Cause,
}

/// The body is not text, so no line of it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid UTF-8 on line {line} (1-based), byte {byte} of the body: write text as UTF-8")]
pub struct NotUtf8 {
    /// 1-based physical line.
    pub line: u32,
    /// 1-based position in the body.
    pub byte: u64,
}

/// What is wrong with a line. Texts are quoted up to a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The line starts with a comma.
    #[error("missing measurement, expected a name before the first ','")]
    MissingMeasurement,
    /// The line ends after the series key.
    #[error("missing fields, expected a space and key=value after the measurement and tags")]
    MissingFields,
    /// `m,=a` or `m, v=1`
    #[error("missing tag key, expected key=value after ','")]
    MissingTagKey,
    /// `m,t= v=1`
    #[error("missing tag value of '{0}', expected text after '=' (leave out tags without a value)")]
    MissingTagValue(String),
    /// `m,t v=1`
    #[error("missing tag value: no '=' in '{0}', expected key=value")]
    TagWithoutEquals(String),
    /// `m,t=a=b v=1`
    #[error("invalid tag format: unescaped '=' in the value of tag '{0}', write '\\='")]
    EqualsInTagValue(String),
    /// A tag key stands twice.
    #[error("duplicate tags: the tag '{0}' is specified more than once")]
    DuplicateTag(String),
    /// A tag called `time`.
    #[error("input tag \"time\" is invalid: the name is reserved for timestamps")]
    TagNamedTime,
    /// A byte below 0x20 in a name.
    #[error("control character 0x{0:02x} in a name, expected printable text")]
    ControlCharacter(u8),
    /// `m =1` or `m v=1,`
    #[error("missing field key, expected key=value")]
    MissingFieldKey,
    /// `m v` or `m 123`
    #[error("invalid field format: no '=' in '{found}', expected key=value{}", as_name(.name))]
    FieldWithoutEquals {
        /// As written.
        found: String,
        /// The name that it may belong to, its spaces escaped.
        name: Option<String>,
    },
    /// `m v=`
    #[error("missing field value of '{0}', expected a value after '='")]
    MissingFieldValue(String),
    /// `m v=abc`
    #[error(
        "invalid field value '{0}', expected a float (1.5), an integer (1i), an unsigned integer \
         (1u), a boolean (true) or a string in double quotes"
    )]
    InvalidValue(String),
    /// Outside the 64 bits of the type.
    #[error("field value '{found}' is out of range for the type {}", field_type.name())]
    ValueRange {
        /// As written.
        found: String,
        /// What its suffix says.
        field_type: FieldType,
    },
    /// No closing quote up to the end of the body.
    #[error(
        "unbalanced quotes: the string has no closing '\"' (inside a string write a quote as \\\")"
    )]
    UnbalancedQuotes,
    /// `m v="a"b`
    #[error(
        "invalid field value '{0}', expected the string to end with a '\"' before ',' or ' ' \
         (inside a string write a quote as \\\")"
    )]
    InvalidString(String),
    /// Two values of different types for one field.
    #[error(
        "the field '{key}' is specified more than once with conflicting types: {} and {}: {}",
        first.name(), second.name(), second.cure(*first)
    )]
    FieldTypeConflict {
        /// The field.
        key: String,
        /// Of the earlier value.
        first: FieldType,
        /// Of the later value.
        second: FieldType,
    },
    /// The only field is called `time`.
    #[error(
        "invalid field name: input field \"time\" is invalid, expected another field: the name is \
         reserved, rename it, or write the time at the end of the line"
    )]
    OnlyTime,
    /// One of several fields is called `time`: it alone is left out, as by 1.x.
    #[error(
        "input field \"time\" is invalid and cannot be kept: the name is reserved, rename it, or \
         write the time at the end of the line"
    )]
    FieldNamedTime,
    /// `m v=1 abc`
    #[error("bad timestamp '{0}', expected an integer{cure}", cure = behind_fields(.0))]
    InvalidTimestamp(String),
    /// Not a time that can be stored.
    #[error(
        "timestamp '{found}' is outside the range of 64-bit nanoseconds at this precision{}",
        looks_like(*.meant)
    )]
    TimestampRange {
        /// As written.
        found: String,
        /// The unit in which it is a time of our days.
        meant: Option<Precision>,
    },
    /// `m v=1 1 1`
    #[error("trailing content '{0}' after the timestamp, expected the end of the line")]
    TrailingContent(String),
    /// More than a line may have or be, or than one request may add.
    #[error(transparent)]
    Limit(#[from] Exceeded),
    /// [`CELLS_PER_REQUEST_MAX`].
    #[error(
        "the lines of this request have too many different fields or tags: current {current} \
         cells, requested {requested}, limit {CELLS_PER_REQUEST_MAX} (CELLS_PER_REQUEST_MAX): \
         send fewer lines per request"
    )]
    TooManyCells {
        /// Cells of the lines before.
        current: usize,
        /// Cells with this line's.
        requested: usize,
    },
}

/// What to do where a name with a space in it was meant.
fn as_name(name: &Option<String>) -> String {
    let cure = |name| format!("; if the space is part of a name, escape it: `{name}`");
    name.as_ref().map(cure).unwrap_or_default()
}

/// What to do where `found` stands behind a space that ended the fields.
fn behind_fields(found: &str) -> &'static str {
    if found.contains('"') {
        " (inside a string write a quote as \\\")"
    } else if found.contains('=') {
        " (write ',' and no space between fields)"
    } else {
        ""
    }
}

fn looks_like(meant: Option<Precision>) -> String {
    let cure = |unit: Precision| {
        format!(": this looks like {}: `precision={}`", unit.plural(), unit.parameter())
    };
    meant.map(cure).unwrap_or_default()
}

/// The start of `text`, short enough to repeat.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
