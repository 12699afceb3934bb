//! Memtable and segments as one [`Source`]: what a scan of this shard reads.

use std::rc::Rc;

use super::Shard;
use super::blocks::StoredBlocks;
use super::cache::{Cache, SegmentKey};
use super::load::Loaded;
use super::memtable_rows;
use super::request::Refusal;
use super::tombstone::{self, Hidden};
use crate::batch::column::Column;
use crate::batch::order::Order;
use crate::memtable::Memtable;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::limits::PAGE_BYTES_MAX;
use crate::model::sorted;
use crate::model::sorted_map::SortedMap;
use crate::model::time::TimeRange;
use crate::protocol::shard::Stamp;
use crate::scan::error::ScanError;
use crate::scan::page::{ScanPage, SummaryPage};
use crate::scan::request::{ScanRequest, SummaryRequest};
use crate::scan::source::{
    self, Everything, Extent, Part, ReadStats, Rows, Run, Source, SourceError, Wanted,
};
use crate::scan::{PageLimits, explain, scan, summarise};
use crate::segment::directory::Summary;
use crate::segment::index::Index;
use crate::segment::reader;
use crate::store::Store;

/// Encoded bytes decoded by one event: the log, if it is replayed, and one page.
const DECODED_BYTES_MAX: u64 = 8_000_000;
/// A scan looks after each of its steps how much it has decoded. A step has at most 2¹⁹ rows of a
/// series, as it is told: rows of more bytes than this count as several, so that it decodes 2 MB.
const ROW_BYTES: u64 = 4;
const STEP_BYTES: u64 = ROW_BYTES << 19;
/// Decoded pages kept while one page of the answer is made, rows times columns.
const CELLS_KEPT_MAX: usize = 2_000_000;
/// Sets of columns that pages are decoded for at a time.
const COLUMN_SETS_MAX: usize = 2;

impl<S: Store> Shard<S> {
    /// One page of a scan.
    ///
    /// # Errors
    /// [`Refusal::Stale`], [`Refusal::Invalid`], [`Refusal::Damaged`], [`Refusal::Store`].
    pub fn scan(&mut self, request: &ScanRequest, stamp: &Stamp) -> Result<ScanPage, Refusal> {
        // Loading the object and replaying its log are part of what the page costs.
        let before = self.store.row_counts();
        let limits = self.limits(stamp)?;
        let mut page = self.read(stamp, |source| scan(source, request, limits))?;
        page.stats.rows_read = self.store.row_counts().since(before).read;
        Ok(page)
    }

    /// What a scan would read.
    ///
    /// # Errors
    /// As [`Shard::scan`].
    pub fn explain(&mut self, request: &ScanRequest, stamp: &Stamp) -> Result<ReadStats, Refusal> {
        self.read(stamp, |source| explain(source, request))
    }

    /// One page of what exists.
    ///
    /// # Errors
    /// As [`Shard::scan`].
    pub fn summary(
        &mut self,
        request: &SummaryRequest,
        stamp: &Stamp,
    ) -> Result<SummaryPage, Refusal> {
        let limits = self.limits(stamp)?;
        self.read(stamp, |source| summarise(source, request, limits))
    }

    /// What a page may take, once the log was replayed if it was not in memory: what that decoded
    /// is part of what one event may.
    fn limits(&mut self, stamp: &Stamp) -> Result<PageLimits, Refusal> {
        self.current(stamp)?;
        let is_cold = !self.cache.has_memtable();
        let memtable = self.memtable()?;
        self.cache.put_memtable(memtable);
        let log_bytes = self.loaded.as_ref().map_or(0, |loaded| loaded.wal.bytes());
        let replayed_bytes = if is_cold { log_bytes } else { 0 };
        let decoded_bytes = (DECODED_BYTES_MAX - STEP_BYTES).saturating_sub(replayed_bytes).max(1);
        Ok(PageLimits { bytes: PAGE_BYTES_MAX, decoded_bytes })
    }

