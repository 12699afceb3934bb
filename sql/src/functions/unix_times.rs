//! Changes the meaning of integers in two functions of DataFusion:
//!
//! - The argument of `to_timestamp(integer)` is in nanoseconds. DataFusion's argument is in
//!   seconds.
//! - The argument of `from_unixtime(integer)` is in seconds, as in DataFusion, or in nanoseconds,
//!   as InfluxData documents. A value that is too large for a date in seconds is interpreted as
//!   nanoseconds.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, Int64Array};
use datafusion::arrow::compute::unary;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

pub(super) const TO_TIMESTAMP: &str = "to_timestamp";
pub(super) const FROM_UNIXTIME: &str = "from_unixtime";

/// The maximum distance of a valid date from 1970, in seconds. The distance is 262,000 years.
const SECONDS_MAX: u64 = 8_200_000_000_000;
const NS_PER_SECOND: i64 = 1_000_000_000;

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct UnixTime {
    inner: Arc<ScalarUDF>,
}

impl UnixTime {
    pub(super) fn new(inner: Arc<ScalarUDF>) -> Self {
        Self { inner }
    }
}

impl ScalarUDFImpl for UnixTime {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.inner.return_type(given)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match (self.name(), args.args.as_mut_slice()) {
            (TO_TIMESTAMP, [value]) if value.data_type().is_integer() => {
                let ns = value.cast_to(&DataType::Int64, None)?;
                return ns.cast_to(&DataType::Timestamp(TimeUnit::Nanosecond, None), None);
            }
            (FROM_UNIXTIME, [first, ..]) => *first = to_seconds(first)?,
            _ => {}
        }
        self.inner.invoke_with_args(args)
    }
}

fn to_seconds(values: &ColumnarValue) -> Result<ColumnarValue> {
    let values = values.cast_to(&DataType::Int64, None)?;
    let array = values.to_array(1)?;
    let seconds: Int64Array = unary(array.as_primitive::<Int64Type>(), seconds);
    Ok(match values {
        ColumnarValue::Array(_) => ColumnarValue::Array(Arc::new(seconds)),
        ColumnarValue::Scalar(_) => {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&seconds, 0)?)
        }
    })
}

fn seconds(value: i64) -> i64 {
    match value.unsigned_abs() > SECONDS_MAX {
        true => value.div_euclid(NS_PER_SECOND),
        false => value,
    }
}
