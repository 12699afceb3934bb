//! Defines the argument types of time functions, and converts constant arguments.

use std::sync::Arc;

use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{ArrayRef, AsArray as _, TimestampNanosecondArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit, TimestampNanosecondType,
};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::functions::utils::make_scalar_function;
use datafusion::logical_expr::ColumnarValue;

use crate::error::QueryError;

pub(crate) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

pub(crate) const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

/// Returns the type of a time argument: a timestamp in nanoseconds, with the time zone of the
/// argument.
///
/// # Errors
/// Returns an error if the argument is not a time, a date or a text.
pub(crate) fn timestamp(function: &str, given: &DataType) -> Result<DataType> {
    match given {
        DataType::Timestamp(_, zone) => Ok(DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => Ok(TIMESTAMP),
        DataType::Date32 | DataType::Date64 => Ok(TIMESTAMP),
        other => Err(wrong(function, "a time", other)),
    }
}

/// Returns the type to which an interval argument is cast. The argument may also be a text.
///
/// # Errors
/// Returns an error if the argument has any other type.
pub(crate) fn interval(function: &str, given: &DataType) -> Result<DataType> {
    match given {
        DataType::Interval(_) | DataType::Duration(_) | DataType::Null => Ok(INTERVAL),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => Ok(INTERVAL),
        other => Err(wrong(function, "an interval", other)),
    }
}

pub(crate) fn wrong(function: &str, wanted: &str, given: &DataType) -> DataFusionError {
    DataFusionError::Plan(format!("{function} expects {wanted} here, not {given}"))
}

/// Returns the value of an interval that must be constant.
///
/// # Errors
/// Returns an error if the argument is NULL or not constant.
pub(crate) fn constant_interval(
    function: &str,
    value: &ColumnarValue,
) -> Result<IntervalMonthDayNano> {
    match value {
        ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(value))) => Ok(*value),
        _ => {
            let message = format!("{function} expects a constant interval that is not NULL");
            Err(QueryError::invalid(message).into())
        }
    }
}

/// Returns the value of a time that must be constant, in nanoseconds.
///
/// # Errors
/// Returns an error if the argument is NULL or not constant.
pub(crate) fn constant_time(function: &str, value: &ColumnarValue) -> Result<i64> {
    match value {
        ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(Some(value), _)) => Ok(*value),
        _ => {
            let message = format!("{function} expects a constant origin that is not NULL");
            Err(QueryError::invalid(message).into())
        }
    }
}

/// Returns the time zone of a timestamp type, or `None` if the type has no time zone.
///
/// # Errors
/// Returns an error if the time zone is unknown.
pub(crate) fn zone_of(data_type: &DataType) -> Result<Option<Tz>> {
    match data_type {
        DataType::Timestamp(_, Some(zone)) => Ok(Some(zone.parse()?)),
        _ => Ok(None),
    }
}

/// Applies `f` to every time. Times are in nanoseconds.
///
/// # Errors
/// Returns an error if `f` returns `None`, because the time is then out of range.
pub(crate) fn map_times(
    function: &str,
    value: &ColumnarValue,
    f: impl Fn(i64) -> Option<i64>,
) -> Result<ColumnarValue> {
    let out_of_range = || QueryError::invalid(format!("{function}: a time is out of range"));
    let map = |values: &[ArrayRef]| -> Result<ArrayRef> {
        let array = values.first().ok_or_else(out_of_range)?;
        let zone = match array.data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let times = cast(array, &DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()))?;
        let mapped = times
            .as_primitive::<TimestampNanosecondType>()
            .iter()
            .map(|at| at.map(|at| f(at).ok_or_else(out_of_range)).transpose())
            .collect::<Result<TimestampNanosecondArray, QueryError>>()?;
        Ok(Arc::new(mapped.with_timezone_opt(zone)))
    };
    make_scalar_function(map, Vec::new())(std::slice::from_ref(value))
}
