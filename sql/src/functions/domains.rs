//! Returns results of floating-point arithmetic where DataFusion fails like PostgreSQL. As in
//! InfluxDB 3, `sqrt` of a negative number is NaN, and a negative power of 0 is infinite.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray as _, Float32Array, Float64Array};
use datafusion::arrow::compute::{binary, unary};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

pub(super) const SQRT: &str = "sqrt";
pub(super) const POWER: &str = "power";

/// `sqrt` or `power` without errors for arguments outside of the function's domain.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct AnyDomain {
    inner: Arc<ScalarUDF>,
}

impl AnyDomain {
    pub(super) fn new(inner: Arc<ScalarUDF>) -> Self {
        Self { inner }
    }
}

impl ScalarUDFImpl for AnyDomain {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.inner.return_type(given)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { args.number_rows };
        let arrays: Vec<ArrayRef> =
            args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<_>>()?;
        let result: ArrayRef = match (self.name(), arrays.as_slice()) {
            (SQRT, [value]) if value.data_type() == &DataType::Float64 => {
                let roots: Float64Array = unary(value.as_primitive::<Float64Type>(), f64::sqrt);
                Arc::new(roots)
            }
            (SQRT, [value]) if value.data_type() == &DataType::Float32 => {
                let roots: Float32Array = unary(value.as_primitive::<Float32Type>(), f32::sqrt);
                Arc::new(roots)
            }
            (POWER, [base, exponent])
                if [base, exponent].iter().all(|arg| arg.data_type() == &DataType::Float64) =>
            {
                let (base, exponent) = (base.as_primitive(), exponent.as_primitive());
                let powers: Float64Array =
                    binary::<Float64Type, Float64Type, _, Float64Type>(base, exponent, f64::powf)?;
                Arc::new(powers)
            }
            _ => return self.inner.invoke_with_args(args),
        };
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}
