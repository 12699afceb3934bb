//! Limits the input of window functions. Most aggregates in windows return their value in constant
//! time. Others read all earlier rows again for each row, or return a list of these rows. Functions
//! such as `first_value` copy the text of one row to other rows.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, WindowExpr,
};
use datafusion::scalar::ScalarValue;

use crate::limits::{WINDOW_FRAME_ROWS, WINDOW_LIST_PAIRS_MAX, WINDOW_REPEATED_PAIRS_MAX};

/// The size of the values that window functions return for one row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Results {
    /// The total size of the values with a fixed size, in bytes.
    fixed_bytes: usize,
    /// The number of texts.
    texts: usize,
}

impl Results {
    pub(super) fn of(windows: &[Arc<dyn WindowExpr>]) -> Result<Self> {
        let mut results = Self::default();
        for window in windows {
            let field = window.field()?;
            results.fixed_bytes += field.data_type().primitive_width().unwrap_or_default();
            results.texts += usize::from(field.data_type().is_string());
        }
        Ok(results)
    }

    /// Returns the maximum size of the values for `rows` rows, in bytes, if the longest text of the
    /// rows has `text_bytes` bytes.
    pub(super) fn bytes(self, rows: usize, text_bytes: usize) -> usize {
        let of_row = self.texts.saturating_mul(text_bytes).saturating_add(self.fixed_bytes);
        of_row.saturating_mul(rows)
    }
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
