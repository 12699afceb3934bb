//! Evaluates operands over whole slices: fields, tags, constants, arithmetic and functions.
//!
//! The arithmetic follows WHERE in 1.x (`ast.go`, `evalBinaryExpr`): integers divide as integers,
//! division by zero results in 0, and incompatible types have no value.

use std::borrow::Cow;
use std::ops::Range;

use super::math::{self, Function};
use crate::batch::column::StringColumn;
use crate::scan::error::ScanError;
use crate::scan::input::{self, Slice};
use crate::scan::request::{Arithmetic, Input, Operand};
use crate::scan::run::Run;
use tidemark_model::ids::ColumnId;
use tidemark_model::value::FieldValue;

pub(super) struct Context<'a> {
    /// `None` means that only tags are known. Fields then have no value.
    pub(super) run: Option<&'a Run>,
    pub(super) tag: &'a dyn Fn(ColumnId) -> &'a str,
}

pub(super) enum Expr {
    Field(Input),
    Tag(ColumnId),
    Literal(FieldValue),
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    Call(Function, Vec<Expr>),
}

#[derive(Clone, Debug)]
pub(super) enum RowValues<'a, T: Copy> {
    One(T),
    Many(Cow<'a, [T]>),
}

/// Expressions can read strings, but cannot compute new strings.
#[derive(Clone, Debug)]
pub(super) enum Text<'a> {
    One(&'a str),
    Many(&'a StringColumn, Range<usize>),
}

#[derive(Clone, Debug)]
pub(super) enum Data<'a> {
    Nothing,
    Float(RowValues<'a, f64>),
    Integer(RowValues<'a, i64>),
    Unsigned(RowValues<'a, u64>),
    Boolean(RowValues<'a, bool>),
    Text(Text<'a>),
}

/// If the validity is `None`, all rows have a value.
#[derive(Clone, Debug)]
pub(super) struct Evaluated<'a> {
    pub(super) data: Data<'a>,
    pub(super) valid: Option<Vec<bool>>,
}

impl<'a> From<Data<'a>> for Evaluated<'a> {
    fn from(data: Data<'a>) -> Self {
        Self { data, valid: None }
    }
}

impl Expr {
    pub(super) fn new(operand: &Operand) -> Result<Self, ScanError> {
        Ok(match operand {
            Operand::Field(input) => Self::Field(input.clone()),
            Operand::Tag(tag) => Self::Tag(*tag),
            Operand::Literal(value) => Self::Literal(value.clone()),
            Operand::Arithmetic(operator, a, b) => {
                Self::Arithmetic(*operator, Box::new(Self::new(a)?), Box::new(Self::new(b)?))
            }
            Operand::Call(name, arguments) => Self::Call(
                Function::named(name, arguments.len())
                    .ok_or_else(|| ScanError::Function(name.clone()))?,
                arguments.iter().map(Self::new).collect::<Result<_, _>>()?,
            ),
        })
    }

    pub(super) fn reads_rows(&self) -> bool {
        match self {
            Self::Field(_) => true,
            Self::Tag(_) | Self::Literal(_) => false,
            Self::Arithmetic(_, a, b) => a.reads_rows() || b.reads_rows(),
            Self::Call(_, arguments) => arguments.iter().any(Self::reads_rows),
        }
    }

    pub(super) fn evaluate<'a>(
        &'a self,
        context: &Context<'a>,
    ) -> Result<Evaluated<'a>, ScanError> {
        Ok(match self {
            Self::Field(input) => field(context.run, input)?,
            Self::Tag(tag) => Data::Text(Text::One((context.tag)(*tag))).into(),
            Self::Literal(value) => literal(value).into(),
            Self::Arithmetic(operator, a, b) => {
                let (a, b) = (a.evaluate(context)?, b.evaluate(context)?);
                let valid = both(a.valid, b.valid);
                Evaluated { data: arithmetic(*operator, a.data, b.data), valid }
            }
            Self::Call(function, arguments) => {
                let mut valid = None;
                let mut data = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    let evaluated = argument.evaluate(context)?;
                    valid = both(valid, evaluated.valid);
                    data.push(evaluated.data);
                }
                Evaluated { data: math::call(*function, data), valid }
            }
        })
    }
}

