//! Evaluates operands over whole slices (fields, tags, constants, arithmetic and functions), and
//! compares them.
//!
//! The arithmetic follows WHERE in 1.x (`ast.go`, `evalBinaryExpr`): integers divide as integers,
//! division by zero results in 0, and incompatible types have no value. Comparisons of incompatible
//! values are false, including `!=`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::FixedState;

use crate::batch::column::StringColumn;
use crate::scan::error::ScanError;
use crate::scan::mask::Mask;
use crate::scan::math::MathFunction;
use crate::scan::request::{Arithmetic, Comparison, Operand};
use crate::scan::series_rows::{SeriesRows, ValueSlice};
use crate::scan::series_tags::SeriesTags;
use tidemark_model::bug::OrBug;
use tidemark_model::regex::Pattern;
use tidemark_model::value::FieldValue;

/// Whether two long texts of a batch are equal, by the addresses of the texts.
pub(super) type TextPairs = HashMap<(usize, usize), bool, FixedState>;

/// The minimum size, in bytes, of two texts whose comparison is stored in [`TextPairs`].
const LONG_TEXT_BYTES: usize = 256;

pub(super) struct Context<'a> {
    /// The rows. `None` means that only tags are known, and that fields have no value.
    pub(super) series_rows: Option<&'a SeriesRows>,
    pub(super) tags: &'a SeriesTags,
}

#[derive(Clone, Debug)]
enum RowValues<'a, T: Copy> {
    One(T),
    Many(Cow<'a, [T]>),
}

/// The text of a constant, or of a column's rows. Expressions can read strings, but cannot compute
/// new strings.
#[derive(Clone, Debug)]
enum Text<'a> {
    One(&'a str),
    Many(&'a StringColumn, Range<usize>),
}

#[derive(Clone, Debug)]
enum Data<'a> {
    Nothing,
    Float(RowValues<'a, f64>),
    Integer(RowValues<'a, i64>),
    Unsigned(RowValues<'a, u64>),
    Boolean(RowValues<'a, bool>),
    Text(Text<'a>),
}

/// The value of an operand for each row. If the validity is `None`, all rows have a value.
#[derive(Clone, Debug)]
pub(super) struct Evaluated<'a> {
    data: Data<'a>,
    valid: Option<Vec<bool>>,
}

impl<'a> From<Data<'a>> for Evaluated<'a> {
    fn from(data: Data<'a>) -> Self {
        Self { data, valid: None }
    }
}

pub(super) fn reads_rows(operand: &Operand) -> bool {
    match operand {
        Operand::Field(_) => true,
        Operand::Tag(_) | Operand::Literal(_) => false,
        Operand::Arithmetic(_, a, b) => reads_rows(a) || reads_rows(b),
        Operand::Call(_, arguments) => arguments.iter().any(reads_rows),
    }
}

pub(super) fn evaluate<'a>(
    operand: &'a Operand,
    context: &Context<'a>,
) -> Result<Evaluated<'a>, ScanError> {
    Ok(match operand {
        Operand::Field(input) => {
            let read = context.series_rows.map(|rows| rows.read(input)).transpose()?.flatten();
            let Some(read) = read else { return Ok(Data::Nothing.into()) };
            let data = match read.slice {
                ValueSlice::Float(values) => Data::Float(RowValues::Many(values)),
                ValueSlice::Integer(values) => Data::Integer(RowValues::Many(values)),
                ValueSlice::Unsigned(values) => Data::Unsigned(RowValues::Many(values)),
                ValueSlice::Boolean(values) => Data::Boolean(RowValues::Many(values)),
                ValueSlice::Text(column, rows) => Data::Text(Text::Many(column, rows)),
            };
            Evaluated { data, valid: read.valid }
        }
        Operand::Tag(tag) => Data::Text(Text::One(context.tags.get(*tag))).into(),
        Operand::Literal(value) => match value {
            FieldValue::Float(value) => Data::Float(RowValues::One(*value)),
            FieldValue::Integer(value) => Data::Integer(RowValues::One(*value)),
            FieldValue::Unsigned(value) => Data::Unsigned(RowValues::One(*value)),
            FieldValue::Boolean(value) => Data::Boolean(RowValues::One(*value)),
            FieldValue::String(value) => Data::Text(Text::One(value)),
        }
        .into(),
        Operand::Arithmetic(operator, a, b) => {
            let (a, b) = (evaluate(a, context)?, evaluate(b, context)?);
            let valid = both(a.valid, b.valid);
            Evaluated { data: arithmetic(*operator, a.data, b.data), valid }
        }
        Operand::Call(name, arguments) => {
            let mut valid = None;
            let mut data = Vec::with_capacity(arguments.len());
            for argument in arguments {
                let evaluated = evaluate(argument, context)?;
                valid = both(valid, evaluated.valid);
                data.push(evaluated.data);
            }
            let function = function(name, arguments.len());
            Evaluated { data: function.map_or(Data::Nothing, |f| call(f, &data)), valid }
        }
    })
}

/// Returns the rows that are valid on both sides.
fn both(a: Option<Vec<bool>>, b: Option<Vec<bool>>) -> Option<Vec<bool>> {
    match (a, b) {
        (Some(mut a), Some(b)) => {
            a.iter_mut().zip(b).for_each(|(a, b)| *a &= b);
            Some(a)
        }
        (a, b) => a.or(b),
    }
}

fn map<'a, A: Copy, O: Copy>(a: &RowValues<'_, A>, f: impl Fn(A) -> O) -> RowValues<'a, O> {
    match a {
        RowValues::One(a) => RowValues::One(f(*a)),
        RowValues::Many(a) => RowValues::Many(a.iter().map(|&a| f(a)).collect()),
    }
}

