//! Implements window functions for the change between consecutive values: `difference(value)`,
//! `derivative(value, time[, unit])`, and their non-negative variants. The non-negative variants
//! return NULL for a negative change.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, TimestampNanosecondArray, UInt64Array,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Float64Type, Int64Type, Schema, TimestampNanosecondType, UInt64Type,
};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{PartitionEvaluator, Signature, Volatility, WindowUDFImpl};

use super::arguments;
use crate::error::QueryError;

const SECOND_NS: f64 = 1e9;

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Change {
    is_rate: bool,
    non_negative: bool,
    signature: Signature,
}

impl Change {
    /// Creates a `derivative` if `is_rate` is true. Otherwise, creates a `difference`.
    pub(super) fn new(is_rate: bool, non_negative: bool) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { is_rate, non_negative, signature }
    }
}

impl WindowUDFImpl for Change {
    fn name(&self) -> &str {
        match (self.is_rate, self.non_negative) {
            (false, false) => "difference",
            (false, true) => "non_negative_difference",
            (true, false) => "derivative",
            (true, true) => "non_negative_derivative",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        let number = |given: &DataType| match given {
            DataType::Int64 | DataType::UInt64 | DataType::Float64 => Ok(given.clone()),
            DataType::Null => Ok(DataType::Float64),
            other if other.is_unsigned_integer() => Ok(DataType::UInt64),
            other if other.is_signed_integer() => Ok(DataType::Int64),
            other if other.is_numeric() => Ok(DataType::Float64),
            other => Err(arguments::wrong(name, "a number", other)),
        };
        match (self.is_rate, given) {
            (false, [value]) => Ok(vec![number(value)?]),
            (true, [value, time]) => Ok(vec![number(value)?, arguments::timestamp(name, time)?]),
            (true, [value, time, unit]) => Ok(vec![
                number(value)?,
                arguments::timestamp(name, time)?,
                arguments::interval(name, unit)?,
            ]),
            _ => {
                let wanted = if self.is_rate { "value, time[, unit]" } else { "value" };
                Err(DataFusionError::Plan(format!("call it as {name}({wanted})")))
            }
        }
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let value = args.get_input_field(0);
        let own = value.map_or(DataType::Float64, |field| field.data_type().clone());
        let data_type = if self.is_rate { DataType::Float64 } else { own };
        Ok(Arc::new(Field::new(args.name(), data_type, true)))
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        let unit_ns = match args.input_exprs().get(2) {
            None => SECOND_NS,
            Some(unit) => {
                let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
                let unit = unit.evaluate(&nothing).map_err(|_| no_constant())?;
                let unit = arguments::constant_interval(self.name(), &unit)?;
                if unit.months != 0 || unit.days != 0 || unit.nanoseconds <= 0 {
                    let message = "derivative unit must be positive, without months or days";
                    return Err(QueryError::invalid(message).into());
                }
                unit.nanoseconds as f64
            }
        };
        let unit_ns = self.is_rate.then_some(unit_ns);
        Ok(Box::new(Evaluator { unit_ns, non_negative: self.non_negative }))
    }
}

fn no_constant() -> QueryError {
    QueryError::invalid("derivative unit must be a constant interval")
}

#[derive(Debug)]
struct Evaluator {
    /// The time unit of a derivative, in nanoseconds, or `None` for a difference.
    unit_ns: Option<f64>,
    non_negative: bool,
}

impl PartitionEvaluator for Evaluator {
    fn evaluate_all(&mut self, columns: &[ArrayRef], _rows: usize) -> Result<ArrayRef> {
        let [values, rest @ ..] = columns else {
            return Err(QueryError::internal("the function has no input column").into());
        };
        if let Some(unit_ns) = self.unit_ns {
            let Some(times) = rest.first() else {
                return Err(QueryError::internal("the function has no time column").into());
            };
            return Ok(Arc::new(self.rates(values, times, unit_ns)?));
        }
        Ok(match values.data_type() {
            DataType::Int64 => {
                let values = values.as_primitive::<Int64Type>();
                let changes = consecutive(values.iter(), |a: i64, b| a.wrapping_sub(b));
                let kept = changes.map(|change| change.filter(|c| !self.non_negative || *c >= 0));
                Arc::new(kept.collect::<Int64Array>())
            }
            DataType::UInt64 => {
                let values = values.as_primitive::<UInt64Type>();
                let non_negative = self.non_negative;
                // Subtraction of unsigned integers wraps around, but the non-negative variants must
                // detect a decrease.
                let change = |a: u64, b: u64| (a >= b || !non_negative).then(|| a.wrapping_sub(b));
                let changes = consecutive(values.iter(), change).map(Option::flatten);
                Arc::new(changes.collect::<UInt64Array>())
            }
            _ => {
                let values = cast(values, &DataType::Float64)?;
                let values = values.as_primitive::<Float64Type>();
                let changes = consecutive(values.iter(), |a: f64, b| a - b);
                Arc::new(changes.map(|change| self.keep_value(change)).collect::<Float64Array>())
            }
        })
    }
}

impl Evaluator {
    fn keep_value(&self, change: Option<f64>) -> Option<f64> {
        change.filter(|change| !self.non_negative || *change >= 0.0)
    }

    fn rates(&self, values: &ArrayRef, times: &ArrayRef, unit_ns: f64) -> Result<Float64Array> {
        let times = times.as_primitive::<TimestampNanosecondType>();
        // Integers are subtracted before they are converted to floats, because floats cannot
        // represent all digits of large integers.
        Ok(match values.data_type() {
            DataType::Int64 => {
                let values = values.as_primitive::<Int64Type>();
                self.rates_of(values.iter(), times, unit_ns, |a: i64, b| {
                    (i128::from(a) - i128::from(b)) as f64
                })
            }
            DataType::UInt64 => {
                let values = values.as_primitive::<UInt64Type>();
                self.rates_of(values.iter(), times, unit_ns, |a: u64, b| {
                    (i128::from(a) - i128::from(b)) as f64
                })
            }
            _ => {
                let values = cast(values, &DataType::Float64)?;
                let values = values.as_primitive::<Float64Type>();
                self.rates_of(values.iter(), times, unit_ns, |a: f64, b| a - b)
            }
        })
    }

    fn rates_of<T: Copy>(
        &self,
        values: impl Iterator<Item = Option<T>>,
        times: &TimestampNanosecondArray,
        unit_ns: f64,
        minus: impl Fn(T, T) -> f64,
    ) -> Float64Array {
        let points = values.zip(times.iter()).map(|(value, time)| value.zip(time));
        let rates = consecutive(points, |(value, time), (before, from)| {
            minus(value, before) / (time.saturating_sub(from) as f64 / unit_ns)
        });
        rates.map(|rate| self.keep_value(rate)).collect()
    }
}

/// Calls `make` for each pair of consecutive values. Skips NULLs.
fn consecutive<T: Copy, O>(
    values: impl Iterator<Item = Option<T>>,
    make: impl Fn(T, T) -> O,
) -> impl Iterator<Item = Option<O>> {
    let mut before = None;
    values.map(move |value| {
        let value = value?;
        before.replace(value).map(|before| make(value, before))
    })
}
