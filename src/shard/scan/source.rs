//! Memtable and parts as one [`Source`]: what a scan of this shard reads.

use std::rc::Rc;

use super::decoded::Decoded;
use crate::batch::order::Order;
use crate::memtable::Memtable;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::sorted;
use crate::model::time::TimeRange;
use crate::part::directory::{Directory, Group, Page};
use crate::scan::source::{self, Everything, Part, ReadStats, Run, Source, SourceError, Wanted};
use crate::shard::cache::{Cache, GroupKey};
use crate::shard::load::Loaded;
use crate::shard::manifest::Part as Stored;
use crate::shard::request::Refusal;
use crate::shard::tombstone::Hidden;
use crate::shard::values::PartRows;
use crate::store::Store;

/// What is behind a part that was handed out.
pub(super) enum PartSource {
    /// Series of a group of a part at rest, from `first` on.
    Group { of: StoredGroup, first: u32, hidden: Vec<Hidden> },
    /// Rows in memory.
    Memtable { measurement: MeasurementId, order: Rc<Order> },
}

/// A group at rest.
#[derive(Clone)]
pub(super) struct StoredGroup {
    pub(super) part: u64,
    pub(super) rows: PartRows,
    pub(super) value: usize,
    /// The value's.
    pub(super) directory: Rc<Directory>,
    pub(super) group: usize,
}

impl StoredGroup {
    pub(super) fn group(&self) -> Option<&Group> {
        self.directory.groups.get(self.group)
    }

    /// Its name in the cache.
    pub(super) fn key(&self) -> Option<GroupKey> {
        let number = self.rows.get(self.value).ok()?.number;
        Some((number, u32::try_from(self.group).ok()?))
    }

    /// The pages that hold rows of a series.
    pub(super) fn pages_of(&self, series: u32) -> std::ops::Range<usize> {
        self.group().map_or(0..0, |group| group.pages_of(series))
    }

    pub(super) fn page(&self, at: usize) -> Option<&Page> {
        self.group()?.pages.get(at)
    }
}

pub(super) struct ShardSource<'a, S> {
    pub(super) store: &'a S,
    pub(super) cache: &'a Cache,
    pub(super) loaded: &'a Loaded,
    pub(super) memtable: Memtable,
    pub(super) parts: Vec<PartSource>,
    pub(super) decoded: Decoded,
    pub(super) stats: ReadStats,
}

impl<'a, S: Store> ShardSource<'a, S> {
    /// Over what a shard has; nothing is read yet.
    pub(super) fn new(
        store: &'a S,
        cache: &'a Cache,
        loaded: &'a Loaded,
        memtable: Memtable,
    ) -> Self {
        let (parts, decoded, stats) = (Vec::new(), Decoded::default(), ReadStats::default());
        Self { store, cache, loaded, memtable, parts, decoded, stats }
    }

    /// Adds what tombstones leave of `run`.
    fn push_visible(&self, part: usize, series: u32, run: Run, runs: &mut Vec<Run>) {
        let Some(PartSource::Group { hidden, .. }) = self.parts.get(part) else { return };
        let mut ranges = vec![run.rows.clone()];
        for hidden in hidden {
            hidden.cut(series, &run.block.times_ns, &mut ranges);
        }
        runs.extend(ranges.into_iter().map(|rows| Run { block: Rc::clone(&run.block), rows }));
    }
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
        self.decoded.forget();
        if let Some(block) = self.loaded.damage(measurement, &time) {
            return Err(SourceError::Damaged { block });
        }
        if self.loaded.retired.contains(&measurement) {
            return Ok(Vec::new());
        }
        let manifest = &self.loaded.manifest;
        let mut inside: Vec<&Stored> = Vec::new();
        for part in manifest.parts().values() {
            match part.extent().time.overlaps(&time) {
                true => inside.push(part),
                false => self.stats.blocks_pruned += 1,
            }
        }
        sorted::sort_by_key(&mut inside, |part| (part.lo, part.id));
        let mut parts = Vec::with_capacity(inside.len() + 1);
        let mut groups = 0;
        for part in inside {
            let of = (part, measurement, time);
            self.stored_parts(of, &mut groups, wanted, &mut parts).map_err(source_error)?;
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
        let set = self.decoded.column_set(columns);
        let (of, number) = match self.parts.get(part) {
            Some(PartSource::Group { of, first, .. }) => (of.clone(), first.saturating_add(series)),
            Some(PartSource::Memtable { .. }) => {
                let kept = self.memtable_rows((set, part), series);
                return Ok(kept.and_then(|kept| kept.run(series)).into_iter().collect());
            }
            None => return Ok(Vec::new()),
        };
        let mut runs = Vec::new();
        for at in of.pages_of(number) {
            let Some(page) = of.page(at) else { continue };
            if page.max_ns < time.start_ns || page.min_ns >= time.end_ns {
                self.stats.blocks_pruned += 1;
                continue;
            }
            let kept = self.stored_rows((set, part), at).map_err(source_error)?;
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

    fn stats(&self) -> ReadStats {
        self.stats
    }
}

pub(super) fn add(sum: &mut ReadStats, more: &ReadStats) {
    sum.blocks_read += more.blocks_read;
    sum.bytes_decoded += more.bytes_decoded;
}

fn source_error(refusal: Refusal) -> SourceError {
    match refusal {
        Refusal::Damaged { block } => SourceError::Damaged { block },
        other => SourceError::Storage(other.to_string()),
    }
}
