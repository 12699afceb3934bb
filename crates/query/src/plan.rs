//! Describes a compiled SELECT: the scans that shards execute, and the operators over their
//! results.
//!
//! A `SelectNode` is one SELECT of the statement. Its `Input`s are the measurements that it
//! reads. Its *calls* are the functions in its fields, and its *variables* are the tags and fields
//! that it reads. Calls that can read the same scans form a `Feed`. A `Binding` connects a feed
//! to the scan of a measurement in one policy.

use std::rc::Rc;

use super::compile::local_time::Zone;
use super::data_type::DataType;
use super::result::ResultColumns;
use super::scalar::Scalar;
use super::source::SourceName;
use super::transforms::Transform;
use super::whole_window::WholeWindowFunction;
use tidemark_engine::merge::cursor::Direction;
use tidemark_engine::scan::request::{AggregateFunction, ScanRequest, Window};
use tidemark_model::ids::ColumnId;
use tidemark_model::time::{MIN_TIME_NS, TimeRange};
use tidemark_model::value::{FieldType, FieldValue};

/// A statement that is ready for execution.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scans. Each scan runs on the shards of its policy that have data in `request.time`.
    pub scans: Vec<PlannedScan>,
    pub(crate) root: Rc<SelectNode>,
}

impl Plan {
    /// Returns the columns of the result.
    pub fn result_columns(&self) -> ResultColumns {
        let node = &self.root;
        ResultColumns {
            names: Rc::clone(&node.columns),
            types: Rc::clone(&node.column_types),
            group_keys: Rc::clone(&node.group_keys),
            zone: node.zone_name.clone(),
        }
    }
}

/// A scan of a policy's measurement, on each of the policy's shards.
#[derive(Clone, Debug)]
pub struct PlannedScan {
    /// The policy whose shards execute the scan.
    pub source: SourceName,
    /// The measurement's name.
    pub measurement: Rc<str>,
    /// The request, without a resume key. Equal sources share a request.
    pub request: Rc<ScanRequest>,
    /// The position of the subquery that supplies the rows; `None` if shards supply the rows.
    pub(crate) subquery: Option<usize>,
}

/// One SELECT of a statement: the outermost SELECT, or a subquery.
#[derive(Clone, Debug)]
pub(crate) struct SelectNode {
    pub(crate) columns: Rc<[String]>,
    /// The types of the columns after the time.
    pub(crate) column_types: Rc<[DataType]>,
    pub(crate) zone_name: Option<Rc<str>>,
    /// The columns after the time. The inputs are the calls' values, then the variables.
    pub(crate) outputs: Vec<Scalar>,
    /// The number of nodes in all outputs.
    pub(crate) row_work: usize,
    /// The keys in ascending order.
    pub(crate) group_keys: Rc<[String]>,
    pub(crate) direction: Direction,
    pub(crate) limit: u64,
    pub(crate) offset: u64,
    pub(crate) slimit: u64,
    pub(crate) soffset: u64,
    pub(crate) range: TimeRange,
    /// The widest range that scans may read, including any window before `range`.
    pub(crate) floor: TimeRange,
    /// The number in `fill(number)`, as written, which replaces missing strings and booleans.
    pub(crate) fill_number: Option<FieldValue>,
    pub(crate) window: Option<Window>,
    pub(crate) query_windows_max: u64,
    /// The zone of `tz()`, for printing times.
    pub(crate) zone: Option<Zone>,
    pub(crate) variables: Vec<Variable>,
    /// Empty for a raw query.
    pub(crate) calls: Vec<Rc<CallPlan>>,
    /// Whether the only call is a selector that keeps its point's time.
    pub(crate) keeps_point_time: bool,
    /// Whether rows are ordered by series first, with ascending keys in both directions. Points
    /// that a selector chose over the whole range have this order. The rows of a single subquery
    /// may also have this order.
    pub(crate) in_order_of_series: bool,
    /// `fill(previous)`: whether a call without a value repeats its previous value.
    pub(crate) carries: bool,
    /// The scans of each input. A raw query has one feed, which reads rows.
    pub(crate) feeds: Vec<Feed>,
    /// The number of columns, calls, dimensions and conditions in each scan, as in
    /// `PLAN_ENTRIES_MAX`.
    pub(crate) scan_entries: usize,
    pub(crate) inputs: Vec<Input>,
    pub(crate) subqueries: Vec<Rc<Subquery>>,
}

/// A subquery, and the fields of the measurement that its result forms.
#[derive(Clone, Debug)]
pub(crate) struct Subquery {
    pub(crate) node: Rc<SelectNode>,
    pub(crate) fields: Vec<DerivedField>,
}

/// A field of a subquery's result. The outer statement reads the result like a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DerivedField {
    pub(crate) id: ColumnId,
    pub(crate) field_type: FieldType,
    pub(crate) from: DerivedFrom,
}

/// The place of a derived field in the chunks of a subquery's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DerivedFrom {
    /// The position in the chunk's columns.
    Column(usize),
    /// The position in the chunk's tags.
    Key(usize),
}

/// A tag or field that a SELECT reads (1.x `influxql.VarRef`). Plans refer to a variable by its
/// position in [`SelectNode::variables`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Variable {
    pub(crate) name: String,
    /// The highest-precedence type among all sources, or an explicit cast's type.
    pub(crate) data_type: DataType,
}

