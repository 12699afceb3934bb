//! Executes queries: reads pages of results from the memtable and parts. [`ShardReader`] is the
//! interface of scans to the rows, to the directories without rows, and to the cache of results.

use std::cell::{Cell, OnceCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::Shard;
use super::loaded::Loaded;
use super::manifest::{Part, PartId};
use super::pieces::{between, cut, split_times};
use super::read_cache::ShardReads;
use super::refusal::Refusal;
use super::values::CachedValues;
use crate::memtable::cursor::{Sorted, tag_order};
use crate::memtable::{MeasurementTable, Memtable};
use crate::merge::cursor::{Columns, Direction, ReadError, SeriesCursor};
use crate::merge::hide::{CompiledDeletion, HiddenRows, VisibleCursor};
use crate::merge::key::SeriesKey;
use crate::merge::kway::Merge;
use crate::merge::sequences::{Extent, Sequences};
use crate::part::cursor::PartCursor;
use crate::part::directory::{PartGroup, RowPage};
use crate::part::outline::{Outline, has_groups};
use crate::part::pages;
use crate::part::values::Values;
use crate::protocol::shard::Stamp;
use crate::scan::cached::{Cached, ResultCache, Version};
use crate::scan::error::ScanError;
use crate::scan::page::{CELLS_PER_PAGE_MAX, ScanPage, SummaryPage};
use crate::scan::read_stats::ReadStats;
use crate::scan::reader::{
    Estimate, MergedRows, Reader, RowGroup, Run, SeriesTables, Stored, VisitGroup,
};
use crate::scan::request::{ScanRequest, SummaryRequest};
use crate::scan::{PageLimits, SummaryLimits, explain, scan_with, summarise};
use crate::store::Store;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::limits::{PAGE_BYTES_MAX, PAGE_BYTES_MIN};
use tidemark_model::regex::Patterns;
use tidemark_model::time::TimeRange;

/// The maximum number of encoded bytes that an event decodes for one page and a replay of the log.
const DECODED_BYTES_MAX: u64 = 8_000_000;
/// The share of `DECODED_BYTES_MAX` that is reserved for the last batch, which may exceed the limit
/// of the page.
const BATCH_BYTES: u64 = 2_000_000;
/// The maximum number of keys that a page of a summary reads. Reading these keys takes about 10 ms.
const SUMMARY_KEYS_MAX: u64 = 20_000;

impl<S: Store> Shard<S> {
    /// Returns one page of a scan.
    pub fn scan(&mut self, request: &ScanRequest, stamp: &Stamp) -> Result<ScanPage, Refusal> {
        self.scan_with(request, stamp, &Patterns::limited())
    }

    /// Scans like [`Shard::scan`]. Several scans of an event share `patterns`, and therefore the
    /// limit of regex steps.
    pub(super) fn scan_with(
        &mut self,
        request: &ScanRequest,
        stamp: &Stamp,
        patterns: &Patterns,
    ) -> Result<ScanPage, Refusal> {
        // The page's cost includes loading the object and replaying the log.
        let before = self.store.row_counts();
        let limits = self.page_limits(stamp, request.page_bytes)?;
        let mut page = self.with_reader(stamp, &[request.measurement], |reader| {
            scan_with(reader, request, limits, patterns)
        })?;
        page.stats.rows_read = self.store.row_counts().since(before).read;
        Ok(page)
    }

    /// Returns one page of the statistics that a scan would have, without running the scan.
    pub fn explain(&mut self, request: &ScanRequest, stamp: &Stamp) -> Result<ScanPage, Refusal> {
        self.with_reader(stamp, &[request.measurement], |reader| explain(reader, request))
    }

    /// Returns one page of a summary. A summary lists names of columns, tag values or series.
    pub fn summary(
        &mut self,
        request: &SummaryRequest,
        stamp: &Stamp,
    ) -> Result<SummaryPage, Refusal> {
        let PageLimits { bytes, decoded_bytes, .. } =
            self.page_limits(stamp, request.page_bytes)?;
        let limits = SummaryLimits { bytes, decoded_bytes, keys: SUMMARY_KEYS_MAX };
        self.with_reader(stamp, &request.measurements, |reader| summarise(reader, request, limits))
    }

    /// Returns the limits of a page. The bytes that a replay of the log decodes count towards the
    /// limit of the event, so this function replays the log if the memtable is not loaded.
    fn page_limits(&mut self, stamp: &Stamp, page_bytes: usize) -> Result<PageLimits, Refusal> {
        let loaded = self.check_stamp(stamp)?;
        let replayed_bytes = match loaded.log.memtable.has_memtable() {
            true => 0,
            false => {
                let memtable = loaded.take_memtable()?;
                loaded.log.memtable.put(memtable);
                loaded.log.wal.bytes()
            }
        };
        let decoded_bytes = (DECODED_BYTES_MAX - BATCH_BYTES).saturating_sub(replayed_bytes).max(1);
        let bytes = page_bytes.clamp(PAGE_BYTES_MIN, PAGE_BYTES_MAX);
        Ok(PageLimits { bytes, decoded_bytes, cells: CELLS_PER_PAGE_MAX, tile: self.limits.tile })
    }

    /// Runs a read function on the shard's rows of these measurements.
    pub fn with_reader<T>(
        &mut self,
        stamp: &Stamp,
        measurements: &[MeasurementId],
        read: impl FnOnce(&dyn Reader) -> Result<T, ScanError>,
    ) -> Result<T, Refusal> {
        let loaded = self.check_stamp(stamp)?;
        if !stamp.fresh && stamp.schema_version < loaded.log.schema_version {
            return Err(Refusal::Stale);
        }
        let memtable = loaded.take_memtable()?;
        let result = self.read_with(&memtable, measurements, read);
        let log = &self.load()?.log;
        log.memtable.put(memtable);
        log.make_room(0);
        result
    }

    fn read_with<T>(
        &mut self,
        memtable: &Memtable,
        measurements: &[MeasurementId],
        read: impl FnOnce(&dyn Reader) -> Result<T, ScanError>,
    ) -> Result<T, Refusal> {
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let tag_orders = loaded.tag_orders(memtable, measurements)?;
        let hidden = loaded.hidden_rows(Some(measurements))?;
        let reader = ShardReader {
            reads: &self.reads,
            loaded,
            hidden,
            memtable,
            tag_orders,
            skipped: BTreeSet::new(),
            sorted: OnceCell::new(),
            stats: Rc::default(),
        };
        read(&reader).map_err(|error| match error {
            ScanError::Read(error) => error.into(),
            ScanError::Reordered => Refusal::Stale,
            error => Refusal::Invalid(error.to_string()),
        })
    }
}

impl<S: Store> Loaded<S> {
    /// Returns the tag orders of the `measurements` that have rows in the memtable, including tags
    /// that are not flushed. Also returns the tag order of a single measurement without such rows,
    /// because reading the stored order takes less time than reading many directories.
    fn tag_orders(
        &mut self,
        memtable: &Memtable,
        measurements: &[MeasurementId],
    ) -> Result<BTreeMap<MeasurementId, Vec<ColumnId>>, Refusal> {
        let (store, mut orders) = (&*self.store, BTreeMap::new());
        for &measurement in measurements {
            if let Some(table) = memtable.table(measurement) {
                let order = tag_order(self.columns.tag_order(store, measurement)?, table);
                orders.insert(measurement, order);
            } else if measurements.len() == 1 {
                match self.columns.tag_order(store, measurement) {
                    Ok(order) => orders.insert(measurement, order.to_vec()),
                    // The directories of parts also contain the tag order.
                    Err(Refusal::Damaged { .. }) => None,
                    Err(refusal) => return Err(refusal),
                };
            }
        }
        Ok(orders)
    }
}

/// A shard's data for one request.
struct ShardReader<'a, S> {
    reads: &'a ShardReads,
    loaded: &'a Loaded<S>,
    hidden: Rc<HiddenRows>,
    memtable: &'a Memtable,
    /// The result of [`Loaded::tag_orders`].
    tag_orders: BTreeMap<MeasurementId, Vec<ColumnId>>,
    /// The parts that the reader skips.
    skipped: BTreeSet<PartId>,
    sorted: OnceCell<Sorted<'a>>,
    stats: Rc<Cell<ReadStats>>,
}

