//! What functions over times take: texts and other units become what they mean.

use std::sync::Arc;

use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{Array, ArrayRef, TimestampNanosecondArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

use crate::error::QueryError;

/// The type that an interval is brought to.
pub(crate) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// Times in nanoseconds, without a zone.
pub(crate) const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

/// Times in nanoseconds, with the zone that the argument has.
///
/// # Errors
/// What is no time.
pub(crate) fn timestamp(function: &str, given: &DataType) -> Result<DataType> {
    match given {
        DataType::Timestamp(_, zone) => Ok(DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => Ok(TIMESTAMP),
        DataType::Date32 | DataType::Date64 => Ok(TIMESTAMP),
        other => Err(wrong(function, "a time", other)),
    }
}

/// An interval, also one that is a text.
///
/// # Errors
/// What is none.
pub(crate) fn interval(function: &str, given: &DataType) -> Result<DataType> {
    match given {
        DataType::Interval(_) | DataType::Duration(_) | DataType::Null => Ok(INTERVAL),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => Ok(INTERVAL),
        other => Err(wrong(function, "an interval", other)),
    }
}

/// An argument that is of no use.
pub(crate) fn wrong(function: &str, wanted: &str, given: &DataType) -> DataFusionError {
    DataFusionError::Plan(format!("{function} takes {wanted} here, not {given}"))
}

/// The value of an interval that is a constant.
///
/// # Errors
/// Anything else.
pub(crate) fn constant_interval(
    function: &str,
    value: &ColumnarValue,
) -> Result<IntervalMonthDayNano> {
    match value {
        ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(value))) => Ok(*value),
        _ => {
            let message = format!("{function} takes a constant interval that is not NULL");
            Err(QueryError::asked(message).into())
        }
    }
}

/// The value of a time that is a constant, nanoseconds.
///
/// # Errors
/// Anything else.
pub(crate) fn constant_time(function: &str, value: &ColumnarValue) -> Result<i64> {
    match value {
        ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(Some(value), _)) => Ok(*value),
        _ => {
            let message = format!("{function} takes a constant origin that is not NULL");
            Err(QueryError::asked(message).into())
        }
    }
}

/// The zone of a type of times.
///
/// # Errors
/// A zone that nobody knows.
pub(crate) fn zone_of(data_type: &DataType) -> Result<Option<Tz>> {
    match data_type {
        DataType::Timestamp(_, Some(zone)) => Ok(Some(zone.parse()?)),
        _ => Ok(None),
    }
}

/// `f` of every time, nanoseconds; `None` is an error that says which function it was.
///
/// # Errors
/// A time out of range.
pub(crate) fn map_times(
    function: &str,
    value: &ColumnarValue,
    f: impl Fn(i64) -> Option<i64>,
) -> Result<ColumnarValue> {
    let out_of_range = || QueryError::asked(format!("{function}: a time is out of range"));
    match value {
        ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(at, zone)) => {
            let at = at.map(|at| f(at).ok_or_else(out_of_range)).transpose()?;
            Ok(ColumnarValue::Scalar(ScalarValue::TimestampNanosecond(at, zone.clone())))
        }
        ColumnarValue::Array(array) => {
            let zone = match array.data_type() {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            let array = cast(array, &DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()))?;
            let times = array.as_any().downcast_ref::<TimestampNanosecondArray>();
            let times = times.ok_or_else(out_of_range)?;
            let mapped: Result<TimestampNanosecondArray, QueryError> = times
                .iter()
                .map(|at| at.map(|at| f(at).ok_or_else(out_of_range)).transpose())
                .collect();
            let mapped: ArrayRef = Arc::new(mapped?.with_timezone_opt(zone));
            Ok(ColumnarValue::Array(mapped))
        }
        ColumnarValue::Scalar(other) => Err(wrong(function, "a time", &other.data_type())),
    }
}