fn zip<'a, A: Copy, B: Copy, O: Copy>(
    a: &RowValues<'_, A>,
    b: &RowValues<'_, B>,
    f: impl Fn(A, B) -> O,
) -> RowValues<'a, O> {
    match (a, b) {
        (_, RowValues::One(b)) => map(a, |a| f(a, *b)),
        (RowValues::One(a), _) => map(b, |b| f(*a, b)),
        (RowValues::Many(a), RowValues::Many(b)) => {
            RowValues::Many(a.iter().zip(b.iter()).map(|(&a, &b)| f(a, b)).collect())
        }
    }
}

fn floats<'a>(data: &Data<'a>) -> Option<RowValues<'a, f64>> {
    match data {
        Data::Float(lane) => Some(lane.clone()),
        Data::Integer(lane) => Some(map(lane, |v| v as f64)),
        Data::Unsigned(lane) => Some(map(lane, |v| v as f64)),
        _ => None,
    }
}

fn arithmetic<'a>(operator: Arithmetic, a: Data<'a>, b: Data<'a>) -> Data<'a> {
    match (&a, &b) {
        (Data::Integer(a), Data::Integer(b)) => Data::Integer(integers(operator, a, b)),
        (Data::Unsigned(a), Data::Unsigned(b)) => Data::Unsigned(unsigneds(operator, a, b)),
        (Data::Unsigned(a), Data::Integer(b)) => {
            Data::Unsigned(unsigneds(operator, a, &map(b, |v| v as u64)))
        }
        (Data::Integer(a), Data::Unsigned(b)) => {
            Data::Unsigned(unsigneds(operator, &map(a, |v| v as u64), b))
        }
        (Data::Boolean(a), Data::Boolean(b)) => match operator {
            Arithmetic::BitAnd => Data::Boolean(zip(a, b, |a, b| a & b)),
            Arithmetic::BitOr => Data::Boolean(zip(a, b, |a, b| a | b)),
            Arithmetic::BitXor => Data::Boolean(zip(a, b, |a, b| a ^ b)),
            _ => Data::Nothing,
        },
        _ => match (floats(&a), floats(&b)) {
            (Some(a), Some(b)) => real(operator, &a, &b),
            _ => Data::Nothing,
        },
    }
}

