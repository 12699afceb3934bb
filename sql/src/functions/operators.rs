//! Implements the operators `||` and LIKE as functions, so that their cost can be checked as in
//! other functions.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::compute::kernels::comparison::{ilike, like};
use datafusion::arrow::compute::kernels::concat_elements::concat_elements_dyn;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use datafusion::functions::utils::make_scalar_function;
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    ColumnarValue, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature,
    Volatility,
};

use super::text_comparisons::is_text;

pub(super) const CONCAT: &str = "||";
pub(super) const LIKE: &str = "LIKE";
pub(super) const ILIKE: &str = "ILIKE";

/// An operator of two texts.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct TextOperator {
    name: &'static str,
    signature: Signature,
}

impl TextOperator {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for TextOperator {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = given else { return internal_err!("an operator has two operands") };
        if self.name == CONCAT {
            let types = BinaryTypeCoercer::new(left, &Operator::StringConcat, right);
            return types.get_input_types().map(|(left, right)| vec![left, right]);
        }
        match [left, right].into_iter().find(|of| !is_text(of) && !of.is_null()) {
            Some(other) => plan_err!("{} expects a text, not {other}", self.name),
            None => Ok(vec![DataType::Utf8, DataType::Utf8]),
        }
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        let [left, right] = given else { return internal_err!("an operator has two operands") };
        match self.name {
            CONCAT => {
                BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_result_type()
            }
            _ => Ok(DataType::Boolean),
        }
    }

    /// Returns the result's field, which is nullable only if an operand is nullable.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let given = args.arg_fields.iter().map(|field| field.data_type().clone());
        let data_type = self.return_type(&given.collect::<Vec<_>>())?;
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name, data_type, is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let evaluate = |operands: &[ArrayRef]| -> Result<ArrayRef> {
            let [left, right] = operands else {
                return internal_err!("an operator has two operands");
            };
            Ok(match self.name {
                CONCAT => concat_elements_dyn(left, right)?,
                LIKE => Arc::new(like(left, right)?),
                _ => Arc::new(ilike(left, right)?),
            })
        };
        make_scalar_function(evaluate, Vec::new())(&args.args)
    }
}
