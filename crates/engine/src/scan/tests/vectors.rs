//! Implements a reader over plain vectors.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::merge::cursor::{Direction, PageColumn, PageKeys, ReadError, SeriesCursor};
use crate::merge::key::SeriesKey;
use crate::merge::kway::Merge;
use crate::merge::tests::vector::{Story, VectorCursor};
use crate::scan::cached::{Cached, ResultCache, Version};
use crate::scan::read_stats::ReadStats;
use crate::scan::reader::{Estimate, MergedRows, Reader, Run, rows_of_one};
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldValue;

/// The tags of a series, ascending by id, without empty values.
pub(in crate::scan) type Tags = Vec<(ColumnId, String)>;

pub(in crate::scan) const MEASUREMENT: MeasurementId = MeasurementId(1);

#[derive(Clone, Debug)]
pub(in crate::scan) struct Write {
    pub(in crate::scan) tags: Tags,
    pub(in crate::scan) time_ns: i64,
    pub(in crate::scan) fields: Vec<(ColumnId, FieldValue)>,
}

/// A reader of rows in memory. It counts each row of a page that is read as one decoded byte.
pub(in crate::scan) struct VectorReader {
    order: Vec<ColumnId>,
    page_rows: usize,
    parts: Vec<Story>,
    stats: Rc<Cell<ReadStats>>,
    kept: RefCell<BTreeMap<Vec<u8>, (Version, Cached)>>,
    pub(in crate::scan) hits: Cell<u64>,
    /// Simulates a fault: each column lacks its last row.
    pub(in crate::scan) is_short: bool,
}

pub(in crate::scan) fn key(tags: &Tags, order: &[ColumnId]) -> SeriesKey {
    let value = |id: &ColumnId| {
        tags.iter().find(|(tag, _)| tag == id).map_or("", |(_, value)| value.as_str())
    };
    SeriesKey::new(MEASUREMENT, order.iter().map(value))
}

impl VectorReader {
    /// Keys contain the tags in this order.
    pub(in crate::scan) fn new(order: Vec<ColumnId>, page_rows: usize) -> Self {
        Self {
            order,
            page_rows,
            parts: Vec::new(),
            stats: Rc::default(),
            kept: RefCell::default(),
            hits: Cell::default(),
            is_short: false,
        }
    }

    pub(in crate::scan) fn add(&mut self, writes: &[Write]) {
        let mut story = Story::new();
        for write in writes {
            let row = story.entry((key(&write.tags, &self.order), write.time_ns)).or_default();
            row.extend(write.fields.iter().map(|(id, value)| (id.0, value.clone())));
        }
        self.parts.push(story);
    }
}

impl Reader for VectorReader {
    fn tag_order(&self, _: MeasurementId) -> Result<Vec<ColumnId>, ReadError> {
        Ok(self.order.clone())
    }

    fn stretches(&self, time: TimeRange) -> Result<Vec<TimeRange>, ReadError> {
        // The position of the split does not change results.
        let cut_ns = 3.clamp(time.start_ns, time.end_ns);
        let pieces = [TimeRange::new(time.start_ns, cut_ns), TimeRange::new(cut_ns, time.end_ns)];
        Ok(pieces.into_iter().filter(|piece| !piece.is_empty()).collect())
    }

