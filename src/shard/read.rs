//! Memtable and parts as a question reads them.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use super::load::Loaded;
use super::manifest::Part;
use super::read_cache::ShardReads;
use super::request::Refusal;
use super::tombstone::Tombstone;
use super::values::{CachedValues, PartRows};
use crate::memtable::Memtable;
use crate::memtable::cursor::{Sorted, tag_order};
use crate::merge::cursor::{Direction, ReadError, SeriesCursor};
use crate::merge::hide::{Hidden, Hide};
use crate::merge::key::SeriesKey;
use crate::merge::kway::Merge;
use crate::merge::sequences::{Extent, Sequences};
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::sorted;
use crate::model::sorted_map::SortedMap;
use crate::model::time::TimeRange;
use crate::part::cursor::PartCursor;
use crate::part::directory::Group;
use crate::part::pages;
use crate::part::values::Values;
use crate::scan::kept::{Kept, Version};
use crate::scan::reader::{ReadStats, Reader, Rows, Run, Survey, VisitGroup};
use crate::store::Store;

/// Sorted runs that are merged at once where time can be cut, the memtable being one more: those of
/// about a month.
const PARTS_AT_ONCE: usize = 63;

/// Rows of a series that are worth going through all series once more.
const CHAINED_ROWS: u64 = 64;
/// Of its own time, the share of a part that may lie in the next one: rows of one moment are written
/// by two flushes.
const OVERLAP_SHARE: i128 = 8;

/// What a shard has, for one question.
pub(super) struct ShardReader<'a, S> {
    store: &'a S,
    reads: &'a ShardReads,
    pub(super) loaded: &'a Loaded,
    pub(super) hidden: Rc<Hidden>,
    pub(super) memtable: &'a Memtable,
    /// Of the measurements that are asked about, as far as they are in memory.
    pub(super) tag_orders: SortedMap<MeasurementId, Vec<ColumnId>>,
    /// The rows in memory, once they are asked for.
    sorted: OnceCell<Sorted<'a>>,
    stats: Rc<Cell<ReadStats>>,
    /// See [`super::limits::Limits`].
    answer_cells: u64,
}

impl Loaded {
    /// The tag order of each of these measurements that is in memory, with what is not at rest yet.
    pub(super) fn tag_orders<S: Store>(
        &mut self,
        store: &S,
        memtable: &Memtable,
        measurements: &[MeasurementId],
    ) -> Result<SortedMap<MeasurementId, Vec<ColumnId>>, Refusal> {
        let mut orders = SortedMap::new();
        for &measurement in measurements {
            if let Some(table) = memtable.table(measurement) {
                let order = tag_order(self.columns.tag_order(store, measurement)?, table);
                orders.insert(measurement, order);
            }
        }
        Ok(orders)
    }
}

impl<'a, S: Store> ShardReader<'a, S> {
    /// Over what a shard has; nothing is read yet. `tag_orders`: [`Loaded::tag_orders`].
    pub(super) fn new(
        store: &'a S,
        reads: &'a ShardReads,
        (loaded, hidden): (&'a Loaded, Rc<Hidden>),
        memtable: &'a Memtable,
        tag_orders: SortedMap<MeasurementId, Vec<ColumnId>>,
    ) -> Self {
        let (sorted, stats, answer_cells) = (OnceCell::new(), Rc::default(), u64::MAX);
        Self { store, reads, loaded, hidden, memtable, tag_orders, sorted, stats, answer_cells }
    }

    /// Keeps at rest what so many cells came to.
    pub(super) fn keeping_answers(self, answer_cells: u64) -> Self {
        Self { answer_cells, ..self }
    }

    pub(super) fn values(&self, part: &Part) -> CachedValues<'_, S> {
        let rows = PartRows::of(&self.loaded.manifest, part);
        CachedValues::counting(self.store, self.reads, rows, &self.stats)
    }

