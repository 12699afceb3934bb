//! Memtable and parts as a question reads them.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use super::Shard;
use super::cache::Cache;
use super::load::Loaded;
use super::manifest::Part;
use super::request::Refusal;
use super::values::{CachedValues, PartRows, refusal};
use crate::memtable::Memtable;
use crate::memtable::cursor::{Sorted, tag_order};
use crate::merge::cursor::{CURSORS_MAX, Direction, ReadError, SeriesCursor};
use crate::merge::hide::{Hidden, Hide};
use crate::merge::key::SeriesKey;
use crate::merge::kway::Merge;
use crate::merge::sequences::{Extent, Sequences};
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::sorted;
use crate::model::sorted_map::SortedMap;
use crate::model::time::TimeRange;
use crate::part::cursor::{PartCursor, Values};
use crate::part::pages;
use crate::protocol::shard::Stamp;
use crate::scan::error::ScanError;
use crate::scan::reader::{Reader, Rows, VisitGroup};
use crate::scan::source::ReadStats;
use crate::store::Store;

/// Sorted runs that are merged at once, the memtable being one more: those of about a month.
const PARTS_AT_ONCE_MAX: usize = CURSORS_MAX - 1;

/// What a shard has, for one question.
pub(super) struct ShardReader<'a, S> {
    store: &'a S,
    cache: &'a Cache,
    pub(super) loaded: &'a Loaded,
    pub(super) hidden: Rc<Hidden>,
    pub(super) memtable: &'a Memtable,
    /// Of the measurements in memory.
    pub(super) tag_orders: SortedMap<MeasurementId, Vec<ColumnId>>,
    /// The rows in memory, once they are asked for.
    sorted: OnceCell<Sorted<'a>>,
    stats: Rc<Cell<ReadStats>>,
}

impl<S: Store> Shard<S> {
    /// Puts a question to the shard's rows.
    ///
    /// # Errors
    /// As [`Shard::scan`].
    pub fn ask<T>(
        &mut self,
        stamp: &Stamp,
        ask: impl FnOnce(&dyn Reader) -> Result<T, ScanError>,
    ) -> Result<T, Refusal> {
        let known = self.current(stamp)?.schema_version;
        if !stamp.fresh && stamp.schema_version < known {
            return Err(Refusal::Stale);
        }
        let memtable = self.memtable()?;
        let answer = self.ask_with(&memtable, ask);
        self.cache.put_memtable(memtable);
        self.budget.make_room(&self.evictable(), 0);
        answer
    }

    fn ask_with<T>(
        &mut self,
        memtable: &Memtable,
        ask: impl FnOnce(&dyn Reader) -> Result<T, ScanError>,
    ) -> Result<T, Refusal> {
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        let tag_orders = loaded.tag_orders(&*self.store, memtable)?;
        let hidden = loaded.hidden_of_merge(&*self.store)?;
        let data = (&*loaded, hidden);
        let reader = ShardReader::new(&*self.store, &self.cache, data, memtable, tag_orders);
        ask(&reader).map_err(|error| match error {
            ScanError::Read(error) => refusal(error),
            error => Refusal::Invalid(error.to_string()),
        })
    }
}

impl Loaded {
    /// The tag order of each measurement in memory, with what is not at rest yet.
    pub(super) fn tag_orders<S: Store>(
        &mut self,
        store: &S,
        memtable: &Memtable,
    ) -> Result<SortedMap<MeasurementId, Vec<ColumnId>>, Refusal> {
        let mut orders = SortedMap::new();
        for (measurement, table) in memtable.tables() {
            orders
                .insert(measurement, tag_order(self.columns.tag_order(store, measurement)?, table));
        }
        Ok(orders)
    }
}

impl<'a, S: Store> ShardReader<'a, S> {
    /// Over what a shard has; nothing is read yet. `tag_orders`: [`Loaded::tag_orders`].
    pub(super) fn new(
        store: &'a S,
        cache: &'a Cache,
        (loaded, hidden): (&'a Loaded, Rc<Hidden>),
        memtable: &'a Memtable,
        tag_orders: SortedMap<MeasurementId, Vec<ColumnId>>,
    ) -> Self {
        let (sorted, stats) = (OnceCell::new(), Rc::default());
        Self { store, cache, loaded, hidden, memtable, tag_orders, sorted, stats }
    }

    pub(super) fn values(&self, part: &Part) -> CachedValues<'_, S> {
        let rows = PartRows::of(&self.loaded.manifest, part);
        CachedValues::counting(self.store, self.cache, rows, &self.stats)
    }

