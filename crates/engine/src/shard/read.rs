//! Reads the memtable and parts for a query.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::load::Loaded;
use super::manifest::Part;
use super::pieces::{cut, split_times};
use super::read_cache::ShardReads;
use super::request::Refusal;
use super::values::{CachedValues, PartRows};
use crate::memtable::Memtable;
use crate::memtable::cursor::{Sorted, tag_order};
use crate::merge::cursor::{Direction, ReadError, SeriesCursor};
use crate::merge::hide::{HiddenRows, VisibleCursor};
use crate::merge::key::SeriesKey;
use crate::merge::kway::Merge;
use crate::merge::sequences::{Extent, Sequences};
use crate::part::cursor::PartCursor;
use crate::part::outline::{Outline, has_groups};
use crate::part::pages;
use crate::part::values::Values;
use crate::scan::cached::ResultCache;
use crate::scan::reader::{Directories, Estimate, ReadStats, Reader, Rows, Run, Runs};
use crate::store::Store;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;

pub(super) struct ShardReader<'a, S> {
    pub(super) reads: &'a ShardReads,
    pub(super) loaded: &'a Loaded<S>,
    pub(super) hidden: Rc<HiddenRows>,
    pub(super) memtable: &'a Memtable,
    /// The tag orders of the query's measurements that have rows in memory.
    pub(super) tag_orders: BTreeMap<MeasurementId, Vec<ColumnId>>,
    sorted: OnceCell<Sorted<'a>>,
    stats: Rc<Cell<ReadStats>>,
}

impl<S: Store> Loaded<S> {
    /// Returns the tag orders of those `measurements` that are in the memtable, including tags that
    /// are not flushed. For a single measurement, always returns the tag order, because reading one
    /// row is cheaper than reading many directories.
    pub(super) fn tag_orders(
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

impl<'a, S: Store> ShardReader<'a, S> {
    /// `tag_orders` is the result of [`Loaded::tag_orders`].
    pub(super) fn new(
        reads: &'a ShardReads,
        loaded: &'a Loaded<S>,
        hidden: Rc<HiddenRows>,
        memtable: &'a Memtable,
        tag_orders: BTreeMap<MeasurementId, Vec<ColumnId>>,
    ) -> Self {
        Self {
            reads,
            loaded,
            hidden,
            memtable,
            tag_orders,
            sorted: OnceCell::new(),
            stats: Rc::default(),
        }
    }

    pub(super) fn values(&self, part: &Part) -> CachedValues<'_, S> {
        let rows = PartRows::of(self.loaded.manifest(), part);
        CachedValues::counting(&*self.loaded.store, self.reads, rows, &self.stats)
    }

    pub(super) fn parts(&self, time: TimeRange) -> impl Iterator<Item = &'a Part> {
        let parts = self.loaded.manifest().parts().values();
        parts.filter(move |part| part.extent().time.overlaps(&time))
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
    pub(super) fn check(
        &self,
        measurements: &[MeasurementId],
        time: TimeRange,
    ) -> Result<(), ReadError> {
        let damage = measurements.iter().find_map(|&of| self.loaded.damage(of, &time));
        damage.map_or(Ok(()), |what| Err(ReadError::Damaged { what }))
    }

    /// Returns the part of `time` that a split has not moved to another shard.
    pub(super) fn owned_range(&self, time: TimeRange) -> TimeRange {
        time.intersect(&TimeRange::new(i64::MIN, self.loaded.state().settings.range.end_ns))
    }

    /// The cursor also returns rows that deletes hide.
    fn whole_part(
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

    fn part_cursor(
        &self,
        part: &Part,
        direction: Direction,
        from: &SeriesKey,
        only: Option<MeasurementId>,
    ) -> Result<Box<dyn SeriesCursor + '_>, ReadError> {
        let cursor = self.whole_part(part, direction, from, only)?;
        let hidden = Rc::clone(&self.hidden);
        Ok(Box::new(VisibleCursor::new(cursor, hidden, &part.extent(), direction)?))
    }

    fn memtable_cursor(
        &self,
        direction: Direction,
        from: &SeriesKey,
    ) -> Result<Box<dyn SeriesCursor + '_>, ReadError> {
        let order_of = |measurement| self.tag_orders.get(&measurement).cloned().or_bug();
        let requested = self.tag_orders.iter().map(|(&id, _)| id);
        let tables = requested.filter_map(|id| Some((id, self.memtable.table(id)?)));
        let sorted = self.sorted.get_or_init(|| Sorted::of(tables, |of, _| order_of(of)));
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
    ) -> Result<Rows<'_>, ReadError> {
        self.check(measurements, time)?;
        let mut cursors = Vec::new();
        let only = match measurements {
            &[only] => Some(only),
            _ => None,
        };
        for part in self.parts(time) {
            // A block of other measurements may be damaged.
            if let Some(only) = only
                && !has_groups(&mut self.values(part), part.id.0, only)?
            {
                continue;
            }
            cursors.push((part.hi, self.part_cursor(part, direction, from, only)?));
        }
        let is_inside = |of: &MeasurementId| {
            self.memtable.table(*of).is_some_and(|table| table.time().overlaps(&time))
        };
        // Sorting recently written rows takes time, so only a memtable with matching rows is used.
        if measurements.iter().any(is_inside) {
            cursors.push((u64::MAX, self.memtable_cursor(direction, from)?));
        }
        Merge::new(cursors, direction)
    }

    fn estimate(&self, measurement: MeasurementId, time: TimeRange) -> Result<Estimate, ReadError> {
        self.check(&[measurement], time)?;
        let time = self.owned_range(time);
        let mut estimate = Estimate::NOTHING;
        if self.loaded.deletions.retired().contains(&measurement) {
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
        let table = self.memtable.table(measurement);
        if let Some(table) = table.filter(|table| table.time().overlaps(&time)) {
            estimate.rows += table.times_ns().len() as u64;
            estimate.series = estimate.series.max(u64::from(table.series().len));
            estimate.time = estimate.time.hull(table.time());
        }
        Ok(estimate)
    }

    fn runs(&self) -> Option<&dyn Runs> {
        Some(self)
    }

    fn directories(&self) -> Option<&dyn Directories> {
        Some(self)
    }

    fn result_cache(&self) -> Option<&dyn ResultCache> {
        Some(self)
    }

    fn stats(&self) -> ReadStats {
        self.stats.get()
    }
}

