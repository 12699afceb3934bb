//! Implements `selector_first|last|min|max(value, time[, more…])`. These aggregates select one row
//! of a group, and return a struct with the row's value, time and other arguments.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::make_comparator;
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, TimestampNanosecondType};
use datafusion::common::ScalarValue;
use datafusion::common::scalar::ScalarStructBuilder;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};

use super::arguments;
use crate::error::QueryError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    First,
    Last,
    Min,
    Max,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Selector {
    kind: Kind,
    signature: Signature,
}

impl Selector {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn fields<'a>(types: impl Iterator<Item = &'a DataType>) -> Fields {
    let name = |at: usize| match at {
        0 => "value".to_owned(),
        1 => "time".to_owned(),
        more => format!("other_{}", more - 1),
    };
    types.enumerate().map(|(at, data_type)| Field::new(name(at), data_type.clone(), true)).collect()
}

impl AggregateUDFImpl for Selector {
    fn name(&self) -> &str {
        match self.kind {
            Kind::First => "selector_first",
            Kind::Last => "selector_last",
            Kind::Min => "selector_min",
            Kind::Max => "selector_max",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [value, time, more @ ..] = given else {
            let message =
                format!("{} expects a value, a time, and optionally more columns", self.name());
            return Err(DataFusionError::Plan(message));
        };
        let mut types = vec![value.clone(), arguments::timestamp(self.name(), time)?];
        types.extend(more.iter().cloned());
        Ok(types)
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(fields(given.iter())))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let state = |(at, field): (usize, &FieldRef)| {
            let name = format!("{}[{at}]", args.name);
            Arc::new(Field::new(name, field.data_type().clone(), true))
        };
        Ok(args.input_fields.iter().enumerate().map(state).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let DataType::Struct(fields) = args.return_type().clone() else {
            return Err(QueryError::internal(self.name()).into());
        };
        Ok(Box::new(SelectorState { kind: self.kind, fields, row: None }))
    }
}

#[derive(Debug)]
struct SelectorState {
    kind: Kind,
    fields: Fields,
    row: Option<Row>,
}

#[derive(Debug)]
struct Row {
    time_ns: i64,
    /// The value, the time and the other arguments.
    columns: Vec<ScalarValue>,
}

impl SelectorState {
    /// Compares the current row with input rows or with the states of other accumulators.
    fn compare(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let [values, times, ..] = columns else { return Ok(()) };
        let times = times.as_primitive::<TimestampNanosecondType>();
        let order = make_comparator(values, values, SortOptions::default())?;
        let mut best: Option<usize> = None;
        for row in (0..values.len()).filter(|&row| values.is_valid(row) && times.is_valid(row)) {
            let is_better = best.is_none_or(|best| {
                self.is_better(order(row, best), times.value(row).cmp(&times.value(best)))
            });
            best = if is_better { Some(row) } else { best };
        }
        let Some(row) = best else { return Ok(()) };
        let time_ns = times.value(row);
        let scalar = |column: &ArrayRef| ScalarValue::try_from_array(column, row);
        if let Some(known) = &self.row {
            let value = scalar(values)?;
            let known_value = known.columns.first();
            let order = known_value.and_then(|known| value.partial_cmp(known));
            if !self.is_better(order.unwrap_or(Ordering::Equal), time_ns.cmp(&known.time_ns)) {
                return Ok(());
            }
        }
        let columns: Result<Vec<ScalarValue>> = columns.iter().map(scalar).collect();
        let mut columns = columns?;
        // A scalar may reference its whole batch. `compact` copies the value so that the batch can
        // be freed.
        columns.iter_mut().for_each(ScalarValue::compact);
        self.row = Some(Row { time_ns, columns });
        Ok(())
    }

    /// Whether a row replaces the current row. `value` and `time` are the results of comparing the
    /// two rows.
    fn is_better(&self, value: Ordering, time: Ordering) -> bool {
        match self.kind {
            Kind::First => time.is_lt(),
            Kind::Last => time.is_gt(),
            Kind::Min => value.then(time).is_lt(),
            Kind::Max => value.reverse().then(time).is_lt(),
        }
    }
}

impl Accumulator for SelectorState {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.compare(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.compare(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        match &self.row {
            Some(row) => Ok(row.columns.clone()),
            None => {
                self.fields.iter().map(|field| ScalarValue::try_from(field.data_type())).collect()
            }
        }
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let Some(row) = &self.row else {
            return ScalarValue::try_from(DataType::Struct(self.fields.clone()));
        };
        let pairs = self.fields.iter().zip(&row.columns);
        pairs
            .fold(ScalarStructBuilder::new(), |built, (field, value)| {
                built.with_scalar(Arc::clone(field), value.clone())
            })
            .build()
    }

    fn size(&self) -> usize {
        let columns = self.row.iter().flat_map(|row| &row.columns);
        size_of_val(self) + columns.map(ScalarValue::size).sum::<usize>()
    }
}
