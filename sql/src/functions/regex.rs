//! Implements `influx_regex_match(text, regex)` and `influx_regex_not_match`. The regexes have
//! InfluxQL's syntax, which is Go's syntax.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, BooleanArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use tidemark_model::regex::{Pattern, RegexWork};

use crate::error::QueryError;

pub(super) fn functions() -> [ScalarUDF; 2] {
    [("influx_regex_match", true), ("influx_regex_not_match", false)].map(|(name, expected)| {
        let find = move |args: &[ColumnarValue]| find(name, expected, args);
        let text = vec![DataType::Utf8, DataType::Utf8];
        create_udf(name, text, DataType::Boolean, Volatility::Immutable, Arc::new(find))
    })
}

/// Returns whether the result of matching each text equals `expected`.
fn find(name: &str, expected: bool, args: &[ColumnarValue]) -> Result<ColumnarValue> {
    let invalid = |message: String| QueryError::invalid(message);
    let [text, ColumnarValue::Scalar(ScalarValue::Utf8(Some(regex)))] = args else {
        return Err(invalid(format!("{name} expects a constant regex")).into());
    };
    let refused = |reason| invalid(format!("error compiling regex pattern: {reason}"));
    let pattern = Pattern::new(regex, &RegexWork::limited()).map_err(refused)?;
    let holds = |text: &str| pattern.is_match(text) == expected;
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
