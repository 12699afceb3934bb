//! Writes the memtable into parts, one per time slot, and then moves the head of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::Shard;
use super::attempts::AlarmTask;
use super::loaded::Loaded;
use super::manifest::Manifest;
use super::parts::{NewValue, listed, place};
use super::refusal::Refusal;
use super::slots::Slots;
use super::state::Draft;
use crate::memtable::Memtable;
use crate::memtable::cursor::{Sorted, tag_order};
use crate::merge::cursor::Direction;
use crate::merge::hide::{HiddenRows, VisibleCursor};
use crate::merge::kway::Merge;
use crate::merge::sequences::{Extent, Sequences};
use crate::part::writer::{Groups, Limits, PartWriter};
use crate::store::Store;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;

impl<S: Store> Shard<S> {
    /// Writes every frame of the log into parts, and moves the head of the log, in one transaction.
    /// Unreadable frames are copied to table `tombstone`.
    pub(super) fn flush(&mut self, now_ns: i64) -> Result<(), Refusal> {
        let limits = self.limits.part;
        let loaded = self.load()?;
        let wal = &loaded.log.wal;
        if wal.frames().is_empty() && wal.damaged().is_empty() {
            return Ok(());
        }
        let memtable = loaded.take_memtable()?;
        let flushed = loaded.flush(&memtable, limits, now_ns);
        flushed.map_err(|refusal| self.discard_state(refusal))
    }
}

impl<S: Store> Loaded<S> {
    fn flush(&mut self, memtable: &Memtable, limits: Limits, now_ns: i64) -> Result<(), Refusal> {
        let head = self.log.wal.next_sequence() - 1;
        let Draft { mut state, mut manifest } = self.draft();
        let (window_ns, parts) = (state.settings.window_ns, manifest.parts().values());
        let slots = Slots::few(window_ns, parts, times(memtable));
        manifest.width_ns = slots.width_ns;
        let touched = slots.of_times(times(memtable));
        let values = self.write_parts(&mut manifest, memtable, &touched, limits)?;
        state.head = head;
        state.schema_version = self.log.schema_version;
        state.counters.flushes += 1;
        // After a restart of the object, the time of the last write is unknown until the next
        // write.
        let last_ns = self.pace.last_ns.unwrap_or(now_ns);
        state.slot_writes.on_flush(slots.width_ns, &touched, last_ns);
        self.commit(Draft { state, manifest }, Some(AlarmTask::Flush), |loaded| {
            let store = &*loaded.store;
            values.iter().try_for_each(|value| value.put(store))?;
            loaded.columns.write_new(store)?;
            loaded.damaged.copy(store, loaded.log.wal.damaged())
        })?;
        self.columns.on_write();
        self.damaged.on_copy(self.log.wal.damaged());
        self.log.release();
        Ok(())
    }

    /// Adds the parts to the manifest, and returns their values, which the caller must store.
    fn write_parts(
        &mut self,
        manifest: &mut Manifest,
        memtable: &Memtable,
        slots: &BTreeSet<i64>,
        limits: Limits,
    ) -> Result<Vec<NewValue>, Refusal> {
        let orders = self.order_tags(memtable)?;
        let order_of = |measurement| orders.get(&measurement).cloned().or_bug();
        let sorted = Sorted::new(memtable.tables(), |measurement, _| order_of(measurement));
        // The replay of the log has removed the rows that tombstones hide.
        let hidden = Rc::new(HiddenRows::new(Vec::new(), Rc::clone(&self.deletions.retired)));
        let (lo, hi) = (self.state().head + 1, self.log.wal.next_sequence() - 1);
        let salt = self.parts.salt;
        let sequences = Sequences { lo, hi, applied: hi };
        let mut writer = PartWriter::new(limits, self.series_seed());
        let mut written = Vec::new();
        for &slot in slots {
            let time = Slots::of(manifest.width_ns).time(slot);
            let time = time.intersect(&self.state().settings.range);
            writer.begin(manifest.new_part_id(salt).0, sequences);
            let inside = (slots.len() > 1).then(|| sorted.within(time));
            let rows = inside.as_ref().unwrap_or(&sorted);
            let cursor = rows.cursor(Direction::Ascending);
            let of = Extent { sequences, time: TimeRange::ALL };
            let hide = VisibleCursor::new(cursor, Rc::clone(&hidden), &of, Direction::Ascending);
            let merge = Merge::new(vec![(hi, hide?)], Direction::Ascending)?;
            let mut groups = Groups::new(merge, limits, time, None)?;
            while let Some(rows) = groups.next(&mut |of| Ok(order_of(of)))? {
                writer.add(&rows);
            }
            written.extend(writer.end());
        }
        let values = place(manifest, salt, writer.finish());
        let places: Vec<_> = values.iter().map(NewValue::place).collect();
        let parts = written.iter().map(|written| listed(written, sequences, &places));
        manifest.add(parts, &places);
        Ok(values)
    }

    /// Adds new tags of the memtable at the end of the stored order.
    fn order_tags(
        &mut self,
        memtable: &Memtable,
    ) -> Result<BTreeMap<MeasurementId, Vec<ColumnId>>, Refusal> {
        let (store, mut orders) = (&*self.store, BTreeMap::new());
        for (measurement, table) in memtable.tables() {
            let order = tag_order(self.columns.tag_order(store, measurement)?, table);
            self.columns.order_tags(store, measurement, &order)?;
            orders.insert(measurement, order);
        }
        Ok(orders)
    }
}

fn times(memtable: &Memtable) -> impl Iterator<Item = &i64> + Clone {
    memtable.tables().flat_map(|(_, table)| table.times_ns().iter())
}