    /// The parts with rows inside `time`.
    pub(super) fn parts(&self, time: TimeRange) -> impl Iterator<Item = &'a Part> {
        let parts = self.loaded.manifest.parts().values();
        parts.filter(move |part| part.extent().time.overlaps(&time))
    }

    /// Counts the parts without rows inside `time`.
    fn count_pruned(&self, time: TimeRange) {
        let parts = self.loaded.manifest.parts().len();
        let mut stats = self.stats.get();
        stats.blocks_pruned += (parts - self.parts(time).count()) as u64;
        self.stats.set(stats);
    }

    /// `time` in pieces of which each overlaps few enough parts.
    fn cut(&self, time: TimeRange) -> Vec<TimeRange> {
        let mut times: Vec<TimeRange> =
            self.parts(time).map(|part| part.extent().time.intersect(&time)).collect();
        sorted::sort_by_key(&mut times, |part| part.start_ns);
        cut(time, &times)
    }

    /// Refuses what is known to be unreadable.
    pub(super) fn check(
        &self,
        measurements: &[MeasurementId],
        time: TimeRange,
    ) -> Result<(), ReadError> {
        let damage = measurements.iter().find_map(|&of| self.loaded.damage(of, &time));
        damage.map_or(Ok(()), |what| Err(ReadError::Damaged { what }))
    }

    /// `time` without what a split has moved away.
    pub(super) fn own(&self, time: TimeRange) -> TimeRange {
        time.intersect(&TimeRange::new(i64::MIN, self.loaded.state.settings.range.end_ns))
    }

    fn part_cursor(
        &self,
        part: &Part,
        direction: Direction,
        from: &SeriesKey,
        only: Option<MeasurementId>,
    ) -> Result<Box<dyn SeriesCursor + '_>, ReadError> {
        let cursor = PartCursor::new(self.values(part), part.id.0, direction, Some(from))?;
        let cursor = match only {
            Some(only) => cursor.only(only),
            None => cursor,
        };
        let hidden = Rc::clone(&self.hidden);
        Ok(Box::new(Hide::new(cursor, hidden, &part.extent(), direction)?))
    }

    fn memtable_cursor(
        &self,
        direction: Direction,
        from: &SeriesKey,
    ) -> Result<Box<dyn SeriesCursor + '_>, ReadError> {
        let order_of = |measurement| self.tag_orders.get(&measurement).cloned().unwrap_or_default();
        let asked = self.tag_orders.iter().map(|(&id, _)| id);
        let tables = asked.filter_map(|id| Some((id, self.memtable.table(id)?)));
        let sorted = self.sorted.get_or_init(|| Sorted::of(tables, |of, _| order_of(of)));
        let mut cursor = sorted.cursor(direction);
        cursor.seek(from)?;
        // What tombstones hide was left out when the log was replayed; all are of older writes.
        let sequences = Sequences { lo: u64::MAX, hi: u64::MAX, applied: u64::MAX };
        let of = Extent { sequences, time: TimeRange::ALL };
        Ok(Box::new(Hide::new(cursor, Rc::clone(&self.hidden), &of, direction)?))
    }
}