impl<'a, S: Store> ShardReader<'a, S> {
    fn values(&self, part: &Part) -> CachedValues<'_, S> {
        self.loaded.values(self.reads, part, &self.stats)
    }

    /// Returns the measurement's rows in memory if some of them may be within `time`.
    fn table(&self, measurement: MeasurementId, time: TimeRange) -> Option<&'a MeasurementTable> {
        self.memtable.table(measurement).filter(|table| table.time().overlaps(&time))
    }

    fn parts(&self, time: TimeRange) -> impl Iterator<Item = &'a Part> {
        let parts = self.loaded.manifest().parts().values();
        parts.filter(move |part| {
            part.extent().time.overlaps(&time) && !self.skipped.contains(&part.id)
        })
    }

    /// Returns the parts of [`Reader::without_equal_runs`] that the reader skips. Of the parts with
    /// equal series, the reader reads the part with the fewest values.
    fn equal_parts(&self, time: TimeRange) -> BTreeSet<PartId> {
        let time = self.owned_range(time);
        let mut smallest: BTreeMap<(u64, u64), &Part> = BTreeMap::new();
        let mut skipped = BTreeSet::new();
        for part in self.parts(time) {
            let is_whole = part.extent().time.intersect(&time) == part.extent().time
                && self.hidden.open_to(&part.extent()).is_empty();
            if part.series_sum == 0 || !is_whole {
                continue;
            }
            let of = smallest.entry((part.series, part.series_sum)).or_insert(part);
            if part.values.len() < of.values.len() {
                skipped.insert(std::mem::replace(of, part).id);
            } else if part.id != of.id {
                skipped.insert(part.id);
            }
        }
        skipped
    }

    fn count_pruned(&self, time: TimeRange) {
        let parts = self.loaded.manifest().parts().len();
        let mut stats = self.stats.get();
        stats.blocks_pruned += (parts - self.parts(time).count()) as u64;
        self.stats.set(stats);
    }

    fn cut(&self, time: TimeRange) -> Vec<TimeRange> {
        let mut times: Vec<TimeRange> =
            self.parts(time).map(|part| part.extent().time.intersect(&time)).collect();
        times.sort_by_key(|part| part.start_ns);
        cut(time, &times)
    }

    /// Returns an error if a damaged block may contain matching rows.
    fn check(&self, measurements: &[MeasurementId], time: TimeRange) -> Result<(), ReadError> {
        let damage = measurements.iter().find_map(|&of| self.loaded.damage(of, &time));
        damage.map_or(Ok(()), |what| Err(ReadError::Damaged { what }))
    }

    /// Returns the part of `time` that a split has not moved to another shard.
    fn owned_range(&self, time: TimeRange) -> TimeRange {
        time.intersect(&TimeRange::new(i64::MIN, self.loaded.state().settings.range.end_ns))
    }

    /// Creates a cursor over a part. The cursor also returns rows that deletes hide.
    fn part_cursor(
        &self,
        part: &Part,
        direction: Direction,
        from: &SeriesKey,
        only: Option<MeasurementId>,
    ) -> Result<PartCursor<CachedValues<'_, S>>, ReadError> {
        let cursor = PartCursor::new(self.values(part), part.id.0, direction, Some(from))?;
        Ok(match only {
            Some(only) => cursor.only(only),
            None => cursor,
        })
    }

    fn memtable_cursor(
        &self,
        direction: Direction,
        from: &SeriesKey,
    ) -> Result<Box<dyn SeriesCursor + '_>, ReadError> {
        let order_of = |measurement| self.tag_orders.get(&measurement).cloned().or_bug();
        let requested = self.tag_orders.iter().map(|(&id, _)| id);
        let tables = requested.filter_map(|id| Some((id, self.memtable.table(id)?)));
        let sorted = self.sorted.get_or_init(|| Sorted::new(tables, |of, _| order_of(of)));
        let mut cursor = sorted.cursor(direction);
        cursor.seek(from)?;
        // The replay of the log has already removed the hidden rows. These write sequences are
        // above all tombstones, so that no tombstone is applied again.
        let sequences = Sequences { lo: u64::MAX, hi: u64::MAX, applied: u64::MAX };
        let of = Extent { sequences, time: TimeRange::ALL };
        Ok(Box::new(VisibleCursor::new(cursor, Rc::clone(&self.hidden), &of, direction)?))
    }
}

