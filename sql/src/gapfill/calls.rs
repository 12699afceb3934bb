//! Defines the functions of a gap-filling query. These functions are placeholders, which the
//! optimizer rule replaces before the query is executed.

use datafusion::arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::QueryError;
use crate::functions::{arguments, binning};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    DateBin,
    DateBinWallclock,
    Locf,
    Interpolate,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::DateBin => "date_bin_gapfill",
            Self::DateBinWallclock => "date_bin_wallclock_gapfill",
            Self::Locf => "locf",
            Self::Interpolate => "interpolate",
        }
    }

    pub(super) fn bins(self) -> bool {
        matches!(self, Self::DateBin | Self::DateBinWallclock)
    }
}

pub(crate) fn functions() -> impl Iterator<Item = ScalarUDF> {
    [Call::DateBin, Call::DateBinWallclock, Call::Locf, Call::Interpolate].into_iter().map(|call| {
        let signature = match call.bins() {
            true => Signature::user_defined(Volatility::Immutable),
            false => Signature::any(1, Volatility::Immutable),
        };
        ScalarUDF::new_from_impl(Placeholder { call, signature })
    })
}

/// Returns the placeholder function that an expression calls, and its arguments.
pub(super) fn called(expr: &Expr) -> Option<(Call, &[Expr])> {
    let Expr::ScalarFunction(function) = expr else { return None };
    let placeholder = function.func.inner().downcast_ref::<Placeholder>()?;
    Some((placeholder.call, &function.args))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Placeholder {
    call: Call,
    signature: Signature,
}

impl ScalarUDFImpl for Placeholder {
    fn name(&self) -> &str {
        self.call.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        binning::binning_types(self.name(), given)
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        match (self.call, given) {
            (Call::DateBin | Call::DateBinWallclock, [_, time, ..]) => {
                arguments::timestamp(self.name(), time)
            }
            (Call::Locf, [value]) => Ok(value.clone()),
            (Call::Interpolate, [value]) if is_interpolated(value) => Ok(value.clone()),
            (Call::Interpolate, [value]) => Err(DataFusionError::Plan(format!(
                "unsupported data type {value} for interpolation gap filling"
            ))),
            _ => Err(DataFusionError::Plan(format!(
                "{} does not accept these arguments",
                self.name()
            ))),
        }
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = self.name();
        let message = match self.call.bins() {
            true => format!("{name} may only be used as a GROUP BY expression"),
            false => format!("{name} may only be used in the SELECT list of a gap-filling query"),
        };
        Err(QueryError::invalid(message).into())
    }
}

fn is_interpolated(data_type: &DataType) -> bool {
    match data_type {
        DataType::Int64 | DataType::UInt64 | DataType::Float64 => true,
        DataType::Struct(fields) => {
            let value = fields.iter().find(|field| field.name() == super::fill::VALUE);
            value.is_some_and(|field| is_interpolated(field.data_type()))
        }
        _ => false,
    }
}
