//! Reads the values of an input from the rows of a run, and applies the input's cast.

use std::borrow::Cow;
use std::ops::Range;

use super::error::ScanError;
use super::request::Input;
use super::run::Run;
use crate::batch::bitmap::Validity;
use crate::batch::column::{StringColumn, Values};
use tidemark_model::bug::OrBug;
use tidemark_model::value::FieldType;

/// The values of consecutive rows, with padding for rows without a value.
#[derive(Clone, Debug)]
pub(super) enum Slice<'a> {
    Float(Cow<'a, [f64]>),
    Integer(Cow<'a, [i64]>),
    Unsigned(Cow<'a, [u64]>),
    Boolean(Cow<'a, [bool]>),
    Text(&'a StringColumn, Range<usize>),
}

/// If `valid` is `None`, all rows have a value.
#[derive(Clone, Debug)]
pub(super) struct Read<'a> {
    pub(super) slice: Slice<'a>,
    pub(super) valid: Option<Vec<bool>>,
}

impl<'a> Read<'a> {
    pub(super) fn times(run: &'a Run) -> Self {
        Self { slice: Slice::Integer(Cow::Borrowed(run.times())), valid: None }
    }
}

/// Returns `None` if no row can have a value.
pub(super) fn read<'a>(run: &'a Run, input: &Input) -> Result<Option<Read<'a>>, ScanError> {
    let Some(column) = run.column(input.column) else { return Ok(None) };
    let stored = column.values.field_type();
    if stored != input.field_type {
        let (column, expected) = (input.column, input.field_type);
        return Err(ScanError::ColumnType { column, stored, expected });
    }
    let Some(output_type) = input.output_type() else { return Ok(None) };
    let rows = run.rows.clone();
    let valid = valid_rows(&column.validity, &rows);
    if valid.as_ref().is_some_and(|valid| !valid.contains(&true)) {
        return Ok(None);
    }
    let slice = cast(slice(&column.values, rows), output_type);
    Ok(Some(Read { slice, valid }))
}

impl Slice<'_> {
    /// Text columns remain unchanged, because callers read their rows by position.
    pub(super) fn gather(self, positions: &[u32]) -> Self {
        fn pick<T: Copy + Default>(values: &[T], positions: &[u32]) -> Cow<'static, [T]> {
            let at = |&p: &u32| values.get(p as usize).copied().or_bug();
            Cow::Owned(positions.iter().map(at).collect())
        }
        match self {
            Self::Float(values) => Self::Float(pick(&values, positions)),
            Self::Integer(values) => Self::Integer(pick(&values, positions)),
            Self::Unsigned(values) => Self::Unsigned(pick(&values, positions)),
            Self::Boolean(values) => Self::Boolean(pick(&values, positions)),
            text @ Self::Text(..) => text,
        }
    }
}

/// Returns `None` if all rows have a value.
fn valid_rows(validity: &Validity, rows: &Range<usize>) -> Option<Vec<bool>> {
    let Validity::Some(bits) = validity else { return None };
    let words = bits.words();
    let bit = |row: usize| words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1);
    let valid: Vec<bool> = rows.clone().map(bit).collect();
    valid.contains(&false).then_some(valid)
}

fn slice(values: &Values, rows: Range<usize>) -> Slice<'_> {
    match values {
        Values::Float(v) => Slice::Float(Cow::Borrowed(v.get(rows).or_bug())),
        Values::Integer(v) => Slice::Integer(Cow::Borrowed(v.get(rows).or_bug())),
        Values::Unsigned(v) => Slice::Unsigned(Cow::Borrowed(v.get(rows).or_bug())),
        Values::Boolean(v) => Slice::Boolean(Cow::Borrowed(v.get(rows).or_bug())),
        Values::String(v) => Slice::Text(v, rows),
    }
}

/// Casts numbers as Go does: a float is truncated, and an integer keeps its bits.
fn cast(slice: Slice<'_>, to: FieldType) -> Slice<'_> {
    match (slice, to) {
        (Slice::Float(v), FieldType::Integer) => {
            Slice::Integer(v.iter().map(|&v| v as i64).collect())
        }
        (Slice::Float(v), FieldType::Unsigned) => {
            Slice::Unsigned(v.iter().map(|&v| v as u64).collect())
        }
        (Slice::Integer(v), FieldType::Float) => {
            Slice::Float(v.iter().map(|&v| v as f64).collect())
        }
        (Slice::Integer(v), FieldType::Unsigned) => {
            Slice::Unsigned(v.iter().map(|&v| v as u64).collect())
        }
        (Slice::Unsigned(v), FieldType::Float) => {
            Slice::Float(v.iter().map(|&v| v as f64).collect())
        }
        (Slice::Unsigned(v), FieldType::Integer) => {
            Slice::Integer(v.iter().map(|&v| v as i64).collect())
        }
        (slice, _) => slice,
    }
}
