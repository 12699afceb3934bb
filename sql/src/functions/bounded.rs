//! Limits functions whose time or memory can grow faster than the size of their arguments. Each of
//! these functions checks the cost of a batch, and then calls DataFusion's function. For example,
//! `repeat('x', 2000000000)` allocates two gigabytes that the memory pool does not count, and
//! `strpos` of two long texts takes minutes.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::length::length;
use datafusion::arrow::datatypes::{
    DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, TimeUnit,
};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::patterns;
use crate::error::QueryError;
use crate::limits::{
    BYTES_PER_ROW, CHECKED_BATCH_ROWS, PAIRS_PER_ROW, PATTERN_STEPS_PER_ROW, TURN_BYTES_MAX,
};
use crate::turns;
use crate::value_sizes::{elements, largest_value_bytes, slice_bytes};

const ELEMENT_BYTES: i128 = 8;
/// The cost of a date or time in a range, in bytes. The calendar makes a time slower than a number.
const TIME_BYTES: i128 = 32;
const DAY_NS: i128 = 86_400_000_000_000;
/// The number of days in the shortest month.
const MONTH_DAYS: i128 = 28;
/// The maximum length, in bytes, of the text that one directive of a time format produces.
const DIRECTIVE_BYTES: i128 = 32;
/// The maximum size, in bytes, of a `regexp_replace` result that counts as 0 bytes. A whole batch
/// of such results has at most [`TURN_BYTES_MAX`].
const SHORT_RESULT_BYTES: i128 = (TURN_BYTES_MAX / CHECKED_BATCH_ROWS) as i128;

/// The rule for computing a function's cost from its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cost {
    /// The function repeats its first argument. The second argument is the number of repetitions.
    Times,
    /// The second argument is the number of characters in the result.
    Length,
    /// The second argument is the number of elements in the result. The third argument is the value
    /// of new elements.
    Resize,
    /// The result contains the numbers, dates or times from the first argument to the second
    /// argument. The third argument is the step. With a single argument, the numbers start at 0.
    Span,
    /// The result contains all arguments.
    Sum,
    /// The result is larger than the first argument by up to this factor.
    Factor(u8),
    /// The result is a list of all arguments.
    List,
    /// The function replaces each occurrence of the second argument with the third argument.
    Replace,
    /// The function replaces elements of the first argument with the third argument.
    Elements,
    /// The function fills all arguments up to the length of the longest one.
    Zip,
    /// The function joins the elements of the first argument. The second argument is the separator,
    /// and the third argument is the text of NULL.
    Join,
    /// The function formats times. The second argument is the format.
    Format,
    /// The function parses texts. It tries the other arguments, which are formats, one after
    /// another.
    Formats,
    /// The function compares each unit of the first argument with each unit of the second argument.
    Product,
    /// The function matches the first argument with a pattern. The second argument is the pattern.
    Pattern,
    /// As `Pattern`, with a pattern of LIKE.
    Like,
}

