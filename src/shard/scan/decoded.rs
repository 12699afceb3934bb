//! Pages that were decoded for a scan, kept while one page of its answer is made.

use std::rc::Rc;

use super::memtable_rows;
use super::source::{PartSource, ShardSource, StoredGroup, add};
use crate::batch::column::Column;
use crate::model::ids::ColumnId;
use crate::model::sorted_map::SortedMap;
use crate::model::time::TimeRange;
use crate::part::directory::Group;
use crate::part::pages::{self, Place};
use crate::scan::source::{Rows, Run};
use crate::shard::narrow::ColumnPlace;
use crate::shard::request::Refusal;
use crate::shard::values::{CachedValues, refusal};
use crate::store::Store;

/// Decoded pages that are kept, rows times columns.
const CELLS_KEPT_MAX: usize = 2_000_000;
/// Sets of columns that pages are decoded for at a time.
const COLUMN_SETS_MAX: usize = 2;

/// A decoded page, or some series of the memtable.
#[derive(Clone)]
pub(super) struct Page {
    rows: Rc<Rows>,
    first_series: u32,
    /// For each series where its rows end.
    ends: Rc<[u32]>,
}

impl Page {
    /// The rows of a series.
    pub(super) fn run(&self, series: u32) -> Option<Run> {
        let at = series.checked_sub(self.first_series)? as usize;
        let end = *self.ends.get(at)? as usize;
        let start = at.checked_sub(1).and_then(|at| self.ends.get(at)).map_or(0, |&e| e as usize);
        (start < end).then(|| Run { block: Rc::clone(&self.rows), rows: start..end })
    }
}

/// What a scan keeps.
#[derive(Default)]
pub(super) struct Decoded {
    /// By position in `columns`, part and page (of the memtable: first series).
    kept: SortedMap<(usize, usize, usize), Page>,
    cells_kept: usize,
    /// What pages are decoded for: what decides on rows, and all that is wanted of them.
    columns: Vec<Vec<ColumnId>>,
}

impl Decoded {
    /// The number of a set of columns; a scan has two at most.
    pub(super) fn column_set(&mut self, columns: &[ColumnId]) -> usize {
        if let Some(known) = self.columns.iter().position(|known| known == columns) {
            return known;
        }
        if self.columns.len() >= COLUMN_SETS_MAX {
            self.forget();
            self.columns.clear();
        }
        self.columns.push(columns.to_vec());
        self.columns.len() - 1
    }

    fn keep(&mut self, key: (usize, usize, usize), kept: &Page) {
        let cells = kept.rows.times_ns.len() * (1 + kept.rows.columns.len()) + kept.ends.len();
        if self.cells_kept + cells > CELLS_KEPT_MAX {
            self.forget();
        }
        self.cells_kept += cells;
        self.kept.insert(key, kept.clone());
    }

    /// Nothing of it is of use any more.
    pub(super) fn forget(&mut self) {
        self.kept.clear();
        self.cells_kept = 0;
    }
}