fn real<'a>(operator: Arithmetic, a: &RowValues<'_, f64>, b: &RowValues<'_, f64>) -> Data<'a> {
    Data::Float(match operator {
        Arithmetic::Add => zip(a, b, |a, b| a + b),
        Arithmetic::Subtract => zip(a, b, |a, b| a - b),
        Arithmetic::Multiply => zip(a, b, |a, b| a * b),
        Arithmetic::Divide => zip(a, b, |a, b| if b == 0.0 { 0.0 } else { a / b }),
        Arithmetic::Modulo => zip(a, b, |a, b| a % b),
        Arithmetic::BitAnd | Arithmetic::BitOr | Arithmetic::BitXor => return Data::Nothing,
    })
}

/// Integers wrap around. Division by zero results in 0.
macro_rules! whole_numbers {
    ($name:ident, $type:ty) => {
        fn $name<'a>(
            operator: Arithmetic,
            a: &RowValues<'_, $type>,
            b: &RowValues<'_, $type>,
        ) -> RowValues<'a, $type> {
            match operator {
                Arithmetic::Add => zip(a, b, <$type>::wrapping_add),
                Arithmetic::Subtract => zip(a, b, <$type>::wrapping_sub),
                Arithmetic::Multiply => zip(a, b, <$type>::wrapping_mul),
                Arithmetic::Divide => zip(a, b, |a, b| if b == 0 { 0 } else { a.wrapping_div(b) }),
                Arithmetic::Modulo => zip(a, b, |a, b| if b == 0 { 0 } else { a.wrapping_rem(b) }),
                Arithmetic::BitAnd => zip(a, b, |a, b| a & b),
                Arithmetic::BitOr => zip(a, b, |a, b| a | b),
                Arithmetic::BitXor => zip(a, b, |a, b| a ^ b),
            }
        }
    };
}

whole_numbers!(integers, i64);
whole_numbers!(unsigneds, u64);

/// Returns the function with this name and number of arguments. `name` must be in lower case.
pub(super) fn function(name: &str, arguments: usize) -> Option<MathFunction> {
    MathFunction::named(name).filter(|function| function.arguments() == arguments)
}

/// Calls a function. The result for strings and booleans has no value.
fn call<'a>(function: MathFunction, arguments: &[Data<'a>]) -> Data<'a> {
    use MathFunction::{Abs, Binary, Rounding, Unary};
    let float = |position: usize| arguments.get(position).and_then(floats);
    let result = match (function, arguments.first()) {
        (Abs, Some(Data::Integer(values))) => {
            return Data::Integer(map(values, i64::wrapping_abs));
        }
        (Abs | Rounding(_), Some(values @ (Data::Integer(_) | Data::Unsigned(_)))) => {
            return values.clone();
        }
        (Abs, _) => float(0).map(|values| map(&values, f64::abs)),
        (Rounding(f) | Unary(f), _) => float(0).map(|values| map(&values, f)),
        (Binary(f), _) => float(0).zip(float(1)).map(|(a, b)| zip(&a, &b, f)),
    };
    result.map_or(Data::Nothing, Data::Float)
}

pub(super) fn compare(
    comparison: Comparison,
    a: Evaluated<'_>,
    b: Evaluated<'_>,
    known: &mut TextPairs,
) -> Mask {
    let lane = match (&a.data, &b.data) {
        (Data::Integer(a), Data::Integer(b)) => Some(ordered(comparison, a, b)),
        (Data::Unsigned(a), Data::Unsigned(b)) => Some(ordered(comparison, a, b)),
        (Data::Integer(a), Data::Unsigned(b)) => Some(match comparison {
            // 1.x compares the bits for equality and the numbers for order.
            Comparison::Equal | Comparison::NotEqual => {
                ordered(comparison, &map(a, |v| v as u64), b)
            }
            _ => ordered(comparison, &map(a, i128::from), &map(b, i128::from)),
        }),
        (Data::Unsigned(a), Data::Integer(b)) => Some(match comparison {
            Comparison::Equal | Comparison::NotEqual => {
                ordered(comparison, a, &map(b, |v| v as u64))
            }
            _ => ordered(comparison, &map(a, i128::from), &map(b, i128::from)),
        }),
        (Data::Boolean(a), Data::Boolean(b)) => match comparison {
            Comparison::Equal => Some(zip(a, b, |a, b| a == b)),
            Comparison::NotEqual => Some(zip(a, b, |a, b| a != b)),
            _ => None,
        },
        (Data::Text(a), Data::Text(b)) => Some(texts(comparison, a, b, known)),
        (a, b) => floats(a).zip(floats(b)).map(|(a, b)| ordered(comparison, &a, &b)),
    };
    lane.map_or(Mask::None, |lane| mask(lane, both(a.valid, b.valid)))
}

