//! Defines the rows that a merge picks before it reads values, and joins the columns of their pages
//! into a single column.

use std::rc::Rc;

use smallvec::{SmallVec, smallvec};

use super::cursor::{Columns, Direction, PageColumn, PageKeys};
use crate::batch::bitmap::{Bitmap, Validity};
use crate::batch::column::{Column, Values};
use crate::batch::narrow::Widen;
use crate::batch::picker::Picker;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::ColumnId;
use tidemark_model::value::FieldType;

/// The number of recent pages in which [`Picks::place_of`] searches for a page. An older page is
/// added again.
const LATE_PAGES: usize = 64;

/// The picked rows in the order of the merge, without duplicates of a series and time. Picks may
/// contain rows of several series ([`Picks::extend`]), so that a column is decoded once for all
/// series that share a page.
#[derive(Clone, Debug, Default)]
pub struct Picks {
    direction: Direction,
    /// The pages with their source numbers. The range of a page includes all of its picked rows,
    /// and possibly others. The last [`LATE_PAGES`] pages are distinct.
    pages: SmallVec<[(u16, PageKeys); 1]>,
    runs: SmallVec<[Run; 1]>,
    /// The overwritten rows, in ascending order of `at`. For the same `at`, newer rows come first.
    older: Vec<OlderRow>,
    /// The times of the rows. Empty if the picks are all rows of a single page in ascending order.
    times_ns: Vec<i64>,
    rows: u32,
}

/// Consecutive rows of a page, in reverse order if the direction is descending.
#[derive(Clone, Copy, Debug)]
struct Run {
    page: u32,
    /// The lowest row number of the run in the page.
    first: u32,
    rows: u32,
}

/// A row in an older source, with the same series and time as row `at`. The older row supplies the
/// values that are null in newer sources.
#[derive(Clone, Copy, Debug)]
struct OlderRow {
    at: u32,
    page: u32,
    row: u32,
}

impl Run {
    fn row(&self, at: u32, direction: Direction) -> u32 {
        match direction {
            Direction::Ascending => self.first + at,
            Direction::Descending => self.first + self.rows.saturating_sub(at + 1),
        }
    }
}

impl Picks {
    pub(super) fn new(direction: Direction) -> Self {
        Self { direction, ..Self::default() }
    }

    pub(super) fn all_rows(source: u16, page: PageKeys, direction: Direction) -> Self {
        let rows = page.rows();
        let run = Run { page: 0, first: rows.start, rows: rows.end - rows.start };
        let times_ns = match direction {
            Direction::Ascending => Vec::new(),
            Direction::Descending => page.times_ns().iter().rev().copied().collect(),
        };
        let (pages, runs) = (smallvec![(source, page)], smallvec![run]);
        Self { direction, pages, runs, times_ns, rows: run.rows, ..Self::default() }
    }

    /// Reverses descending rows, which must belong to a single series.
    #[must_use]
    pub fn ascending(mut self) -> Self {
        if self.direction == Direction::Ascending {
            return self;
        }
        self.direction = Direction::Ascending;
        self.times_ns.reverse();
        self.runs.reverse();
        self.older.reverse();
        let last = self.rows.saturating_sub(1);
        for older in &mut self.older {
            older.at = last.saturating_sub(older.at);
        }
        // For the same `at`, newer rows must come first.
        self.older.chunk_by_mut(|a, b| a.at == b.at).for_each(<[_]>::reverse);
        self
    }

    #[must_use]
    pub(crate) fn last_row(&self) -> Self {
        match self.rows.checked_sub(1) {
            Some(last) => self.only(&[last]),
            None => self.clone(),
        }
    }

    /// Picks only the rows at the positions `places`, which must ascend.
    #[must_use]
    pub fn only(&self, places: &[u32]) -> Self {
        let mut only = Self::new(self.direction);
        let (mut rows, mut older) = (self.rows_at(), self.older.as_slice());
        for &at in places {
            let (Some((page_of_row, row)), Some(&time_ns)) =
                (rows(at), self.times_ns().get(at as usize))
            else {
                break;
            };
            let page = |number: u32| self.pages.get(number as usize);
            let Some((source, keys)) = page(page_of_row) else { break };
            let place = only.place_of(*source, keys);
            only.push(place, row, std::iter::once(time_ns));
            older = older.get(older.partition_point(|older| older.at < at)..).or_bug();
            for of_row in older.iter().take_while(|older| older.at == at) {
                if let Some((source, keys)) = page(of_row.page) {
                    let place = only.place_of(*source, keys);
                    only.push_older(place, of_row.row);
                }
            }
        }
        only
    }

