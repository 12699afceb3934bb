//! Stores decoded rows of one or several series, and selects the rows and values that a call reads.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::error::ScanError;
use super::mask::Mask;
use super::request::{AuxColumn, Input};
use super::series_tags::SeriesTags;
use super::spans::{Span, WindowNumbers};
use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, StringColumn, Values};
use tidemark_model::bug::OrBug;
use tidemark_model::ids::ColumnId;
use tidemark_model::time::TimeRange;
use tidemark_model::value::{FieldType, FieldValue};

/// Decoded rows of one or several series. The times of a series ascend and are distinct.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct DecodedRows {
    pub(super) times_ns: Vec<i64>,
    /// The requested columns with at least one value. Each column has as many rows as `times_ns`.
    pub(super) columns: BTreeMap<ColumnId, Rc<Column>>,
}

/// The decoded rows of one series.
#[derive(Clone, Debug)]
pub(super) struct SeriesRows {
    /// The block that contains the rows. Rows outside `rows` may belong to other series.
    pub(super) block: Rc<DecodedRows>,
    pub(super) rows: Range<usize>,
}

/// The values of consecutive rows, with padding for rows without a value.
#[derive(Clone, Debug)]
pub(super) enum ValueSlice<'a> {
    Float(Cow<'a, [f64]>),
    Integer(Cow<'a, [i64]>),
    Unsigned(Cow<'a, [u64]>),
    Boolean(Cow<'a, [bool]>),
    Text(&'a StringColumn, Range<usize>),
}

/// The values that an input reads from a series. If `valid` is `None`, all rows have a value.
#[derive(Clone, Debug)]
pub(super) struct ReadValues<'a> {
    pub(super) slice: ValueSlice<'a>,
    pub(super) valid: Option<Vec<bool>>,
}

impl SeriesRows {
    pub(super) fn times(&self) -> &[i64] {
        self.block.times_ns.get(self.rows.clone()).or_bug()
    }

    /// Returns the rows inside `time`, or `None` if no row is inside `time`.
    pub(super) fn trim(mut self, time: TimeRange) -> Option<Self> {
        let times = self.times();
        let start = times.partition_point(|&t| t < time.start_ns);
        let end = times.partition_point(|&t| t < time.end_ns);
        self.rows = self.rows.start + start..self.rows.start + end;
        (start < end).then_some(self)
    }

    pub(super) fn read_times(&self) -> ReadValues<'_> {
        ReadValues { slice: ValueSlice::Integer(Cow::Borrowed(self.times())), valid: None }
    }

    /// Reads the values of an input and applies its cast. Returns `None` if no row can have a
    /// value.
    pub(super) fn read(&self, input: &Input) -> Result<Option<ReadValues<'_>>, ScanError> {
        let Some(column) = self.block.columns.get(&input.column) else { return Ok(None) };
        let stored = column.values.field_type();
        if stored != input.field_type {
            let (column, expected) = (input.column, input.field_type);
            return Err(ScanError::ColumnType { column, stored, expected });
        }
        let Some(output_type) = input.output_type() else { return Ok(None) };
        let valid = valid_rows(&column.validity, &self.rows);
        if valid.as_ref().is_some_and(|valid| !valid.contains(&true)) {
            return Ok(None);
        }
        let slice = ValueSlice::new(&column.values, self.rows.clone()).cast(output_type);
        Ok(Some(ReadValues { slice, valid }))
    }

    fn field_at(&self, position: usize, input: &Input) -> Option<FieldValue> {
        let row = self.rows.start + position;
        let one = Self { block: Rc::clone(&self.block), rows: row..row + 1 };
        // The scan has already checked the types of the columns and returned any error.
        let read = one.read(input).ok()??;
        Some(read.slice.value(0, 0))
    }
}

/// Returns the validity of `rows`, or `None` if all rows have a value.
fn valid_rows(validity: &Validity, rows: &Range<usize>) -> Option<Vec<bool>> {
    let Validity::Some(bits) = validity else { return None };
    let words = bits.words();
    let bit = |row: usize| words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1);
    let valid: Vec<bool> = rows.clone().map(bit).collect();
    valid.contains(&false).then_some(valid)
}

impl<'a> ValueSlice<'a> {
    fn new(values: &'a Values, rows: Range<usize>) -> Self {
        match values {
            Values::Float(v) => Self::Float(Cow::Borrowed(v.get(rows).or_bug())),
            Values::Integer(v) => Self::Integer(Cow::Borrowed(v.get(rows).or_bug())),
            Values::Unsigned(v) => Self::Unsigned(Cow::Borrowed(v.get(rows).or_bug())),
            Values::Boolean(v) => Self::Boolean(Cow::Borrowed(v.get(rows).or_bug())),
            Values::String(v) => Self::Text(v, rows),
        }
    }

    /// Casts numbers as Go does: a float is truncated, and an integer keeps its bits.
    fn cast(self, to: FieldType) -> Self {
        use FieldType::{Float, Integer, Unsigned};
        match (self, to) {
            (Self::Float(v), Integer) => Self::Integer(v.iter().map(|&v| v as i64).collect()),
            (Self::Float(v), Unsigned) => Self::Unsigned(v.iter().map(|&v| v as u64).collect()),
            (Self::Integer(v), Float) => Self::Float(v.iter().map(|&v| v as f64).collect()),
            (Self::Integer(v), Unsigned) => Self::Unsigned(v.iter().map(|&v| v as u64).collect()),
            (Self::Unsigned(v), Float) => Self::Float(v.iter().map(|&v| v as f64).collect()),
            (Self::Unsigned(v), Integer) => Self::Integer(v.iter().map(|&v| v as i64).collect()),
            (slice, _) => slice,
        }
    }

