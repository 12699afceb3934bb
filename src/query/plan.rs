//! Describes a compiled SELECT: the scans that shards execute, and the operators over their
//! results.

use std::rc::Rc;

use super::data_type::DataType;
use super::operators::fill::FillPlan;
use super::result::{ColumnKind, ResultColumns};
use super::scalar::Scalar;
use super::source::SourceName;
use super::transforms::Transform;
use crate::influxql::ast::Target;
use crate::model::ids::ColumnId;
use crate::model::time::{MIN_TIME_NS, TimeRange};
use crate::model::value::{FieldType, FieldValue};
use crate::scan::gathered::GatheredFunction;
use crate::scan::request::{AggregateFunction, ScanRequest, Window};

/// A statement that is ready for execution.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scans of the plan. Each scan is sent to those shards of the scan's policy that have data
    /// in `request.time`.
    pub scans: Vec<PlannedScan>,
    /// The target of INTO, to which the rows are written; `None` if the rows go to the caller.
    pub into: Option<Target>,
    /// The work that creating the plan required, in the units of [`super::work`].
    pub work: usize,
    pub(crate) root: SelectNode,
}

impl Plan {
    /// Returns the columns of the result.
    pub fn result_columns(&self) -> ResultColumns {
        let node = &self.root;
        let kind = |data_type: &DataType| match data_type.field_type() {
            Some(field_type) => ColumnKind::Field(field_type),
            None if *data_type == DataType::Tag => ColumnKind::Tag,
            None => ColumnKind::Unknown,
        };
        ResultColumns {
            names: Rc::clone(&node.columns),
            kinds: node.column_types.iter().map(kind).collect(),
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
    pub measurement: String,
    /// The request, without a resume key.
    pub request: ScanRequest,
    /// The position of the subquery that supplies the scan's rows; `None` if shards supply the
    /// rows.
    pub(crate) subquery: Option<usize>,
}

impl PlannedScan {
    /// Whether shards, and not a subquery, supply the scan's rows.
    pub fn reads_shards(&self) -> bool {
        self.subquery.is_none()
    }
}

/// One SELECT: either the whole statement or a subquery.
#[derive(Clone, Debug)]
pub(crate) struct SelectNode {
    /// The names of the columns. The first column contains the time.
    pub(crate) columns: Rc<[String]>,
    /// The types of the columns after the time.
    pub(crate) column_types: Rc<[DataType]>,
    /// The name of the zone in `tz()`.
    pub(crate) zone_name: Option<Rc<str>>,
    /// The expressions of the columns after the time. The inputs of the expressions are the calls'
    /// values, followed by the slots.
    pub(crate) outputs: Vec<Scalar>,
    /// The work of evaluating one row: the number of nodes in all outputs.
    pub(crate) row_work: usize,
    /// The keys of GROUP BY in ascending order.
    pub(crate) group_keys: Rc<[String]>,
    /// Whether the rows are in descending order of time, and the series in descending order of
    /// keys.
    pub(crate) descending: bool,
    /// The maximum number of rows in each series; 0 means no limit.
    pub(crate) limit: u64,
    /// The number of rows to skip in each series.
    pub(crate) offset: u64,
    /// The maximum number of series in each measurement; 0 means no limit.
    pub(crate) slimit: u64,
    /// The number of series to skip in each measurement.
    pub(crate) soffset: u64,
    /// The selected time range.
    pub(crate) range: TimeRange,
    /// The widest time range that scans may read, including any window before `range`.
    pub(crate) floor: TimeRange,
    /// The number in `fill(number)`, as written. The number replaces missing strings and booleans.
    pub(crate) fill_number: Option<FieldValue>,
    /// The windows of GROUP BY time().
    pub(crate) window: Option<Window>,
    /// The configured `BUCKETS_PER_QUERY_MAX`.
    pub(crate) buckets_max: u64,
    /// The clock changes of `tz()`, for printing times.
    pub(crate) zone: Rc<[(i64, i64)]>,
    /// The fields and tags that the node reads.
    pub(crate) slots: Vec<Slot>,
    /// The calls; empty for a raw query.
    pub(crate) calls: Vec<CallPlan>,
    /// Whether the only call is a selector that keeps the time of its point.
    pub(crate) keeps_point_time: bool,
    /// Whether the rows are ordered by series first. The keys ascend even if times descend. Points
    /// that a selector chose over the whole range have this order. The rows of a single subquery
    /// also have this order if the subquery returns them in this order.
    pub(crate) in_order_of_series: bool,
    /// Whether a call without a value in a row repeats its previous value (`fill(previous)`).
    pub(crate) carries: bool,
    /// The kinds of scans of each input. A raw query has one feed, which reads rows.
    pub(crate) feeds: Vec<Feed>,
    /// The measurements, in the order of the result.
    pub(crate) inputs: Vec<Input>,
    /// The subqueries in FROM.
    pub(crate) subqueries: Vec<Rc<Subquery>>,
}

/// A subquery and the fields that its outer statement can read.
#[derive(Clone, Debug)]
pub(crate) struct Subquery {
    pub(crate) node: SelectNode,
    pub(crate) fields: Vec<DerivedField>,
}

/// A column of a subquery's result, which the outer statement reads as a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DerivedField {
    pub(crate) id: ColumnId,
    pub(crate) field_type: FieldType,
    pub(crate) from: DerivedFrom,
}

/// The source of a derived field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DerivedFrom {
    /// Position in the chunk's columns.
    Column(usize),
    /// Position in the chunk's tags.
    Key(usize),
}