fn field<'a>(run: Option<&'a Run>, input: &Input) -> Result<Evaluated<'a>, ScanError> {
    let Some(run) = run else { return Ok(Data::Nothing.into()) };
    let Some(read) = input::read(run, input)? else { return Ok(Data::Nothing.into()) };
    let data = match read.slice {
        Slice::Float(values) => Data::Float(RowValues::Many(values)),
        Slice::Integer(values) => Data::Integer(RowValues::Many(values)),
        Slice::Unsigned(values) => Data::Unsigned(RowValues::Many(values)),
        Slice::Boolean(values) => Data::Boolean(RowValues::Many(values)),
        Slice::Text(column, rows) => Data::Text(Text::Many(column, rows)),
    };
    Ok(Evaluated { data, valid: read.valid })
}

fn literal(value: &FieldValue) -> Data<'_> {
    match value {
        FieldValue::Float(value) => Data::Float(RowValues::One(*value)),
        FieldValue::Integer(value) => Data::Integer(RowValues::One(*value)),
        FieldValue::Unsigned(value) => Data::Unsigned(RowValues::One(*value)),
        FieldValue::Boolean(value) => Data::Boolean(RowValues::One(*value)),
        FieldValue::String(value) => Data::Text(Text::One(value)),
    }
}

/// Returns the rows that are valid on both sides.
pub(super) fn both(a: Option<Vec<bool>>, b: Option<Vec<bool>>) -> Option<Vec<bool>> {
    match (a, b) {
        (Some(mut a), Some(b)) => {
            a.iter_mut().zip(b).for_each(|(a, b)| *a &= b);
            Some(a)
        }
        (a, b) => a.or(b),
    }
}

pub(super) fn map<'a, A: Copy, O: Copy>(
    a: &RowValues<'_, A>,
    f: impl Fn(A) -> O,
) -> RowValues<'a, O> {
    match a {
        RowValues::One(a) => RowValues::One(f(*a)),
        RowValues::Many(a) => RowValues::Many(a.iter().map(|&a| f(a)).collect()),
    }
}

pub(super) fn zip<'a, A: Copy, B: Copy, O: Copy>(
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

pub(super) fn floats<'a>(data: &Data<'a>) -> Option<RowValues<'a, f64>> {
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

fn integers<'a>(
    operator: Arithmetic,
    a: &RowValues<'_, i64>,
    b: &RowValues<'_, i64>,
) -> RowValues<'a, i64> {
    match operator {
        Arithmetic::Add => zip(a, b, i64::wrapping_add),
        Arithmetic::Subtract => zip(a, b, i64::wrapping_sub),
        Arithmetic::Multiply => zip(a, b, i64::wrapping_mul),
        Arithmetic::Divide => zip(a, b, |a, b| if b == 0 { 0 } else { a.wrapping_div(b) }),
        Arithmetic::Modulo => zip(a, b, |a, b| if b == 0 { 0 } else { a.wrapping_rem(b) }),
        Arithmetic::BitAnd => zip(a, b, |a, b| a & b),
        Arithmetic::BitOr => zip(a, b, |a, b| a | b),
        Arithmetic::BitXor => zip(a, b, |a, b| a ^ b),
    }
}

fn unsigneds<'a>(
    operator: Arithmetic,
    a: &RowValues<'_, u64>,
    b: &RowValues<'_, u64>,
) -> RowValues<'a, u64> {
    match operator {
        Arithmetic::Add => zip(a, b, u64::wrapping_add),
        Arithmetic::Subtract => zip(a, b, u64::wrapping_sub),
        Arithmetic::Multiply => zip(a, b, u64::wrapping_mul),
        Arithmetic::Divide => zip(a, b, |a, b| a.checked_div(b).unwrap_or(0)),
        Arithmetic::Modulo => zip(a, b, |a, b| a.checked_rem(b).unwrap_or(0)),
        Arithmetic::BitAnd => zip(a, b, |a, b| a & b),
        Arithmetic::BitOr => zip(a, b, |a, b| a | b),
        Arithmetic::BitXor => zip(a, b, |a, b| a ^ b),
    }
}
