//! Which blocks of series there are: of parts, group by group, and of the memtable.

use std::rc::Rc;

use super::source::{PartSource, ShardSource, StoredGroup, add};
use crate::batch::series_table::SeriesTable;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::time::TimeRange;
use crate::part::cursor::Values;
use crate::part::directory::Group;
use crate::part::pages;
use crate::scan::source::{Extent, Part, Wanted};
use crate::shard::cache::ChunkKey;
use crate::shard::manifest::Part as Stored;
use crate::shard::request::Refusal;
use crate::shard::values::{CachedValues, PartRows, refusal};
use crate::store::Store;

/// A scan looks after each of its steps how much it has decoded. A step has at most 2^19 rows of a
/// series, as it is told: rows of more bytes than this count as several, so that it decodes 2 MB.
pub(super) const ROW_BYTES: u64 = 4;

impl<S: Store> ShardSource<'_, S> {
    /// Appends the blocks of series of a part that may have one that is wanted.
    pub(super) fn stored_parts(
        &mut self,
        (part, measurement, time): (&Stored, MeasurementId, TimeRange),
        groups: &mut usize,
        wanted: &mut dyn Wanted,
        parts: &mut Vec<Part>,
    ) -> Result<(), Refusal> {
        let rows = PartRows::of(&self.loaded.manifest, part);
        let mut values = CachedValues::new(self.store, self.cache, rows.clone());
        let found = pages::groups_of(&mut values, part.id.0, measurement).map_err(refusal)?;
        self.stats.files += u64::from(!found.is_empty());
        for (value, range) in found {
            let directory = values.directory(value).map_err(refusal)?;
            for group in range {
                let (rows, directory) = (rows.clone(), Rc::clone(&directory));
                let of = StoredGroup { part: part.id.0, rows, value, directory, group };
                if !of.group().is_some_and(|group| group.time().overlaps(&time)) {
                    self.stats.blocks_pruned += 1;
                    continue;
                }
                *groups += 1;
                self.group_parts((part, &of, *groups), &mut values, wanted, parts)?;
            }
        }
        add(&mut self.stats, &values.stats.get());
        Ok(())
    }

    /// The same of a group; `number` tells it from others.
    fn group_parts(
        &mut self,
        (stored, of, number): (&Stored, &StoredGroup, usize),
        values: &mut CachedValues<'_, S>,
        wanted: &mut dyn Wanted,
        parts: &mut Vec<Part>,
    ) -> Result<(), Refusal> {
        let (Some(group), Some(key)) = (of.group(), of.key()) else { return Ok(()) };
        if group.is_beside() {
            return Ok(());
        }
        self.stats.blocks += group.pages.len() as u64;
        self.stats.block_bytes += group.bytes();
        let tag_ids: Rc<[ColumnId]> = group.tag_ids.as_slice().into();
        let rows: u64 = group.pages.iter().map(|page| u64::from(page.rows)).sum();
        let rows_per_series =
            rows.max(group.bytes() / ROW_BYTES) / u64::from(group.series().max(1));
        for (chunk, (first, _)) in (0..).zip(group.blocks_of_series()) {
            let block = (key, chunk);
            if let Some(ends) = self.cache.extent(block) {
                let [first, last] = &*ends;
                let extent = Extent { group: number, tag_ids: &tag_ids, first, last };
                if !wanted.may_have(&extent) {
                    self.stats.blocks_pruned += 1;
                    continue;
                }
            }
            let series = self.series(block, (of, group), values)?;
            if !wanted.has(&tag_ids, &series) {
                continue;
            }
            let hidden =
                self.loaded.hidden_of_part(stored, group.measurement, &tag_ids, &series)?;
            parts.push(Part {
                time: group.time(),
                tag_ids: Rc::clone(&tag_ids),
                field_ids: group.columns.iter().map(|&(id, _)| id).collect(),
                rows: (rows_per_series + 1) * u64::from(series.len),
                tombstones: !hidden.is_empty(),
                series,
            });
            self.parts.push(PartSource::Group { of: of.clone(), first, hidden });
        }
        Ok(())
    }

    /// A block of series, of which the first and the last are remembered.
    fn series(
        &self,
        block: ChunkKey,
        (of, group): (&StoredGroup, &Group),
        values: &mut CachedValues<'_, S>,
    ) -> Result<Rc<SeriesTable>, Refusal> {
        if let Some(series) = self.cache.series(block) {
            return Ok(series);
        }
        let series = pages::series(values, of.value, group, block.1 as usize).map_err(refusal)?;
        let series = Rc::new(series);
        let ends = |at: u32| -> Vec<String> {
            series.tags.iter().map(|tag| tag.get(at as usize).to_owned()).collect()
        };
        self.cache.put_extent(block, [ends(0), ends(series.len.saturating_sub(1))]);
        self.cache.put_series(block, &series);
        Ok(series)
    }

    pub(super) fn memtable_part(
        &mut self,
        measurement: MeasurementId,
        time: &TimeRange,
    ) -> Option<Part> {
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
}
