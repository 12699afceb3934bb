//! What the edge asks of a shard.

use serde::{Deserialize, Serialize};

use crate::merge::cursor::Direction;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::limits::PIECE_BYTES_MAX;
use crate::model::time::TimeRange;
use crate::model::value::{FieldType, FieldValue};

/// One scan of one measurement on one shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanRequest {
    /// Which measurement.
    pub measurement: MeasurementId,
    /// Rows outside are not considered.
    pub time: TimeRange,
    /// Rows for which it is not true are not considered.
    pub predicate: Option<Predicate>,
    /// Tag columns whose values form the group key, in order of the key. Empty: one group.
    pub group_by: Vec<ColumnId>,
    /// Groups descend by key, and rows and windows by time, instead of ascending.
    pub descending: bool,
    /// What to answer with.
    pub output: Output,
    /// Which piece of the answer is wanted.
    pub resume: Resume,
    /// About how many bytes it may have, at most [`PIECE_BYTES_MAX`].
    #[serde(default = "whole_page")]
    pub piece_bytes: u32,
    /// How many groups are wanted at most: a slice may end behind so many. Others may come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_max: Option<u64>,
}

/// What a piece may have where nobody says less, bytes.
fn whole_page() -> u32 {
    PIECE_BYTES_MAX
}

impl ScanRequest {
    /// Whether one row of each group is wanted, the latest.
    pub(super) fn wants_newest(&self) -> bool {
        self.descending && matches!(self.output, Output::Rows { limit: Some(1), .. })
    }

    /// In which series, times and groups come.
    pub(super) fn direction(&self) -> Direction {
        if self.descending { Direction::Descending } else { Direction::Ascending }
    }
}

/// What a scan answers with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// Rows in which at least one of `fields` has a value, or all of them.
    Rows {
        /// Fields to ship, converted where the input says so.
        fields: Vec<Input>,
        /// Tag columns to ship beside them, "" where a series lacks the tag.
        tags: Vec<ColumnId>,
        /// Rows wanted of each group at most, over all pages; the merged answer may need fewer.
        limit: Option<u64>,
        /// SQL: also rows in which none of `fields` has a value, and in whatever order is least
        /// work where there is no limit.
        #[serde(default)]
        every_row: bool,
    },
    /// Partial states, one per call, group and window that has at least one value.
    Aggregates {
        /// The calls, answered in this order.
        calls: Vec<AggregateCall>,
        /// Windows of GROUP BY time(); `None` is one window over the whole range.
        window: Option<Window>,
        /// With one call only: windows wanted of each group at most, over all pages. More may come;
        /// so many are whole.
        #[serde(default)]
        limit: Option<u64>,
    },
}

/// A field column, read as it is or converted (`field::integer`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// The field column.
    pub column: ColumnId,
    /// The column's own type by the schema, so that a shard without the column knows it too.
    pub field_type: FieldType,
    /// Numeric conversion; float to integer truncates. Any other cast leaves no value.
    pub cast: Option<FieldType>,
}

impl Input {
    /// The type of the values after the cast; `None` when the cast leaves no value.
    pub fn output_type(&self) -> Option<FieldType> {
        let numeric = |field_type| {
            matches!(field_type, FieldType::Float | FieldType::Integer | FieldType::Unsigned)
        };
        match self.cast {
            None => Some(self.field_type),
            Some(cast) if cast == self.field_type => Some(cast),
            Some(cast) => (numeric(cast) && numeric(self.field_type)).then_some(cast),
        }
    }
}

/// One aggregate or selector over one field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AggregateCall {
    /// Which function.
    pub function: AggregateFunction,
    /// Over what.
    pub input: Input,
    /// Selectors only: fields and tags to take from the selected point.
    pub beside: Vec<Beside>,
}

