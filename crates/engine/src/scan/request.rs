//! Defines scan, summary and delete requests that the edge sends to a shard.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::merge::cursor::Direction;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::limits::PAGE_BYTES_MAX;
use tidemark_model::time::TimeRange;
use tidemark_model::value::{FieldType, FieldValue};

/// A scan of a measurement on a single shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanRequest {
    /// The measurement to scan.
    pub measurement: MeasurementId,
    /// The time range. The scan ignores rows outside the range.
    pub time: TimeRange,
    /// The condition. The scan ignores rows for which the condition is not true.
    pub predicate: Option<Predicate>,
    /// The tag columns of the group key, in key order. If the list is empty, all rows belong to one
    /// group.
    pub group_by: Vec<ColumnId>,
    /// The order of groups by key, and of rows and windows by time.
    #[serde(rename = "descending")]
    pub direction: Direction,
    /// The kind of result.
    pub output: Output,
    /// The start and end of the requested page.
    pub resume: Resume,
    /// The approximate maximum size of the page in bytes, at most [`PAGE_BYTES_MAX`].
    #[serde(rename = "piece_bytes", default = "whole_page", deserialize_with = "page_bytes")]
    pub page_bytes: usize,
    /// The maximum number of groups that the caller needs. A slice may end after these groups, but
    /// may also contain more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_max: Option<u64>,
}

fn whole_page() -> usize {
    PAGE_BYTES_MAX
}

/// Reads the size of a page, which is a `u32` in messages.
fn page_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    usize::try_from(u32::deserialize(deserializer)?).map_err(Error::custom)
}

impl ScanRequest {
    /// Creates a request for all rows of a measurement in ascending order, as one group.
    pub fn new(measurement: MeasurementId, output: Output) -> Self {
        Self {
            measurement,
            time: TimeRange::ALL,
            predicate: None,
            group_by: Vec::new(),
            direction: Direction::Ascending,
            output,
            resume: Resume::default(),
            page_bytes: PAGE_BYTES_MAX,
            groups_max: None,
        }
    }

    pub(super) fn wants_newest(&self) -> bool {
        self.direction.is_descending() && matches!(self.output, Output::Rows { limit: Some(1), .. })
    }
}

/// The kind of result of a scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// Rows with a value in at least one of `fields`, or all rows if `every_row` is set.
    Rows {
        /// The fields to return, with their casts.
        fields: Vec<Input>,
        /// The tag columns to return. The value is "" if a series lacks the tag.
        tags: Vec<ColumnId>,
        /// The maximum number of rows per group over all pages.
        limit: Option<u64>,
        /// SQL: whether to include rows without any value in `fields`. If this field is set and
        /// there is no limit, the order of the rows is undefined.
        #[serde(default)]
        every_row: bool,
    },
    /// Partial states, one for each call, group and window that has at least one value.
    Aggregates {
        /// The aggregate calls, in the order of the result.
        calls: Vec<AggregateCall>,
        /// The windows of GROUP BY time(). `None` means one window over the whole range.
        window: Option<Window>,
        /// The maximum number of windows per group over all pages, allowed only with a single call.
        /// The result may contain more windows, but at least this number of windows is complete.
        #[serde(default)]
        limit: Option<u64>,
    },
}

impl Output {
    /// Returns the maximum number of windows per group, if the windows are read in their order. At
    /// a clock change, the order of windows differs from the order of rows.
    pub(super) fn windows_max(&self) -> Option<u64> {
        match self {
            Self::Aggregates { limit, window: Some(window), .. } if window.zone.is_empty() => {
                *limit
            }
            _ => None,
        }
    }

    /// Returns the end of the time range that contains all points that the calls need, if each call
    /// needs only the first or only the last points of a group.
    pub(super) fn needed_end(&self) -> Option<NeededEnd> {
        let Self::Aggregates { calls, window: None, .. } = self else { return None };
        let mut ends = calls.iter().map(|call| match call.function {
            AggregateFunction::First | AggregateFunction::TiedPoints { latest: false, .. } => {
                Some(NeededEnd::Earliest)
            }
            AggregateFunction::Last | AggregateFunction::TiedPoints { latest: true, .. } => {
                Some(NeededEnd::Latest)
            }
            _ => None,
        });
        let first = ends.next()??;
        ends.all(|end| end == Some(first)).then_some(first)
    }
}

/// The end of a time range: `first()` reads the earliest points, and `last()` the latest points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NeededEnd {
    Earliest,
    Latest,
}

/// A field column with an optional cast (`field::integer`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// The field column.
    pub column: ColumnId,
    /// The column's type in the schema. A shard without the column does not know the type.
    pub field_type: FieldType,
    /// The target type of the cast. A cast between numeric types converts the value, and a cast
    /// from float to integer truncates it. Any other cast results in no value.
    pub cast: Option<FieldType>,
}

impl Input {
    /// Returns the type of the values after the cast, or `None` if the cast results in no value.
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
    /// The function.
    pub function: AggregateFunction,
    /// The field that the function reads.
    pub input: Input,
    /// Selectors only: the fields and tags to take from the selected point.
    pub aux: Vec<AuxColumn>,
}

