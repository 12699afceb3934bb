//! Moves aggregates that are directly above a scan to the shards.
//!
//! A scan with aggregates returns the rows of a partial aggregate: the group columns, and then the
//! states of each function. DataFusion's final aggregate merges these rows, and also handles the
//! case without rows.
//!
//! An aggregate is moved only if it has the same meaning in SQL and on a shard. In SQL, a group
//! exists if it has a row, even if all requested fields are missing, so the scan also counts rows.
//! The order in which floats are added may differ, as in every query over several shards. Neither
//! SQL nor shards define whether 0.0 or -0.0 is smaller.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{CastExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coop::CooperativeExec;
use tidemark_engine::scan::request::{AggregateFunction, Window};
use tidemark_model::time::D_NS;

use super::batches::Source;
use super::first_rows::by_time;
use super::over_scan::OverScan;
use super::scan::Scanned;
use crate::messages::{AggregateCall, Aggregates};

pub(super) fn push_down(
    node: Arc<dyn ExecutionPlan>,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let pushed = node.downcast_ref().map(second_half).transpose()?.flatten();
    Ok(pushed.map_or_else(|| Transformed::no(node), Transformed::yes))
}

/// Returns the final aggregate over a scan that computes the partial aggregate, or `None` if shards
/// cannot compute the aggregate.
fn second_half(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let found = takes_all_rows(aggregate).then(|| OverScan::of(aggregate.input())).flatten();
    let Some(input) = found else { return Ok(None) };
    let mut requested = RequestBuilder::new(&input);
    let groups = aggregate.group_expr().expr();
    if groups.iter().any(|(expr, _)| requested.group(expr).is_none())
        || aggregate.aggr_expr().iter().any(|function| requested.function(function).is_none())
    {
        return Ok(None);
    }
    requested.place_rows();
    let (group_by, functions) = (aggregate.group_expr().clone(), aggregate.aggr_expr().to_vec());
    let filters = vec![None; functions.len()];
    let of_input = aggregate.input_schema();
    let first_half = AggregateExec::try_new(
        AggregateMode::Partial,
        group_by.clone(),
        functions.clone(),
        filters.clone(),
        Arc::clone(aggregate.input()),
        Arc::clone(&of_input),
    )?;
    let schema = first_half.schema();
    if schema.fields().len() != requested.sources.len() {
        return Ok(None);
    }
    let RequestBuilder { aggregates, sources, .. } = requested;
    let scan = Arc::new(input.scan.aggregated(aggregates, sources, schema));
    let second_half = AggregateExec::try_new(
        AggregateMode::Final,
        group_by.as_final(),
        functions,
        filters,
        Arc::new(CooperativeExec::new(scan)),
        of_input,
    )?;
    Ok(Some(Arc::new(second_half)))
}

/// Whether `aggregate` reads each row of its input exactly once.
pub(super) fn takes_all_rows(aggregate: &AggregateExec) -> bool {
    let mode = aggregate.mode();
    let is_whole = matches!(mode, AggregateMode::Single | AggregateMode::SinglePartitioned);
    is_whole
        && aggregate.filter_expr().iter().all(Option::is_none)
        && aggregate.limit_options().is_none()
        && !aggregate.group_expr().has_grouping_set()
}

struct RequestBuilder<'a> {
    input: &'a OverScan<'a>,
    aggregates: Aggregates,
    /// The source of each column of the partial aggregate.
    sources: Vec<Source>,
    /// The number of page columns that the calls have so far.
    fields: usize,
    /// The first page column of each call.
    starts: Vec<usize>,
    /// The columns that are read from the first row and from the last row. A single call must read
    /// all columns of a row, so that all values come from the same row.
    rows: [Vec<String>; 2],
    /// For each source that reads the first or last row: the index in `sources`, and the row.
    of_rows: Vec<(usize, usize)>,
}

/// The column of the time in the result of a row's call. The next column of the result also
/// contains the time.
const ROW_TIME: usize = 0;
/// The column of the first requested value in the result of a row's call.
const ROW_BESIDE: usize = 2;

impl<'a> RequestBuilder<'a> {
    fn new(input: &'a OverScan<'a>) -> Self {
        let aggregates = Aggregates { group_by: Vec::new(), window: None, calls: Vec::new() };
        Self {
            input,
            aggregates,
            sources: Vec::new(),
            fields: 0,
            starts: Vec::new(),
            rows: Default::default(),
            of_rows: Vec::new(),
        }
    }

