//! Limits the rows of operators that the memory pool does not control. Window functions and
//! aggregates that build a single text keep all rows in memory without a reservation. Series,
//! recursive queries, unnested lists and joins can produce many rows from few rows. Operators with
//! many or costly expressions get smaller batches.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec,
};
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};

use crate::error::QueryError;
use crate::limits::{
    MADE_ROWS_MAX, PAIRS_MAX, RECURSION_ROWS_MAX, ROWS_PER_BATCH_MIN, TURN_BYTES_MAX,
    WINDOW_BYTES_MAX, WINDOW_ROWS_MAX,
};
use crate::tables::expressions::{self, Evaluation};
use crate::tables::pairs_cap::{self, BuildRows, Side};
use crate::tables::pieces::{Piece, in_pieces};
use crate::tables::window_rows::{self, Results};
use crate::turns::Pace;
use crate::value_sizes::{batch_bytes, elements, largest_value_bytes, longest_list, slice_bytes};

pub(super) fn cap(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let node = limit_copied(pass_batches(pairs_cap::cap(node)?)?)?;
    if let Some(limit) = makes_rows(&node) {
        let input = match lists(&node) {
            Some(lists) => with_limited_input(&node, &[lists])?,
            None => node,
        };
        return Ok(Transformed::yes(Arc::new(RowsCap { input, limit })));
    }
    let evaluation = expressions::evaluation(&node)?;
    let held = held_rows(&node, evaluation)?;
    let partitions = windows(&node).and_then(partitions);
    let limits: Vec<Limit> =
        evaluation.map(Limit::Batch).into_iter().chain(held).chain(partitions).collect();
    if limits.is_empty() {
        let may_have_changed = node.is::<FilterExec>() || node.is::<ScalarSubqueryExec>();
        return Ok(Transformed::new_transformed(node, may_have_changed));
    }
    with_limited_input(&node, &limits).map(Transformed::yes)
}

/// Makes a filter return the rows of each input batch at once, if the rows contain tags, texts or
/// lists. Otherwise the filter would collect the rows of many batches, whose values together may be
/// too large. DataFusion's filter collects only batches of at most half its batch size, so a filter
/// with the batch size 1 collects no batches.
fn pass_batches(node: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    match node.downcast_ref::<FilterExec>() {
        Some(filter) if has_column(&node, is_large_value) => {
            Ok(Arc::new(filter.with_batch_size(1)?))
        }
        _ => Ok(node),
    }
}

/// Limits the size of the rows that a join copies, and of the values of scalar subqueries. A join
/// copies the columns of its condition too.
fn limit_copied(node: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let copied = copied_inputs(&node);
    if !copied.contains(&true) {
        return Ok(node);
    }
    with_limited_inputs(
        &node,
        |at| if copied.get(at) == Some(&true) { &[Limit::Copied] } else { &[] },
    )
}

/// Applies `limits` to each input.
fn with_limited_input(
    node: &Arc<dyn ExecutionPlan>,
    limits: &[Limit],
) -> Result<Arc<dyn ExecutionPlan>> {
    with_limited_inputs(node, |_| limits)
}

/// Applies limits to the inputs. `limits` returns the limits of the input with this number.
fn with_limited_inputs<'a>(
    node: &Arc<dyn ExecutionPlan>,
    limits: impl Fn(usize) -> &'a [Limit],
) -> Result<Arc<dyn ExecutionPlan>> {
    let capped = |(at, child): (usize, &Arc<dyn ExecutionPlan>)| {
        limits(at).iter().fold(Arc::clone(child), |input, limit| {
            Arc::new(RowsCap { input, limit: limit.clone() }) as Arc<dyn ExecutionPlan>
        })
    };
    let capped = node.children().into_iter().enumerate().map(capped).collect();
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(node).replace_children(capped, options)
}

/// Returns the limit on the lists that an operator unnests.
fn lists(node: &Arc<dyn ExecutionPlan>) -> Option<Limit> {
    let lists = node.downcast_ref::<UnnestExec>()?.list_column_indices();
    Some(Limit::Lists(lists.iter().map(|list| (list.index_in_input_schema, list.depth)).collect()))
}