impl AggregateCall {
    /// Whether no step rounds, so that the states are independent of the grouping of rows. The last
    /// digits of float sums and standard deviations depend on the grouping.
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

/// A field or tag that a selector returns from the selected point, in addition to the value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AuxColumn {
    /// A field. The value is null if the point lacks the field.
    Field(Input),
    /// A tag. The value is '' if the series lacks the tag.
    Tag(ColumnId),
}

/// An aggregate function with mergeable partial states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AggregateFunction {
    /// The number of values.
    Count,
    /// The sum. Integers wrap around on overflow, as in 1.x.
    Sum,
    /// The mean, as a sum and a count.
    Mean,
    /// The smallest value. Among equal values, the earliest point is chosen.
    Min,
    /// The largest value. Among equal values, the earliest point is chosen.
    Max,
    /// The value at the earliest time. At equal times, the largest value is chosen (booleans:
    /// false).
    First,
    /// The value at the latest time. At equal times, the largest value is chosen (booleans: true).
    Last,
    /// The spread, as the smallest and the largest value.
    Spread,
    /// The standard deviation, as count, mean and squared distance (merged by Chan's formula).
    Stddev,
    /// [`Self::First`] or [`Self::Last`] over all series of a group without windows. If several
    /// points have the same time, 1.x compares the points of only two series of the group
    /// ([`super::ties`]). The extra columns of the call begin with the texts that determine these
    /// two series: the tags in order of their names. With `by_text`, the displayed text precedes
    /// the tags.
    TiedPoints {
        /// Whether the function is last() instead of first().
        latest: bool,
        /// Whether the two series are determined by the order of texts, instead of the order of
        /// series. The order of texts is used only if all series have a text.
        by_text: bool,
    },
    /// SQL: the number of rows. The input is ignored.
    Rows,
    /// SQL: [`Self::First`] over all rows. The value is the row's time.
    FirstRow,
    /// SQL: [`Self::Last`] over all rows. The value is the row's time.
    LastRow,
}

impl AggregateFunction {
    /// Whether the function reads the values of its input.
    pub fn reads_input(self) -> bool {
        !matches!(self, Self::Rows | Self::FirstRow | Self::LastRow)
    }
}

/// GROUP BY time(every, offset), in UTC or in a time zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The width in nanoseconds, above 0.
    pub every_ns: i64,
    /// The offset of the window starts from the epoch, in nanoseconds.
    pub offset_ns: i64,
    /// The UTC offsets of tz(): pairs of a start time and local time minus UTC, both in
    /// nanoseconds, ascending by time. An empty list means UTC. A shard has no zone rules.
    pub zone: Vec<(i64, i64)>,
}

/// A condition on one row. A comparison with a missing field is false. A missing tag equals ''.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Predicate {
    /// Always true or always false.
    Constant(bool),
    /// True if both predicates are true.
    And(Box<Predicate>, Box<Predicate>),
    /// True if at least one predicate is true.
    Or(Box<Predicate>, Box<Predicate>),
    /// A comparison of two expressions.
    Compare(Comparison, Box<Operand>, Box<Operand>),
    /// A regex match on the text of a tag or string field (Go syntax, unanchored). A missing string
    /// field satisfies neither `=~` nor `!~`.
    Matches {
        /// The tag or string field.
        operand: Box<Operand>,
        /// The regex source.
        regex: String,
        /// Whether the operator is `!~`.
        negated: bool,
    },
    /// True if the boolean field is true.
    IsTrue(Box<Operand>),
    /// True if exactly one predicate is true. `Constant(true)` negates the other predicate.
    Differ(Box<Predicate>, Box<Predicate>),
}

impl Predicate {
    /// Visits the conditions without [`Self::And`], [`Self::Or`] and [`Self::Differ`].
    pub(crate) fn leaves<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        match self {
            Self::And(a, b) | Self::Or(a, b) | Self::Differ(a, b) => {
                a.leaves(visit);
                b.leaves(visit);
            }
            leaf => visit(leaf),
        }
    }

    /// Visits the operands of all conditions, and the operands in these operands.
    pub(crate) fn operands(&self, visit: &mut dyn FnMut(&Operand)) {
        self.leaves(&mut |leaf| match leaf {
            Self::Compare(_, a, b) => {
                a.visit(visit);
                b.visit(visit);
            }
            Self::Matches { operand, .. } | Self::IsTrue(operand) => operand.visit(visit),
            _ => {}
        });
    }
}

/// Comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// An expression inside a predicate. Integers divide as integers in a WHERE clause (1.x `ast.go`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Operand {
    /// A field of the row.
    Field(Input),
    /// A tag of the row's series, or '' if the series lacks the tag.
    Tag(ColumnId),
    /// A constant.
    Literal(FieldValue),
    /// Arithmetic on two operands.
    Arithmetic(Arithmetic, Box<Operand>, Box<Operand>),
    /// A mathematical function, by its lower-case InfluxQL name.
    Call(String, Vec<Operand>),
}

