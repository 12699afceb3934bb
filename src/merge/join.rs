//! Columns of pages to the column of picked rows.

use super::cursor::{Direction, PageColumn};
use super::picks::{Older, Picks, Run};
use crate::batch::bitmap::{Bitmap, Validity};
use crate::batch::column::{Column, Values};
use crate::batch::picker::Picker;
use crate::model::value::FieldType;

/// For each page of the picks its column, if any of its rows has a value; all of one type.
pub(super) type Columns = [Option<PageColumn>];

/// The values of the rows; null where no source has one.
pub(super) fn join(picks: &Picks, columns: &Columns, field_type: FieldType) -> Column {
    let fills = fills(picks, columns);
    if field_type == FieldType::String {
        return texts(picks, columns, &fills);
    }
    let values = match field_type {
        FieldType::Float => Values::Float(copied(picks, columns, &fills, |values| match values {
            Values::Float(values) => values,
            _ => &[],
        })),
        FieldType::Integer => {
            Values::Integer(copied(picks, columns, &fills, |values| match values {
                Values::Integer(values) => values,
                _ => &[],
            }))
        }
        FieldType::Unsigned => {
            Values::Unsigned(copied(picks, columns, &fills, |values| match values {
                Values::Unsigned(values) => values,
                _ => &[],
            }))
        }
        FieldType::Boolean => {
            Values::Boolean(copied(picks, columns, &fills, |values| match values {
                Values::Boolean(values) => values,
                _ => &[],
            }))
        }
        FieldType::String => Values::new(field_type),
    };
    Column { values, validity: validity(picks, columns, &fills) }
}

/// The older rows that rows without a value are filled from, ascending by position, each once.
fn fills(picks: &Picks, columns: &Columns) -> Vec<Older> {
    let full =
        |of: &Option<PageColumn>| of.as_ref().is_some_and(|of| of.column.validity == Validity::All);
    if picks.older().is_empty() || columns.iter().all(full) {
        return Vec::new();
    }
    let has = |page: u32, row: u32| {
        column(columns, page).is_some_and(|of| of.column.validity.is_valid(of.place(row)))
    };
    let mut fills: Vec<Older> = Vec::new();
    let (mut runs, mut start) = (picks.runs().iter(), 0);
    let mut run = runs.next();
    for same in picks.older().chunk_by(|a, b| a.at == b.at) {
        let Some(&Older { at, .. }) = same.first() else { continue };
        while let Some(passed) = run
            && start + passed.rows <= at
        {
            start += passed.rows;
            run = runs.next();
        }
        let newest = run.map(|run| (run.page, row_of(run, at - start, picks.direction())));
        if newest.is_none_or(|(page, row)| !has(page, row)) {
            fills.extend(same.iter().find(|older| has(older.page, older.row)));
        }
    }
    fills
}

/// The row of a page that row `at` of a run is.
fn row_of(run: &Run, at: u32, direction: Direction) -> u32 {
    match direction {
        Direction::Ascending => run.first + at,
        Direction::Descending => run.first + run.rows.saturating_sub(at + 1),
    }
}

fn column(columns: &Columns, page: u32) -> Option<&PageColumn> {
    columns.get(page as usize)?.as_ref()
}

/// Values of a fixed size, of those that `of` finds in a column.
fn copied<T: Copy + Default>(
    picks: &Picks,
    columns: &Columns,
    fills: &[Older],
    of: impl Fn(&Values) -> &[T],
) -> Vec<T> {
    let values_from = |page: u32, row: u32| {
        let of_page = column(columns, page)?;
        of(&of_page.column.values).get(of_page.place(row)..)
    };
    let mut out = Vec::with_capacity(picks.len());
    for run in picks.runs() {
        let rows = run.rows as usize;
        let end = out.len() + rows;
        let values = values_from(run.page, run.first).and_then(|values| values.get(..rows));
        let values = values.unwrap_or_default();
        match picks.direction() {
            Direction::Ascending => out.extend_from_slice(values),
            Direction::Descending => out.extend(values.iter().rev()),
        }
        out.resize(end, T::default());
    }
    for fill in fills {
        let value = values_from(fill.page, fill.row).and_then(|values| values.first());
        if let (Some(slot), Some(&value)) = (out.get_mut(fill.at as usize), value) {
            *slot = value;
        }
    }
    out
}

/// Text, row by row.
fn texts(picks: &Picks, columns: &Columns, fills: &[Older]) -> Column {
    // Of each page which of the sources its column is; none if it has none.
    let mut sources = 0..;
    let numbers: Vec<Option<usize>> =
        columns.iter().map(|column| column.as_ref().and_then(|_| sources.next())).collect();
    let source = |page: u32| numbers.get(page as usize).copied().flatten();
    let mut picker = Picker::new(FieldType::String, columns.iter().flatten().map(|of| &*of.column));
    let mut fills = fills.iter().peekable();
    let mut start = 0;
    for run in picks.runs() {
        for at in 0..run.rows {
            let (page, row) = match fills.next_if(|fill| fill.at == start + at) {
                Some(fill) => (fill.page, fill.row),
                None => (run.page, row_of(run, at, picks.direction())),
            };
            match source(page).zip(column(columns, page)) {
                Some((source, of)) => picker.push(source, of.place(row)),
                None => picker.push_null(),
            }
        }
        start += run.rows;
    }
    picker.finish()
}

fn validity(picks: &Picks, columns: &Columns, fills: &[Older]) -> Validity {
    let mut valid = Bitmap::default();
    for run in picks.runs() {
        match column(columns, run.page).map(|of| (of, &of.column.validity)) {
            None => valid.extend_filled(run.rows as usize, false),
            Some((_, Validity::All)) => valid.extend_filled(run.rows as usize, true),
            Some((of, Validity::Some(bits))) => {
                for at in 0..run.rows {
                    valid.push(bits.get(of.place(row_of(run, at, picks.direction()))));
                }
            }
        }
    }
    fills.iter().for_each(|fill| valid.set(fill.at as usize, true));
    match valid.count_ones() == valid.len() {
        true => Validity::All,
        false => Validity::Some(valid),
    }
}