impl<S: Store> Runs for ShardReader<'_, S> {
    fn split(&self, time: TimeRange) -> Result<Vec<TimeRange>, ReadError> {
        let time = self.owned_range(time);
        self.count_pruned(time);
        let mut parts: Vec<&Part> = self.parts(time).collect();
        parts.sort_by_key(|part| part.min_ns);
        let parts = parts.into_iter().map(|part| (part.extent().time, part.rows, part.series));
        let split_times =
            split_times(parts).into_iter().filter(|at| time.start_ns < *at && *at < time.end_ns);
        let ends_ns: Vec<i64> = split_times.chain([time.end_ns]).collect();
        let starts_ns = [time.start_ns].into_iter().chain(ends_ns.iter().copied());
        let pieces = starts_ns.zip(&ends_ns).map(|(start, &end)| TimeRange::new(start, end));
        Ok(pieces.flat_map(|piece| self.cut(piece)).collect())
    }

    fn list(&self, measurement: MeasurementId, time: TimeRange) -> Vec<Run> {
        let part = |part: &Part| Run {
            number: Some(part.id.0),
            time: part.extent().time,
            series: part.series,
            series_sum: Some(part.series_sum).filter(|sum| *sum != 0),
            rows: part.rows,
        };
        let table = self.memtable.table(measurement).filter(|table| table.time().overlaps(&time));
        let in_memory = table.map(|table| Run {
            number: None,
            time: table.time(),
            series: u64::from(table.series().len),
            series_sum: None,
            rows: table.times_ns().len() as u64,
        });
        self.parts(time).map(part).chain(in_memory).collect()
    }

    fn rows(
        &self,
        run: &Run,
        measurement: MeasurementId,
        direction: Direction,
        from: &SeriesKey,
    ) -> Result<Rows<'_>, ReadError> {
        let parts = self.loaded.manifest().parts().values();
        let cursor = match parts.into_iter().find(|part| Some(part.id.0) == run.number) {
            Some(part) => Box::new(self.whole_part(part, direction, from, Some(measurement))?),
            None => self.memtable_cursor(direction, from)?,
        };
        Merge::new(vec![(0, cursor)], direction)
    }
}