    /// Runs `ask` over the shard's data.
    ///
    /// # Errors
    /// As [`Shard::scan`].
    pub fn read<T>(
        &mut self,
        stamp: &Stamp,
        ask: impl FnOnce(&mut dyn Source) -> Result<T, ScanError>,
    ) -> Result<T, Refusal> {
        let known = self.current(stamp)?.schema_version;
        if !stamp.fresh && stamp.schema_version < known {
            return Err(Refusal::Stale);
        }
        let memtable = self.memtable()?;
        let loaded = self.loaded.as_ref().ok_or(Refusal::Stale)?;
        let mut source = ShardSource {
            store: &self.store,
            cache: &self.cache,
            loaded,
            memtable,
            parts: Vec::new(),
            kept: SortedMap::new(),
            cells_kept: 0,
            columns: Vec::new(),
            stats: ReadStats::default(),
        };
        let answer = ask(&mut source);
        let memtable = source.memtable;
        self.cache.put_memtable(memtable);
        self.budget.make_room(&self.evictable(), 0);
        answer.map_err(|error| match error {
            ScanError::Source(SourceError::Damaged { block }) => Refusal::Damaged { block },
            ScanError::Source(SourceError::Storage(why)) => {
                Refusal::Store(crate::store::StoreError::Failed(why))
            }
            error => Refusal::Invalid(error.to_string()),
        })
    }
}

/// What is behind a part that was handed out.
enum PartSource {
    /// Some of the segment's series, from `first` on.
    Segment {
        key: SegmentKey,
        index: Rc<Index>,
        first: u32,
        hidden: Vec<Hidden>,
    },
    Memtable {
        measurement: MeasurementId,
        order: Rc<Order>,
    },
}

/// A decoded page, or some series of the memtable.
#[derive(Clone)]
struct Page {
    rows: Rc<Rows>,
    first_series: u32,
    /// For each series where its rows end.
    ends: Rc<[u32]>,
}

struct ShardSource<'a, S> {
    store: &'a S,
    cache: &'a Cache,
    loaded: &'a Loaded,
    memtable: Memtable,
    parts: Vec<PartSource>,
    /// By position in `columns`, part and page (of the memtable: first series).
    kept: SortedMap<(usize, usize, usize), Page>,
    cells_kept: usize,
    /// What pages are decoded for: what decides on rows, and all that is wanted of them.
    columns: Vec<Vec<ColumnId>>,
    stats: ReadStats,
}

impl<S: Store> Source for ShardSource<'_, S> {
    fn parts(
        &mut self,
        measurement: MeasurementId,
        time: TimeRange,
    ) -> Result<Vec<Part>, SourceError> {
        self.parts_with(measurement, time, &mut Everything)
    }

    fn parts_with(
        &mut self,
        measurement: MeasurementId,
        time: TimeRange,
        wanted: &mut dyn Wanted,
    ) -> Result<Vec<Part>, SourceError> {
        self.parts.clear();
        self.forget();
        if let Some(block) = self.loaded.damage(measurement, &time) {
            return Err(SourceError::Damaged { block });
        }
        if self.loaded.retired.contains(&measurement) {
            return Ok(Vec::new());
        }
        let mut segments: Vec<(u64, &Summary)> = Vec::new();
        for (&key, directory) in &self.loaded.directories {
            for segment in directory.segments.iter().filter(|s| s.measurement == measurement) {
                if segment.time().overlaps(&time) {
                    segments.push((key, segment));
                } else {
                    self.stats.blocks_pruned += 1;
                }
            }
        }
        sorted::sort_by_key(&mut segments, |(key, segment)| (segment.first_sequence, *key));
        let mut parts = Vec::with_capacity(segments.len() + 1);
        for (number, (key, segment)) in segments.into_iter().enumerate() {
            let of = (key, segment, number);
            self.segment_parts(of, wanted, &mut parts).map_err(source_error)?;
        }
        parts.extend(self.memtable_part(measurement, &time));
        Ok(parts)
    }

    fn runs(
        &mut self,
        part: usize,
        series: u32,
        time: TimeRange,
        columns: &[ColumnId],
    ) -> Result<Vec<Run>, SourceError> {
        let set = self.column_set(columns);
        let (pages, index, number) = match self.parts.get(part) {
            Some(PartSource::Segment { index, first, .. }) => {
                let number = first.saturating_add(series);
                (index.pages_of(number), Rc::clone(index), number)
            }
            Some(PartSource::Memtable { .. }) => {
                let kept = self.memtable_rows((set, part), series);
                return Ok(kept.and_then(|kept| kept.run(series)).into_iter().collect());
            }
            None => return Ok(Vec::new()),
        };
        let mut runs = Vec::new();
        for at in pages {
            let Some(page) = index.pages.get(at) else { continue };
            if page.max_time_ns < time.start_ns || page.min_time_ns >= time.end_ns {
                self.stats.blocks_pruned += 1;
                continue;
            }
            let kept = self.segment_rows((set, part), at).map_err(source_error)?;
            if let Some(run) = kept.run(number) {
                self.push_visible(part, series, run, &mut runs);
            }
        }
        Ok(runs)
    }

    fn newest(
        &mut self,
        part: usize,
        series: u32,
        time: TimeRange,
        columns: &[ColumnId],
    ) -> Result<Option<Run>, SourceError> {
        if let Some(row) = self.newest_row(part, series, time, columns).map_err(source_error)? {
            return Ok(Run { block: row, rows: 0..1 }.trim(time));
        }
        Ok(source::latest(self.runs(part, series, time, columns)?, time))
    }

    fn is_live(&mut self, part: usize, series: u32, time: TimeRange) -> Option<bool> {
        let Some(PartSource::Segment { index, hidden, first, .. }) = self.parts.get(part) else {
            return None;
        };
        let mut is_known = true;
        for page in
            index.pages_of(first.saturating_add(series)).filter_map(|at| index.pages.get(at))
        {
            let rows = TimeRange::new(page.min_time_ns, page.max_time_ns.saturating_add(1));
            let within = |outer: &TimeRange| rows.intersect(outer) == rows;
            let mut hiding = hidden.iter().filter_map(|hidden| hidden.time_of(series));
            if !rows.overlaps(&time) || hiding.clone().any(|hidden| within(&hidden)) {
                continue;
            }
            if within(&time) && !hiding.any(|hidden| hidden.overlaps(&rows)) {
                return Some(true);
            }
            is_known = false;
        }
        is_known.then_some(false)
    }

    fn stats(&self) -> ReadStats {
        self.stats
    }
}