impl<S: Store> Reader for ShardReader<'_, S> {
    fn tag_order(&self, measurement: MeasurementId) -> Result<Vec<ColumnId>, ReadError> {
        if let Some(order) = self.tag_orders.get(&measurement) {
            return Ok(order.clone());
        }
        // It only ever grows at its end: the longest is the latest.
        let mut longest = Vec::new();
        for part in self.loaded.manifest.parts().values() {
            let mut values = self.values(part);
            for (value, groups) in pages::groups_of(&mut values, part.id.0, measurement)? {
                let directory = values.directory(value)?;
                for group in directory.groups.get(groups).unwrap_or_default() {
                    if group.tag_ids.len() > longest.len() {
                        longest.clone_from(&group.tag_ids);
                    }
                }
            }
        }
        Ok(longest)
    }

    fn stretches(&self, time: TimeRange) -> Result<Vec<TimeRange>, ReadError> {
        let time = self.own(time);
        self.count_pruned(time);
        Ok(self.cut(time))
    }

    fn chained(&self, time: TimeRange) -> Result<Vec<TimeRange>, ReadError> {
        let time = self.own(time);
        self.count_pruned(time);
        let mut parts: Vec<&Part> = self.parts(time).collect();
        sorted::sort_by_key(&mut parts, |part| part.min_ns);
        let borders = borders(&parts).filter(|at| time.start_ns < *at && *at < time.end_ns);
        let ends_ns: Vec<i64> = borders.chain([time.end_ns]).collect();
        let starts_ns = [time.start_ns].into_iter().chain(ends_ns.iter().copied());
        let pieces = starts_ns.zip(&ends_ns).map(|(start, &end)| TimeRange::new(start, end));
        Ok(pieces.flat_map(|piece| self.cut(piece)).collect())
    }

    fn merge(
        &self,
        measurements: &[MeasurementId],
        time: TimeRange,
        direction: Direction,
        from: &SeriesKey,
    ) -> Result<Rows<'_>, ReadError> {
        self.check(measurements, time)?;
        let mut cursors = Vec::new();
        let only = match measurements {
            &[only] => Some(only),
            _ => None,
        };
        for part in self.parts(time) {
            // Neither a part nor a block that is of other measurements is read: it may be damaged.
            if let Some(only) = only
                && pages::groups_of(&mut self.values(part), part.id.0, only)?.is_empty()
            {
                continue;
            }
            cursors.push((part.hi, self.part_cursor(part, direction, from, only)?));
        }
        cursors.push((u64::MAX, self.memtable_cursor(direction, from)?));
        Merge::new(cursors, direction)
    }

    fn groups(
        &self,
        measurements: &[MeasurementId],
        time: TimeRange,
        visit: &mut VisitGroup<'_>,
    ) -> Result<bool, ReadError> {
        self.row_groups(measurements, time, visit).map(|()| true)
    }

    fn runs(&self, measurement: MeasurementId, time: TimeRange) -> Option<Vec<Run>> {
        let part = |part: &Part| Run {
            number: Some(part.id.0),
            time: part.extent().time,
            series: part.series,
            cells: part.cells,
        };
        let table = self.memtable.table(measurement).filter(|table| table.time().overlaps(&time));
        let in_memory = table.map(|table| Run {
            number: None,
            time: table.time(),
            series: u64::from(table.series().len),
            cells: 0,
        });
        Some(self.parts(time).map(part).chain(in_memory).collect())
    }

    fn run(
        &self,
        run: &Run,
        measurement: MeasurementId,
        direction: Direction,
    ) -> Result<Rows<'_>, ReadError> {
        let from = match direction {
            Direction::Ascending => SeriesKey::new(measurement, []),
            Direction::Descending => SeriesKey::past(measurement, []),
        };
        let parts = self.loaded.manifest.parts().values();
        let cursor = match parts.into_iter().find(|part| Some(part.id.0) == run.number) {
            Some(part) => self.part_cursor(part, direction, &from, Some(measurement))?,
            None => self.memtable_cursor(direction, &from)?,
        };
        Merge::new(vec![(0, cursor)], direction)
    }

    fn survey(&self, measurement: MeasurementId, time: TimeRange) -> Result<Survey, ReadError> {
        self.check(&[measurement], time)?;
        let time = self.own(time);
        let mut survey = Survey::NOTHING;
        if self.loaded.retired.contains(&measurement) {
            return Ok(survey);
        }
        for part in self.parts(time) {
            let mut values = self.values(part);
            let mut series = 0;
            for (value, groups) in pages::groups_of(&mut values, part.id.0, measurement)? {
                let directory = values.directory(value)?;
                let groups = directory.groups.get(groups).unwrap_or_default();
                for group in groups.iter().filter(|group| !group.is_beside()) {
                    series += u64::from(group.series());
                    add_group(&mut survey, group, time);
                }
            }
            survey.series = survey.series.max(series);
            survey.files += u64::from(series > 0);
        }
        let table = self.memtable.table(measurement);
        if let Some(table) = table.filter(|table| table.time().overlaps(&time)) {
            survey.cached_rows = table.times_ns().len() as u64;
            survey.rows += survey.cached_rows;
            survey.series = survey.series.max(u64::from(table.series().len));
            survey.time = hull(survey.time, table.time());
        }
        Ok(survey)
    }

    fn version(
        &self,
        measurements: &[MeasurementId],
        time: TimeRange,
    ) -> Result<Option<Version>, ReadError> {
        self.check(measurements, time)?;
        let Loaded { salt, retired, tombstones, wal, state, .. } = self.loaded;
        let table = |&of: &MeasurementId| self.memtable.table(of);
        let in_memory = measurements.iter().filter_map(table);
        let is_in_memory = in_memory.into_iter().any(|table| table.time().overlaps(&time));
        let written = if is_in_memory { wal.next_sequence() } else { AT_REST };
        let mut version = vec![u64::from(*salt), written, retired.len() as u64];
        version.push(state.settings.range.end_ns.cast_unsigned());
        let touches = |tombstone: &&Tombstone| {
            let touched = |&of| tombstone.touching(of, time).next().is_some();
            measurements.iter().any(touched)
        };
        let before = version.len();
        version.extend(tombstones.values().filter(touches).map(|tombstone| tombstone.sequence));
        version.push((version.len() - before) as u64);
        version.extend(self.parts(time).flat_map(|part| [part.id.0, part.applied]));
        Ok(Some(version))
    }

    fn version_of_run(&self, number: u64) -> Version {
        vec![0, AT_REST, number]
    }

    fn kept(&self, name: &[u8], version: &Version) -> Option<Kept> {
        if let Some(kept) = self.reads.answer(name, version) {
            return Some(kept);
        }
        let kept = self.loaded.answers.get(self.store, name, at_rest(version)?)?;
        self.reads.put_answer(name.to_vec(), version.clone(), kept.clone());
        Some(kept)
    }

    fn keep(&self, name: Vec<u8>, version: Version, kept: Kept, cells: u64) {
        if cells >= self.answer_cells
            && let Some(at_rest) = at_rest(&version)
        {
            self.loaded.answers.put(&name, at_rest, &kept);
        }
        self.reads.put_answer(name, version, kept);
    }

    fn stats(&self) -> ReadStats {
        self.stats.get()
    }
}

