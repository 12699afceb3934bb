//! Describes what a SELECT was compiled to: scans for the shards, and what to make of their
//! answers.

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

/// A statement ready to be executed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What to ask. Every shard that the policy has inside `request.time` is to be asked.
    pub scans: Vec<PlannedScan>,
    /// INTO: where the rows are to be written instead of shown.
    pub into: Option<Target>,
    pub(crate) root: SelectNode,
}

impl Plan {
    /// What every row of its answer consists of.
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

/// One measurement of one policy, to be scanned on each of its shards.
#[derive(Clone, Debug)]
pub struct PlannedScan {
    /// Whose shards to ask.
    pub source: SourceName,
    /// The measurement's name.
    pub measurement: String,
    /// What to ask, without a resume key.
    pub request: ScanRequest,
    /// A subquery of the statement that the scan belongs to: no shard is asked then.
    pub(crate) subquery: Option<usize>,
}

impl PlannedScan {
    /// Whether shards are asked; else a subquery's answer is scanned where the statement runs.
    pub fn asks_shards(&self) -> bool {
        self.subquery.is_none()
    }
}

/// One SELECT: the statement itself or a subquery.
#[derive(Clone, Debug)]
pub(crate) struct SelectNode {
    /// Names of the columns, time first.
    pub(crate) columns: Rc<[String]>,
    /// What the columns after time are.
    pub(crate) column_types: Rc<[DataType]>,
    /// tz(): the zone's name.
    pub(crate) zone_name: Option<Rc<str>>,
    /// The columns after time, over the calls' values and then the slots.
    pub(crate) outputs: Vec<Scalar>,
    /// The work of evaluating one row: the nodes of all outputs.
    pub(crate) row_work: usize,
    /// Keys of GROUP BY, ascending.
    pub(crate) group_keys: Rc<[String]>,
    /// Latest first, and series in descending order.
    pub(crate) descending: bool,
    /// Rows of each series; 0 is no limit.
    pub(crate) limit: u64,
    /// Rows of each series to skip.
    pub(crate) offset: u64,
    /// Series of each measurement; 0 is no limit.
    pub(crate) slimit: u64,
    /// Series of each measurement to skip.
    pub(crate) soffset: u64,
    /// Times selected.
    pub(crate) range: TimeRange,
    /// What is read at most where the window before the range is wanted too.
    pub(crate) floor: TimeRange,
    /// What stands for missing strings and booleans with `fill(number)`, as written.
    pub(crate) fill_number: Option<FieldValue>,
    /// GROUP BY time().
    pub(crate) window: Option<Window>,
    /// `BUCKETS_PER_QUERY_MAX` as set.
    pub(crate) buckets_max: u64,
    /// tz(): clock changes, for printing.
    pub(crate) zone: Rc<[(i64, i64)]>,
    /// Fields and tags that are used.
    pub(crate) slots: Vec<Slot>,
    /// The calls; empty for a raw query.
    pub(crate) calls: Vec<CallPlan>,
    /// The sole call is a selector that keeps the time of its point.
    pub(crate) keeps_point_time: bool,
    /// Its rows come series by series, in ascending order of theirs whatever the direction: points
    /// that a selector chose over the whole range, or such rows of its only source.
    pub(crate) in_order_of_series: bool,
    /// `fill(previous)`: a call without a value keeps its last one.
    pub(crate) carries: bool,
    /// What is asked of each input. Raw queries have one, of rows.
    pub(crate) feeds: Vec<Feed>,
    /// One per measurement, in the order of the result.
    pub(crate) inputs: Vec<Input>,
    /// The subqueries that it reads.
    pub(crate) subqueries: Vec<Rc<Subquery>>,
}

/// A subquery and what the statement around it sees of its answer.
#[derive(Clone, Debug)]
pub(crate) struct Subquery {
    pub(crate) node: SelectNode,
    /// What can be read.
    pub(crate) fields: Vec<DerivedField>,
}

/// A column of a subquery's answer, read as a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DerivedField {
    pub(crate) id: ColumnId,
    pub(crate) field_type: FieldType,
    pub(crate) from: DerivedFrom,
}

/// Where the values stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DerivedFrom {
    /// Position in the chunk's columns.
    Column(usize),
    /// Position in the chunk's tags.
    Key(usize),
}

/// A field or tag by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    /// Its key.
    pub(crate) name: String,
    /// What it is over all sources, or is converted to.
    pub(crate) data_type: DataType,
}

