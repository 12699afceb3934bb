//! Drops parts without visible rows: parts that have expired, and parts after the end of the
//! shard's range. Also deletes tombstones that are no longer needed.

use super::Shard;
use super::attempts::AlarmTask;
use super::load::Loaded;
use super::request::Refusal;
use crate::store::{Store, Table};

const TOMBSTONES_PER_EVENT: usize = 100;

pub(super) fn due(loaded: &Loaded, now_ns: i64) -> Option<i64> {
    let plan = loaded.plan(now_ns);
    match (plan.has_garbage, loaded.state.settings.duration_ns) {
        (true, _) => Some(now_ns),
        (false, 0) => None,
        // The parts are due when their latest row has expired.
        (false, duration_ns) => {
            let last_ns = plan.first_expiry_ns?;
            Some(last_ns.saturating_add(duration_ns).saturating_add(1))
        }
    }
}

impl<S: Store> Shard<S> {
    pub(super) fn reclaim(&mut self, now_ns: i64) -> Result<(), Refusal> {
        let loaded = self.load()?;
        let duration_ns = loaded.state.settings.duration_ns;
        let mut manifest = loaded.manifest.clone();
        let expired = match duration_ns {
            0 => Vec::new(),
            _ => manifest.expired(now_ns.saturating_sub(duration_ns)),
        };
        let parts = loaded.manifest.parts().values();
        let beyond = parts.filter(|part| loaded.is_beyond(part)).map(|part| part.id);
        let dropped: Vec<_> = expired.into_iter().chain(beyond).collect();
        for &id in &dropped {
            manifest.drop_part(id);
        }
        let spent: Vec<u64> = loaded.applied_tombstones().take(TOMBSTONES_PER_EVENT).collect();
        // No later frame may use a sequence of a deleted tombstone, so the head moves past these
        // sequences.
        let sequences = spent.iter().filter_map(|key| loaded.tombstones.get(key));
        let last = sequences.map(|tombstone| tombstone.sequence).max().unwrap_or_default();
        self.commit(
            manifest,
            Some(AlarmTask::Reclaim),
            |state| state.head = state.head.max(last),
            |store, _| spent.iter().try_for_each(|&key| store.delete(Table::Tombstone, key..=key)),
        )?;
        let loaded = self.loaded.as_mut().ok_or(Refusal::Stale)?;
        for key in &spent {
            loaded.tombstones.remove(key);
        }
        loaded.forget_plan();
        Ok(())
    }
}