/// Returns the limit of an operator that keeps its input in memory.
fn held_rows(
    node: &Arc<dyn ExecutionPlan>,
    evaluation: Option<Evaluation>,
) -> Result<Option<Limit>> {
    let what = "a window function or string_agg processes";
    if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        let mut calls = aggregate.aggr_expr().iter();
        let is_text = calls.any(|call| call.fun().name() == "string_agg");
        let held = Some(Results::default());
        return Ok(is_text.then_some(Limit::Rows { what, max: WINDOW_ROWS_MAX, held }));
    }
    if let Some(sort) = node.downcast_ref::<SortExec>() {
        // A sort may evaluate its keys for all rows at once.
        let max = evaluation.map_or(WINDOW_ROWS_MAX, |evaluation| evaluation.rows_of_constants);
        let what = "a sort by long constants or subqueries processes";
        let copies = max < WINDOW_ROWS_MAX && sort.fetch().is_none();
        return Ok(copies.then_some(Limit::Rows { what, max, held: None }));
    }
    let Some(windows) = windows(node) else { return Ok(None) };
    // A window function evaluates its constant arguments for all rows at once.
    let max = evaluation.map_or(WINDOW_ROWS_MAX, |evaluation| evaluation.rows_of_constants);
    Ok(Some(Limit::Rows { what, max, held: Some(Results::of(windows)?) }))
}

fn windows(node: &Arc<dyn ExecutionPlan>) -> Option<&[Arc<dyn WindowExpr>]> {
    match node.downcast_ref::<WindowAggExec>() {
        Some(window) => Some(window.window_expr()),
        None => Some(node.downcast_ref::<BoundedWindowAggExec>()?.window_expr()),
    }
}

/// Returns the limit on the partitions of an operator's window functions, which all have the same
/// partitions.
fn partitions(windows: &[Arc<dyn WindowExpr>]) -> Option<Limit> {
    let pairs_max = windows.iter().filter_map(window_rows::pairs_max).min()?;
    Some(Limit::Partitions(windows.first()?.partition_by().to_vec(), pairs_max))
}

/// Whether a join of the plan reads texts, binary values or lists, or a scalar subquery has such a
/// value. The plan may copy the value to each row of a batch.
pub(crate) fn copies_large_values(node: &Arc<dyn ExecutionPlan>) -> bool {
    copied_inputs(node).contains(&true) || node.children().into_iter().any(copies_large_values)
}

/// Returns for each input whether the operator may copy its texts, binary values and lists, or
/// copies those of another input to its rows. The planner moves a conversion of one input below the
/// join, so the input then has a text.
fn copied_inputs(node: &Arc<dyn ExecutionPlan>) -> Vec<bool> {
    let inputs = node.children();
    if node.is::<ScalarSubqueryExec>() {
        // The first input contains the rows, and the other inputs are the subqueries.
        let is_copied = |(at, input)| at > 0 && has_column(input, is_large_value);
        return inputs.into_iter().enumerate().map(is_copied).collect();
    }
    let copies = is_join(node) && inputs.iter().any(|input| has_column(input, is_large));
    vec![copies; inputs.len()]
}

/// Whether a sort of the plan converts values to texts, binary values or lists.
pub(crate) fn sorts_converted_values(node: &Arc<dyn ExecutionPlan>) -> bool {
    (node.is::<SortExec>() && converts(node))
        || node.children().into_iter().any(sorts_converted_values)
}

/// Whether an expression of the operator converts values to texts, binary values or lists. The
/// result has a copy for each row, even if the value is a tag. Some functions convert tags to tags,
/// which need no copies.
fn converts(node: &Arc<dyn ExecutionPlan>) -> bool {
    let mut found = false;
    let applied = node.apply_expressions(&mut |root| {
        root.apply(|part| {
            // The type of a conversion does not depend on the input.
            found |= expressions::is_conversion(part)
                && part.data_type(&Schema::empty()).is_ok_and(|result| is_large(&result));
            Ok(TreeNodeRecursion::Continue)
        })
    });
    // The closure returns no error.
    drop(applied);
    found
}

fn has_column(node: &Arc<dyn ExecutionPlan>, is_wanted: fn(&DataType) -> bool) -> bool {
    node.schema().fields().iter().any(|column| is_wanted(column.data_type()))
}

