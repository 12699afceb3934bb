//! Drops parts without visible rows: parts that have expired, and parts after the end of the
//! shard's range. Also deletes tombstones that are no longer needed, and the columns of dropped
//! measurements without rows.

use std::collections::BTreeSet;

use super::Shard;
use super::attempts::AlarmTask;
use super::columns::Columns;
use super::loaded::Loaded;
use super::refusal::Refusal;
use super::state::Draft;
use crate::store::{Store, Table};
use tidemark_model::ids::MeasurementId;

const TOMBSTONES_PER_EVENT: usize = 100;

pub(super) fn due<S: Store>(loaded: &Loaded<S>, now_ns: i64) -> Option<i64> {
    let due_work = loaded.due_work(now_ns);
    match (due_work.has_garbage, loaded.state().settings.duration_ns) {
        (true, _) => Some(now_ns),
        (false, 0) => None,
        // The parts are due when their latest row has expired.
        (false, duration_ns) => {
            let last_ns = due_work.first_expiry_ns?;
            Some(last_ns.saturating_add(duration_ns).saturating_add(1))
        }
    }
}

impl<S: Store> Shard<S> {
    pub(super) fn reclaim(&mut self, now_ns: i64) -> Result<(), Refusal> {
        let loaded = self.load()?;
        let manifest = loaded.manifest();
        let expired = match loaded.state().settings.duration_ns {
            0 => Vec::new(),
            duration_ns => manifest.expired(now_ns.saturating_sub(duration_ns)),
        };
        let beyond = manifest.parts().values().filter(|part| loaded.is_beyond(part));
        let dropped: Vec<_> = expired.into_iter().chain(beyond.map(|part| part.id)).collect();
        let spent: Vec<(u64, u64)> = loaded.spent_tombstones().take(TOMBSTONES_PER_EVENT).collect();
        let unused = loaded.without_rows(&spent);
        let Draft { mut state, mut manifest } = loaded.draft();
        manifest.drop_parts(dropped);
        for &(_, sequence) in &spent {
            // No later frame may use a sequence of a deleted tombstone, so the head moves past
            // these sequences.
            state.head = state.head.max(sequence);
        }
        self.commit(Draft { state, manifest }, Some(AlarmTask::Reclaim), |loaded| {
            Columns::delete_rows(&*loaded.store, &unused)?;
            loaded.store.delete_keys(Table::Tombstone, spent.iter().map(|&(key, _)| key))
        })?;
        let loaded = self.load()?;
        loaded.columns.forget(&unused);
        spent.iter().for_each(|&(key, _)| drop(loaded.deletions.tombstones.remove(&key)));
        Ok(())
    }
}

impl<S: Store> Loaded<S> {
    /// Returns the dropped measurements that only the `spent` tombstones mention. Neither a part
    /// nor the running merge has rows of such a measurement, because the drop added a tombstone.
    fn without_rows(&self, spent: &[(u64, u64)]) -> BTreeSet<MeasurementId> {
        let spent: BTreeSet<u64> = spent.iter().map(|&(key, _)| key).collect();
        let measurements = |is_spent: bool| {
            let tombstones = self.deletions.tombstones.iter();
            let tombstones = tombstones.filter(|(key, _)| spent.contains(key) == is_spent);
            let deletions = tombstones.flat_map(|(_, tombstone)| &tombstone.deletions);
            deletions.map(|deletion| deletion.measurement).collect::<BTreeSet<_>>()
        };
        let dropped = &measurements(true) & &*self.deletions.retired;
        if dropped.is_empty() {
            return dropped;
        }
        &dropped - &measurements(false)
    }
}
