//! Reads the directories of parts and of the memtable, without reading rows.

use std::cmp::Reverse;

use super::manifest::Part;
use super::read::ShardReader;
use crate::batch::series_table::SeriesTable;
use crate::memtable::table::MeasurementTable;
use crate::merge::cursor::{Columns, ReadError};
use crate::merge::hide::Tombstone;
use crate::part::directory::{Group, Page};
use crate::part::pages;
use crate::part::values::Values;
use crate::scan::reader::{Directories, RowGroup, SeriesTables, Stored, VisitGroup};
use crate::store::Store;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;

impl<S: Store> Directories for ShardReader<'_, S> {
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
                && !self.loaded.deletions.retired().contains(&measurement)
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
        if self.loaded.deletions.retired().contains(&measurement) {
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
        let table = self.memtable.table(measurement);
        let table = table.filter(|table| table.time().overlaps(&time));
        stored.cached_rows = table.map_or(0, |table| table.times_ns().len() as u64);
        Ok(stored)
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
            tables: &mut SeriesInMemory(table),
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
        let before = match values.directory(last)?.of_part(part.id.0) {
            Some((_, Some(root))) => root.values_of(least).start..root.values_of(greatest).end,
            _ => last..last,
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
                // If a group contains only further columns, the preceding group lists all columns.
                if wanted.first() != Some(&of)
                    || group.continues_columns()
                    || !group.time().overlaps(&time)
                    || self.loaded.deletions.retired().contains(&of)
                {
                    continue;
                }
                let is_open = hides(&open, group);
                let tables = &mut StoredSeries { values: &mut values, value, group };
                if !visit(&mut row_group(group, time, is_open, tables))? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// The tombstones must be sorted by measurement.
fn hides(open: &[&Tombstone], group: &Group) -> bool {
    let first = open.partition_point(|tombstone| tombstone.measurement < group.measurement);
    let of = open.iter().skip(first);
    of.take_while(|tombstone| tombstone.measurement == group.measurement)
        .any(|tombstone| tombstone.time.overlaps(&group.time()))
}

fn row_group<'a>(
    group: &'a Group,
    time: TimeRange,
    is_open: bool,
    tables: &'a mut dyn SeriesTables,
) -> RowGroup<'a> {
    // The minimum and maximum times of a page are times of existing rows.
    let has_end = |page: &Page| time.contains(page.min_ns) || time.contains(page.max_ns);
    let is_inside = |page: &Page| time.contains(page.min_ns) && time.contains(page.max_ns);
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

struct SeriesInMemory<'a>(&'a MeasurementTable);

impl SeriesTables for SeriesInMemory<'_> {
    fn each(
        &mut self,
        visit: &mut dyn FnMut(&[ColumnId], &SeriesTable) -> bool,
    ) -> Result<(), ReadError> {
        visit(self.0.tag_ids(), self.0.series());
        Ok(())
    }
}

struct StoredSeries<'a, V> {
    values: &'a mut V,
    value: usize,
    group: &'a Group,
}

impl<V: Values> SeriesTables for StoredSeries<'_, V> {
    fn each(
        &mut self,
        visit: &mut dyn FnMut(&[ColumnId], &SeriesTable) -> bool,
    ) -> Result<(), ReadError> {
        for block in 0..self.group.blocks_of_series().count() {
            let series = pages::series(self.values, self.value, self.group, block)?;
            if !visit(&self.group.tag_ids, &series) {
                break;
            }
        }
        Ok(())
    }
}