fn is_large(data_type: &DataType) -> bool {
    data_type.is_string() || data_type.is_binary() || data_type.is_nested()
}

/// Whether copies of a single value may be large. A cast converts a tag to a text.
pub(super) fn is_large_value(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_large(values),
        other => is_large(other),
    }
}

fn is_join(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.is::<CrossJoinExec>()
        || node.is::<NestedLoopJoinExec>()
        || node.is::<HashJoinExec>()
        || node.is::<SortMergeJoinExec>()
}

/// Returns the limit of an operator that can produce many rows from few rows.
fn makes_rows(node: &Arc<dyn ExecutionPlan>) -> Option<Limit> {
    let makes = node.is::<LazyMemoryExec>() || node.is::<UnnestExec>() || is_join(node);
    let (what, max) = match node.is::<RecursiveQueryExec>() {
        true => ("a recursive query returns", RECURSION_ROWS_MAX),
        false if makes => ("a join or a series returns", MADE_ROWS_MAX),
        false => return None,
    };
    Some(Limit::Rows { what, max, held: None })
}

/// A limit on the rows of an operator.
#[derive(Clone, Debug)]
pub(super) enum Limit {
    /// A limit on the rows that the operator `what` returns or keeps in memory. If the operator
    /// keeps the rows in memory, `held` is the size of its results.
    Rows { what: &'static str, max: usize, held: Option<Results> },
    /// A limit on the pairs of rows that a join compares: the side, and the rows of the side that
    /// the join keeps in memory.
    Pairs(Side, Arc<BuildRows>),
    /// A limit on the row pairs within partitions: the columns of PARTITION BY, and the maximum
    /// number of pairs.
    Partitions(Vec<Arc<dyn PhysicalExpr>>, usize),
    /// A limit on the size of the rows that an operator produces from one piece by unnesting lists:
    /// the column and the depth of each list.
    Lists(Vec<(usize, usize)>),
    /// A limit on the size of the rows that an operator copies to each row of a batch.
    Copied,
    /// A limit on the rows of a batch.
    Batch(Evaluation),
}

pub(super) fn too_many(what: &str, max: usize, unit: &str, remedy: &str) -> QueryError {
    QueryError::exhausted(format!("{what} more than {max} {unit}: {remedy}"))
}

fn too_many_bytes() -> QueryError {
    QueryError::exhausted(format!(
        "a window function or string_agg processes more than {WINDOW_BYTES_MAX} bytes: select \
         fewer columns, narrow the time range or aggregate first"
    ))
}

/// An operator that returns an error if its input has too many rows.
#[derive(Debug)]
pub(super) struct RowsCap {
    pub(super) input: Arc<dyn ExecutionPlan>,
    pub(super) limit: Limit,
}

impl DisplayAs for RowsCap {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max = match &self.limit {
            Limit::Rows { max, .. } | Limit::Partitions(_, max) => *max,
            Limit::Pairs(..) => PAIRS_MAX,
            Limit::Lists(_) | Limit::Copied => TURN_BYTES_MAX,
            Limit::Batch(evaluation) => evaluation.rows,
        };
        write!(f, "{}: {max}", self.name())
    }
}

impl ExecutionPlan for RowsCap {
    fn name(&self) -> &'static str {
        match self.limit {
            Limit::Pairs(..) | Limit::Partitions(..) => "PairsCap",
            Limit::Batch(_) => "BatchCap",
            Limit::Copied => "CopiedCap",
            Limit::Lists(_) => "ListsCap",
            Limit::Rows { .. } => "RowsCap",
        }
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self { input, limit: self.limit.clone() }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let pace = Pace::of(&context);
        let batch_rows = context.session_config().batch_size();
        if let Limit::Pairs(Side::Build, build_rows) = &self.limit {
            build_rows.clear();
        }
        let input = self.input.execute(partition, context)?;
        Ok(match self.limit.clone() {
            Limit::Pairs(side, build_rows) => pairs_cap::compared(input, side, build_rows, pace),
            Limit::Partitions(keys, pairs_max) => pairs_cap::partitioned(input, keys, pairs_max),
            Limit::Batch(evaluation) => divided(input, evaluation, pace),
            Limit::Lists(lists) => with_short_lists(input, lists, pace),
            Limit::Copied => with_short_rows(input, batch_rows, pace),
            Limit::Rows { what, max, held } => counted(input, what, max, held, batch_rows, pace),
        })
    }
}