/// Instead of a sequence: no row is in memory.
const AT_REST: u64 = 0;

/// The version without what ends with this life of the object: that of rows that are all at rest.
fn at_rest(version: &Version) -> Option<&[u64]> {
    match version.as_slice() {
        [_, AT_REST, rows @ ..] => Some(rows),
        _ => None,
    }
}

/// Adds what a group has inside `time`.
fn add_group(survey: &mut Survey, group: &Group, time: TimeRange) {
    for page in &group.pages {
        let of_page = TimeRange::new(page.min_ns, page.max_ns.saturating_add(1));
        if of_page.overlaps(&time) {
            survey.rows += u64::from(page.rows);
            survey.time = hull(survey.time, of_page);
        }
    }
    survey.blocks += group.pages.len() as u64;
    survey.block_bytes += group.bytes();
}

/// The least range around both.
fn hull(a: TimeRange, b: TimeRange) -> TimeRange {
    TimeRange::new(a.start_ns.min(b.start_ns), a.end_ns.max(b.end_ns))
}

/// Where a part begins when those before it have enough rows and are through, or nearly so. Times of
/// the parts ascend by their start.
fn borders(parts: &[&Part]) -> impl Iterator<Item = i64> {
    let (mut borders, mut live) = (Vec::new(), Vec::<TimeRange>::new());
    let (mut rows, mut series) = (0_u64, 1);
    for part in parts {
        let time = part.extent().time;
        live.retain(|before| before.end_ns > time.start_ns);
        let is_nearly_through = |before: &TimeRange| {
            let [left_ns, length_ns] = [time.start_ns, before.start_ns]
                .map(|from_ns| i128::from(before.end_ns) - i128::from(from_ns));
            left_ns * OVERLAP_SHARE <= length_ns
        };
        if rows >= CHAINED_ROWS * series && live.iter().all(is_nearly_through) {
            borders.push(time.start_ns);
            (rows, series) = (0, 1);
        }
        rows = rows.saturating_add(part.rows);
        series = series.max(part.series);
        live.push(time);
    }
    borders.into_iter()
}