impl<S: Store> Reader for ShardReader<'_, S> {
    fn tag_order(&self, measurement: MeasurementId) -> Result<Vec<ColumnId>, ReadError> {
        if let Some(order) = self.tag_orders.get(&measurement) {
            return Ok(order.clone());
        }
        // Tags are only added at the end of a tag order, so the longest order is the latest.
        let mut longest = Vec::new();
        for part in self.loaded.manifest().parts().values() {
            let mut values = self.values(part);
            for (value, groups) in pages::groups_of(&mut values, part.id.0, measurement)? {
                let directory = values.directory(value)?;
                for group in directory.groups.get(groups).or_bug() {
                    if group.tag_ids.len() > longest.len() {
                        longest.clone_from(&group.tag_ids);
                    }
                }
            }
        }
        Ok(longest)
    }

    fn columns_max(&self, measurement: MeasurementId) -> Option<(usize, usize)> {
        let (fields, tags) = self.loaded.columns.counts(measurement)?;
        Some((fields, self.tag_orders.get(&measurement).map_or(tags, Vec::len)))
    }

    fn stretches(&self, time: TimeRange) -> Result<Vec<TimeRange>, ReadError> {
        let time = self.owned_range(time);
        self.count_pruned(time);
        Ok(self.cut(time))
    }

    fn merge(
        &self,
        measurements: &[MeasurementId],
        time: TimeRange,
        direction: Direction,
        from: &SeriesKey,
    ) -> Result<MergedRows<'_>, ReadError> {
        self.check(measurements, time)?;
        let mut cursors = Vec::new();
        let only = match measurements {
            &[only] => Some(only),
            _ => None,
        };
        for part in self.parts(time) {
            // A part without rows of the measurement is skipped, because a damaged block of another
            // measurement must not fail the query.
            if let Some(only) = only
                && !has_groups(&mut self.values(part), part.id.0, only)?
            {
                continue;
            }
            let (cursor, hidden) =
                (self.part_cursor(part, direction, from, only)?, Rc::clone(&self.hidden));
            let visible = VisibleCursor::new(cursor, hidden, &part.extent(), direction)?;
            cursors.push((part.hi, Box::new(visible) as Box<dyn SeriesCursor + '_>));
        }
        // Sorting recently written rows takes time, so only a memtable with matching rows is used.
        if measurements.iter().any(|&of| self.table(of, time).is_some()) {
            cursors.push((u64::MAX, self.memtable_cursor(direction, from)?));
        }
        Merge::new(cursors, direction)
    }

    fn estimate(&self, measurement: MeasurementId, time: TimeRange) -> Result<Estimate, ReadError> {
        self.check(&[measurement], time)?;
        let time = self.owned_range(time);
        let mut estimate = Estimate::NOTHING;
        if self.loaded.deletions.retired.contains(&measurement) {
            return Ok(estimate);
        }
        for part in self.parts(time) {
            let mut values = self.values(part);
            let outline = Outline::of(&mut values, part.id.0, measurement, time)?;
            estimate.rows += outline.rows;
            estimate.time = estimate.time.hull(outline.time);
            // The measurement's share of the part's series is assumed to equal its share of the
            // rows.
            let series = u128::from(part.series) * u128::from(outline.rows_of_all_times)
                / u128::from(part.rows.max(1));
            estimate.series = estimate.series.max(series as u64);
        }
        if let Some(table) = self.table(measurement, time) {
            estimate.rows += table.times_ns().len() as u64;
            estimate.series = estimate.series.max(u64::from(table.series().len));
            estimate.time = estimate.time.hull(table.time());
        }
        Ok(estimate)
    }

    fn split(&self, time: TimeRange) -> Result<Vec<TimeRange>, ReadError> {
        let time = self.owned_range(time);
        self.count_pruned(time);
        let mut parts: Vec<&Part> = self.parts(time).collect();
        parts.sort_by_key(|part| part.min_ns);
        let parts = parts.into_iter().map(|part| (part.extent().time, part.rows, part.series));
        let is_inside = |at: &i64| time.start_ns < *at && *at < time.end_ns;
        let cuts: Vec<i64> = split_times(parts).into_iter().filter(is_inside).collect();
        Ok(between(time, &cuts).flat_map(|piece| self.cut(piece)).collect())
    }

    fn runs(&self, measurement: MeasurementId, time: TimeRange) -> Vec<Run> {
        let part = |part: &Part| Run {
            number: Some(part.id.0),
            time: part.extent().time,
            series: part.series,
            series_sum: Some(part.series_sum).filter(|sum| *sum != 0),
            rows: part.rows,
        };
        let in_memory = self.table(measurement, time).map(|table| Run {
            number: None,
            time: table.time(),
            series: u64::from(table.series().len),
            series_sum: None,
            rows: table.times_ns().len() as u64,
        });
        self.parts(time).map(part).chain(in_memory).collect()
    }

    fn series_of_run(
        &self,
        run: &Run,
        measurement: MeasurementId,
        direction: Direction,
        from: &SeriesKey,
    ) -> Result<MergedRows<'_>, ReadError> {
        let parts = self.loaded.manifest().parts().values();
        let cursor = match parts.into_iter().find(|part| Some(part.id.0) == run.number) {
            Some(part) => Box::new(self.part_cursor(part, direction, from, Some(measurement))?),
            None => self.memtable_cursor(direction, from)?,
        };
        Merge::new(vec![(0, cursor)], direction)
    }

    fn without_equal_runs(&self, time: TimeRange) -> Option<Box<dyn Reader + '_>> {
        let skipped = self.equal_parts(time);
        if skipped.is_empty() {
            return None;
        }
        Some(Box::new(ShardReader {
            reads: self.reads,
            loaded: self.loaded,
            hidden: Rc::clone(&self.hidden),
            memtable: self.memtable,
            tag_orders: self.tag_orders.clone(),
            skipped,
            sorted: OnceCell::new(),
            stats: Rc::clone(&self.stats),
        }))
    }

    fn groups(
        &self,
        measurements: &[MeasurementId],
        time: TimeRange,
        visit: &mut VisitGroup<'_>,
    ) -> Result<(), ReadError> {
        self.check(measurements, time)?;
        let time = self.owned_range(time);
        for (measurement, table) in self.memtable.tables() {
            if measurements.binary_search(&measurement).is_ok()
                && !self.loaded.deletions.retired.contains(&measurement)
                && !self.rows_in_memory(measurement, table, time, visit)?
            {
                return Ok(());
            }
        }
        let mut parts: Vec<&Part> = self.parts(time).collect();
        parts.sort_by_key(|part| Reverse(part.hi));
        for part in parts {
            if !self.groups_of_part(part, measurements, time, visit)? {
                break;
            }
        }
        Ok(())
    }

    fn stored(&self, measurement: MeasurementId, time: TimeRange) -> Result<Stored, ReadError> {
        self.check(&[measurement], time)?;
        let time = self.owned_range(time);
        let mut stored = Stored::default();
        if self.loaded.deletions.retired.contains(&measurement) {
            return Ok(stored);
        }
        for part in self.parts(time) {
            let mut values = self.values(part);
            let found = pages::groups_of(&mut values, part.id.0, measurement)?;
            stored.files += u64::from(!found.is_empty());
            for (value, groups) in found {
                let directory = values.directory(value)?;
                let groups = directory.groups.get(groups).or_bug();
                for group in groups.iter().filter(|group| !group.continues_columns()) {
                    stored.blocks += group.pages.len() as u64;
                    stored.block_bytes += group.bytes();
                }
            }
        }
        let table = self.table(measurement, time);
        stored.cached_rows = table.map_or(0, |table| table.times_ns().len() as u64);
        Ok(stored)
    }

    fn result_cache(&self) -> Option<&dyn ResultCache> {
        Some(self)
    }

    fn stats(&self) -> ReadStats {
        ReadStats { filter_cells: self.hidden.cells(), ..self.stats.get() }
    }
}

