//! Functions that make much out of little: `repeat('x', 2000000000)` is two gigabytes that no pool
//! is asked for. They are DataFusion's own, behind a look at how much it would be.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::error::{Fault, QueryError};
use crate::limits::MADE_BYTES_MAX;

/// About how many bytes an element of a list takes, or a character.
const ELEMENT_BYTES: i128 = 8;

/// How much a function makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Growth {
    /// The first argument, as often as the second says.
    Times,
    /// As many elements as the second argument says.
    Length,
    /// The numbers from the first argument to the second, by the third; or from 0 to the only one.
    Span,
}

/// The functions that are looked at.
pub(super) const GROWING: &[(&str, Growth)] = &[
    ("repeat", Growth::Times),
    ("array_repeat", Growth::Times),
    ("lpad", Growth::Length),
    ("rpad", Growth::Length),
    ("array_resize", Growth::Length),
    ("range", Growth::Span),
    ("generate_series", Growth::Span),
];

/// One of them.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Bounded {
    stock: Arc<ScalarUDF>,
    growth: Growth,
}

impl Bounded {
    /// DataFusion's function, and how it grows.
    pub(super) fn new(stock: Arc<ScalarUDF>, growth: Growth) -> Self {
        Self { stock, growth }
    }

    /// About how many bytes all rows would take.
    fn bytes(&self, args: &ScalarFunctionArgs) -> Result<i128> {
        let rows = args.number_rows.max(1);
        let number = |at: usize| Integers::new(args.args.get(at), rows);
        let mut bytes: i128 = 0;
        match (self.growth, args.args.len()) {
            (Growth::Times, _) => {
                let (of, times) = (widest(args.args.first())?, number(1)?);
                for row in 0..rows {
                    bytes += of * times.at(row).max(0);
                }
            }
            (Growth::Length, _) => {
                let length = number(1)?;
                for row in 0..rows {
                    bytes += ELEMENT_BYTES * length.at(row).max(0);
                }
            }
            (Growth::Span, count) => {
                let (from, to) = if count == 1 { (Integers::Same(0), 0) } else { (number(0)?, 1) };
                let (to, step) = (number(to)?, number(2)?);
                for row in 0..rows {
                    let step = step.at(row).abs().max(1);
                    bytes += ELEMENT_BYTES * ((to.at(row) - from.at(row)).abs() / step);
                }
            }
        }
        Ok(bytes)
    }
}

/// The values of an argument.
enum Integers {
    Same(i128),
    Each(Int64Array),
}

impl Integers {
    fn new(value: Option<&ColumnarValue>, rows: usize) -> Result<Self> {
        let Some(value) = value else { return Ok(Self::Same(0)) };
        let is_number = value.data_type().is_integer() || value.data_type().is_null();
        if !is_number {
            let message = "ranges of times are tables: SELECT * FROM generate_series(…)";
            return Err(QueryError::asked(message).into());
        }
        if let ColumnarValue::Scalar(scalar) = value {
            let ScalarValue::Int64(number) = scalar.cast_to(&DataType::Int64)? else {
                return Ok(Self::Same(0));
            };
            return Ok(Self::Same(i128::from(number.unwrap_or_default())));
        }
        let array = cast(&value.to_array(rows)?, &DataType::Int64)?;
        Ok(Self::Each(array.as_primitive::<Int64Type>().clone()))
    }

    fn at(&self, row: usize) -> i128 {
        match self {
            Self::Same(number) => *number,
            Self::Each(array) if row < array.len() && array.is_valid(row) => {
                i128::from(array.value(row))
            }
            Self::Each(_) => 0,
        }
    }
}

/// About how many bytes the largest value of an argument takes.
fn widest(value: Option<&ColumnarValue>) -> Result<i128> {
    let text = match value {
        Some(ColumnarValue::Scalar(scalar)) => match scalar.try_as_str() {
            Some(text) => return Ok(text.map_or(0, str::len) as i128),
            None => return Ok(scalar.size() as i128),
        },
        Some(ColumnarValue::Array(array)) => array,
        None => return Ok(0),
    };
    if !text.data_type().is_string() {
        let rows = text.len().max(1);
        return Ok((text.get_array_memory_size() / rows) as i128 + ELEMENT_BYTES);
    }
    let text = cast(text, &DataType::Utf8)?;
    let lengths = text.as_string::<i32>().iter().map(|text| text.map_or(0, str::len));
    Ok(lengths.max().unwrap_or_default() as i128)
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.stock.name()
    }

    fn aliases(&self) -> &[String] {
        self.stock.aliases()
    }

    fn signature(&self) -> &Signature {
        self.stock.signature()
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.stock.return_type(given)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.stock.return_field_from_args(args)
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        self.stock.coerce_types(given)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.stock.simplify(args, info)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if self.bytes(&args)? > MADE_BYTES_MAX {
            let name = self.name();
            let message = format!("{name} would make more than {MADE_BYTES_MAX} bytes at once");
            return Err(QueryError { fault: Fault::Memory, message }.into());
        }
        self.stock.invoke_with_args(args)
    }
}