/// The functions whose cost is checked, by their names in DataFusion. The time and memory of all
/// other functions are proportional to the size of their arguments.
pub(super) const COSTS: &[(&str, Cost)] = &[
    ("repeat", Cost::Times),
    ("array_repeat", Cost::Times),
    ("lpad", Cost::Length),
    ("rpad", Cost::Length),
    ("array_resize", Cost::Resize),
    ("range", Cost::Span),
    ("generate_series", Cost::Span),
    ("concat", Cost::Sum),
    ("concat_ws", Cost::Sum),
    ("overlay", Cost::Sum),
    ("array_append", Cost::Sum),
    ("array_prepend", Cost::Sum),
    ("array_concat", Cost::Sum),
    ("array_union", Cost::Sum),
    ("make_array", Cost::List),
    ("encode", Cost::Factor(2)),
    ("string_to_array", Cost::Factor(8)),
    ("replace", Cost::Replace),
    ("array_replace_n", Cost::Elements),
    ("array_replace_all", Cost::Elements),
    ("arrays_zip", Cost::Zip),
    ("array_to_string", Cost::Join),
    ("to_char", Cost::Format),
    ("to_date", Cost::Formats),
    ("to_time", Cost::Formats),
    ("to_timestamp", Cost::Formats),
    ("to_timestamp_seconds", Cost::Formats),
    ("to_timestamp_millis", Cost::Formats),
    ("to_timestamp_micros", Cost::Formats),
    ("to_timestamp_nanos", Cost::Formats),
    ("to_unixtime", Cost::Formats),
    ("strpos", Cost::Product),
    ("levenshtein", Cost::Product),
    ("btrim", Cost::Product),
    ("ltrim", Cost::Product),
    ("rtrim", Cost::Product),
    ("array_has_all", Cost::Product),
    ("array_has_any", Cost::Product),
    ("regexp_like", Cost::Pattern),
    ("regexp_match", Cost::Pattern),
    ("regexp_replace", Cost::Pattern),
    ("regexp_count", Cost::Pattern),
    ("regexp_instr", Cost::Pattern),
];

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bounded {
    inner: Arc<ScalarUDF>,
    cost: Cost,
}

impl Bounded {
    pub(super) fn new(inner: Arc<ScalarUDF>, cost: Cost) -> Self {
        Self { inner, cost }
    }

    pub(super) fn cost(&self) -> Cost {
        self.cost
    }

    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let bytes = self.bytes(args)?;
        let rows = match self.cost {
            Cost::Product => product(args)? / PAIRS_PER_ROW as i128,
            Cost::Formats => formats(args)?,
            Cost::Like => patterns::like_rows(self.name(), args)?,
            Cost::Pattern => patterns::check(self.name(), args)? / PATTERN_STEPS_PER_ROW,
            _ => bytes / BYTES_PER_ROW as i128,
        };
        Ok(turns::spend(rows, bytes)?)
    }

    /// Returns the total size of the constant arguments, in bytes. The optimizer would concatenate
    /// constant arguments during planning.
    fn constant_bytes(&self, args: &[Expr]) -> i128 {
        let size = |at: usize| match args.get(at) {
            Some(Expr::Literal(text, _)) => text.try_as_str().flatten().map_or(0, str::len) as i128,
            _ => 0,
        };
        let first = if self.name() == "concat_ws" { args.len() as i128 } else { 1 };
        first * size(0) + (1..args.len()).map(size).sum::<i128>()
    }

    /// Returns the approximate size of the result for all rows, in bytes.
    fn bytes(&self, args: &ScalarFunctionArgs) -> Result<i128> {
        let rows = args.number_rows.max(1);
        let number = |at: usize| Integers::new(args.args.get(at), rows);
        let size = |at: usize| Integers::sizes(args.args.get(at));
        let widest = |at: usize| widest(args.args.get(at));
        let sum = |of_row: &dyn Fn(usize) -> i128| (0..rows).map(of_row).sum::<i128>();
        let repeated = |of: i128, times: Integers| sum(&|row| of * times.at(row).max(0));
        // The total size of all arguments. The first argument counts `times` times.
        let all = |times: usize| -> Result<i128> {
            let mut bytes = 0;
            for (at, value) in args.args.iter().enumerate() {
                let times = if at == 0 { times as i128 } else { 1 };
                bytes += times * total_bytes(value, rows)?;
            }
            Ok(bytes)
        };
        let count = args.args.len();
        Ok(match self.cost {
            Cost::Pattern if self.name() == "regexp_replace" => replaced(args)?,
            Cost::Formats | Cost::Product | Cost::Pattern | Cost::Like => 0,
            Cost::Times if self.name() == "repeat" => repeated(widest(0)?, number(1)?),
            Cost::Times => repeated(widest(0)? + ELEMENT_BYTES, number(1)?),
            Cost::Length => repeated(ELEMENT_BYTES, number(1)?),
            Cost::Resize => repeated(ELEMENT_BYTES + widest(2)?, number(1)?),
            Cost::Span if args.args.iter().any(|argument| argument.data_type().is_temporal()) => {
                TIME_BYTES * times(args)?
            }
            Cost::Span => {
                let (from, to) = if count == 1 { (Integers::Same(0), 0) } else { (number(0)?, 1) };
                let (to, step) = (number(to)?, number(2)?);
                sum(&|row| {
                    let step = step.at(row).abs().max(1);
                    ELEMENT_BYTES * ((to.at(row) - from.at(row)).abs() / step)
                })
            }
            // `concat_ws` repeats its first argument between the other arguments.
            Cost::Sum => all(if self.name() == "concat_ws" { count } else { 1 })?,
            Cost::Factor(factor) => i128::from(factor) * size(0)?.sum(rows),
            Cost::List => ELEMENT_BYTES * count as i128 * rows as i128 + all(1)?,
            Cost::Replace => {
                let (of, from, to) = (size(0)?, size(1)?, size(2)?);
                sum(&|row| of.at(row).div_euclid(from.at(row).max(1)) * to.at(row) + of.at(row))
            }
            Cost::Elements => {
                let new = args.args.get(2).map(ColumnarValue::data_type);
                if new.is_none_or(|new| new.primitive_width().is_some()) {
                    return Ok(0);
                }
                widest(2)? * size(0)?.sum(rows)
            }
            Cost::Zip => {
                let lengths = (0..count).map(size).collect::<Result<Vec<_>>>()?;
                let longest =
                    sum(&|row| lengths.iter().map(|length| length.at(row)).max().unwrap_or(0));
                let mut bytes = 0;
                for (value, length) in args.args.iter().zip(&lengths) {
                    let element = total_bytes(value, rows)? / length.sum(rows).max(1);
                    bytes += longest * (ELEMENT_BYTES + element);
                }
                bytes
            }
            Cost::Join => {
                let Some(list) = args.args.first() else { return Ok(0) };
                let elements = match list {
                    ColumnarValue::Array(list) => leaves(list),
                    ColumnarValue::Scalar(list) => leaves(&list.to_array()?).saturating_mul(rows),
                };
                let between = widest(1)? + widest(2)? + ELEMENT_BYTES;
                total_bytes(list, rows)? + elements as i128 * between
            }
            Cost::Format => DIRECTIVE_BYTES / 2 * size(1)?.sum(rows),
        })
    }
}