impl AggregateCall {
    /// Whether nothing is rounded: its states come to the same however its rows are grouped. Sums
    /// of floats and the moments of a deviation differ in their last digits.
    pub(super) fn is_exact(&self) -> bool {
        let is_whole = || {
            let of = self.input.output_type();
            matches!(of, Some(FieldType::Integer | FieldType::Unsigned))
        };
        match self.function {
            AggregateFunction::Sum | AggregateFunction::Mean => is_whole(),
            AggregateFunction::Stddev => false,
            _ => true,
        }
    }
}

/// What a selector takes from the selected point beside the value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Beside {
    /// A field, null where the point lacks it.
    Field(Input),
    /// A tag, '' where the series lacks it.
    Tag(ColumnId),
}

/// Functions whose partial states merge, so that a shard can answer with states instead of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AggregateFunction {
    /// Number of values.
    Count,
    /// Sum; integers wrap as in 1.x.
    Sum,
    /// Sum and count.
    Mean,
    /// Smallest value; ties: earliest time.
    Min,
    /// Largest value; ties: earliest time.
    Max,
    /// Value at the earliest time; ties: larger value (booleans: false).
    First,
    /// Value at the latest time; ties: larger value (booleans: true).
    Last,
    /// Smallest and largest value.
    Spread,
    /// Count, mean and squared distance (merged by Chan's formula).
    Stddev,
    /// [`Self::First`] or [`Self::Last`] of all series of a group without windows, of which 1.x
    /// looks at two. What stands beside begins with the texts that order them: the tags of the
    /// series in order of their names and, with `by_text`, before them the text shown.
    Met {
        /// Last instead of first.
        latest: bool,
        /// The two whose texts come first (last) instead of the two ends, if all have a text.
        by_text: bool,
    },
    /// SQL: number of rows, whatever they have; the input is not looked at.
    Rows,
    /// SQL: [`Self::First`] of rows, whatever they have; the value is the time.
    FirstRow,
    /// SQL: [`Self::Last`] of the same.
    LastRow,
}

impl AggregateFunction {
    /// Whether it looks at the values of its input, and not at rows alone.
    pub fn reads_input(self) -> bool {
        !matches!(self, Self::Rows | Self::FirstRow | Self::LastRow)
    }
}

/// GROUP BY time(every, offset), in UTC or in a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Width, nanoseconds, above 0.
    pub every_ns: i64,
    /// Offset of the window starts from the epoch, nanoseconds.
    pub offset_ns: i64,
    /// tz(): from each time on (nanoseconds, ascending), local time is UTC plus this many
    /// nanoseconds. Empty is UTC. The edge knows the zone rules; a shard does not.
    pub zone: Vec<(i64, i64)>,
}

/// A condition over one row. Comparisons with a missing field are false; a missing tag is ''.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Predicate {
    /// Always true or always false.
    Constant(bool),
    /// Both.
    And(Box<Predicate>, Box<Predicate>),
    /// Either.
    Or(Box<Predicate>, Box<Predicate>),
    /// A comparison of two expressions.
    Compare(Comparison, Box<Operand>, Box<Operand>),
    /// Whether the text of a tag or string field matches a regex (Go syntax, unanchored);
    /// `negated` for `!~`. A missing string field matches neither.
    Matches {
        /// Tag or string field.
        operand: Box<Operand>,
        /// Source text.
        regex: String,
        /// `!~`
        negated: bool,
    },
    /// A boolean field that is true.
    IsTrue(Box<Operand>),
    /// Exactly one of both. Negates a predicate together with `Constant(true)`.
    Differ(Box<Predicate>, Box<Predicate>),
}

/// Comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// An expression inside a predicate. WHERE divides integers as integers (1.x `ast.go`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Operand {
    /// A field of the row.
    Field(Input),
    /// A tag of the row's series, '' when it lacks it.
    Tag(ColumnId),
    /// A constant.
    Literal(FieldValue),
    /// Arithmetic on two operands.
    Arithmetic(Arithmetic, Box<Operand>, Box<Operand>),
    /// A mathematical function, by its lower-case InfluxQL name.
    Call(String, Vec<Operand>),
}

