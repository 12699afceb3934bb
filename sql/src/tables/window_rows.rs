//! Limits the input of window functions. Most aggregates in windows return their value in constant
//! time. Other aggregates read all earlier rows again for each row, or return a list of these rows.
//! Functions such as `first_value` copy the text of one row to other rows.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr, WindowExpr,
};
use datafusion::physical_plan::windows::WindowUDFExpr;
use datafusion::scalar::ScalarValue;

use crate::limits::{WINDOW_FRAME_ROWS, WINDOW_LIST_PAIRS_MAX, WINDOW_REPEATED_PAIRS_MAX};
use crate::value_sizes::largest_value_bytes;

/// The window functions whose results are values of different rows. The total size of their texts
/// is at most the size of the input.
const MOVES: [&str; 2] = ["lag", "lead"];

/// The size of the values that window functions return.
#[derive(Clone, Debug, Default)]
pub(super) struct Results {
    /// The total size of the values with a fixed size for one row, in bytes.
    fixed_bytes: usize,
    /// The number of texts, lists and other values without a fixed size that one row has. Each
    /// value may be a copy of the largest argument. A copy of a tag also contains its text.
    copied: usize,
    /// The input columns in the arguments of the functions that return the values that `copied`
    /// counts.
    columns: HashSet<usize>,
    /// The number of texts in one row that `lag` and `lead` return, without the calls that have a
    /// default value.
    moved: usize,
    /// The size of the largest constant text or list in the arguments, in bytes.
    constant_bytes: usize,
}

impl Results {
    pub(super) fn of(windows: &[Arc<dyn WindowExpr>]) -> Result<Self> {
        let mut results = Self::default();
        for window in windows {
            let field = window.field()?;
            let args = call(window).map_or(&[][..], WindowUDFExpr::args);
            for constant in args.iter().filter_map(|arg| arg.downcast_ref::<Literal>()) {
                let value = constant.value();
                if !value.is_null() && value.data_type().primitive_width().is_none() {
                    results.constant_bytes = results.constant_bytes.max(value.size());
                }
            }
            let moves = call(window).is_some_and(|call| MOVES.contains(&call.fun().name()));
            match field.data_type() {
                DataType::Boolean | DataType::Null => {}
                fixed if fixed.primitive_width().is_some() => {
                    results.fixed_bytes += fixed.primitive_width().unwrap_or_default();
                }
                // With a third argument, the function copies a constant to many rows.
                text if text.is_string() && moves && args.len() <= 2 => results.moved += 1,
                _ => {
                    results.copied += 1;
                    for column in window.expressions().iter().flat_map(collect_columns) {
                        results.columns.insert(column.index());
                    }
                }
            }
        }
        Ok(results)
    }

    /// Returns the size of the largest value in `batch` that a function may copy, in bytes.
    pub(super) fn largest_bytes(&self, batch: &RecordBatch) -> usize {
        let columns = self.columns.iter().filter_map(|at| batch.columns().get(*at));
        let largest = columns.map(|column| largest_value_bytes(column)).max();
        largest.unwrap_or_default().max(self.constant_bytes)
    }

    /// Returns the maximum size of the values for `rows` rows, in bytes. `value_bytes` is the size
    /// of the largest value of these rows, and `input_bytes` is the size of all values.
    pub(super) fn bytes(&self, rows: usize, value_bytes: usize, input_bytes: usize) -> usize {
        let of_row = self.copied.saturating_mul(value_bytes).saturating_add(self.fixed_bytes);
        let moved = self.moved.saturating_mul(input_bytes);
        of_row.saturating_mul(rows).saturating_add(moved)
    }
}

fn call(window: &Arc<dyn WindowExpr>) -> Option<&WindowUDFExpr> {
    let window = window.as_any().downcast_ref::<StandardWindowExpr>()?;
    window.get_standard_func_expr().as_any().downcast_ref()
}

/// The aggregates that read all rows of a frame for each row.
const REPEATED: [&str; 6] = [
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "median",
    "percentile_cont",
];

/// Returns the maximum number of row pairs within partitions, or `None` if there is no limit.
pub(super) fn pairs_max(window: &Arc<dyn WindowExpr>) -> Option<usize> {
    let aggregate = aggregate(window)?;
    if is_small(window.get_window_frame()) {
        return None;
    }
    let (name, is_distinct) = (aggregate.fun().name(), aggregate.is_distinct());
    if ["array_agg", "string_agg"].contains(&name) {
        return Some(WINDOW_LIST_PAIRS_MAX);
    }
    // Without ORDER BY, the aggregate has one value for all rows of a partition.
    let is_repeated = REPEATED.contains(&name) || (is_distinct && name != "count");
    (is_repeated && !window.order_by().is_empty()).then_some(WINDOW_REPEATED_PAIRS_MAX)
}

fn aggregate(window: &Arc<dyn WindowExpr>) -> Option<&AggregateFunctionExpr> {
    let window = window.as_any();
    let plain = window.downcast_ref::<PlainAggregateWindowExpr>();
    let sliding = window.downcast_ref::<SlidingAggregateWindowExpr>();
    plain
        .map(PlainAggregateWindowExpr::get_aggregate_expr)
        .or_else(|| sliding.map(SlidingAggregateWindowExpr::get_aggregate_expr))
}

/// Whether a frame has at most `WINDOW_FRAME_ROWS` rows before and after the current row.
fn is_small(frame: &WindowFrame) -> bool {
    let is_near = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::CurrentRow => true,
        WindowFrameBound::Preceding(ScalarValue::UInt64(Some(rows)))
        | WindowFrameBound::Following(ScalarValue::UInt64(Some(rows))) => {
            *rows <= WINDOW_FRAME_ROWS
        }
        _ => false,
    };
    frame.units == WindowFrameUnits::Rows
        && is_near(&frame.start_bound)
        && is_near(&frame.end_bound)
}