/// Returns the number of pairs that a function compares in all rows.
fn product(args: &ScalarFunctionArgs) -> Result<i128> {
    let rows = args.number_rows.max(1);
    let [a, b] = [args.args.first(), args.args.get(1)].map(Integers::sizes);
    let (a, b) = (a?, b?);
    Ok((0..rows).map(|row| a.at(row) * b.at(row)).sum())
}

/// Returns the maximum number of dates or times that `range` and `generate_series` produce for all
/// rows.
///
/// # Errors
/// Returns an error for a step with parts of both signs. DataFusion would never reach the end: from
/// 29 January, the step `1 month -30 days` returns to 29 January.
fn times(args: &ScalarFunctionArgs) -> Result<i128> {
    let rows = args.number_rows.max(1);
    let [from, to, step] = args.args.as_slice() else { return Ok(0) };
    let (from, to) = (nanoseconds(from, rows)?, nanoseconds(to, rows)?);
    let steps = step.to_array(rows)?;
    let Some(steps) = steps.as_primitive_opt::<IntervalMonthDayNanoType>() else { return Ok(0) };
    let mut times = 0;
    for (step, (from, to)) in steps.iter().zip(from.into_iter().zip(to)) {
        let (Some(step), Some(from), Some(to)) = (step, from, to) else { continue };
        let (months, days, ns) = IntervalMonthDayNanoType::to_parts(step);
        let parts =
            [i128::from(months) * MONTH_DAYS * DAY_NS, i128::from(days) * DAY_NS, ns.into()];
        if parts.iter().any(|part| *part < 0) && parts.iter().any(|part| *part > 0) {
            let message = "the parts of a step have different signs: use one sign";
            return Err(QueryError::invalid(message).into());
        }
        // DataFusion rejects a step of 0.
        times += (to - from).abs() / parts.iter().sum::<i128>().abs().max(1) + 1;
    }
    Ok(times)
}