impl<S: Store> ShardReader<'_, S> {
    fn rows_in_memory(
        &self,
        measurement: MeasurementId,
        table: &MeasurementTable,
        time: TimeRange,
        visit: &mut VisitGroup<'_>,
    ) -> Result<bool, ReadError> {
        let rows = table.time();
        if !rows.overlaps(&time) {
            return Ok(true);
        }
        let columns: Columns = table.fields().fields().collect();
        let tag_ids = self.tag_orders.get(&measurement).map_or(&[][..], Vec::as_slice);
        visit(&mut RowGroup {
            measurement,
            tag_ids,
            columns: &columns,
            series: u64::from(table.series().len),
            has_rows: time.contains(rows.start_ns) || time.contains(rows.end_ns.saturating_sub(1)),
            is_whole: rows.intersect(&time) == rows,
            tables: &mut |visit| {
                visit(table.tag_ids(), table.series());
                Ok(())
            },
        })
    }

    fn groups_of_part(
        &self,
        part: &Part,
        measurements: &[MeasurementId],
        time: TimeRange,
        visit: &mut VisitGroup<'_>,
    ) -> Result<bool, ReadError> {
        let (Some(&least), Some(&greatest)) = (measurements.first(), measurements.last()) else {
            return Ok(true);
        };
        let open = self.hidden.open_to(&part.extent());
        let mut values = self.values(part);
        let Some(last) = Values::count(&values).checked_sub(1) else { return Ok(true) };
        let before = match values.directory(last)?.root_of(part.id.0) {
            Some(root) => root.values_of(least).start..root.values_of(greatest).end,
            None => last..last,
        };
        for value in before.chain([last]) {
            let directory = values.directory(value)?;
            let groups = directory.groups_of_part(part.id.0);
            let first = groups.partition_point(|group| group.measurement < least);
            let mut wanted = measurements;
            for group in groups.iter().skip(first) {
                let of = group.measurement;
                if of > greatest {
                    break;
                }
                wanted = wanted.get(wanted.partition_point(|id| *id < of)..).or_bug();
                // A group that contains only further columns is skipped, because the preceding
                // group lists all columns.
                if wanted.first() != Some(&of)
                    || group.continues_columns()
                    || !group.time().overlaps(&time)
                    || self.loaded.deletions.retired.contains(&of)
                {
                    continue;
                }
                let is_open = hides(&open, group);
                let tables: &mut SeriesTables<'_> = &mut |visit| {
                    for block in 0..group.series_blocks() {
                        let series = pages::series(&mut values, value, group, block)?;
                        if !visit(&group.tag_ids, &series) {
                            break;
                        }
                    }
                    Ok(())
                };
                if !visit(&mut row_group(group, time, is_open, tables))? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Whether one of the deletions may hide rows of the group. The deletions must be sorted by
/// measurement.
fn hides(open: &[&CompiledDeletion], group: &PartGroup) -> bool {
    let first = open.partition_point(|deletion| deletion.measurement < group.measurement);
    let of = open.iter().skip(first);
    of.take_while(|deletion| deletion.measurement == group.measurement)
        .any(|deletion| deletion.time.overlaps(&group.time()))
}

fn row_group<'a>(
    group: &'a PartGroup,
    time: TimeRange,
    is_open: bool,
    tables: &'a mut SeriesTables<'a>,
) -> RowGroup<'a> {
    // The minimum and maximum times of a page are times of existing rows.
    let has_end = |page: &RowPage| time.contains(page.min_ns) || time.contains(page.max_ns);
    let is_inside = |page: &RowPage| time.contains(page.min_ns) && time.contains(page.max_ns);
    RowGroup {
        measurement: group.measurement,
        tag_ids: &group.tag_ids,
        columns: &group.columns,
        series: u64::from(group.series()),
        has_rows: !is_open && group.pages.iter().any(has_end),
        is_whole: !is_open && group.pages.iter().all(is_inside),
        tables,
    }
}

