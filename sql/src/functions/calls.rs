//! Rewrites or rejects calls that DataFusion can plan but not execute:
//! - aggregates and window functions for which an assertion of DataFusion would end the whole
//!   instance
//! - an aggregate that does not support tags
//! - casts to list views, or to types with very large values
//! - percentiles with very many centroids

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    Expr, ExprSchemable as _, WindowFrame, WindowFrameBound, WindowFrameUnits,
};

use crate::error::QueryError;
use crate::limits::{CENTROIDS_MAX, FIXED_SIZE_MAX, WINDOW_ROWS_MAX};

/// The aggregates whose results depend on the order of the rows.
const OF_ORDERED_ROWS: [&str; 5] =
    ["array_agg", "string_agg", "first_value", "last_value", "nth_value"];
/// The window functions that need an argument, although their signatures do not require it.
const OF_ONE_ARGUMENT: [&str; 5] = ["first_value", "last_value", "nth_value", "lag", "lead"];
/// The aggregate that supports texts but not tags, which are dictionaries.
const OF_TEXT: &str = "approx_distinct";
/// The aggregates that have an argument for the number of centroids, and the position of this
/// argument.
const OF_CENTROIDS: [(&str, usize); 2] =
    [("approx_percentile_cont", 2), ("approx_percentile_cont_with_weight", 3)];

#[derive(Debug)]
pub(super) struct CheckedCalls;

impl FunctionRewrite for CheckedCalls {
    fn name(&self) -> &str {
        "checked_calls"
    }

    fn rewrite(
        &self,
        mut expr: Expr,
        schema: &DFSchema,
        _: &ConfigOptions,
    ) -> Result<Transformed<Expr>> {
        let is_cast = match &expr {
            Expr::Cast(_) | Expr::TryCast(_) => true,
            Expr::ScalarFunction(call) => call.func.name().starts_with("arrow_"),
            _ => false,
        };
        if is_cast && let Ok(data_type) = expr.get_type(schema) {
            if fixed_size(&data_type) > FIXED_SIZE_MAX {
                let message =
                    format!("a value of the type {data_type} exceeds {FIXED_SIZE_MAX} bytes");
                return Err(QueryError::invalid(message).into());
            }
            if has_list_view(&data_type) {
                let message = "list views are not supported: cast to the type List";
                return Err(QueryError::invalid(message).into());
            }
        }
        match &expr {
            Expr::AggregateFunction(call) => check_centroids(call.func.name(), &call.params.args)?,
            Expr::WindowFunction(call) => check_centroids(call.fun.name(), &call.params.args)?,
            _ => {}
        }
        let is_limited = match &mut expr {
            Expr::WindowFunction(call) => limit_frame(&mut call.params.window_frame),
            _ => false,
        };
        let is_changed = match &mut expr {
            Expr::AggregateFunction(call) if call.func.name() == OF_TEXT => {
                cast_tags(&mut call.params.args, schema)?
            }
            Expr::WindowFunction(call) if call.fun.name() == OF_TEXT => {
                cast_tags(&mut call.params.args, schema)?
            }
            _ => false,
        };
        match expr {
            // Grouped aggregates would interpret the values of ORDER BY as additional arguments.
            Expr::AggregateFunction(mut call)
                if !call.params.order_by.is_empty()
                    && !OF_ORDERED_ROWS.contains(&call.func.name())
                    && !call.func.supports_within_group_clause() =>
            {
                call.params.order_by.clear();
                Ok(Transformed::yes(Expr::AggregateFunction(call)))
            }
            Expr::WindowFunction(call)
                if call.params.args.is_empty() && OF_ONE_ARGUMENT.contains(&call.fun.name()) =>
            {
                let message = format!("{} requires an argument", call.fun.name());
                Err(QueryError::invalid(message).into())
            }
            other => Ok(Transformed::new_transformed(other, is_changed || is_limited)),
        }
    }
}