/// One call that is not a mathematical function.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CallPlan {
    /// What is computed first.
    pub(crate) base: CallBase,
    /// Over which slot.
    pub(crate) slot: usize,
    /// How empty windows of the base are filled; `None`: they are left out.
    pub(crate) fill: Option<FillPlan>,
    /// What a missing value is when calls are joined on time (`fill(number)`).
    pub(crate) missing: Option<FieldValue>,
    /// What is then done with the stream of values, innermost first.
    pub(crate) transforms: Vec<Transform>,
    /// Slots taken from the selected point.
    pub(crate) beside: Vec<usize>,
    /// The window before the range is wanted too.
    pub(crate) extended: bool,
    /// It has no values, whatever it reads.
    pub(crate) silent: bool,
}

impl CallPlan {
    /// `base` over a slot, with nothing done to it.
    pub(crate) fn new(base: CallBase, slot: usize) -> Self {
        Self {
            base,
            slot,
            fill: None,
            missing: None,
            transforms: Vec::new(),
            beside: Vec::new(),
            extended: false,
            silent: false,
        }
    }
}

/// What a call computes before any transformation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CallBase {
    /// Merged from the shards' partial states.
    Merge(AggregateFunction),
    /// From all values of each window at once.
    Gather(GatherPlan),
    /// Nothing: the values of the field itself.
    Values,
}

/// A function, and what is done with its answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GatherPlan {
    /// Which function.
    pub(crate) function: GatheredFunction,
    /// Only how many rows it answers with: `count(distinct(x))`.
    pub(crate) counted: bool,
    /// Slots of the tag arguments of `top` and `bottom`, if there are arguments at all: one that
    /// is a field is like a tag that no series has (1.x groups by it).
    pub(crate) tags: Option<Vec<usize>>,
    /// For `sample`: the slots of all tags, which say what series a row is of, and a hash of each
    /// tag's name.
    pub(crate) series: Vec<(usize, u64)>,
}

impl GatherPlan {
    /// Whether rows keep the time of their points whatever the windows.
    pub(crate) fn keeps_times(&self) -> bool {
        matches!(
            self.function,
            GatheredFunction::Top(_)
                | GatheredFunction::Bottom(_)
                | GatheredFunction::Sample { .. }
        )
    }
}

/// A kind of scan that each input is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Feed {
    /// Of rows or of partial states.
    pub(crate) kind: FeedKind,
    /// Calls that it serves; empty for a raw query.
    pub(crate) calls: Vec<usize>,
    /// The window before the range is included.
    pub(crate) extended: bool,
}

/// What a feed brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FeedKind {
    /// Partial states.
    Partials,
    /// Rows of slots.
    Rows,
}

/// One measurement.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// Its name.
    pub(crate) name: Rc<str>,
    /// For each feed, the scans to merge.
    pub(crate) feeds: Vec<Vec<Binding>>,
}

/// How the pages of a scan fit the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// Position in [`Plan::scans`].
    pub(crate) scan: usize,
    /// For each group key, its position in the page's keys.
    pub(crate) key: Vec<Option<usize>>,
    /// Rows: for each slot, where it stands in the page.
    pub(crate) slots: Vec<SlotSource>,
    /// Partial states: for each call of the page, in its order, which call of the node it is.
    pub(crate) calls: Vec<CallSource>,
}

/// Where a slot stands in a page of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotSource {
    /// Among the fields.
    Field(usize),
    /// Among the tags.
    Tag(usize),
    /// The measurement has none of that name.
    Missing,
}

/// Which call of the node a call of the page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallSource {
    /// Position in [`SelectNode::calls`].
    pub(crate) call: usize,
    /// For each of the call's beside slots, its position in the page's.
    pub(crate) beside: Vec<Option<usize>>,
}

impl SelectNode {
    /// Whether what stands at `index`, calls before slots, has values of some type; a slot has.
    pub(crate) fn has_type(&self, index: usize) -> bool {
        let slot = self.calls.get(index).and_then(|call| self.slots.get(call.slot));
        slot.is_none_or(|slot| slot.data_type.field_type().is_some())
    }

    /// The time of a row that stands for the whole range: its lower bound, or the epoch.
    pub(crate) fn whole_range_time_ns(&self) -> i64 {
        if self.range.start_ns <= MIN_TIME_NS { 0 } else { self.range.start_ns }
    }
}
