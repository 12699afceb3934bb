//! The errors for rejected lines and bodies, with their messages.

use tidemark_model::configurable_limits::Exceeded;
use tidemark_model::limits::{
    CELLS_PER_REQUEST_MAX, QUOTED_CHARS_MAX, REJECTED_LINES_NAMED_MAX, TAG_KEYS_PER_MEASUREMENT_MAX,
};
use tidemark_model::name::Unwritable;
use tidemark_model::time::Precision;
use tidemark_model::value::FieldType;

/// The errors of a body: the rejected lines, and the lines from which only a field was dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// The number of rejected lines.
    pub count: u64,
    /// The number of accepted lines from which a field called `time` was dropped.
    pub without_time: u64,
    /// The first [`REJECTED_LINES_NAMED_MAX`] errors, ascending by line. Both rejected lines and
    /// lines with a dropped field have an error.
    pub named: Vec<LineError>,
}

impl Rejected {
    pub(super) fn push(&mut self, error: impl FnOnce() -> LineError) {
        self.count += 1;
        self.name(error);
    }

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

/// The error of one line. Its message contains the column, but not the line number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause} (column {column})")]
pub struct LineError {
    /// The 1-based physical line on which the line of the error starts. A string can contain
    /// newlines, so a line of line protocol can span several physical lines.
    pub line: u32,
    /// The 1-based character position of the error. Newlines inside strings count as characters.
    pub column: u32,
    /// The cause of the error and the expected syntax.
    pub cause: Cause,
}

/// The error for a body that is not UTF-8. No line is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid UTF-8 on line {line} (1-based), byte {byte} of the body: write text as UTF-8")]
pub struct NotUtf8 {
    /// The 1-based physical line.
    pub line: u32,
    /// The 1-based byte position in the body.
    pub byte: u64,
}

/// The causes of errors in lines. Quoted texts are shortened to [`QUOTED_CHARS_MAX`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum Cause {
    #[error("missing measurement, expected a name before the first ','")]
    MissingMeasurement,
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
    #[error("duplicate tags: the tag '{0}' is specified more than once")]
    DuplicateTag(String),
    #[error("input tag \"time\" is invalid: the name is reserved for timestamps")]
    TagNamedTime,
    #[error("control character 0x{0:02x} in a name, expected printable text")]
    ControlCharacter(u8),
    /// Only other protocols can send such a name.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    /// `m =1` or `m v=1,`
    #[error("missing field key, expected key=value")]
    MissingFieldKey,
    /// `m v` or `m 123`
    #[error("invalid field format: no '=' in '{found}', expected key=value{}", as_name(.name))]
    FieldWithoutEquals {
        found: String,
        /// The suggested field key or tag, if `found` is probably a part of a name with unescaped
        /// spaces. The spaces of the suggestion are escaped.
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
    #[error("field value '{found}' is out of range for the type {}", field_type.name())]
    ValueRange { found: String, field_type: FieldType },
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
    #[error(
        "the field '{key}' is specified more than once with conflicting types: {} and {}: {}",
        first.name(), second.name(), second.hint(*first)
    )]
    FieldTypeConflict { key: String, first: FieldType, second: FieldType },
    /// The line's only field is called `time`.
    #[error(
        "invalid field name: input field \"time\" is invalid, expected another field: the name is \
         reserved; rename the field, or write the time at the end of the line"
    )]
    OnlyTime,
    /// One of several fields is called `time`. Only this field is dropped, as in 1.x.
    #[error(
        "input field \"time\" is invalid and is not stored: the name is reserved; rename the field, \
         or write the time at the end of the line"
    )]
    FieldNamedTime,
    /// `m v=1 abc`
    #[error("bad timestamp '{0}', expected an integer{hint}", hint = behind_fields(.0))]
    InvalidTimestamp(String),
    #[error(
        "timestamp '{found}' is outside the range of times at this precision (±9223372036854775806 ns){}",
        looks_like(*.meant)
    )]
    TimestampRange {
        found: String,
        /// The unit that the client probably meant: in this unit, the timestamp is between 2001 and
        /// 2286.
        meant: Option<Precision>,
    },
    /// `m v=1 1 1`
    #[error("trailing content '{0}' after the timestamp, expected the end of the line")]
    TrailingContent(String),
    #[error(transparent)]
    Limit(#[from] Exceeded),
    #[error(
        "the lines of this request have too many different fields or tags: current {current} \
         cells, requested {requested}, limit {CELLS_PER_REQUEST_MAX} (CELLS_PER_REQUEST_MAX): \
         send fewer lines per request"
    )]
    TooManyCells { current: usize, requested: usize },
    #[error(
        "tag keys limit exceeded on measurement \"{measurement}\": it has {current} tag keys, this \
         line would make {requested}, and the limit is {TAG_KEYS_PER_MEASUREMENT_MAX} \
         (TAG_KEYS_PER_MEASUREMENT_MAX)"
    )]
    TooManyTagKeys { measurement: String, current: usize, requested: usize },
}

fn as_name(name: &Option<String>) -> String {
    let hint = |name| format!("; if the space is part of a name, escape it: `{name}`");
    name.as_ref().map(hint).unwrap_or_default()
}

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
    let hint = |unit: Precision| {
        format!("; it looks like {}: write with precision={}", unit.plural(), unit.parameter())
    };
    meant.map(hint).unwrap_or_default()
}

pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
