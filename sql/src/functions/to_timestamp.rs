//! Implements `to_timestamp(integer)`. The argument is in nanoseconds, but the argument of
//! DataFusion's function is in seconds. All other arguments are passed to DataFusion's function.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::functions::datetime;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ToTimestamp {
    stock: Arc<ScalarUDF>,
}

impl ToTimestamp {
    pub(super) fn new(options: &ConfigOptions) -> Self {
        Self { stock: datetime::to_timestamp(options) }
    }
}

impl ScalarUDFImpl for ToTimestamp {
    fn name(&self) -> &str {
        self.stock.name()
    }

    fn signature(&self) -> &Signature {
        self.stock.signature()
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.stock.return_type(given)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [value] if value.data_type().is_integer() => {
                let ns = value.cast_to(&DataType::Int64, None)?;
                ns.cast_to(&DataType::Timestamp(TimeUnit::Nanosecond, None), None)
            }
            _ => self.stock.invoke_with_args(args),
        }
    }
}