    fn merge(
        &self,
        _: &[MeasurementId],
        _: TimeRange,
        direction: Direction,
        from: &SeriesKey,
    ) -> Result<MergedRows<'_>, ReadError> {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut cursors = Vec::new();
        for (sequence, story) in (0..).zip(&self.parts) {
            let cursor = VectorCursor::new(story, self.page_rows, direction, &mut rng);
            let (stats, is_short) = (Rc::clone(&self.stats), self.is_short);
            let mut cursor = Counting { cursor, stats, is_short };
            cursor.seek(from)?;
            let cursor: Box<dyn SeriesCursor> = Box::new(cursor);
            cursors.push((sequence, cursor));
        }
        Merge::new(cursors, direction)
    }

    fn estimate(&self, _: MeasurementId, time: TimeRange) -> Result<Estimate, ReadError> {
        let rows = || self.parts.iter().flatten().map(|((_, time_ns), _)| *time_ns);
        let rows = || rows().filter(|&time_ns| time.contains(time_ns));
        let (first_ns, last_ns) = (rows().min(), rows().max());
        let hull = first_ns.zip(last_ns).map(|(first, last)| TimeRange::new(first, last + 1));
        let (rows, series) = (rows().count() as u64, 3);
        Ok(Estimate { time: hull.unwrap_or(Estimate::NOTHING.time), rows, series })
    }

    fn runs(&self, _: MeasurementId, time: TimeRange) -> Vec<Run> {
        let run = |(number, story): (u64, &Story)| {
            let times = || story.keys().map(|(_, time_ns)| *time_ns);
            let time = TimeRange::new(times().min()?, times().max()? + 1);
            // The run in memory has no number, because its results are not cached.
            let (number, rows) = ((number > 0).then_some(number), story.len() as u64);
            Some(Run { number, time, series: 3, series_sum: None, rows })
        };
        let runs = (0..).zip(&self.parts).filter_map(run);
        runs.filter(|run| run.time.overlaps(&time)).collect()
    }

    fn series_of_run(
        &self,
        run: &Run,
        _: MeasurementId,
        direction: Direction,
        from: &SeriesKey,
    ) -> Result<MergedRows<'_>, ReadError> {
        let story = &self.parts[run.number.unwrap_or(0) as usize];
        let mut rng = fastrand::Rng::with_seed(7);
        let cursor = VectorCursor::new(story, self.page_rows, direction, &mut rng);
        rows_of_one(cursor, direction, from)
    }

    fn result_cache(&self) -> Option<&dyn ResultCache> {
        Some(self)
    }

    fn stats(&self) -> ReadStats {
        self.stats.get()
    }
}

impl ResultCache for VectorReader {
    /// Tests add no rows after the first scan.
    fn version(&self, _: &[MeasurementId], _: TimeRange) -> Result<Version, ReadError> {
        Ok(Version::new())
    }

    fn get(&self, name: &[u8], version: &Version) -> Option<Cached> {
        let kept = self.kept.borrow();
        let found = kept.get(name).filter(|(of, _)| of == version).map(|(_, kept)| kept.clone());
        self.hits.set(self.hits.get() + u64::from(found.is_some()));
        found
    }

    fn was_requested(&self, _: &[u8]) -> bool {
        true
    }

    fn put(&self, name: Vec<u8>, version: Version, result: Cached) {
        self.kept.borrow_mut().insert(name, (version, result));
    }
}

struct Counting {
    cursor: VectorCursor,
    stats: Rc<Cell<ReadStats>>,
    is_short: bool,
}

impl SeriesCursor for Counting {
    fn key(&self) -> Option<&SeriesKey> {
        self.cursor.key()
    }
    fn seek(&mut self, to: &SeriesKey) -> Result<(), ReadError> {
        self.cursor.seek(to)
    }
    fn step(&mut self) -> Result<(), ReadError> {
        self.cursor.step()
    }
    fn page(&mut self, time: TimeRange) -> Result<Option<PageKeys>, ReadError> {
        let page = self.cursor.page(time)?;
        let mut stats = self.stats.get();
        stats.bytes_decoded += page.as_ref().map_or(0, |page| page.times_ns().len() as u64);
        self.stats.set(stats);
        Ok(page)
    }
    fn has_rows(&mut self, time: TimeRange) -> Result<bool, ReadError> {
        self.cursor.has_rows(time)
    }
    fn column(&mut self, page: &PageKeys, id: ColumnId) -> Result<Option<PageColumn>, ReadError> {
        let column = self.cursor.column(page, id)?;
        let shorten = |column: PageColumn| {
            let column = column.into_column();
            let rows: Vec<u32> = (0..column.len() as u32 - 1).collect();
            PageColumn::Wide(Rc::new(column.gather(&rows)))
        };
        Ok(if self.is_short { column.map(shorten) } else { column })
    }
}