/// Returns the rows of `input` in batches of up to `batch_rows` rows, or an error if the operator
/// `what` gets more than `max` rows. Also limits the size of the rows and results that the operator
/// keeps in memory.
fn counted(
    input: SendableRecordBatchStream,
    what: &'static str,
    max: usize,
    held: Option<Results>,
    batch_rows: usize,
    pace: Arc<Pace>,
) -> SendableRecordBatchStream {
    let (mut rows, mut bytes, mut value_bytes) = (0, 0, 0);
    in_pieces(
        input,
        pace,
        move |batch| Ok(Piece::small(batch, batch_rows)),
        move |pace, batch, _| {
            pace.made(batch.num_rows().max(ROWS_PER_BATCH_MIN));
            rows += batch.num_rows();
            if rows > max {
                let remedy = "narrow the time range or aggregate first";
                return Err(too_many(what, max, "rows", remedy).into());
            }
            let Some(results) = &held else { return Ok(()) };
            bytes += batch_bytes(batch);
            value_bytes = value_bytes.max(results.largest_bytes(batch));
            match results.bytes(rows, value_bytes, bytes).saturating_add(bytes) > WINDOW_BYTES_MAX {
                true => Err(too_many_bytes().into()),
                false => Ok(()),
            }
        },
    )
}

/// Returns the rows of `input`, or an error if `batch_rows` copies of a row have more than
/// [`TURN_BYTES_MAX`] bytes.
fn with_short_rows(
    input: SendableRecordBatchStream,
    batch_rows: usize,
    pace: Arc<Pace>,
) -> SendableRecordBatchStream {
    let bytes_max = TURN_BYTES_MAX / batch_rows.max(1);
    let split = move |batch: &RecordBatch| Ok(Piece::small(batch, batch_rows));
    in_pieces(input, pace, split, move |_, batch, _| {
        let bytes = largest_row_bytes(batch, bytes_max);
        if bytes > bytes_max {
            return Err(QueryError::exhausted(format!(
                "a join or a subquery copies a row with {bytes} bytes to each row of a \
                 batch, and the limit is {bytes_max}: select fewer columns, or shorten \
                 the texts, for example with left()"
            ))
            .into());
        }
        Ok(())
    })
}

/// Returns the size of the largest row, in bytes. If the texts and lists of each row have at most
/// `bytes_max` bytes, the result is an upper bound for their size.
fn largest_row_bytes(batch: &RecordBatch, bytes_max: usize) -> usize {
    let bound: usize = batch.columns().iter().map(|column| largest_value_bytes(column)).sum();
    if bound <= bytes_max {
        return bound;
    }
    let rows = (0..batch.num_rows()).map(|row| batch_bytes(&batch.slice(row, 1)));
    rows.max().unwrap_or_default()
}

/// Returns the rows of `input` in smaller batches. The converted tags and texts of a batch have at
/// most [`TURN_BYTES_MAX`] bytes.
fn divided(
    input: SendableRecordBatchStream,
    Evaluation { rows, row_cost, conversions, .. }: Evaluation,
    pace: Arc<Pace>,
) -> SendableRecordBatchStream {
    let split = move |batch: &RecordBatch| {
        let texts = batch.columns().iter().filter(|_| conversions > 0);
        let texts = texts.filter(|column| !column.data_type().is_nested());
        let row_bytes: usize = texts.map(|text| largest_value_bytes(text)).sum();
        let converted = row_bytes.saturating_mul(conversions);
        let rows_max = (TURN_BYTES_MAX / converted.max(1)).max(1);
        Ok(Piece::small(batch, rows.min(rows_max)))
    };
    in_pieces(input, pace, split, move |pace, batch, _| {
        pace.made(batch.num_rows().saturating_mul(row_cost).max(ROWS_PER_BATCH_MIN));
        Ok(())
    })
}