impl Page {
    fn run(&self, series: u32) -> Option<Run> {
        let at = series.checked_sub(self.first_series)? as usize;
        let end = *self.ends.get(at)? as usize;
        let start = at.checked_sub(1).and_then(|at| self.ends.get(at)).map_or(0, |&e| e as usize);
        (start < end).then(|| Run { block: Rc::clone(&self.rows), rows: start..end })
    }
}

impl<S: Store> ShardSource<'_, S> {
    /// Appends the blocks of series of the segment that may have one that is wanted.
    fn segment_parts(
        &mut self,
        (key, segment, number): (u64, &Summary, usize),
        wanted: &mut dyn Wanted,
        parts: &mut Vec<Part>,
    ) -> Result<(), Refusal> {
        let mut blocks = StoredBlocks::new(self.store, self.cache, self.loaded, key)?;
        let index = blocks.index(segment)?;
        self.stats.files += 1;
        self.stats.blocks += index.pages.len() as u64;
        self.stats.block_bytes += segment.bytes;
        let tag_ids: Rc<[ColumnId]> = index.tag_ids.as_slice().into();
        let rows = u64::from(segment.rows).max(segment.bytes / ROW_BYTES);
        let rows_per_series = rows / u64::from(index.series().max(1)) + 1;
        let mut next = 0;
        for (chunk, &(count, _)) in (0..).zip(&index.chunks) {
            let first = next;
            next += count;
            let of = ((key, segment.index_offset), chunk);
            if let Some(ends) = self.cache.extent(of) {
                let [first, last] = &*ends;
                let extent = Extent { segment: number, tag_ids: &tag_ids, first, last };
                if !wanted.may_have(&extent) {
                    self.stats.blocks_pruned += 1;
                    continue;
                }
            }
            let series = blocks.series(segment, chunk)?;
            if !wanted.has(&tag_ids, &series) {
                continue;
            }
            let of = (segment.measurement, segment.time(), segment.last_sequence);
            let hidden = tombstone::hidden(&self.loaded.tombstones, of, &tag_ids, &series)?;
            parts.push(Part {
                time: segment.time(),
                tag_ids: Rc::clone(&tag_ids),
                field_ids: index.fields.iter().map(|&(id, _)| id).collect(),
                rows: rows_per_series * u64::from(series.len),
                tombstones: !hidden.is_empty(),
                series,
            });
            let (key, index) = ((key, segment.index_offset), Rc::clone(&index));
            self.parts.push(PartSource::Segment { key, index, first, hidden });
        }
        add(&mut self.stats, &blocks.stats);
        Ok(())
    }

    fn memtable_part(&mut self, measurement: MeasurementId, time: &TimeRange) -> Option<Part> {
        let table = self.memtable.table_mut(measurement)?;
        if !table.time().overlaps(time) {
            return None;
        }
        self.stats.cached_rows = table.times_ns().len() as u64;
        let order = table.order();
        let part = Part {
            time: table.time(),
            tag_ids: table.tag_ids().into(),
            series: Rc::clone(table.series()),
            field_ids: table.fields().fields().map(|(id, _)| id).collect(),
            rows: table.times_ns().len() as u64,
            tombstones: false,
        };
        self.parts.push(PartSource::Memtable { measurement, order });
        Some(part)
    }

    /// A page of a segment, decoded as far as the columns asked for.
    fn segment_rows(&mut self, (set, part): (usize, usize), at: usize) -> Result<Page, Refusal> {
        if let Some(kept) = self.kept.get(&(set, part, at)) {
            return Ok(kept.clone());
        }
        let Some(PartSource::Segment { key, index, .. }) = self.parts.get(part) else {
            return Err(Refusal::Invalid("no such part".into()));
        };
        let page = index.pages.get(at).ok_or_else(|| Refusal::Invalid("no such page".into()))?;
        let mut blocks = StoredBlocks::new(self.store, self.cache, self.loaded, key.0)?;
        let keys = reader::keys(index, page, &mut blocks)?;
        let mut rows = Rows { times_ns: keys.times_ns, columns: Vec::new() };
        let columns = self.columns.get(set).map_or(&[][..], Vec::as_slice);
        for (field, (id, _)) in index.fields.iter().enumerate() {
            if columns.contains(id)
                && let Some(column) = blocks.field(key.1, index, at, field)?
            {
                rows.columns.push((*id, column));
            }
        }
        let first_series = page.first_series;
        let kept = Page { rows: Rc::new(rows), first_series, ends: keys.ends.into() };
        add(&mut self.stats, &blocks.stats);
        // A page of one series is asked for once.
        if kept.ends.len() > 1 {
            self.keep((set, part, at), &kept);
        }
        Ok(kept)
    }

    /// The latest row of a series of a segment, if that tells the latest one inside `time`.
    fn newest_row(
        &mut self,
        part: usize,
        series: u32,
        time: TimeRange,
        columns: &[ColumnId],
    ) -> Result<Option<Rc<Rows>>, Refusal> {
        let (key, at, series) = match self.parts.get(part) {
            Some(PartSource::Segment { key, index, first, hidden }) if hidden.is_empty() => {
                let series = first.saturating_add(series);
                let Some(at) = index.pages_of(series).last() else { return Ok(None) };
                // A page that may have later rows is no reason to read it.
                if index.pages.get(at).is_none_or(|page| page.max_time_ns >= time.end_ns) {
                    return Ok(None);
                }
                (*key, at, series)
            }
            _ => return Ok(None),
        };
        if let Some(row) = self.cache.newest((key, series), columns) {
            return Ok(Some(row));
        }
        let set = self.column_set(columns);
        let Some(run) = self.segment_rows((set, part), at)?.run(series).map(Run::last_row) else {
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
    fn memtable_rows(&mut self, (set, part): (usize, usize), series: u32) -> Option<Page> {
        let before = (set, part, 0)..=(set, part, series as usize);
        let nearest = self.kept.range(before).next_back();
        if let Some((_, kept)) = nearest
            && ((series - kept.first_series) as usize) < kept.ends.len()
        {
            return Some(kept.clone());
        }
        let Some(PartSource::Memtable { measurement, order }) = self.parts.get(part) else {
            return None;
        };
        let table = self.memtable.table_mut(*measurement)?;
        let columns = self.columns.get(set).map_or(&[][..], Vec::as_slice);
        let (rows, ends) = memtable_rows::gather(table, order, series, columns);
        let kept = Page { rows: Rc::new(rows), first_series: series, ends };
        self.keep((set, part, series as usize), &kept);
        Some(kept)
    }

    /// The number of a set of columns; a scan has two at most.
    fn column_set(&mut self, columns: &[ColumnId]) -> usize {
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

    fn forget(&mut self) {
        self.kept.clear();
        self.cells_kept = 0;
    }

    /// Adds what tombstones leave of `run`.
    fn push_visible(&self, part: usize, series: u32, run: Run, runs: &mut Vec<Run>) {
        let Some(PartSource::Segment { hidden, .. }) = self.parts.get(part) else { return };
        let mut ranges = vec![run.rows.clone()];
        for hidden in hidden {
            hidden.cut(series, &run.block.times_ns, &mut ranges);
        }
        runs.extend(ranges.into_iter().map(|rows| Run { block: Rc::clone(&run.block), rows }));
    }
}

fn add(sum: &mut ReadStats, more: &ReadStats) {
    sum.blocks_read += more.blocks_read;
    sum.bytes_decoded += more.bytes_decoded;
}

fn source_error(refusal: Refusal) -> SourceError {
    match refusal {
        Refusal::Damaged { block } => SourceError::Damaged { block },
        other => SourceError::Storage(other.to_string()),
    }
}
