//! Implements `tz(time[, zone])`, which changes the time zone of a timestamp without changing the
//! instant.

use std::sync::Arc;

use datafusion::arrow::array::timezone::Tz as Zone;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::arguments;
use crate::error::QueryError;

const NAME: &str = "tz";
const UTC: &str = "UTC";

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Tz {
    signature: Signature,
}

impl Default for Tz {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn no_zone() -> QueryError {
    QueryError::invalid("TZ requires a valid timezone string")
}

impl ScalarUDFImpl for Tz {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [time] => Ok(vec![arguments::timestamp(NAME, time)?]),
            [time, zone] if zone.is_string() => {
                Ok(vec![arguments::timestamp(NAME, time)?, DataType::Utf8])
            }
            _ => Err(no_zone().into()),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(QueryError::internal("the type of tz() depends on its zone").into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let zone = match args.scalar_arguments.get(1) {
            None => UTC,
            Some(Some(ScalarValue::Utf8(Some(zone)))) => zone,
            Some(_) => return Err(no_zone().into()),
        };
        zone.parse::<Zone>().map_err(|_| {
            QueryError::invalid(format!("TZ requires a valid timezone string, got {zone:?}"))
        })?;
        let shown = DataType::Timestamp(TimeUnit::Nanosecond, Some(zone.into()));
        // The metadata of the argument must remain, because InfluxDB's clients recognize a time by
        // the metadata of its column.
        let metadata = args.arg_fields.first().map(|time| time.metadata().clone());
        Ok(Arc::new(Field::new(NAME, shown, true).with_metadata(metadata.unwrap_or_default())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(time) = args.args.first() else { return Err(no_zone().into()) };
        // A timestamp without a zone is in UTC. Arrow would interpret the timestamp as local time
        // in the new zone.
        let utc = DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into()));
        time.cast_to(&utc, None)?.cast_to(args.return_type(), None)
    }
}
