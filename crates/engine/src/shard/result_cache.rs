//! Implements the cache of results for scans. The read cache contains the results.

use super::load::Loaded;
use super::read::ShardReader;
use super::tombstone::Tombstone;
use crate::merge::cursor::ReadError;
use crate::scan::cached::{Cached, ResultCache, Version};
use crate::store::Store;
use tidemark_model::ids::MeasurementId;
use tidemark_model::time::TimeRange;

/// Replaces the write sequence in a version if no matching rows are in memory.
const AT_REST: u64 = 0;

impl<S: Store> ResultCache for ShardReader<'_, S> {
    fn version(
        &self,
        measurements: &[MeasurementId],
        time: TimeRange,
    ) -> Result<Version, ReadError> {
        self.check(measurements, time)?;
        let Loaded { log, parts, deletions, .. } = self.loaded;
        let table = |&of: &MeasurementId| self.memtable.table(of);
        let in_memory = measurements.iter().filter_map(table);
        let is_in_memory = in_memory.into_iter().any(|table| table.time().overlaps(&time));
        let written = if is_in_memory { log.wal().next_sequence() } else { AT_REST };
        let retired = deletions.retired().len() as u64;
        let end_ns = self.loaded.state().settings.range.end_ns;
        let mut version = vec![u64::from(parts.salt()), written, retired, end_ns.cast_unsigned()];
        let touches = |tombstone: &&Tombstone| {
            let touched = |&of| tombstone.touching(of, time).next().is_some();
            measurements.iter().any(touched)
        };
        let tombstones = deletions.tombstones().values();
        let deletes = tombstones.filter(touches).map(|tombstone| tombstone.sequence);
        let deletes: Vec<u64> = deletes.collect();
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