    /// The parts with rows inside `time`.
    pub(super) fn parts(&self, time: TimeRange) -> impl Iterator<Item = &'a Part> {
        let parts = self.loaded.manifest.parts().values();
        parts.filter(move |part| part.extent().time.overlaps(&time))
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
    ) -> Result<Box<dyn SeriesCursor + '_>, ReadError> {
        let cursor = PartCursor::new(self.values(part), part.id.0, direction, Some(from))?;
        let hidden = Rc::clone(&self.hidden);
        Ok(Box::new(Hide::new(cursor, hidden, &part.extent(), direction)?))
    }

    fn memtable_cursor(
        &self,
        direction: Direction,
        from: &SeriesKey,
    ) -> Result<Box<dyn SeriesCursor + '_>, ReadError> {
        let order_of = |measurement| self.tag_orders.get(&measurement).cloned().unwrap_or_default();
        let sorted = self.sorted.get_or_init(|| Sorted::new(self.memtable, |of, _| order_of(of)));
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
        let mut times: Vec<TimeRange> =
            self.parts(time).map(|part| part.extent().time.intersect(&time)).collect();
        sorted::sort_by_key(&mut times, |part| part.start_ns);
        cut(time, &times)
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
        for part in self.parts(time) {
            cursors.push((part.hi, self.part_cursor(part, direction, from)?));
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

    fn stats(&self) -> ReadStats {
        self.stats.get()
    }
}

/// Cuts `time` between parts, whose times ascend by their start, so that no piece overlaps more
/// than can be merged at once.
fn cut(time: TimeRange, parts: &[TimeRange]) -> Result<Vec<TimeRange>, ReadError> {
    let mut pieces = Vec::new();
    let mut piece = TimeRange::new(time.start_ns, time.start_ns);
    // Parts of the piece, and those of them that overlap each other up to its end.
    let (mut count, mut linked, mut end_ns, mut from_ns) = (0, 0, i64::MIN, time.start_ns);
    for part in parts {
        if part.start_ns >= end_ns {
            (linked, from_ns) = (0, part.start_ns);
        }
        (count, linked, end_ns) = (count + 1, linked + 1, end_ns.max(part.end_ns));
        if count > PARTS_AT_ONCE_MAX {
            if linked == count {
                return Err(ReadError::TooManySources(count));
            }
            piece.end_ns = from_ns;
            pieces.push(piece);
            (piece, count) = (TimeRange::new(from_ns, from_ns), linked);
        }
    }
    piece.end_ns = time.end_ns;
    pieces.push(piece);
    pieces.retain(|piece| !piece.is_empty());
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_cut_between_parts_that_do_not_overlap() {
        let all = TimeRange::new(0, 10_000);
        let part = |start, end| TimeRange::new(start, end);
        assert_eq!(cut(all, &[]), Ok(vec![all]));
        // Two hundred, of which each two neighbours overlap.
        let pairs: Vec<TimeRange> = (0..100)
            .flat_map(|at| [part(at * 10, at * 10 + 8), part(at * 10 + 4, at * 10 + 10)])
            .collect();
        let pieces = cut(all, &pairs).unwrap();
        assert_eq!((pieces.len(), pieces[0], pieces[3].end_ns), (4, part(0, 310), 10_000));
        for (a, b) in pieces.iter().zip(&pieces[1..]) {
            assert_eq!(a.end_ns, b.start_ns);
        }
        for piece in &pieces {
            assert!(pairs.iter().filter(|part| part.overlaps(piece)).count() <= PARTS_AT_ONCE_MAX);
            assert!(
                pairs
                    .iter()
                    .all(|part| part.intersect(piece).is_empty() || part.intersect(piece) == *part)
            );
        }
        let linked = vec![part(0, 100); CURSORS_MAX];
        assert_eq!(cut(all, &linked), Err(ReadError::TooManySources(CURSORS_MAX)));
        assert_eq!(cut(all, &linked[1..]).map(|pieces| pieces.len()), Ok(1));
    }
}
