//! Implements `date_bin` and `date_bin_wallclock(interval, time[, origin])`. `date_bin_wallclock`
//! uses bins in the local time of the timestamp's zone. Gap-filling queries use these functions to
//! assign rows to bins.

use datafusion::arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::arguments::{self, TIMESTAMP};
use super::bins::Bins;
use crate::error::QueryError;

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Binning {
    on_wall_clock: bool,
    signature: Signature,
}

impl Binning {
    pub(crate) fn new(on_wall_clock: bool) -> Self {
        Self { on_wall_clock, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// Returns the argument types of a binning function.
///
/// # Errors
/// Returns an error if the number of arguments is wrong, or if an argument has the wrong type.
pub(crate) fn binning_types(function: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    match given {
        [width, time] => {
            Ok(vec![arguments::interval(function, width)?, arguments::timestamp(function, time)?])
        }
        [width, time, origin] => {
            arguments::timestamp(function, origin)?;
            let origin = TIMESTAMP;
            let width = arguments::interval(function, width)?;
            Ok(vec![width, arguments::timestamp(function, time)?, origin])
        }
        _ => Err(DataFusionError::Plan(format!("{function} expects 2 or 3 arguments"))),
    }
}

impl ScalarUDFImpl for Binning {
    fn name(&self) -> &str {
        if self.on_wall_clock { "date_bin_wallclock" } else { "date_bin" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        binning_types(self.name(), given)
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        let time = given.get(1).unwrap_or(&DataType::Null);
        arguments::timestamp(self.name(), time)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [width, time, rest @ ..] = args.args.as_slice() else {
            return Err(QueryError::internal(self.name()).into());
        };
        let name = self.name();
        let origin_ns = match rest.first() {
            Some(origin) => arguments::constant_time(name, origin)?,
            None => 0,
        };
        let width = arguments::constant_interval(name, width)?;
        let bins = Bins::for_times(&time.data_type(), width, origin_ns, self.on_wall_clock)?;
        arguments::map_times(name, time, |at| bins.start_ns(at))
    }
}
