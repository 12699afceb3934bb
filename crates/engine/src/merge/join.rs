//! Joins the columns of pages into a single column of the picked rows.

use super::cursor::{Direction, PageColumn};
use super::picks::{OlderRow, Picks};
use crate::batch::bitmap::{Bitmap, Validity};
use crate::batch::column::{Column, Fixed, Values};
use crate::batch::picker::Picker;
use tidemark_model::bug::OrBug;
use tidemark_model::value::FieldType;

/// The column of each page of the picks, or `None` if the page has only nulls. All columns have the
/// same type.
pub(super) type Columns = [Option<PageColumn>];

/// A value is null if it is null in all sources.
pub(super) fn join(picks: &Picks, columns: &Columns, field_type: FieldType) -> Column {
    let fills = fills(picks, columns);
    let values = match field_type {
        FieldType::String => return texts(picks, columns, &fills),
        FieldType::Float => Values::Float(copied(picks, columns, &fills)),
        FieldType::Integer => Values::Integer(copied(picks, columns, &fills)),
        FieldType::Unsigned => Values::Unsigned(copied(picks, columns, &fills)),
        FieldType::Boolean => Values::Boolean(copied(picks, columns, &fills)),
    };
    Column { values, validity: validity(picks, columns, &fills) }
}

/// Returns the older rows that replace nulls, in ascending order of position and without
/// duplicates.
fn fills(picks: &Picks, columns: &Columns) -> Vec<OlderRow> {
    let full =
        |of: &Option<PageColumn>| of.as_ref().is_some_and(|of| *of.validity() == Validity::All);
    if picks.older().is_empty() || columns.iter().all(full) {
        return Vec::new();
    }
    let has = |page: u32, row: u32| {
        column(columns, page).is_some_and(|of| of.validity().is_valid(row as usize))
    };
    let mut fills: Vec<OlderRow> = Vec::new();
    let (mut runs, mut start) = (picks.runs().iter(), 0);
    let mut run = runs.next();
    for same in picks.older().chunk_by(|a, b| a.at == b.at) {
        let Some(&OlderRow { at, .. }) = same.first() else { continue };
        while let Some(passed) = run
            && start + passed.rows <= at
        {
            start += passed.rows;
            run = runs.next();
        }
        let newest = run.map(|run| (run.page, run.row(at - start, picks.direction())));
        if newest.is_none_or(|(page, row)| !has(page, row)) {
            fills.extend(same.iter().find(|older| has(older.page, older.row)));
        }
    }
    fills
}

fn column(columns: &Columns, page: u32) -> Option<&PageColumn> {
    columns.get(page as usize)?.as_ref()
}

/// A null has the default value.
fn copied<T: Fixed>(picks: &Picks, columns: &Columns, fills: &[OlderRow]) -> Vec<T> {
    let mut out = Vec::with_capacity(picks.len());
    for run in picks.runs() {
        let (start, rows) = (out.len(), run.first as usize..(run.first + run.rows) as usize);
        let end = start + rows.len();
        if let Some(column) = column(columns, run.page) {
            column.copy(rows, &mut out);
        }
        if picks.direction() == Direction::Descending {
            out.get_mut(start..).or_bug().reverse();
        }
        out.resize(end, T::default());
    }
    for fill in fills {
        let (rows, row) = (out.len(), fill.row as usize);
        if let Some(column) = column(columns, fill.page) {
            column.copy(row..row + 1, &mut out);
        }
        if out.len() > rows
            && let Some(value) = out.pop()
            && let Some(slot) = out.get_mut(fill.at as usize)
        {
            *slot = value;
        }
    }
    out
}

fn text(column: &Option<PageColumn>) -> Option<&Column> {
    column.as_ref().and_then(PageColumn::text)
}

fn texts(picks: &Picks, columns: &Columns, fills: &[OlderRow]) -> Column {
    let mut sources = 0..;
    let numbers: Vec<Option<usize>> =
        columns.iter().map(|column| text(column).and_then(|_| sources.next())).collect();
    let source = |page: u32| numbers.get(page as usize).copied().flatten();
    let mut picker = Picker::new(FieldType::String, columns.iter().filter_map(text));
    let mut fills = fills.iter().peekable();
    let mut start = 0;
    for run in picks.runs() {
        for at in 0..run.rows {
            let (page, row) = match fills.next_if(|fill| fill.at == start + at) {
                Some(fill) => (fill.page, fill.row),
                None => (run.page, run.row(at, picks.direction())),
            };
            match source(page) {
                Some(source) => picker.push(source, row as usize),
                None => picker.push_null(),
            }
        }
        start += run.rows;
    }
    picker.finish()
}

fn validity(picks: &Picks, columns: &Columns, fills: &[OlderRow]) -> Validity {
    let mut valid = Bitmap::default();
    for run in picks.runs() {
        match column(columns, run.page).map(PageColumn::validity) {
            None => valid.extend_filled(run.rows as usize, false),
            Some(Validity::All) => valid.extend_filled(run.rows as usize, true),
            Some(Validity::Some(bits)) => {
                for at in 0..run.rows {
                    valid.push(bits.get(run.row(at, picks.direction()) as usize));
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