impl Operand {
    /// Visits this operand and the operands in it.
    pub(crate) fn visit(&self, visit: &mut dyn FnMut(&Self)) {
        visit(self);
        match self {
            Self::Field(_) | Self::Tag(_) | Self::Literal(_) => {}
            Self::Arithmetic(_, a, b) => {
                a.visit(visit);
                b.visit(visit);
            }
            Self::Call(_, arguments) => arguments.iter().for_each(|a| a.visit(visit)),
        }
    }
}

/// Arithmetic and bitwise operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names describe the items")]
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

/// A position in the result's order: groups by key, then rows or windows by time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultPosition {
    /// The values of the group tags. Groups whose key precedes this key are before the position.
    pub group: Vec<String>,
    /// The time within the group, in nanoseconds. Times that precede this time in the result's
    /// direction are before the position.
    pub time_ns: i64,
}

/// The range of a slice, and the start of a page in this range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The start of the slice (inclusive).
    pub from: Option<ResultPosition>,
    /// The end of the slice (exclusive).
    pub until: Option<ResultPosition>,
    /// The position at which the previous page of this slice ended.
    pub position: Option<Position>,
}

impl Resume {
    /// Whether the request continues an earlier page or slice.
    pub fn is_continuation(&self) -> bool {
        self.from.is_some() || self.position.is_some()
    }

    /// Returns the next request of a caller that reads only one shard, or `None` after the last
    /// page. `until` and `position` come from the page that begins at `self`.
    #[must_use]
    pub fn after(self, until: Option<ResultPosition>, position: Option<Position>) -> Option<Self> {
        match (position, until.or(self.until)) {
            (None, None) => None,
            (None, from) => Some(Self { from, ..Self::default() }),
            (position, until) => Some(Self { from: self.from, until, position }),
        }
    }
}

/// A shard's progress in a slice. The shard has read all rows before `stretch`, and all series
/// before `series` in `stretch`. The edge returns the position unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The tags that define the order of series.
    pub order: Vec<ColumnId>,
    /// The time range that the shard was reading.
    pub stretch: TimeRange,
    /// The key of the last series that the shard reached.
    pub series: Vec<u8>,
    /// The first unread time of this series in the result's direction, in nanoseconds. `None` if
    /// the series has been read completely.
    pub time_ns: Option<i64>,
}

/// A delete of rows in one measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deletion {
    /// The measurement.
    pub measurement: MeasurementId,
    /// A condition on tags only. `None` deletes rows of every series.
    pub predicate: Option<Predicate>,
    /// The time range of the deleted rows.
    pub time: TimeRange,
}

/// A request for the metadata that SHOW statements list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SummaryRequest {
    /// The measurements to summarise. The result omits measurements without matching live rows.
    pub measurements: Vec<MeasurementId>,
    /// The time range. Rows outside the range do not count.
    pub time: TimeRange,
    /// The oldest time that the retention policy keeps, in nanoseconds, or `None` if rows never
    /// expire.
    #[serde(default)]
    pub kept_from_ns: Option<i64>,
    /// One condition on tags per measurement, because column ids differ between measurements.
    pub predicates: Vec<Option<Predicate>>,
    /// The kind of items to list.
    pub want: SummaryWant,
    /// The start of the page: the position of a measurement in `measurements`, and the shard's
    /// cursor inside this measurement.
    pub resume: Option<(u32, Vec<String>)>,
    /// The number of tag values, or of series in text order, that the caller needs per measurement.
    /// A shard may return more.
    #[serde(default)]
    pub items_max: Option<u64>,
    /// The approximate maximum size of the page in bytes, at most [`PAGE_BYTES_MAX`].
    #[serde(rename = "piece_bytes", default = "whole_page", deserialize_with = "page_bytes")]
    pub page_bytes: usize,
}

impl SummaryRequest {
    /// Creates a request for all rows of `measurements`.
    pub fn new(measurements: Vec<MeasurementId>, want: SummaryWant) -> Self {
        Self {
            predicates: vec![None; measurements.len()],
            measurements,
            time: TimeRange::ALL,
            kept_from_ns: None,
            want,
            resume: None,
            items_max: None,
            page_bytes: PAGE_BYTES_MAX,
        }
    }
}

/// The kind of items in a summary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SummaryWant {
    /// The measurements that have live rows, without further items.
    Measurements,
    /// The ids of live columns, fields and tags.
    Columns,
    /// The distinct values of these tag columns, per measurement.
    TagValues(Vec<Vec<ColumnId>>),
    /// The values of these tags in every series, per measurement. A missing tag has the value ''.
    Series(Vec<Vec<ColumnId>>),
    /// A hash of each series, for counting distinct series over several shards.
    SeriesHashes {
        /// The tag columns per measurement, with a hash seed per tag column. A series' hash is the
        /// sum of the hashes of its tag values.
        tags: Vec<Vec<(ColumnId, u64)>>,
        /// Whether to return only the number of series, without hashes. The number is correct only
        /// if no other shard has any of these series.
        count_only: bool,
    },
}