/// Limits the bounds of a frame to [`WINDOW_ROWS_MAX`] rows or groups, because a window function
/// gets no more rows. DataFusion would add larger bounds to a position, which may overflow. Returns
/// whether a bound changed.
fn limit_frame(frame: &mut WindowFrame) -> bool {
    if frame.units == WindowFrameUnits::Range {
        return false;
    }
    let rows_max = WINDOW_ROWS_MAX as u64;
    let limit = |bound: &mut WindowFrameBound| match bound {
        WindowFrameBound::Preceding(ScalarValue::UInt64(Some(rows)))
        | WindowFrameBound::Following(ScalarValue::UInt64(Some(rows)))
            if *rows > rows_max =>
        {
            *rows = rows_max;
            true
        }
        _ => false,
    };
    let is_start_limited = limit(&mut frame.start_bound);
    limit(&mut frame.end_bound) || is_start_limited
}

/// Rejects more than [`CENTROIDS_MAX`] centroids.
fn check_centroids(function: &str, args: &[Expr]) -> Result<()> {
    let at = OF_CENTROIDS.iter().find(|(name, _)| *name == function).map(|(_, at)| *at);
    let Some(centroids) = at.and_then(|at| args.get(at)) else { return Ok(()) };
    let number = match centroids {
        Expr::Literal(number, _) => number.cast_to(&DataType::Int64).ok(),
        _ => None,
    };
    if matches!(number, Some(ScalarValue::Int64(Some(..=CENTROIDS_MAX)))) {
        return Ok(());
    }
    let message = format!(
        "{function}: the number of centroids must be a constant of at most {CENTROIDS_MAX}"
    );
    Err(QueryError::invalid(message).into())
}

/// Casts tags to texts. Returns whether an argument changed.
fn cast_tags(args: &mut [Expr], schema: &DFSchema) -> Result<bool> {
    let mut is_changed = false;
    for arg in args {
        if let Ok(DataType::Dictionary(_, text)) = arg.get_type(schema) {
            *arg = std::mem::take(arg).cast_to(&text, schema)?;
            is_changed = true;
        }
    }
    Ok(is_changed)
}

/// Returns the number of bytes or elements that every value of the type has, even NULL.
fn fixed_size(data_type: &DataType) -> usize {
    match data_type {
        DataType::FixedSizeBinary(bytes) => usize::try_from(*bytes).unwrap_or_default(),
        DataType::FixedSizeList(field, count) => {
            let count = usize::try_from(*count).unwrap_or_default();
            count.saturating_mul(fixed_size(field.data_type()).max(1))
        }
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::Map(field, _)
        | DataType::RunEndEncoded(_, field) => fixed_size(field.data_type()),
        DataType::Dictionary(_, values) => fixed_size(values),
        DataType::Struct(fields) => {
            let sizes = fields.iter().map(|field| fixed_size(field.data_type()));
            sizes.fold(0, usize::saturating_add)
        }
        _ => 0,
    }
}

/// Whether the type contains a list view. The limits on the size of lists do not support them.
fn has_list_view(data_type: &DataType) -> bool {
    match data_type {
        DataType::ListView(_) | DataType::LargeListView(_) => true,
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _)
        | DataType::RunEndEncoded(_, field) => has_list_view(field.data_type()),
        DataType::Dictionary(_, values) => has_list_view(values),
        DataType::Struct(fields) => fields.iter().any(|field| has_list_view(field.data_type())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::Field;

    use super::*;

    #[test]
    fn nested_types_have_the_size_of_their_parts() {
        let binary = DataType::FixedSizeBinary(3_000);
        let field = |data_type: &DataType| Arc::new(Field::new("f", data_type.clone(), true));
        let both = DataType::Struct(vec![field(&binary), field(&binary)].into());
        for (data_type, bytes) in [
            (DataType::Dictionary(Box::new(DataType::Int32), Box::new(binary.clone())), 3_000),
            (DataType::Map(field(&both), false), 6_000),
            (DataType::RunEndEncoded(field(&DataType::Int32), field(&both)), 6_000),
            (DataType::ListView(field(&binary)), 3_000),
            (DataType::FixedSizeList(field(&both), 2), 12_000),
        ] {
            assert_eq!(fixed_size(&data_type), bytes, "{data_type}");
        }
    }
}
