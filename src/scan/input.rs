//! Reads the values of one input from the rows of a run, cast where the input says so.

use std::borrow::Cow;
use std::ops::Range;

use super::error::ScanError;
use super::request::Input;
use super::run::Run;
use crate::batch::bitmap::Validity;
use crate::batch::column::{StringColumn, Values};
use crate::model::value::FieldType;

/// Values of consecutive rows, padding where a row has none.
#[derive(Clone, Debug)]
pub(super) enum Slice<'a> {
    Float(Cow<'a, [f64]>),
    Integer(Cow<'a, [i64]>),
    Unsigned(Cow<'a, [u64]>),
    Boolean(Cow<'a, [bool]>),
    /// Those rows of the column.
    Text(&'a StringColumn, Range<usize>),
}

/// Values and which of them exist; `None` in place of the rows' validity means all.
#[derive(Clone, Debug)]
pub(super) struct Read<'a> {
    pub(super) slice: Slice<'a>,
    pub(super) valid: Option<Vec<bool>>,
}

impl Read<'_> {
    /// What whoever counts rows reads of them.
    pub(super) const NOTHING: Self =
        Self { slice: Slice::Boolean(Cow::Borrowed(&[])), valid: None };
}

impl<'a> Read<'a> {
    /// The times of the rows as their values, nanoseconds.
    pub(super) fn times(run: &'a Run) -> Self {
        Self { slice: Slice::Integer(Cow::Borrowed(run.times())), valid: None }
    }
}

/// The values of `input` in the rows of `run`; `None` when no row can have one.
///
/// # Errors
/// [`ScanError::ColumnType`] when the block holds another type than the input names.
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
    /// The values at `positions`. Text stays as it is: its rows are named by position.
    pub(super) fn gather(self, positions: &[u32]) -> Self {
        fn pick<T: Copy + Default>(values: &[T], positions: &[u32]) -> Cow<'static, [T]> {
            let at = |&p: &u32| values.get(p as usize).copied().unwrap_or_default();
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

/// Which rows have a value; `None` when all have.
fn valid_rows(validity: &Validity, rows: &Range<usize>) -> Option<Vec<bool>> {
    let Validity::Some(bits) = validity else { return None };
    let words = bits.words();
    let bit = |row: usize| words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1);
    let valid: Vec<bool> = rows.clone().map(bit).collect();
    valid.contains(&false).then_some(valid)
}

fn slice(values: &Values, rows: Range<usize>) -> Slice<'_> {
    match values {
        Values::Float(v) => Slice::Float(Cow::Borrowed(v.get(rows).unwrap_or_default())),
        Values::Integer(v) => Slice::Integer(Cow::Borrowed(v.get(rows).unwrap_or_default())),
        Values::Unsigned(v) => Slice::Unsigned(Cow::Borrowed(v.get(rows).unwrap_or_default())),
        Values::Boolean(v) => Slice::Boolean(Cow::Borrowed(v.get(rows).unwrap_or_default())),
        Values::String(v) => Slice::Text(v, rows),
    }
}

/// Numeric casts as Go converts: floats truncate, integers keep their bits.
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