/// Arithmetic and bitwise operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    BitAnd,
    BitOr,
    BitXor,
}

/// A place in the order of an answer: groups by key, and rows or windows of each by time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Values of the group tags: all groups before it lie before the place,
    pub group: Vec<String>,
    /// and of it the times before this one in the direction of the answer, nanoseconds.
    pub time_ns: i64,
}

/// Where a piece of an answer begins, and where its slice ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Nothing of the answer before it is wanted.
    pub from: Option<Place>,
    /// Nothing of it from there on is.
    pub until: Option<Place>,
    /// How far the shard had come when the last piece of this slice ended.
    pub position: Option<Position>,
}

impl Resume {
    /// Whether it is not the first piece.
    pub fn goes_on(&self) -> bool {
        self.from.is_some() || self.position.is_some()
    }

    /// What somebody who asks only one shard asks next; `until` and `position` are what the piece
    /// that begins here says. `None`: it was the last.
    #[must_use]
    pub fn after(self, until: Option<Place>, position: Option<Position>) -> Option<Self> {
        match (position, until.or(self.until)) {
            (None, None) => None,
            (None, from) => Some(Self { from, ..Self::default() }),
            (position, until) => Some(Self { from: self.from, until, position }),
        }
    }
}

/// How far a shard has come with a slice: everything of the times before `stretch` is answered, and
/// inside it the series before `series`. Opaque to the edge, which hands it back as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The tags in whose order the series come.
    pub order: Vec<ColumnId>,
    /// Which times.
    pub stretch: TimeRange,
    /// The key of the last series that was reached.
    pub series: Vec<u8>,
    /// Its first time that is not answered, in the direction of the answer, nanoseconds. `None`:
    /// it is through.
    pub time_ns: Option<i64>,
}

/// Rows of one measurement that go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deletion {
    /// Which measurement.
    pub measurement: MeasurementId,
    /// On tags only; `None` deletes every series.
    pub predicate: Option<Predicate>,
    /// Only rows inside go.
    pub time: TimeRange,
}

/// What exists, for SHOW statements: names of live columns, tag values or series of measurements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SummaryRequest {
    /// The measurements asked about; each is answered only if it has live rows that match.
    pub measurements: Vec<MeasurementId>,
    /// Only rows inside count.
    pub time: TimeRange,
    /// Rows before it are past their retention; nanoseconds, `None` for none.
    #[serde(default)]
    pub kept_from_ns: Option<i64>,
    /// On tags only; per measurement, in the order of `measurements`, since ids differ.
    pub predicates: Vec<Option<Predicate>>,
    /// What is wanted.
    pub want: SummaryWant,
    /// The measurement (position in `measurements`) and where the shard goes on there, which is the
    /// shard's own business.
    pub resume: Option<(u32, Vec<String>)>,
    /// Of each measurement the first so many tag values are enough, or so many series in order of
    /// their text: of these a shard may list more.
    #[serde(default)]
    pub items_max: Option<u64>,
    /// About how many bytes the page may have, at most [`PIECE_BYTES_MAX`].
    #[serde(default = "whole_page")]
    pub piece_bytes: u32,
}

/// What a summary lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SummaryWant {
    /// Nothing but which measurements are alive.
    Measurements,
    /// Ids of live columns, fields and tags.
    Columns,
    /// Distinct values of these tag columns, per measurement.
    TagValues(Vec<Vec<ColumnId>>),
    /// Every series as the values of these tag columns ('' where missing), per measurement.
    Series(Vec<Vec<ColumnId>>),
    /// How many series there are: a hash of each.
    SeriesHashes {
        /// Per measurement the tag columns, each with the seed of its values' hashes; a series is
        /// the sum of those of the values that it has.
        tags: Vec<Vec<(ColumnId, u64)>>,
        /// No hashes, only their number: no other shard has any of the series.
        count_only: bool,
    },
}