/// Returns the dates or times of an argument as nanoseconds since 1970.
fn nanoseconds(value: &ColumnarValue, rows: usize) -> Result<Vec<Option<i128>>> {
    let unit = match value.data_type() {
        DataType::Date32 => DAY_NS,
        DataType::Date64 | DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000_000,
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        _ => 1,
    };
    let mut values = value.to_array(rows)?;
    if values.data_type() == &DataType::Date32 {
        values = cast(&values, &DataType::Int32)?;
    }
    let values = cast(&values, &DataType::Int64)?;
    let values = values.as_primitive::<Int64Type>();
    Ok(values.iter().map(|value| value.map(|value| i128::from(value) * unit)).collect())
}

/// Returns the number of formats that a function tries in all rows.
fn formats(args: &ScalarFunctionArgs) -> Result<i128> {
    let formats = args.args.get(1..).unwrap_or_default();
    for format in formats {
        match format {
            ColumnarValue::Scalar(format) => check_format(format.try_as_str().flatten())?,
            ColumnarValue::Array(formats) => {
                if let Ok(formats) = cast(formats, &DataType::Utf8) {
                    formats.as_string::<i32>().iter().try_for_each(check_format)?;
                }
            }
        }
    }
    Ok(formats.len() as i128 * args.number_rows.max(1) as i128)
}

/// Rejects a format that ends with `%Z` and spaces that are not ASCII. DataFusion removes the last
/// three bytes of the format, and panics if these bytes are not whole characters.
fn check_format(format: Option<&str>) -> Result<()> {
    let cut = format.filter(|format| format.trim_end().ends_with(" %Z"));
    match cut.is_none_or(|format| format.is_char_boundary(format.len() - 3)) {
        true => Ok(()),
        false => {
            let message = "the format of a time ends with spaces that are not ASCII: remove them";
            Err(QueryError::invalid(message).into())
        }
    }
}

/// Returns the maximum size of the results of `regexp_replace`, in bytes. The third argument
/// replaces each match, and may refer to groups of the match.
fn replaced(args: &ScalarFunctionArgs) -> Result<i128> {
    let [text, new] = [0, 2].map(|at| Integers::sizes(args.args.get(at)));
    let (text, new) = (text?, new?);
    // The number of these characters in an argument, or `None` if the argument is not constant.
    let count = |at: usize, sought: &[char]| match args.args.get(at) {
        None => Some(0),
        Some(ColumnarValue::Scalar(of)) => {
            Some(of.try_as_str().flatten().map_or(0, |of| of.matches(sought).count() as i128))
        }
        Some(ColumnarValue::Array(_)) => None,
    };
    let (references, replaces_all) = (count(2, &['\\', '$']), count(3, &['g']) != Some(0));
    let bytes = |row: usize| {
        let (text, new) = (text.at(row), new.at(row));
        let matches = if replaces_all { text + 1 } else { 1 };
        text + matches * new + text * references.unwrap_or(new / 2)
    };
    let rows = 0..args.number_rows.max(1);
    Ok(rows.map(bytes).filter(|bytes| *bytes > SHORT_RESULT_BYTES).sum())
}

/// The values of an integer argument, or the sizes of an argument's values.
pub(super) enum Integers {
    Same(i128),
    Each(Int64Array),
}

