//! Points in memory as SHOW reads them: without directories that tell anything.

use tidemark::memtable::Memtable;
use tidemark::memtable::cursor::{Sorted, tag_order};
use tidemark::merge::cursor::{Direction, ReadError, SeriesCursor};
use tidemark::merge::key::SeriesKey;
use tidemark::merge::kway::Merge;
use tidemark::model::ids::{ColumnId, MeasurementId};
use tidemark::model::time::TimeRange;
use tidemark::scan::reader::{Reader, Rows};
use tidemark::scan::source::ReadStats;

pub(crate) struct MemoryRows<'a> {
    memtable: &'a Memtable,
    sorted: Sorted<'a>,
}

impl<'a> MemoryRows<'a> {
    pub(crate) fn new(memtable: &'a Memtable) -> Self {
        Self { memtable, sorted: Sorted::new(memtable, |_, table| tag_order(&[], table)) }
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
    ) -> Result<Rows<'_>, ReadError> {
        let mut cursor = self.sorted.cursor(direction);
        cursor.seek(from)?;
        let cursor: Box<dyn SeriesCursor + '_> = Box::new(cursor);
        Merge::new(vec![(0, cursor)], direction)
    }

    fn stats(&self) -> ReadStats {
        ReadStats::default()
    }
}