    /// Returns a function that returns the page and the row number of the row at a position. The
    /// positions of successive calls must ascend.
    fn rows_at(&self) -> impl FnMut(u32) -> Option<(u32, u32)> {
        let (mut runs, mut start) = (self.runs.as_slice(), 0);
        move |at| {
            while let Some((passed, behind)) = runs.split_first()
                && start + passed.rows <= at
            {
                start += passed.rows;
                runs = behind;
            }
            let run = runs.first()?;
            Some((run.page, run.row(at - start, self.direction)))
        }
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows as usize
    }

    /// Whether the picks are empty.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(crate) fn pages_read(&self) -> usize {
        self.pages.len()
    }

    /// Returns the total number of rows in the pages. Reading a column decodes this number of
    /// values.
    pub fn rows_read(&self) -> usize {
        self.pages.iter().map(|(_, page)| page.page_rows() as usize).sum()
    }

    /// Returns the time of each row, in nanoseconds. The times ascend or descend within a series.
    pub fn times_ns(&self) -> &[i64] {
        match &self.pages[..] {
            [(_, page)] if self.times_ns.is_empty() => page.times_ns(),
            _ => &self.times_ns,
        }
    }

    /// Returns all columns of the pages.
    pub fn columns(&self) -> Columns {
        union(self.pages.iter().map(|(_, page)| Rc::clone(page.columns())))
    }

    /// Appends the rows of `other`, which must come from the same merge.
    pub fn extend(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        if self.times_ns.is_empty() {
            self.times_ns = self.times_ns().to_vec();
        }
        self.times_ns.extend_from_slice(other.times_ns());
        let places: SmallVec<[u32; 1]> =
            other.pages.iter().map(|(source, page)| self.place_of(*source, page)).collect();
        let place = |page: u32| places.get(page as usize).copied().or_bug();
        for run in other.runs {
            self.push_run(Run { page: place(run.page), ..run });
        }
        let before = self.rows;
        let moved = |row: OlderRow| OlderRow { at: row.at + before, page: place(row.page), ..row };
        self.older.extend(other.older.into_iter().map(moved));
        self.rows += other.rows;
    }

    /// Adds consecutive rows of a page with these times. `first` is the lowest row number, and
    /// `times_ns` is in the order of the merge.
    #[inline]
    pub(super) fn push(
        &mut self,
        page: u32,
        first: u32,
        times_ns: impl ExactSizeIterator<Item = i64>,
    ) {
        let rows = times_ns.len() as u32;
        self.push_run(Run { page, first, rows });
        self.times_ns.extend(times_ns);
        self.rows += rows;
    }

    pub(super) fn push_older(&mut self, page: u32, row: u32) {
        self.older.push(OlderRow { at: self.rows.saturating_sub(1), page, row });
    }

    /// Returns the position of the page in the picks, and adds the page if necessary. The caller
    /// must only pick rows in the range of `page`.
    pub(super) fn place_of(&mut self, source: u16, page: &PageKeys) -> u32 {
        let behind = self.pages.len().saturating_sub(LATE_PAGES);
        let late = self.pages.iter_mut().enumerate().skip(behind).rev();
        let same = |(_, held): &(usize, &mut (u16, PageKeys))| {
            held.0 == source && held.1.page() == page.page()
        };
        // The number of pages does not exceed the number of rows, which fits in a u32.
        if let Some((at, (_, held))) = late.into_iter().find(same) {
            held.cover(page);
            return at as u32;
        }
        self.pages.push((source, page.clone()));
        (self.pages.len() - 1) as u32
    }

    pub(super) fn pages(&self) -> &[(u16, PageKeys)] {
        &self.pages
    }

    /// Returns the page if the picks are all rows of a single page in the page's order.
    pub(super) fn only_page(&self) -> Option<&(u16, PageKeys)> {
        match (&self.pages[..], &self.runs[..], &self.older[..]) {
            ([only], [run], []) => {
                let all = run.first == 0 && run.rows == only.1.page_rows();
                (all && (self.direction == Direction::Ascending || run.rows == 1)).then_some(only)
            }
            _ => None,
        }
    }

    fn push_run(&mut self, run: Run) {
        if let Some(last) = self.runs.last_mut()
            && last.page == run.page
        {
            match self.direction {
                Direction::Ascending if last.first + last.rows == run.first => {
                    last.rows += run.rows;
                    return;
                }
                Direction::Descending if run.first + run.rows == last.first => {
                    (last.first, last.rows) = (run.first, last.rows + run.rows);
                    return;
                }
                _ => {}
            }
        }
        self.runs.push(run);
    }
}

