//! Implements `from_unixtime(integer)`. The argument is in seconds, as in DataFusion, or in
//! nanoseconds, as InfluxData documents. A value that is too large for a date in seconds is
//! interpreted as nanoseconds.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, Int64Array};
use datafusion::arrow::compute::unary;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::functions::datetime;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// The maximum distance of a valid date from 1970, in seconds. The distance is 262,000 years.
const SECONDS_MAX: u64 = 8_200_000_000_000;
const NS_PER_SECOND: i64 = 1_000_000_000;

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct FromUnixtime {
    stock: Arc<ScalarUDF>,
}

impl Default for FromUnixtime {
    fn default() -> Self {
        Self { stock: datetime::from_unixtime() }
    }
}

impl ScalarUDFImpl for FromUnixtime {
    fn name(&self) -> &str {
        self.stock.name()
    }

    fn signature(&self) -> &Signature {
        self.stock.signature()
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.stock.return_type(given)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.stock.return_field_from_args(args)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let Some(first) = args.args.first_mut() {
            let values = first.cast_to(&DataType::Int64, None)?;
            let array = values.to_array(1)?;
            let seconds: Int64Array = unary(array.as_primitive::<Int64Type>(), seconds);
            *first = match values {
                ColumnarValue::Array(_) => ColumnarValue::Array(Arc::new(seconds)),
                ColumnarValue::Scalar(_) => {
                    ColumnarValue::Scalar(ScalarValue::try_from_array(&seconds, 0)?)
                }
            };
        }
        self.stock.invoke_with_args(args)
    }
}

fn seconds(value: i64) -> i64 {
    match value.unsigned_abs() > SECONDS_MAX {
        true => value.div_euclid(NS_PER_SECOND),
        false => value,
    }
}