impl Integers {
    /// Returns the size of each value: the length of a text in bytes, or the number of elements in
    /// a list.
    pub(super) fn sizes(value: Option<&ColumnarValue>) -> Result<Self> {
        let of = |array: &ArrayRef| -> Result<Option<Int64Array>> {
            let array = match array.data_type() {
                DataType::Dictionary(_, values) => &cast(array, values)?,
                _ => array,
            };
            let Ok(sizes) = length(array) else { return Ok(None) };
            Ok(Some(cast(&sizes, &DataType::Int64)?.as_primitive::<Int64Type>().clone()))
        };
        Ok(match value {
            None => Self::Same(0),
            Some(ColumnarValue::Scalar(scalar)) => {
                let size = of(&scalar.to_array()?)?.filter(|sizes| sizes.is_valid(0));
                Self::Same(size.map_or(0, |sizes| i128::from(sizes.value(0))))
            }
            Some(ColumnarValue::Array(array)) => {
                of(array)?.map_or(Self::Same(ELEMENT_BYTES), Self::Each)
            }
        })
    }

    /// Returns the sum of the first `rows` values.
    pub(super) fn sum(&self, rows: usize) -> i128 {
        (0..rows).map(|row| self.at(row)).sum()
    }

    fn new(value: Option<&ColumnarValue>, rows: usize) -> Result<Self> {
        let Some(value) = value else { return Ok(Self::Same(0)) };
        if let ColumnarValue::Scalar(scalar) = value {
            let ScalarValue::Int64(number) = scalar.cast_to(&DataType::Int64)? else {
                return Ok(Self::Same(0));
            };
            return Ok(Self::Same(i128::from(number.unwrap_or_default())));
        }
        let array = cast(&value.to_array(rows)?, &DataType::Int64)?;
        Ok(Self::Each(array.as_primitive::<Int64Type>().clone()))
    }

    pub(super) fn at(&self, row: usize) -> i128 {
        match self {
            Self::Same(number) => *number,
            Self::Each(array) if row < array.len() && array.is_valid(row) => {
                i128::from(array.value(row))
            }
            Self::Each(_) => 0,
        }
    }
}

/// Returns the number of elements, including the elements of nested lists.
fn leaves(array: &dyn Array) -> usize {
    elements(array).map_or(array.len(), |elements| leaves(&elements))
}

/// Returns the approximate size of an argument's values for all rows, in bytes. Texts are exact.
fn total_bytes(value: &ColumnarValue, rows: usize) -> Result<i128> {
    if !value.data_type().is_nested() {
        return Ok(Integers::sizes(Some(value))?.sum(rows));
    }
    Ok(match value {
        ColumnarValue::Scalar(scalar) => scalar.size() as i128 * rows as i128,
        ColumnarValue::Array(array) => slice_bytes(array) as i128,
    })
}

/// Returns the approximate size of the largest value of an argument, in bytes.
fn widest(value: Option<&ColumnarValue>) -> Result<i128> {
    let text = match value {
        Some(ColumnarValue::Scalar(scalar)) => match scalar.try_as_str() {
            Some(text) => return Ok(text.map_or(0, str::len) as i128),
            None => return Ok(scalar.size() as i128),
        },
        Some(ColumnarValue::Array(array)) => array,
        None => return Ok(0),
    };
    if text.data_type().is_nested() {
        return Ok(largest_value_bytes(text) as i128);
    }
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

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(given)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        if self.cost == Cost::Pattern {
            // If the pattern is constant and small, the operators that replace the call need no
            // further check.
            match args.get(1) {
                Some(Expr::Literal(pattern, _))
                    if patterns::is_small_constant(self.name(), pattern)? => {}
                _ => return Ok(ExprSimplifyResult::Original(args)),
            }
        }
        if self.cost == Cost::Sum && self.constant_bytes(&args) > TURN_BYTES_MAX as i128 {
            return Err(turns::too_many_bytes().into());
        }
        Ok(match self.inner.simplify(args, info)? {
            // If DataFusion simplifies the call to another call of the same function, the cost of
            // the new call is checked too.
            ExprSimplifyResult::Simplified(Expr::ScalarFunction(call))
                if call.func.name() == self.name() =>
            {
                let func = Arc::new(ScalarUDF::new_from_impl(self.clone()));
                let call = ScalarFunction { func, args: call.args };
                ExprSimplifyResult::Simplified(Expr::ScalarFunction(call))
            }
            simplified => simplified,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&args)?;
        self.inner.invoke_with_args(args)
    }
}