/// The values that a call has in empty windows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FillPlan {
    Null,
    Value(FieldValue),
    Previous,
    Linear,
}

/// A call in the fields of a SELECT: an aggregate, a selector or a field (`base`), and the
/// transformations of its values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CallPlan {
    pub(crate) base: CallBase,
    /// The argument.
    pub(crate) variable: usize,
    /// `None` if the result omits empty windows.
    pub(crate) fill: Option<FillPlan>,
    /// The value in rows where only other calls have values (`fill(number)`).
    pub(crate) missing: Option<FieldValue>,
    /// The innermost transformation is first.
    pub(crate) transforms: Vec<Transform>,
    /// The variables whose values a selector returns with its point.
    pub(crate) aux: Vec<usize>,
    /// The number of windows before the range that the transformations read.
    pub(crate) windows_before: u32,
    /// Whether the call never has values.
    pub(crate) silent: bool,
}

impl CallPlan {
    pub(crate) fn new(base: CallBase, variable: usize) -> Self {
        Self {
            base,
            variable,
            fill: None,
            missing: None,
            transforms: Vec::new(),
            aux: Vec::new(),
            windows_before: 0,
            silent: false,
        }
    }
}

/// The way in which the values before the transformations are computed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CallBase {
    /// Shards compute partial states, and the edge merges the states.
    Merge(AggregateFunction),
    /// The edge applies the function to all values of a window together.
    WholeWindow(Rc<WholeWindowPlan>),
    /// The values are the values of the field. No function precedes the transformations.
    Values,
}

/// A function that reads all values of a window together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WholeWindowPlan {
    pub(crate) function: WholeWindowFunction,
    /// Whether the result is the number of rows that the function returns (`count(distinct(x))`).
    pub(crate) counted: bool,
    /// The variables of the tag arguments of `top` and `bottom`. An argument that is a field has no
    /// variable, because 1.x treats it as a tag that every series lacks.
    pub(crate) tags: Option<Vec<usize>>,
    /// For `sample`, the variables of all tags, with a hash of each tag's name.
    pub(crate) series: Vec<(usize, u64)>,
}

impl WholeWindowPlan {
    /// Whether rows keep the times of their points even if the statement has windows.
    pub(crate) fn keeps_times(&self) -> bool {
        matches!(
            self.function,
            WholeWindowFunction::Top(_)
                | WholeWindowFunction::Bottom(_)
                | WholeWindowFunction::Sample(_)
        )
    }
}

/// The calls that read the same scans: scans of one kind, with the same number of windows before
/// the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Feed {
    pub(crate) kind: FeedKind,
    pub(crate) calls: Vec<usize>,
    /// The number of windows before the range that all `calls` read.
    pub(crate) windows_before: u32,
}

/// The results that a feed requests from shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FeedKind {
    /// Partial states of the calls.
    Partials,
    /// Rows that contain the values of the variables.
    Rows,
}

/// A measurement that a SELECT reads, with a list of bindings for each feed.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) name: Rc<str>,
    pub(crate) feeds: Vec<Vec<Binding>>,
}

/// The use of a scan by a feed: the places of the group keys, variables and calls in the scan's
/// pages. Equal sources share these lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) scan: usize,
    /// Each group key's position in the page's keys.
    pub(crate) key: Rc<[Option<usize>]>,
    pub(crate) variables: Rc<[VariableSource]>,
    pub(crate) calls: Rc<[CallSource]>,
}

/// The place of a variable's values in a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VariableSource {
    /// The position in the page's fields.
    Field(usize),
    /// The position in the page's tags.
    Tag(usize),
    /// The measurement lacks the field or tag.
    Missing,
}

/// A call whose states are in a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallSource {
    pub(crate) call: usize,
    /// For each variable in the call's `aux`, its position in the page.
    pub(crate) aux: Vec<Option<usize>>,
}

/// Extends a range before its start, or after its end if times descend.
pub(crate) fn extended(mut range: TimeRange, by_ns: i64, direction: Direction) -> TimeRange {
    if direction.is_descending() {
        range.end_ns = range.end_ns.saturating_add(by_ns);
    } else {
        range.start_ns = range.start_ns.saturating_sub(by_ns);
    }
    range
}

impl SelectNode {
    /// Whether the type of an input is known. The inputs are the calls, followed by the variables,
    /// which always have a type.
    pub(crate) fn has_type(&self, index: usize) -> bool {
        let variable = self.calls.get(index).and_then(|call| self.variables.get(call.variable));
        variable.is_none_or(|variable| variable.data_type.field_type().is_some())
    }

    /// Returns the range with the given number of windows before its start, or after its end if
    /// times descend.
    pub(crate) fn range_with(&self, windows_before: u32) -> TimeRange {
        let every_ns = self.window.as_ref().map_or(0, |window| window.every_ns);
        extended(self.range, every_ns.saturating_mul(windows_before.into()), self.direction)
    }

    /// Returns the time of a row that covers the whole range: the lower bound, or the epoch if the
    /// range has no lower bound.
    pub(crate) fn whole_range_time_ns(&self) -> i64 {
        if self.range.start_ns <= MIN_TIME_NS { 0 } else { self.range.start_ns }
    }
}