impl<S: Store> ShardSource<'_, S> {
    /// A page at rest, decoded as far as the columns asked for.
    pub(super) fn stored_rows(
        &mut self,
        (set, part): (usize, usize),
        at: usize,
    ) -> Result<Page, Refusal> {
        if let Some(kept) = self.decoded.kept.get(&(set, part, at)) {
            return Ok(kept.clone());
        }
        let no_page = || Refusal::Invalid("no such page".into());
        let Some(PartSource::Group { of, .. }) = self.parts.get(part) else {
            return Err(no_page());
        };
        let (group, page) = of.group().zip(of.page(at)).ok_or_else(no_page)?;
        let mut values = CachedValues::new(self.store, self.cache, of.rows.clone());
        let keys = pages::keys(&mut values, of.value, group, at).map_err(refusal)?;
        let (ends, times_ns) = keys;
        let mut rows = Rows { times_ns, columns: Vec::new() };
        let columns = self.decoded.columns.get(set).map_or(&[][..], Vec::as_slice);
        for (field, &(id, _)) in group.columns.iter().enumerate() {
            if columns.contains(&id)
                && let Some(column) =
                    self.stored_column((of, group), (at, field), id, &mut values)?
            {
                rows.columns.push((id, column));
            }
        }
        let first_series = page.first_series;
        let kept = Page { rows: Rc::new(rows), first_series, ends: ends.into() };
        add(&mut self.stats, &values.stats.get());
        // A page of one series is asked for once.
        if kept.ends.len() > 1 {
            self.decoded.keep((set, part, at), &kept);
        }
        Ok(kept)
    }

    /// A column of a page, number `field` of its group's; one that is kept decoded counts as read
    /// all the same.
    fn stored_column(
        &self,
        (of, group): (&StoredGroup, &Group),
        (page, field): (usize, usize),
        id: ColumnId,
        values: &mut CachedValues<'_, S>,
    ) -> Result<Option<Column>, Refusal> {
        let fields = group.columns.len();
        let (at, count) = (page * fields + field, group.pages.len() * fields);
        let slot = of.key().map(|key| ColumnPlace { of: key, at, count });
        if let Some(column) = slot.and_then(|slot| self.cache.column(slot)) {
            let bytes = group.column_at(page, field);
            values.count(&bytes);
            return Ok(Some(column));
        }
        let place = Place { value: of.value, group: of.group, page };
        let at = (Rc::clone(&of.directory), place);
        let column = pages::column(values, of.part, at, id).map_err(refusal)?;
        if let (Some(slot), Some(column)) = (slot, &column) {
            self.cache.put_column(slot, column);
        }
        Ok(column)
    }

    /// The latest row of a series at rest, if that tells the latest one inside `time`.
    pub(super) fn newest_row(
        &mut self,
        part: usize,
        series: u32,
        time: TimeRange,
        columns: &[ColumnId],
    ) -> Result<Option<Rc<Rows>>, Refusal> {
        let (key, at, series) = match self.parts.get(part) {
            Some(PartSource::Group { of, first, hidden }) if hidden.is_empty() => {
                let series = first.saturating_add(series);
                let Some((key, at)) = of.key().zip(of.pages_of(series).last()) else {
                    return Ok(None);
                };
                // A page that may have later rows is no reason to read it.
                if of.page(at).is_none_or(|page| page.max_ns >= time.end_ns) {
                    return Ok(None);
                }
                (key, at, series)
            }
            _ => return Ok(None),
        };
        if let Some(row) = self.cache.newest((key, series), columns) {
            return Ok(Some(row));
        }
        let set = self.decoded.column_set(columns);
        let Some(run) = self.stored_rows((set, part), at)?.run(series).map(Run::last_row) else {
            return Ok(None);
        };
        let last = [run.rows.start as u32];
        let of = |(id, column): &(ColumnId, Column)| (*id, column.gather(&last));
        let row = Rc::new(Rows {
            times_ns: run.block.times_ns.get(run.rows).unwrap_or_default().to_vec(),
            columns: run.block.columns.iter().map(of).collect(),
        });
        self.cache.put_newest((key, series), columns, &row);
        Ok(Some(row))
    }

    /// The rows of a series of the memtable, with those of its neighbours when they are few.
    pub(super) fn memtable_rows(
        &mut self,
        (set, part): (usize, usize),
        series: u32,
    ) -> Option<Page> {
        let before = (set, part, 0)..=(set, part, series as usize);
        let nearest = self.decoded.kept.range(before).next_back();
        if let Some((_, kept)) = nearest
            && ((series - kept.first_series) as usize) < kept.ends.len()
        {
            return Some(kept.clone());
        }
        let Some(PartSource::Memtable { measurement, order }) = self.parts.get(part) else {
            return None;
        };
        let table = self.memtable.table_mut(*measurement)?;
        let columns = self.decoded.columns.get(set).map_or(&[][..], Vec::as_slice);
        let (rows, ends) = memtable_rows::gather(table, order, series, columns);
        let kept = Page { rows: Rc::new(rows), first_series: series, ends };
        self.decoded.keep((set, part, series as usize), &kept);
        Some(kept)
    }
}
