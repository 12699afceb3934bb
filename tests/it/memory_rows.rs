//! Serves points in memory to queries.

use std::cell::Cell;

use tidemark_engine::memtable::Memtable;
use tidemark_engine::memtable::cursor::{MemtableCursor, Sorted, tag_order};
use tidemark_engine::merge::cursor::{
    Columns, Direction, PageColumn, PageKeys, ReadError, SeriesCursor,
};
use tidemark_engine::merge::key::SeriesKey;
use tidemark_engine::scan::read_stats::ReadStats;
use tidemark_engine::scan::reader::{
    Estimate, MergedRows, Reader, RowGroup, VisitGroup, rows_of_one,
};
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;

pub(crate) struct MemoryRows<'a> {
    memtable: &'a Memtable,
    sorted: Sorted<'a>,
    stats: Cell<ReadStats>,
}

impl<'a> MemoryRows<'a> {
    pub(crate) fn new(memtable: &'a Memtable) -> Self {
        let sorted = Sorted::new(memtable.tables(), |_, table| tag_order(&[], table));
        Self { memtable, sorted, stats: Cell::default() }
    }
}

impl Reader for MemoryRows<'_> {
    fn tag_order(&self, measurement: MeasurementId) -> Result<Vec<ColumnId>, ReadError> {
        let table = self.memtable.tables().find(|(id, _)| *id == measurement);
        Ok(table.map_or(Vec::new(), |(_, table)| tag_order(&[], table)))
    }

    fn stretches(&self, time: TimeRange) -> Result<Vec<TimeRange>, ReadError> {
        Ok(vec![time])
    }

    fn merge(
        &self,
        _: &[MeasurementId],
        _: TimeRange,
        direction: Direction,
        from: &SeriesKey,
    ) -> Result<MergedRows<'_>, ReadError> {
        let cursor = Counting { cursor: self.sorted.cursor(direction), stats: &self.stats };
        rows_of_one(cursor, direction, from)
    }

    fn estimate(&self, measurement: MeasurementId, time: TimeRange) -> Result<Estimate, ReadError> {
        let table = self.memtable.tables().find(|(id, _)| *id == measurement);
        let Some((_, table)) = table.filter(|(_, table)| table.time().overlaps(&time)) else {
            return Ok(Estimate::NOTHING);
        };
        let (rows, series) = (table.times_ns().len() as u64, u64::from(table.series().len));
        Ok(Estimate { time: table.time(), rows, series })
    }

    /// Leaves open which rows are inside `time`, so that a summary reads the rows.
    fn groups(
        &self,
        measurements: &[MeasurementId],
        time: TimeRange,
        visit: &mut VisitGroup<'_>,
    ) -> Result<(), ReadError> {
        for (measurement, table) in self.memtable.tables() {
            if !measurements.contains(&measurement) || !table.time().overlaps(&time) {
                continue;
            }
            let columns: Columns = table.fields().fields().collect();
            visit(&mut RowGroup {
                measurement,
                tag_ids: &tag_order(&[], table),
                columns: &columns,
                series: u64::from(table.series().len),
                has_rows: false,
                is_whole: false,
                tables: &mut |visit| {
                    visit(table.tag_ids(), table.series());
                    Ok(())
                },
            })?;
        }
        Ok(())
    }

    /// Each row that is read counts as one byte.
    fn stats(&self) -> ReadStats {
        self.stats.get()
    }
}

struct Counting<'a> {
    cursor: MemtableCursor<'a>,
    stats: &'a Cell<ReadStats>,
}

impl SeriesCursor for Counting<'_> {
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
        self.cursor.column(page, id)
    }
}