/// The number that a version contains in place of a write sequence if no matching rows are in
/// memory.
const NOT_IN_MEMORY: u64 = 0;

impl<S: Store> ResultCache for ShardReader<'_, S> {
    fn version(
        &self,
        measurements: &[MeasurementId],
        time: TimeRange,
    ) -> Result<Version, ReadError> {
        self.check(measurements, time)?;
        let Loaded { log, parts, deletions, .. } = self.loaded;
        let is_in_memory = measurements.iter().any(|&of| self.table(of, time).is_some());
        let written = if is_in_memory { log.wal.next_sequence() } else { NOT_IN_MEMORY };
        let retired = deletions.retired.len() as u64;
        let end_ns = self.loaded.state().settings.range.end_ns;
        let mut version = vec![u64::from(parts.salt), written, retired, end_ns.cast_unsigned()];
        let tombstones = deletions.tombstones.values().filter(|tombstone| {
            measurements.iter().any(|&of| tombstone.touching(of, time).next().is_some())
        });
        let deletes: Vec<u64> = tombstones.map(|tombstone| tombstone.sequence).collect();
        version.push(deletes.len() as u64);
        version.extend(deletes);
        version.extend(self.parts(time).flat_map(|part| [part.id.0, part.applied]));
        Ok(version)
    }

    fn get(&self, name: &[u8], version: &Version) -> Option<Cached> {
        self.reads.result(name, version)
    }

    fn was_requested(&self, name: &[u8]) -> bool {
        self.reads.was_requested(name)
    }

    fn put(&self, name: Vec<u8>, version: Version, result: Cached) {
        self.reads.put_result(name, version, result);
    }
}