/// Cuts `time` so that no piece overlaps many more of the parts than are merged at once; their
/// times ascend by their start. Between parts if there is such a place, else where one begins:
/// those that go on there are read in both pieces. More are in one piece only if that many have
/// rows of one time.
fn cut(time: TimeRange, parts: &[TimeRange]) -> Vec<TimeRange> {
    let mut cuts = Vec::new();
    // Ends of the piece's parts, and the last place between them, with those behind it.
    let mut ends: Vec<i64> = Vec::new();
    let (mut gap_ns, mut behind) = (time.start_ns, 0);
    for part in parts {
        if ends.iter().all(|&end_ns| end_ns <= part.start_ns) {
            (gap_ns, behind) = (part.start_ns, ends.len());
        }
        let begun_ns = cuts.last().copied().unwrap_or(time.start_ns);
        if ends.len() >= PARTS_AT_ONCE && part.start_ns > begun_ns {
            if gap_ns > begun_ns {
                cuts.push(gap_ns);
                ends.drain(..behind);
            } else {
                cuts.push(part.start_ns);
                ends.retain(|&end_ns| end_ns > part.start_ns);
            }
            behind = 0;
        }
        ends.push(part.end_ns);
    }
    let ends_ns = cuts.iter().copied().chain([time.end_ns]);
    let starts_ns = [time.start_ns].into_iter().chain(cuts.iter().copied());
    let pieces = starts_ns.zip(ends_ns).map(|(start_ns, end_ns)| TimeRange::new(start_ns, end_ns));
    pieces.filter(|piece| !piece.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_cut_between_parts_that_do_not_overlap() {
        let all = TimeRange::new(0, 10_000);
        let part = |start, end| TimeRange::new(start, end);
        assert_eq!(cut(all, &[]), [all]);
        // Two hundred, of which each two neighbours overlap.
        let pairs: Vec<TimeRange> = (0..100)
            .flat_map(|at| [part(at * 10, at * 10 + 8), part(at * 10 + 4, at * 10 + 10)])
            .collect();
        let pieces = cut(all, &pairs);
        assert_eq!((pieces.len(), pieces[0], pieces[3].end_ns), (4, part(0, 310), 10_000));
        for (a, b) in pieces.iter().zip(&pieces[1..]) {
            assert_eq!(a.end_ns, b.start_ns);
        }
        for piece in &pieces {
            assert!(pairs.iter().filter(|part| part.overlaps(piece)).count() <= PARTS_AT_ONCE);
            assert!(
                pairs
                    .iter()
                    .all(|part| part.intersect(piece).is_empty() || part.intersect(piece) == *part)
            );
        }
    }

    #[test]
    fn parts_that_are_linked_are_cut_where_one_begins() {
        let all = TimeRange::new(0, 10_000);
        // A wide one beside many narrow ones, and each over the next one by a little.
        let wide = (0..200).map(|at| TimeRange::new(at * 10, at * 10 + 10));
        let wide: Vec<TimeRange> = [all].into_iter().chain(wide).collect();
        let chain: Vec<TimeRange> =
            (0..200).map(|at| TimeRange::new(at * 10, at * 10 + 11)).collect();
        for parts in [wide, chain] {
            let pieces = cut(all, &parts);
            assert_eq!(pieces.len(), 4);
            assert_eq!((pieces[0].start_ns, pieces[3].end_ns), (0, 10_000));
            assert!(pieces.windows(2).all(|pair| pair[0].end_ns == pair[1].start_ns));
            for piece in &pieces {
                let count = parts.iter().filter(|part| part.overlaps(piece)).count();
                assert!(count <= PARTS_AT_ONCE, "{count}");
            }
        }
        // What has rows of one time is in one piece.
        let same = vec![TimeRange::new(0, 100); 200];
        assert_eq!(cut(all, &same), [all]);
    }
}
