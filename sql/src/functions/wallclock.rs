//! `date_bin_wallclock(interval, time[, origin])`: bins of the wall clock of the time's zone.

use datafusion::arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::arguments::{self, TIMESTAMP};
use super::bins::Bins;
use crate::error::QueryError;

/// The function's name.
pub(crate) const NAME: &str = "date_bin_wallclock";

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Wallclock {
    signature: Signature,
}

impl Default for Wallclock {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// The types of the arguments of a function that bins.
///
/// # Errors
/// Too few, too many, and what is neither interval nor time.
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
        _ => Err(DataFusionError::Plan(format!("{function} takes 2 or 3 arguments"))),
    }
}

impl ScalarUDFImpl for Wallclock {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        binning_types(NAME, given)
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        let time = given.get(1).unwrap_or(&DataType::Null);
        arguments::timestamp(NAME, time)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [width, time, rest @ ..] = args.args.as_slice() else {
            return Err(QueryError::internal(NAME).into());
        };
        let origin_ns = match rest.first() {
            Some(origin) => arguments::constant_time(NAME, origin)?,
            None => 0,
        };
        let zone = arguments::zone_of(&time.data_type())?;
        let width = arguments::constant_interval(NAME, width)?;
        let bins = Bins::on_wall_clock(width, origin_ns, zone)?;
        arguments::map_times(NAME, time, |at| bins.start_ns(at))
    }
}
