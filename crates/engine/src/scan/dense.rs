//! Selects the rows that a call reads from a run, and gathers their values without gaps.

use std::borrow::Cow;
use std::rc::Rc;

use super::input::{Read, Slice};
use super::predicate::Mask;
use super::request::{AuxColumn, Input};
use super::run::Run;
use super::spans::{Slots, Span};
use tidemark_model::bug::OrBug;
use tidemark_model::ids::ColumnId;
use tidemark_model::value::FieldValue;

pub(super) struct Chosen<'a> {
    /// The positions in the run. `None` selects all rows.
    pub(super) positions: Option<Vec<u32>>,
    pub(super) times: Cow<'a, [i64]>,
    pub(super) spans: Vec<Span>,
}

/// Values without gaps, in time order.
pub(super) struct Dense<'a> {
    /// In nanoseconds, in ascending order.
    pub(super) times: &'a [i64],
    /// The values, one per time. Text values must be read through [`Dense::value`].
    pub(super) values: Slice<'a>,
    run: &'a Run,
    positions: Option<&'a [u32]>,
}

pub(super) struct Neighbours<'a> {
    pub(super) tag: &'a dyn Fn(ColumnId) -> &'a str,
}

impl<'a> Chosen<'a> {
    /// Returns `None` if no valid row is selected.
    pub(super) fn new(
        run: &'a Run,
        mask: &Mask,
        valid: Option<&[bool]>,
        slots: &mut Slots,
    ) -> Option<Self> {
        let all = run.times();
        let positions = positions(mask, valid, all.len());
        let times = match &positions {
            None => Cow::Borrowed(all),
            Some(p) => p.iter().map(|&p| all.get(p as usize).copied().or_bug()).collect(),
        };
        let mut spans = Vec::new();
        slots.cut(&times, &mut spans);
        (!spans.is_empty()).then_some(Self { positions, times, spans })
    }

    pub(super) fn dense(&'a self, run: &'a Run, read: Read<'a>) -> Dense<'a> {
        let positions = self.positions.as_deref();
        let values = match positions {
            None => read.slice,
            Some(positions) => read.slice.gather(positions),
        };
        Dense { times: &self.times, values, run, positions }
    }
}

/// Returns `None` if both `mask` and `valid` select all rows.
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

impl Dense<'_> {
    fn position(&self, index: usize) -> usize {
        match self.positions {
            None => index,
            Some(positions) => positions.get(index).copied().or_bug() as usize,
        }
    }

    /// Returns value `index`, which must exist.
    pub(super) fn value(&self, index: usize) -> FieldValue {
        value_at(&self.values, index, self.position(index))
    }

    pub(super) fn aux(
        &self,
        index: usize,
        aux: &[AuxColumn],
        neighbours: &Neighbours<'_>,
    ) -> Vec<Option<FieldValue>> {
        let row = self.position(index);
        aux.iter()
            .map(|aux| match aux {
                AuxColumn::Tag(tag) => Some(FieldValue::String((neighbours.tag)(*tag).into())),
                AuxColumn::Field(input) => field_at(self.run, row, input),
            })
            .collect()
    }
}

/// Text is read by its position in the run, and other values are read by `index`.
fn value_at(values: &Slice<'_>, index: usize, position: usize) -> FieldValue {
    match values {
        Slice::Float(v) => FieldValue::Float(v.get(index).copied().or_bug()),
        Slice::Integer(v) => FieldValue::Integer(v.get(index).copied().or_bug()),
        Slice::Unsigned(v) => FieldValue::Unsigned(v.get(index).copied().or_bug()),
        Slice::Boolean(v) => FieldValue::Boolean(v.get(index).copied().or_bug()),
        Slice::Text(column, rows) => FieldValue::String(column.get(rows.start + position).into()),
    }
}

fn field_at(run: &Run, position: usize, input: &Input) -> Option<FieldValue> {
    let row = run.rows.start + position;
    let one = Run { block: Rc::clone(&run.block), rows: row..row + 1 };
    // The scan has already checked the types of the run's columns and returned any error.
    let read = super::input::read(&one, input).ok()??;
    Some(value_at(&read.slice, 0, 0))
}