/// Returns the rows of `input` in pieces of at most [`TURN_BYTES_MAX`] bytes after `lists` are
/// unnested. Returns an error if a single row needs more bytes.
fn with_short_lists(
    input: SendableRecordBatchStream,
    lists: Vec<(usize, usize)>,
    pace: Arc<Pace>,
) -> SendableRecordBatchStream {
    let split = move |batch: &RecordBatch| -> Result<VecDeque<Piece>> {
        if unnested_bytes(batch, &lists) <= TURN_BYTES_MAX {
            return Ok([Piece::whole(batch)].into());
        }
        let (mut pieces, mut rows, mut bytes) = (VecDeque::new(), 0, 0);
        for row in 0..batch.num_rows() {
            let own = unnested_bytes(&batch.slice(row, 1), &lists);
            if own > TURN_BYTES_MAX {
                let remedy = "use shorter lists, or select fewer columns";
                return Err(
                    too_many("unnest makes of one row", TURN_BYTES_MAX, "bytes", remedy).into()
                );
            }
            if rows > 0 && bytes + own > TURN_BYTES_MAX {
                pieces.push_back(Piece { rows, pairs: 0 });
                (rows, bytes) = (0, 0);
            }
            (rows, bytes) = (rows + 1, bytes + own);
        }
        pieces.push_back(Piece { rows, pairs: 0 });
        Ok(pieces)
    };
    in_pieces(input, pace, split, |pace, batch, _| {
        pace.made(batch.num_rows().max(ROWS_PER_BATCH_MIN));
        Ok(())
    })
}

/// Returns an upper bound for the size of the rows after `lists` are unnested, in bytes. The values
/// of the other columns are repeated for each row, and shorter lists are filled with NULL.
fn unnested_bytes(batch: &RecordBatch, lists: &[(usize, usize)]) -> usize {
    let mut bytes = 0_usize;
    for (at, column) in batch.columns().iter().enumerate() {
        let mut add = |length: usize| {
            bytes += size_of::<i64>() * batch.num_rows() + slice_bytes(column) / length;
        };
        let depths: Vec<usize> =
            lists.iter().filter(|(of, _)| *of == at).map(|(_, depth)| *depth).collect();
        depths.iter().for_each(|depth| add(unnested_length(column, *depth)));
        if depths.is_empty() {
            add(1);
        }
    }
    bytes.saturating_mul(unnested_rows(batch, lists))
}

/// Returns an upper bound for the number of rows that an operator makes of one row. The operator
/// unnests the deepest level of all lists first. At each level, it repeats a row for each element
/// of the longest list, also a row that it made at the previous level.
fn unnested_rows(batch: &RecordBatch, lists: &[(usize, usize)]) -> usize {
    let column = |at: usize| batch.columns().get(at);
    if let [(at, depth)] = *lists {
        return column(at).map_or(1, |column| unnested_length(column, depth));
    }
    let longest = |level: usize| {
        let lists = lists.iter().filter(|(_, depth)| *depth >= level);
        let lengths = lists.filter_map(|(at, depth)| nested_length(column(*at)?, depth - level));
        lengths.max().unwrap_or(1).max(1)
    };
    let deepest = lists.iter().map(|(_, depth)| *depth).max().unwrap_or_default();
    (1..=deepest).map(longest).fold(1, usize::saturating_mul)
}

/// Returns the length of the longest list that is nested in `depth` lists.
fn nested_length(lists: &dyn Array, depth: usize) -> Option<usize> {
    match depth {
        0 => longest_list(lists),
        _ => nested_length(&elements(lists)?, depth - 1),
    }
}

/// Returns the maximum number of elements of a row at a depth of nesting, at least 1.
fn unnested_length(column: &dyn Array, depth: usize) -> usize {
    let lengths = (0..column.len()).map(|row| elements_at(&column.slice(row, 1), depth));
    lengths.max().unwrap_or(1).max(1)
}

/// Returns the number of elements of lists at a depth of nesting.
fn elements_at(lists: &dyn Array, depth: usize) -> usize {
    match elements(lists).filter(|_| depth > 0) {
        Some(elements) => elements_at(&elements, depth - 1),
        None => lists.len(),
    }
}