    /// Adds an expression in GROUP BY. Returns `None` if the scan does not support the expression.
    fn group(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Option<()> {
        let expr = self.input.resolve(expr)?;
        if let Some(Scanned::Tag(tag)) = self.input.resolved_column(&expr) {
            let group_by = &mut self.aggregates.group_by;
            let at = group_by.iter().position(|known| known == tag).unwrap_or_else(|| {
                group_by.push(tag.to_owned());
                group_by.len() - 1
            });
            self.sources.push(Source::Tag(at));
            return Some(());
        }
        let window = window(self.input, &expr)?;
        if self.aggregates.window.get_or_insert_with(|| window.clone()) != &window {
            return None;
        }
        self.sources.push(Source::Time);
        Some(())
    }

    fn function(&mut self, function: &AggregateFunctionExpr) -> Option<()> {
        use AggregateFunction::{First, Last, Max, Min, Sum};
        let arguments = function.expressions();
        match (function.fun().name(), arguments.as_slice()) {
            _ if function.is_distinct() => None,
            ("selector_first", arguments) => self.selector(First, arguments),
            ("selector_last", arguments) => self.selector(Last, arguments),
            ("selector_min", arguments) => self.selector(Min, arguments),
            ("selector_max", arguments) => self.selector(Max, arguments),
            ("first_value", [value]) => self.ordered_value(function, value, true),
            ("last_value", [value]) => self.ordered_value(function, value, false),
            _ if !function.order_bys().is_empty() => None,
            ("min", [value]) if self.input.is_time(value) => self.time_of_row(true),
            ("max", [value]) if self.input.is_time(value) => self.time_of_row(false),
            ("count", [value]) => self.count(value),
            ("sum", [value]) => {
                let (field, _) = self.field(value).filter(|(_, kind)| kind.is_numeric())?;
                self.value(Sum, field, false)
            }
            ("avg", [value]) => self.average(value),
            ("min" | "max", [value]) => {
                let (field, _) = self.field(value).filter(|(_, kind)| is_ordered(kind))?;
                let is_smallest = function.fun().name() == "min";
                self.value(if is_smallest { Min } else { Max }, field, false)
            }
            _ => None,
        }
    }

    /// Adds `count`. At this stage, `count(*)` is already the count of a constant.
    fn count(&mut self, value: &Arc<dyn PhysicalExpr>) -> Option<()> {
        let is_there = |literal: &Literal| !literal.value().is_null();
        let counts_rows = self.input.is_time(value)
            || self.input.resolve(value)?.downcast_ref().is_some_and(is_there);
        let start = match counts_rows {
            true => self.call(AggregateFunction::Rows, None, false),
            false => self.call(AggregateFunction::Count, Some(self.field(value)?.0), false),
        };
        self.sources.push(Source::Count(start));
        Some(())
    }

    /// Adds `avg`. DataFusion casts integer arguments to floats.
    fn average(&mut self, value: &Arc<dyn PhysicalExpr>) -> Option<()> {
        let value = self.input.resolve(value)?;
        let value = match value.downcast_ref::<CastExpr>() {
            Some(cast) if *cast.cast_type() == DataType::Float64 => cast.expr(),
            Some(_) => return None,
            None => &value,
        };
        let column = self.input.resolved_column(value);
        let (field, _) = field(column).filter(|(_, kind)| kind.is_numeric())?;
        self.value(AggregateFunction::Count, field.clone(), false)?;
        self.value(AggregateFunction::Sum, field, true)
    }

    /// Adds `first_value(value ORDER BY time)`. Without `IGNORE NULLS`, the value in the first row
    /// may be NULL.
    fn ordered_value(
        &mut self,
        function: &AggregateFunctionExpr,
        value: &Arc<dyn PhysicalExpr>,
        is_first: bool,
    ) -> Option<()> {
        let order = function.order_bys();
        let by = by_time(self.input, &self.aggregates.group_by, order)?;
        let is_first = is_first != by.options.descending;
        if !function.ignore_nulls() {
            return self.value_of_row(value, order, is_first);
        }
        let [_] = order else { return None };
        let function = if is_first { AggregateFunction::First } else { AggregateFunction::Last };
        let start = self.call(function, Some(self.field(value)?.0), false);
        let value_and_time = [start, start + 1].map(Source::Field);
        self.sources.extend(value_and_time);
        self.sources.push(Source::IsPresent(start));
        Some(())
    }

    /// Adds the value in the first or last row, the columns by which rows are ordered, and whether
    /// the row exists.
    fn value_of_row(
        &mut self,
        value: &Arc<dyn PhysicalExpr>,
        order: &[PhysicalSortExpr],
        is_first: bool,
    ) -> Option<()> {
        match self.input.column(value)? {
            Scanned::Time => self.time_of_row(is_first)?,
            Scanned::Tag(name) | Scanned::Field(name, _) => {
                let aux = self.rows.get_mut(usize::from(!is_first))?;
                let known = aux.iter().position(|known| known == name);
                let at = known.unwrap_or_else(|| {
                    aux.push(name.to_owned());
                    aux.len() - 1
                });
                self.push_of_row(is_first, ROW_BESIDE + at, Source::Field);
            }
        }
        for by in order {
            match self.input.tag(&by.expr) {
                Some(tag) => {
                    let mut tags = self.aggregates.group_by.iter();
                    self.sources.push(Source::Tag(tags.position(|known| known == tag)?));
                }
                None => self.time_of_row(is_first)?,
            }
        }
        self.push_of_row(is_first, ROW_TIME, Source::IsPresent);
        Some(())
    }

    fn time_of_row(&mut self, is_first: bool) -> Option<()> {
        self.push_of_row(is_first, ROW_TIME, Source::Field);
        Some(())
    }

    fn push_of_row(&mut self, is_first: bool, column: usize, source: fn(usize) -> Source) {
        self.of_rows.push((self.sources.len(), usize::from(!is_first)));
        self.sources.push(source(column));
    }

    /// Adds the calls for the first and last rows. The caller must call this function after all
    /// columns of the first and last rows are known.
    fn place_rows(&mut self) {
        use AggregateFunction::{FirstRow, LastRow};
        for (which, function) in [FirstRow, LastRow].into_iter().enumerate() {
            let of_row: Vec<_> = self.of_rows.extract_if(.., |(_, row)| *row == which).collect();
            if of_row.is_empty() {
                continue;
            }
            let aux = self.rows.get_mut(which).map(std::mem::take).unwrap_or_default();
            let columns = ROW_BESIDE + aux.len();
            let call = AggregateCall { function, field: None, as_float: false, aux };
            let start = self.place(call, columns);
            for (at, _) in of_row {
                if let Some(Source::Field(column) | Source::IsPresent(column)) =
                    self.sources.get_mut(at)
                {
                    *column += start;
                }
            }
        }
    }

    /// Adds `selector_…(value, time[, more…])`.
    fn selector(
        &mut self,
        function: AggregateFunction,
        arguments: &[Arc<dyn PhysicalExpr>],
    ) -> Option<()> {
        let [value, time, more @ ..] = arguments else { return None };
        let (field, kind) = self.field(value)?;
        let is_of_value = matches!(function, AggregateFunction::Min | AggregateFunction::Max);
        if !self.input.is_time(time) || (is_of_value && !is_ordered(&kind)) {
            return None;
        }
        let mut aux = Vec::with_capacity(more.len());
        for column in more {
            match self.input.column(column)? {
                Scanned::Tag(name) | Scanned::Field(name, _) => aux.push(name.to_owned()),
                Scanned::Time => return None,
            }
        }
        let columns = 2 + aux.len();
        let call = AggregateCall { function, field: Some(field), as_float: false, aux };
        let start = self.place(call, columns);
        self.sources.extend((start..start + columns).map(Source::Field));
        Some(())
    }

    fn field(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<(String, DataType)> {
        field(self.input.column(expr))
    }

    /// Adds a call whose state has one column.
    fn value(&mut self, function: AggregateFunction, field: String, as_float: bool) -> Option<()> {
        let start = self.call(function, Some(field), as_float);
        self.sources.push(Source::Field(start));
        Some(())
    }

    fn call(
        &mut self,
        function: AggregateFunction,
        field: Option<String>,
        as_float: bool,
    ) -> usize {
        use AggregateFunction::{First, Last, Max, Min};
        let columns = if matches!(function, First | Last | Min | Max) { 2 } else { 1 };
        self.place(AggregateCall { function, field, as_float, aux: Vec::new() }, columns)
    }

    /// Adds a call with `columns` columns. Returns the index of the call's first column.
    fn place(&mut self, call: AggregateCall, columns: usize) -> usize {
        let calls = &mut self.aggregates.calls;
        if let Some(at) = calls.iter().position(|known| *known == call) {
            return self.starts.get(at).copied().unwrap_or_default();
        }
        calls.push(call);
        let start = self.fields;
        self.starts.push(start);
        self.fields += columns;
        start
    }
}

fn field(column: Option<Scanned<'_>>) -> Option<(String, DataType)> {
    match column? {
        Scanned::Field(name, data_type) => Some((name.to_owned(), data_type.clone())),
        Scanned::Time | Scanned::Tag(_) => None,
    }
}

/// Whether shards can find the minimum of values with this type.
fn is_ordered(data_type: &DataType) -> bool {
    data_type.is_numeric() || *data_type == DataType::Boolean
}

/// Returns the windows of `date_bin(interval, time[, origin])`. `expr` is already resolved.
fn window(input: &OverScan<'_>, expr: &Arc<dyn PhysicalExpr>) -> Option<Window> {
    let call =
        expr.downcast_ref::<ScalarFunctionExpr>().filter(|call| call.name() == "date_bin")?;
    let constant = |expr: &Arc<dyn PhysicalExpr>| {
        expr.downcast_ref::<Literal>().map(|literal| literal.value().clone())
    };
    let [width, time, origin @ ..] = call.args() else { return None };
    let ScalarValue::IntervalMonthDayNano(Some(width)) = constant(width)? else { return None };
    let origin_ns = match origin {
        [] => 0,
        [origin] => match constant(origin)? {
            ScalarValue::TimestampNanosecond(Some(at), None) => at,
            _ => return None,
        },
        _ => return None,
    };
    let Some(Scanned::Time) = input.resolved_column(time) else { return None };
    let every_ns = i64::from(width.days).checked_mul(D_NS)?.checked_add(width.nanoseconds)?;
    if width.months != 0 || every_ns <= 0 {
        return None;
    }
    Some(Window { every_ns, offset_ns: origin_ns.rem_euclid(every_ns), zone: Vec::new() })
}