/// Returns all columns of the lists. If a column has two types, the first type is used.
fn union(lists: impl Iterator<Item = Columns>) -> Columns {
    let mut distinct: Vec<Columns> = Vec::new();
    for list in lists {
        if !distinct.iter().rev().any(|held| Rc::ptr_eq(held, &list)) {
            distinct.push(list);
        }
    }
    if let [only] = &distinct[..] {
        return Rc::clone(only);
    }
    let mut all: Vec<(ColumnId, FieldType)> =
        distinct.iter().flat_map(|l| l.iter()).copied().collect();
    all.sort_by_key(|&(id, _)| id);
    all.dedup_by_key(|&mut (id, _)| id);
    all.into()
}

/// Joins the column of each page of the picks, which is `None` if the page has only nulls. All
/// columns have the same type. A value is null if it is null in all sources.
pub(super) fn join(picks: &Picks, columns: &[Option<PageColumn>], field_type: FieldType) -> Column {
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
fn fills(picks: &Picks, columns: &[Option<PageColumn>]) -> Vec<OlderRow> {
    let full =
        |of: &Option<PageColumn>| of.as_ref().is_some_and(|of| *of.validity() == Validity::All);
    if picks.older.is_empty() || columns.iter().all(full) {
        return Vec::new();
    }
    let has = |page: u32, row: u32| {
        column(columns, page).is_some_and(|of| of.validity().is_valid(row as usize))
    };
    let mut fills: Vec<OlderRow> = Vec::new();
    let mut rows = picks.rows_at();
    for same in picks.older.chunk_by(|a, b| a.at == b.at) {
        let Some(&OlderRow { at, .. }) = same.first() else { continue };
        if rows(at).is_none_or(|(page, row)| !has(page, row)) {
            fills.extend(same.iter().find(|older| has(older.page, older.row)));
        }
    }
    fills
}

fn column(columns: &[Option<PageColumn>], page: u32) -> Option<&PageColumn> {
    columns.get(page as usize)?.as_ref()
}

/// Copies the picked values. The value of a null is the default value.
fn copied<T: Widen>(picks: &Picks, columns: &[Option<PageColumn>], fills: &[OlderRow]) -> Vec<T> {
    let mut out = Vec::with_capacity(picks.len());
    for run in &picks.runs {
        let (start, rows) = (out.len(), run.first as usize..(run.first + run.rows) as usize);
        let end = start + rows.len();
        if let Some(column) = column(columns, run.page) {
            column.copy(rows, &mut out);
        }
        if picks.direction == Direction::Descending {
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

fn texts(picks: &Picks, columns: &[Option<PageColumn>], fills: &[OlderRow]) -> Column {
    let mut sources = 0..;
    let numbers: Vec<Option<usize>> =
        columns.iter().map(|column| text(column).and_then(|_| sources.next())).collect();
    let source = |page: u32| numbers.get(page as usize).copied().flatten();
    let mut picker = Picker::new(FieldType::String, columns.iter().filter_map(text));
    let mut fills = fills.iter().peekable();
    let mut start = 0;
    for run in &picks.runs {
        for at in 0..run.rows {
            let (page, row) = match fills.next_if(|fill| fill.at == start + at) {
                Some(fill) => (fill.page, fill.row),
                None => (run.page, run.row(at, picks.direction)),
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

fn validity(picks: &Picks, columns: &[Option<PageColumn>], fills: &[OlderRow]) -> Validity {
    let mut valid = Bitmap::default();
    for run in &picks.runs {
        match column(columns, run.page).map(PageColumn::validity) {
            None => valid.extend_filled(run.rows as usize, false),
            Some(Validity::All) => valid.extend_filled(run.rows as usize, true),
            Some(Validity::Some(bits)) => {
                for at in 0..run.rows {
                    valid.push(bits.get(run.row(at, picks.direction) as usize));
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
