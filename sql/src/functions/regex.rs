//! Implements `influx_regex_match(text, regex)` and `influx_regex_not_match`. The regexes have
//! InfluxQL's syntax, which is Go's syntax.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, BooleanArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use tidemark::model::regex::{Pattern, RegexWork};

use crate::error::QueryError;

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct RegexMatch {
    signature: Signature,
    is_negated: bool,
}

impl RegexMatch {
    pub(super) fn new(is_negated: bool) -> Self {
        let text = vec![DataType::Utf8, DataType::Utf8];
        Self { signature: Signature::exact(text, Volatility::Immutable), is_negated }
    }
}

impl ScalarUDFImpl for RegexMatch {
    fn name(&self) -> &str {
        if self.is_negated { "influx_regex_not_match" } else { "influx_regex_match" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let invalid = |message: String| QueryError::invalid(message);
        let [text, ColumnarValue::Scalar(ScalarValue::Utf8(Some(regex)))] = args.args.as_slice()
        else {
            return Err(invalid(format!("{} expects a constant regex", self.name())).into());
        };
        let refused = |reason| invalid(format!("error compiling regex pattern: {reason}"));
        let pattern = Pattern::new(regex, &RegexWork::limited()).map_err(refused)?;
        let holds = |text: &str| pattern.is_match(text) != self.is_negated;
        let found = match text {
            ColumnarValue::Array(array) => {
                let array = cast(array, &DataType::Utf8)?;
                let found: BooleanArray =
                    array.as_string::<i32>().iter().map(|text| text.map(holds)).collect();
                ColumnarValue::Array(Arc::new(found))
            }
            ColumnarValue::Scalar(value) => {
                let text = value.try_as_str().flatten();
                ColumnarValue::Scalar(ScalarValue::Boolean(text.map(holds)))
            }
        };
        pattern.check().map_err(|reason| invalid(reason.to_string()))?;
        Ok(found)
    }
}