    /// Returns the values at `positions`. Text columns remain unchanged, because callers read text
    /// by its position in the rows of the series.
    fn gather(self, positions: &[u32]) -> Self {
        match self {
            Self::Float(values) => Self::Float(gathered(&values, positions).collect()),
            Self::Integer(values) => Self::Integer(gathered(&values, positions).collect()),
            Self::Unsigned(values) => Self::Unsigned(gathered(&values, positions).collect()),
            Self::Boolean(values) => Self::Boolean(gathered(&values, positions).collect()),
            text @ Self::Text(..) => text,
        }
    }

    /// Appends the values at `positions`. Returns `false` without appending if the types differ.
    pub(super) fn append_to(&self, to: &mut Values, positions: &[u32]) -> bool {
        match (to, self) {
            (Values::Float(to), Self::Float(from)) => to.extend(gathered(from, positions)),
            (Values::Integer(to), Self::Integer(from)) => to.extend(gathered(from, positions)),
            (Values::Unsigned(to), Self::Unsigned(from)) => to.extend(gathered(from, positions)),
            (Values::Boolean(to), Self::Boolean(from)) => to.extend(gathered(from, positions)),
            (Values::String(to), Self::Text(from, rows)) => {
                positions.iter().for_each(|&p| to.push(from.get(rows.start + p as usize)));
            }
            _ => return false,
        }
        true
    }

    /// Returns one value. Text is read by its position in the rows of the series, and other values
    /// are read by `index`.
    fn value(&self, index: usize, position: usize) -> FieldValue {
        match self {
            Self::Float(v) => FieldValue::Float(v.get(index).copied().or_bug()),
            Self::Integer(v) => FieldValue::Integer(v.get(index).copied().or_bug()),
            Self::Unsigned(v) => FieldValue::Unsigned(v.get(index).copied().or_bug()),
            Self::Boolean(v) => FieldValue::Boolean(v.get(index).copied().or_bug()),
            Self::Text(column, rows) => {
                FieldValue::String(column.get(rows.start + position).into())
            }
        }
    }
}

/// Returns the values at `positions` in the given order.
fn gathered<T: Copy + Default>(values: &[T], positions: &[u32]) -> impl Iterator<Item = T> {
    positions.iter().map(|&at| values.get(at as usize).copied().or_bug())
}

/// The rows of a series that a call reads.
pub(super) struct Chosen<'a> {
    /// The positions in the rows of the series. `None` selects all rows.
    positions: Option<Vec<u32>>,
    /// The times of the rows, in nanoseconds and ascending.
    pub(super) times: Cow<'a, [i64]>,
    pub(super) spans: Vec<Span>,
}

impl<'a> Chosen<'a> {
    /// Chooses the rows that `mask` selects and that have a value. Returns `None` if there is no
    /// such row.
    pub(super) fn new(
        series_rows: &'a SeriesRows,
        mask: &Mask,
        valid: Option<&[bool]>,
        windows: &mut WindowNumbers,
    ) -> Option<Self> {
        let all = series_rows.times();
        let positions = positions(mask, valid, all.len());
        let times = match &positions {
            None => Cow::Borrowed(all),
            Some(positions) => gathered(all, positions).collect(),
        };
        let mut spans = Vec::new();
        windows.cut(&times, &mut spans);
        (!spans.is_empty()).then_some(Self { positions, times, spans })
    }
}

/// Returns the positions of the selected rows that have a value. Returns `None` if these are all
/// rows.
pub(super) fn positions(mask: &Mask, valid: Option<&[bool]>, rows: usize) -> Option<Vec<u32>> {
    let listed = |keep: &dyn Fn(usize) -> bool| {
        Some((0..rows).filter(|&row| keep(row)).map(|row| row as u32).collect())
    };
    let bit = |bits: &[bool], row: usize| bits.get(row).copied().or_bug();
    match (mask, valid) {
        (Mask::None, _) => Some(Vec::new()),
        (Mask::All, None) => None,
        (Mask::All, Some(bits)) => listed(&|row| bit(bits, row)),
        (Mask::Some(bits), None) => listed(&|row| bit(bits, row)),
        (Mask::Some(a), Some(b)) => listed(&|row| bit(a, row) && bit(b, row)),
    }
}

/// The values of the chosen rows without gaps, in time order.
pub(super) struct Dense<'a> {
    pub(super) chosen: &'a Chosen<'a>,
    /// The values, one per time. Text values must be read through [`Dense::value`].
    pub(super) values: ValueSlice<'a>,
    series_rows: &'a SeriesRows,
    tags: &'a SeriesTags,
}

impl<'a> Dense<'a> {
    pub(super) fn new(
        chosen: &'a Chosen<'a>,
        slice: ValueSlice<'a>,
        series_rows: &'a SeriesRows,
        tags: &'a SeriesTags,
    ) -> Self {
        let values = match &chosen.positions {
            None => slice,
            Some(positions) => slice.gather(positions),
        };
        Self { chosen, values, series_rows, tags }
    }

    fn position(&self, index: usize) -> usize {
        match &self.chosen.positions {
            None => index,
            Some(positions) => positions.get(index).copied().or_bug() as usize,
        }
    }

    /// Returns value `index`, which must exist.
    pub(super) fn value(&self, index: usize) -> FieldValue {
        self.values.value(index, self.position(index))
    }

    pub(super) fn aux(&self, index: usize, aux: &[AuxColumn]) -> Vec<Option<FieldValue>> {
        let row = self.position(index);
        aux.iter()
            .map(|aux| match aux {
                AuxColumn::Tag(tag) => Some(FieldValue::String(self.tags.get(*tag).into())),
                AuxColumn::Field(input) => self.series_rows.field_at(row, input),
            })
            .collect()
    }
}
