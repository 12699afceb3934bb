//! Drops parts without visible rows: parts that have expired, and parts after the end of the
//! shard's range. Also deletes tombstones that are no longer needed.

use super::Shard;
use super::alarm::AlarmTask;
use super::object::{Draft, Loaded};
use super::request::Refusal;
use crate::store::{Store, Table};

const TOMBSTONES_PER_EVENT: usize = 100;

pub(super) fn due<S: Store>(loaded: &Loaded<S>, now_ns: i64) -> Option<i64> {
    let plan = loaded.plan(now_ns);
    match (plan.has_garbage, loaded.state().settings.duration_ns) {
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
        let manifest = loaded.manifest();
        let expired = match loaded.state().settings.duration_ns {
            0 => Vec::new(),
            duration_ns => manifest.expired(now_ns.saturating_sub(duration_ns)),
        };
        let beyond = manifest.parts().values().filter(|part| loaded.is_beyond(part));
        let dropped: Vec<_> = expired.into_iter().chain(beyond.map(|part| part.id)).collect();
        let spent: Vec<(u64, u64)> = loaded.spent_tombstones().take(TOMBSTONES_PER_EVENT).collect();
        let Draft { mut state, mut manifest } = loaded.draft();
        for &id in &dropped {
            manifest.drop_part(id);
        }
        for &(_, sequence) in &spent {
            // No later frame may use a sequence of a deleted tombstone, so the head moves past
            // these sequences.
            state.head = state.head.max(sequence);
        }
        self.commit(Draft { state, manifest }, Some(AlarmTask::Reclaim), |loaded| {
            spent.iter().try_for_each(|&(key, _)| loaded.store.delete(Table::Tombstone, key..=key))
        })?;
        let loaded = self.load()?;
        spent.iter().for_each(|&(key, _)| drop(loaded.deletions.tombstones.remove(&key)));
        Ok(())
    }
}