/// A field or tag that the statement reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    /// The key of the field or tag.
    pub(crate) name: String,
    /// The highest-precedence type among all sources, or the type of an explicit cast.
    pub(crate) data_type: DataType,
}

/// A call of a function that is not mathematical.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CallPlan {
    /// The first computation of the call.
    pub(crate) base: CallBase,
    pub(crate) slot: usize,
    /// The method of filling empty windows; `None` if the result omits empty windows.
    pub(crate) fill: Option<FillPlan>,
    /// The value for rows in which only other calls have values (`fill(number)`).
    pub(crate) missing: Option<FieldValue>,
    /// The transformations of the values, from the innermost to the outermost.
    pub(crate) transforms: Vec<Transform>,
    /// The slots whose values are read from the selected point.
    pub(crate) aux: Vec<usize>,
    /// Whether the call also reads the window before the range.
    pub(crate) extended: bool,
    /// Whether the call never has values.
    pub(crate) silent: bool,
}

impl CallPlan {
    /// Creates a call of `base` with one slot and without transformations.
    pub(crate) fn new(base: CallBase, slot: usize) -> Self {
        Self {
            base,
            slot,
            fill: None,
            missing: None,
            transforms: Vec::new(),
            aux: Vec::new(),
            extended: false,
            silent: false,
        }
    }
}

/// The computation of a call before its transformations.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CallBase {
    /// Merges the partial states of the shards.
    Merge(AggregateFunction),
    /// Computes a function from all values of a window together.
    Gather(GatherPlan),
    /// Passes on the values of the field.
    Values,
}

/// A function that needs all values of a window, and how the call uses the function's result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GatherPlan {
    pub(crate) function: GatheredFunction,
    /// Whether the call counts the function's rows, as in `count(distinct(x))`.
    pub(crate) counted: bool,
    /// The slots of the tag arguments of `top` and `bottom`; `None` without such arguments. An
    /// argument that is a field has no slot, because 1.x groups by such a field as if it were a tag
    /// that every series lacks.
    pub(crate) tags: Option<Vec<usize>>,
    /// For `sample`, the slots of all tags, with a hash of each tag's name. The tags identify the
    /// series of a row.
    pub(crate) series: Vec<(usize, u64)>,
}

impl GatherPlan {
    /// Whether rows keep the times of their points even if the statement has windows.
    pub(crate) fn keeps_times(&self) -> bool {
        matches!(
            self.function,
            GatheredFunction::Top(_)
                | GatheredFunction::Bottom(_)
                | GatheredFunction::Sample { .. }
        )
    }
}

/// A scan that the node executes for each of its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Feed {
    pub(crate) kind: FeedKind,
    /// The calls that read the feed; empty for a raw query.
    pub(crate) calls: Vec<usize>,
    /// Whether the feed includes the window before the range.
    pub(crate) extended: bool,
}

/// The content of a feed's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FeedKind {
    Partials,
    /// Rows with the values of slots.
    Rows,
}

/// A measurement that the node reads.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) name: Rc<str>,
    /// For each feed, the scans whose results are merged.
    pub(crate) feeds: Vec<Vec<Binding>>,
}

/// Maps the pages of a scan to the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// Position in [`Plan::scans`].
    pub(crate) scan: usize,
    /// For each group key, its position in the page's keys.
    pub(crate) key: Vec<Option<usize>>,
    /// For each slot, its position in a page that contains rows.
    pub(crate) slots: Vec<SlotSource>,
    /// For each call in a page of partial states, the corresponding call of the node. The calls
    /// have the same order as in the page.
    pub(crate) calls: Vec<CallSource>,
}

/// The position of a slot in a page that contains rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotSource {
    /// Position in the page's fields.
    Field(usize),
    /// Position in the page's tags.
    Tag(usize),
    /// The measurement has no such field or tag.
    Missing,
}

/// Maps a call in a page to a call of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallSource {
    /// Position in [`SelectNode::calls`].
    pub(crate) call: usize,
    /// For each slot in the call's `aux`, its position in the page.
    pub(crate) aux: Vec<Option<usize>>,
}

impl SelectNode {
    /// Whether the type of the input at `index` is known. Calls precede slots in the inputs, and
    /// slots always have a type.
    pub(crate) fn has_type(&self, index: usize) -> bool {
        let slot = self.calls.get(index).and_then(|call| self.slots.get(call.slot));
        slot.is_none_or(|slot| slot.data_type.field_type().is_some())
    }

    /// Returns the time of a row that covers the whole range. This time is the range's lower bound,
    /// or the epoch if the range has none.
    pub(crate) fn whole_range_time_ns(&self) -> i64 {
        if self.range.start_ns <= MIN_TIME_NS { 0 } else { self.range.start_ns }
    }
}