pub(super) fn matches(operand: Evaluated<'_>, regex: &Pattern, negated: bool) -> Mask {
    let Data::Text(text) = &operand.data else { return Mask::None };
    mask(each(text, |text| regex.is_match(text) != negated), operand.valid)
}

pub(super) fn is_true(operand: Evaluated<'_>) -> Mask {
    let Data::Boolean(lane) = operand.data else { return Mask::None };
    mask(lane, operand.valid)
}

fn ordered<'a, T: Copy + PartialOrd>(
    comparison: Comparison,
    a: &RowValues<'_, T>,
    b: &RowValues<'_, T>,
) -> RowValues<'a, bool> {
    match comparison {
        Comparison::Equal => zip(a, b, |a, b| a == b),
        Comparison::NotEqual => zip(a, b, |a, b| a != b),
        Comparison::Less => zip(a, b, |a, b| a < b),
        Comparison::LessOrEqual => zip(a, b, |a, b| a <= b),
        Comparison::Greater => zip(a, b, |a, b| a > b),
        Comparison::GreaterOrEqual => zip(a, b, |a, b| a >= b),
    }
}

fn texts<'a>(
    comparison: Comparison,
    a: &Text<'_>,
    b: &Text<'_>,
    known: &mut TextPairs,
) -> RowValues<'a, bool> {
    let holds = |a: &str, b: &str| match comparison {
        Comparison::Equal => a == b,
        Comparison::NotEqual => a != b,
        Comparison::Less => a < b,
        Comparison::LessOrEqual => a <= b,
        Comparison::Greater => a > b,
        Comparison::GreaterOrEqual => a >= b,
    };
    match (a, b) {
        (Text::One(a), b) => each(b, |b| holds(a, b)),
        (a, Text::One(b)) => each(a, |a| holds(a, b)),
        // Conditions only test the texts of fields for equality.
        (Text::Many(a, a_rows), Text::Many(b, b_rows)) => {
            let is_equal = comparison == Comparison::Equal;
            let rows = a_rows.clone().zip(b_rows.clone());
            let compared = rows.map(|(i, j)| are_equal(a.get(i), b.get(j), known) == is_equal);
            RowValues::Many(compared.collect())
        }
    }
}

/// Compares the texts of two fields. A long text may repeat in thousands of rows, but a column
/// stores the text only once, so each pair of long texts is compared only once.
fn are_equal(a: &str, b: &str, known: &mut TextPairs) -> bool {
    if a.len() != b.len() || a.len() < LONG_TEXT_BYTES {
        return a == b;
    }
    *known.entry((a.as_ptr().addr(), b.as_ptr().addr())).or_insert_with(|| a == b)
}

fn each<'a>(text: &Text<'_>, f: impl Fn(&str) -> bool) -> RowValues<'a, bool> {
    match text {
        Text::One(text) => RowValues::One(f(text)),
        Text::Many(column, rows)
            if let Some(codes) = column.codes().and_then(|c| c.get(rows.clone()))
                && column.entries().len() <= codes.len() =>
        {
            let results: Vec<bool> = column.entries().map(f).collect();
            let result = |&code: &u32| results.get(code as usize).copied().or_bug();
            RowValues::Many(codes.iter().map(result).collect())
        }
        Text::Many(column, rows) => {
            RowValues::Many(rows.clone().map(|i| f(column.get(i))).collect())
        }
    }
}

fn mask(lane: RowValues<'_, bool>, valid: Option<Vec<bool>>) -> Mask {
    match (lane, valid) {
        (RowValues::One(false), _) => Mask::None,
        (RowValues::One(true), None) => Mask::All,
        (RowValues::One(true), Some(valid)) => Mask::Some(valid),
        (RowValues::Many(rows), valid) => {
            let rows = rows.into_owned();
            Mask::Some(both(Some(rows), valid).unwrap_or_default())
        }
    }
}
